"""Record the outputs of named layers of any network: in one forward pass, or gathered or streamed over many."""

import difflib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from infoplane.checks import check_activations, check_at_least, check_tensor
from infoplane.measuring.mapped_tensors import mapped_empty
from infoplane.networks.gaussian_layer import gaussian_layers
from infoplane.networks.wrappers import named_layers, unwrapped
from infoplane.records.short_repr import with_short_repr

Consumer = Callable[[str, slice, Tensor], None]  # layer, rows among all images, activations (rows, features)


@with_short_repr
class OwnNoise(NamedTuple):
    """Outputs of a `GaussianLayer`: those of example i are N(means_i, diag(variances_i)).

    Attributes:
        means: `(samples, features)`.
        variances: `(samples, features)`.
    """

    means: Tensor
    variances: Tensor


class _Drawn(NamedTuple):
    """One call of a Gaussian layer."""

    mean: Tensor
    variance: Tensor
    output: Tensor
    before: Tensor  # a copy of the output

    def is_output(self, output: object) -> bool:
        """Return whether the output of a layer is that of the call, and was not changed in place since."""
        tensor = next(_tensors(output), None)
        return tensor is self.output and torch.equal(self.output, self.before)

    def noise(self) -> OwnNoise:
        return OwnNoise(*(part.flatten(start_dim=1) for part in (self.mean, self.variance.expand_as(self.mean))))


