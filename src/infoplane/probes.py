"""What the named layers of any network put out: recorded in one forward pass, gathered or streamed over many."""

import difflib
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.checks import check_activations, check_at_least
from infoplane.wrappers import named_layers, unwrapped

Consumer = Callable[[str, slice, Tensor], None]  # layer, rows among all images, activations (rows, features)


@contextmanager
def record_activations(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of named layers, `(batch, features)`; each forward pass of `model` replaces the last.

    Records are detached copies on the layer's device and in its float type, flattened per sample in the order
    channels, height, width whatever the memory format. A layer that runs more than once in a forward pass appears as
    `name`, `name#2` and so on; of a layer that puts out several tensors, the first is recorded. Only what runs within
    a forward pass of the whole model counts, so recomputation in a backward pass (checkpointing) adds nothing.

    Names are those of the model inside `torch.compile`, `DataParallel` and `DistributedDataParallel`. A compiled graph
    runs no hooks that came after it, so inside the block compiled code runs uncompiled, in the original precision and
    order of operations.

    Args:
        model: any network; call it, or its wrapper, inside the block.
        layers: names as in `model.named_modules()`, each once.

    Raises:
        ValueError: `layers` is empty, repeats a name or holds an unknown one; `model` scatters its batch over several
            devices; during a forward pass, a layer puts out no tensor with a batch dimension; at the end of the
            block, a layer recorded nothing.
    """
    root, modules = unwrapped(model), named_layers(model)
    _check_layers(layers, list(modules))
    recorded: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()
    running = False

    def begin(_root: nn.Module, _args: object) -> None:
        nonlocal running
        running = True
        recorded.clear()
        calls.clear()

    def end(_root: nn.Module, _args: object, _output: object) -> None:
        nonlocal running
        running = False

    def record(name: str, _layer: nn.Module, _args: object, output: object) -> None:
        if not running:
            return
        calls[name] += 1
        key = name if calls[name] == 1 else f"{name}#{calls[name]}"
        recorded[key] = _per_sample(output, name)

    with ExitStack() as cleanup:  # the hooks leave with the block, also after an error
        # Without dynamo loaded nothing can be compiled, and loading it takes seconds.
        if "torch._dynamo" in sys.modules:
            cleanup.enter_context(torch.compiler.set_stance("force_eager"))
        cleanup.callback(root.register_forward_pre_hook(begin, prepend=True).remove)
        cleanup.callback(root.register_forward_hook(end, always_call=True).remove)
        for name in layers:
            # prepend: another hook on the layer may rewrite what the rest of the network sees.
            cleanup.callback(modules[name].register_forward_hook(partial(record, name), prepend=True).remove)
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

    Runs without gradients and in the mode that the caller chose.

    Args:
        model: any network.
        images: `(samples, ...)`, of a float type, on the model's device.
        layers: see `record_activations`.
        consumer: called as `consumer(name, rows, activations)` per layer and batch: `rows` says which of `images`
            the rows of `activations`, `(len(rows), features)`, belong to.
        batch_size: images per forward pass; the last batch may be smaller.

    Raises:
        ValueError: an argument is outside the description above, or a layer's activations are not finite, not of a
            float type, or not one row per image; the message names the layer.
    """
    check_at_least(batch_size, 1, name="batch_size")
    check_at_least(len(images), 1, name="the number of images")
    if not images.is_floating_point():
        raise ValueError(f"images must be of a float type, got {images.dtype}")
    for start in range(0, len(images), batch_size):
        rows = slice(start, min(start + batch_size, len(images)))
        with torch.no_grad(), record_activations(model, layers) as recorded:
            model(images[rows])
        for name, activations in recorded.items():
            check_activations(activations, name=f"activations of layer {name!r}")
            if len(activations) != rows.stop - rows.start:
                raise ValueError(
                    f"layer {name!r} put out {len(activations)} rows for {rows.stop - rows.start} images; "
                    "probe a layer that keeps the batch as its first dimension"
                )
            consumer(name, rows, activations)


def gather_activations(
    model: nn.Module, images: Tensor, layers: Sequence[str], *, batch_size: int
) -> dict[str, Tensor]:
    """Return the activations of all images, `(samples, features)` per layer, in the float type of each layer.

    Arguments, mode and errors are those of `stream_activations`. Memory beyond the result is that of one batch.
    """
    gathered: dict[str, Tensor] = {}

    def keep(name: str, rows: slice, activations: Tensor) -> None:
        if name not in gathered:
            # Filled in place: concatenating batches would hold everything twice.
            gathered[name] = activations.new_empty((len(images), activations.shape[1]))
        gathered[name][rows] = activations

    stream_activations(model, images, layers, keep, batch_size=batch_size)
    return gathered


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


def _per_sample(output: object, layer: str) -> Tensor:
    tensor = next(_tensors(output), None)
    if tensor is None:
        raise ValueError(f"layer {layer!r} puts out {type(output).__name__} without a tensor in it; probe another")
    if tensor.ndim == 0:
        raise ValueError(f"layer {layer!r} puts out a single number, not one row per sample; probe another")
    # A copy: an in-place ReLU behind this layer would rewrite the record.
    copied = tensor.detach().clone(memory_format=torch.contiguous_format)
    return copied.flatten(start_dim=1) if copied.ndim > 1 else copied.unsqueeze(dim=1)


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