def _mean_and_variance(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the arguments of `GaussianLayer.forward`, however they were passed."""
    return mean, variance


@contextmanager
def record_activations(
    model: nn.Module,
    layers: Sequence[str],
    *,
    shapes: dict[str, tuple[int, ...]] | None = None,
    noises: dict[str, OwnNoise] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of named layers, `(batch, features)`. Each forward pass of `model` replaces the last record.

    Records are detached copies on the layer's device and in its float type. They are flattened per sample in the order
    channels, height, width, whatever the memory format. A layer that runs more than once in a forward pass appears as
    `name`, `name#2` and so on. If a layer outputs several tensors, the first is recorded. Only calls within a forward
    pass of the whole model are recorded, so recomputation in a backward pass (checkpointing) adds nothing. If a model
    calls itself in its forward pass, that is one pass: the layers of all its inner calls are numbered.

    Names are those of the model inside `torch.compile`, `DataParallel` and `DistributedDataParallel`. A compiled graph
    ignores hooks that are added later, so inside the block compiled code runs uncompiled, in the original precision and
    order of operations.

    Args:
        model: any network; call it, or its wrapper, inside the block.
        layers: names as in `model.named_modules()`, each once.
        shapes: filled with the shape of each record before it was flattened, without the batch.
        noises: filled with the noise of each record that is the output of a `GaussianLayer`.

    Raises:
        ValueError: `layers` is empty, repeats a name or holds an unknown one; `model` splits its batch over several
            devices; a layer outputs no tensor with a batch dimension; or a layer has recorded nothing by the end of
            the block.
    """
    root, modules = unwrapped(model), named_layers(model)
    _check_layers(layers, list(modules))
    recorded: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()
    depth = 0  # nested calls of the model, which may call itself
    drawn: list[_Drawn] = []  # by the Gaussian layers in this pass

    def begin(_root: nn.Module, _args: object) -> None:
        nonlocal depth
        if depth == 0:
            recorded.clear()
            calls.clear()
            drawn.clear()
        depth += 1

    def end(_root: nn.Module, _args: object, _output: object) -> None:
        nonlocal depth
        depth -= 1

    def record(name: str, _layer: nn.Module, _args: object, output: object) -> None:
        if depth == 0:
            return
        calls[name] += 1
        key = name if calls[name] == 1 else f"{name}#{calls[name]}"
        recorded[key], shape = _per_sample(output, name)
        if shapes is not None:
            shapes[key] = shape
        if noises is not None:
            noises.pop(key, None)
            noises.update((key, one.noise()) for one in drawn if one.is_output(output))

    def draw(_layer: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> None:
        mean, variance = _mean_and_variance(*args, **named)
        drawn.append(_Drawn(mean.detach().clone(), variance.detach().clone(), output, output.detach().clone()))

    with ExitStack() as cleanup:  # removes the hooks, also after an error
        # If dynamo is not loaded, nothing is compiled; loading it here would take seconds.
        if "torch._dynamo" in sys.modules:
            cleanup.enter_context(torch.compiler.set_stance("force_eager"))
        cleanup.callback(root.register_forward_pre_hook(begin, prepend=True).remove)
        cleanup.callback(root.register_forward_hook(end, always_call=True).remove)
        for name in layers:
            # prepend: record the layer's own output, before other hooks of the layer change it.
            cleanup.callback(modules[name].register_forward_hook(partial(record, name), prepend=True).remove)
        for layer in gaussian_layers(model).values() if noises is not None else ():
            # prepended last: before the record of the same layer
            cleanup.callback(layer.register_forward_hook(draw, prepend=True, with_kwargs=True).remove)
        yield recorded
    if silent := [name for name in layers if name not in recorded]:
        raise ValueError(
            f"layers {silent} recorded nothing: either the block ran no forward pass by calling the model, "
            "or its forward pass does not call these modules"
        )


def stream_activations(
    model: nn.Module, images: Tensor, layers: Sequence[str], consumer: Consumer, *, batch_size: int
) -> None:
    """Pass the activations of each batch to `consumer` and keep none of them.

    Runs without gradients, in the mode that the caller chose. The model gets a copy of each batch, since it may
    overwrite its input.

    Args:
        model: any network.
        images: `(samples, ...)` in one tensor, of the model's float type and on its device.
        layers: see `record_activations`.
        consumer: called as `consumer(name, rows, activations)` per layer and batch. `rows` are the indices in `images`
            of the rows of `activations`, `(len(rows), features)`.
        batch_size: images per forward pass; the last batch may be smaller.

    Raises:
        ValueError: an argument is outside the description above; the model cannot take the images; or a layer runs more
            often for some batches than for others, or its activations are not finite, not of a float type, not one row
            per image, or of another width or type in some batch. The message names the layer.
    """
    check_at_least(batch_size, 1, name="batch_size")
    check_tensor(images, name="images")
    check_at_least(len(images), 1, name="the number of images")
    if not images.is_floating_point():
        raise ValueError(f"images must be of a float type, got {images.dtype}")
    first: dict[str, Tensor] = {}  # one row of each layer, in the first batch
    for start in range(0, len(images), batch_size):
        rows = slice(start, min(start + batch_size, len(images)))
        with torch.no_grad(), record_activations(model, layers) as recorded, _refusals_explained(model, images[rows]):
            model(images[rows].clone())
        for name, activations in recorded.items():
            check_activations(activations, name=f"activations of layer {name!r}")
            if len(activations) != rows.stop - rows.start:
                raise ValueError(
                    f"layer {name!r} returned {len(activations)} rows for {rows.stop - rows.start} images; "
                    "probe a layer that keeps the batch as its first dimension"
                )
        if start == 0:
            first = {name: activations[:1].clone() for name, activations in recorded.items()}
        check_same_calls(first, recorded, f"images {rows.start} to {rows.stop - 1}")
        for name, activations in recorded.items():
            consumer(name, rows, activations)


def gather_activations(
    model: nn.Module, images: Tensor, layers: Sequence[str], *, batch_size: int, memory_bytes: int | None = None
) -> dict[str, Tensor]:
    """Return the activations of all images, `(samples, features)` per layer, in the float type of each layer.

    Mode and errors are those of `stream_activations`. Memory beyond the result is that of one batch.

    Args:
        model, images, layers, batch_size: as of `stream_activations`.
        memory_bytes: a layer on the CPU that takes more is kept in a temporary file, in the folder of `TMPDIR`, as long
            as its tensor lives. None: all layers are kept in memory.
    """
    gathered: dict[str, Tensor] = {}

    def keep(name: str, rows: slice, activations: Tensor) -> None:
        if name not in gathered:
            # Filled in place: concatenating batches would hold everything twice.
            shape = len(images), activations.shape[1]
            large = memory_bytes is not None and math.prod(shape) * activations.element_size() > memory_bytes
            on_disk = large and activations.device.type == "cpu"
            gathered[name] = mapped_empty(shape, activations.dtype) if on_disk else activations.new_empty(shape)
        gathered[name][rows] = activations

    stream_activations(model, images, layers, keep, batch_size=batch_size)
    return gathered


def same_layer(layer: str, name: str) -> bool:
    """Return whether `name` names a call of `layer`: `layer` itself, or `layer#2` and so on."""
    return name == layer or name.startswith(f"{layer}#")


def check_same_calls(first: Mapping[str, Tensor], recorded: Mapping[str, Tensor], where: str) -> None:
    """Raise ValueError unless layers ran as often as for the first images, with outputs of the same width and type.

    Otherwise some images have no value for some calls, and the second call, say, need not be the same step of the
    model for all images.

    Args:
        first: recorded outputs for the first images by name, `(rows, features)`.
        recorded: the same for other images.
        where: which other images, for the message.
    """
    if differing := sorted({*first} ^ {*recorded}):
        layer = differing[0].partition("#")[0]
        often, before = (sum(same_layer(layer, name) for name in names) for names in (recorded, first))
        raise ValueError(
            f"layer {layer!r} ran {_times(often)} for {where} but {_times(before)} for the first; "
            "probe layers that run equally often for all images"
        )
    for name, activations in recorded.items():
        if activations.shape[1] != first[name].shape[1] or activations.dtype != first[name].dtype:
            raise ValueError(
                f"layer {name!r} returned {activations.shape[1]} values of {activations.dtype} per image for {where} "
                f"but {first[name].shape[1]} of {first[name].dtype} for the first; probe another layer"
            )


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


@contextmanager
def _refusals_explained(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Turn torch's error about images that the model cannot take into one line with the likely reason."""
    try:
        yield
    except (RuntimeError, TypeError) as error:
        raise ValueError(refusal(model, images, error)) from error


def refusal(model: nn.Module, images: Tensor, error: Exception) -> str:
    """Return one line that says that `model` cannot take `images`, the error it raised, and what to do if known."""
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    shown = f"{str(images.dtype).removeprefix('torch.')} on {images.device.type}"
    advice = ""
    for weight in model.parameters():
        if weight.is_floating_point() and (weight.dtype != images.dtype or weight.device.type != images.device.type):
            own = f"{str(weight.dtype).removeprefix('torch.')} on {weight.device.type}"
            advice = f"; its weights are {own}: convert the model, say by .float(), or the images"
            break
    return f"the model cannot take images of shape {tuple(images.shape)}, {shown}: {reason}{advice}"


def _check_layers(layers: Sequence[str], known: Sequence[str]) -> None:
    if isinstance(layers, str) or not layers:
        raise ValueError(f"layers must be a sequence of at least one name, got {layers!r}")
    if repeated := [name for name, count in Counter(layers).items() if count > 1]:
        raise ValueError(f"layers must name each layer once, but {repeated} are repeated")
    unknown = [name for name in layers if name not in known]
    if unknown:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        advice = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown layers {unknown}; {advice}the model has {list(known)}")


def _per_sample(output: object, layer: str) -> tuple[Tensor, tuple[int, ...]]:
    tensor = next(_tensors(output), None)
    if tensor is None:
        raise ValueError(f"layer {layer!r} outputs {type(output).__name__} without a tensor in it; probe another")
    if tensor.ndim == 0:
        raise ValueError(f"layer {layer!r} outputs a single number, not one row per sample; probe another")
    # A copy: an in-place ReLU behind this layer would rewrite the record.
    copied = tensor.detach().clone(memory_format=torch.contiguous_format)
    flat = copied.flatten(start_dim=1) if copied.ndim > 1 else copied.unsqueeze(dim=1)
    return flat, tuple(copied.shape[1:])


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
        return
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, list | tuple):
        parts = list(output)
    elif is_dataclass(output):
        parts = [getattr(output, field.name) for field in fields(output)]
    else:
        parts = []
    for part in parts:
        yield from _tensors(part)
