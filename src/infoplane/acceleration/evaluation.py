"""Choose how a network in evaluation mode computes while it is attacked, without a timing, so that runs repeat."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices
from infoplane.acceleration.network import AcceleratedNetwork

WORTH_TRACING = 500  # input gradients of single images; for fewer, tracing and checking cost more than they gain
CHECKED = 8  # images on which the traced program is compared with the network
LOGIT_TOLERANCE = 1e-4  # of the largest logit, float32
MOST_TRACES = 5  # of one network; a network that changes at every call is not traced again and again

_plain: ContextVar[bool] = ContextVar("plain", default=False)


class _Known(NamedTuple):
    state: Any  # modules and attributes when it was traced
    accelerated: AcceleratedNetwork | None  # None where tracing is wrong or not worth it
    layout: torch.memory_format
    traces: int


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


@contextmanager
def computed_as_chosen() -> Iterator[None]:
    """Inside the block `for_attack` returns its network: training has chosen how its networks compute."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def for_attack(network: nn.Module, images: Tensor, steps: int) -> tuple[nn.Module, Tensor]:
    """Return a network that computes the same in float32 with faster gradients to the images, or `network` itself.

    The faster network is a traced program (docs/acceleration.md). It is used on a CPU, in evaluation mode, for float32
    images and weights, without autocast and hooks, where most of the network's operations have one in the program, and
    where the program agrees with the network on a few images. Which convolutions it computes row by row follows from
    their sizes: a timing would choose differently in another run.

    Args:
        network: any module from images to logits; left as it was.
        images: `(batch, channels, height, width)`.
        steps: number of input gradients of each image.

    Returns:
        The network, and the images in the memory format in which it is fastest.
    """
    if (
        _plain.get()
        or isinstance(network, AcceleratedNetwork)
        or len(images) * steps < WORTH_TRACING
        or images.ndim != 4
        or not _is_float32_on_cpu(images)
        or torch.is_autocast_enabled("cpu")
        or not all(map(_is_float32_on_cpu, network.parameters()))
        or any(module.training or _has_hooks(module) for module in network.modules())
    ):
        return network, images
    state = _state(network)
    known = _known.get(network)
    if known is None or (known.state != state and known.traces < MOST_TRACES):
        known = _Known(state, *_traced(network, images), 1 if known is None else known.traces + 1)
        _known[network] = known
    if (
        known.accelerated is None
        or known.state != state
        or not _agrees(network, known.accelerated, known.layout, images)
    ):
        return network, images
    return known.accelerated, images.contiguous(memory_format=known.layout)


def _is_float32_on_cpu(tensor: Tensor) -> bool:
    return tensor.dtype == torch.float and tensor.device.type == "cpu"


def _has_hooks(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def _state(network: nn.Module) -> Any:
    """Return what tells whether the network is the one that was traced; weights and statistics may change."""
    modules = [(name, id(module), id(vars(module).get("forward"))) for name, module in network.named_modules()]
    return modules, [
        (index, name, value)
        for index, module in enumerate(network.modules())
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str)
    ]


def _traced(network: nn.Module, images: Tensor) -> tuple[AcceleratedNetwork | None, torch.memory_format]:
    from infoplane.acceleration.inner.convolution_timing import with_small_convolutions
    from infoplane.acceleration.inner.trace_check import traces_correctly
    from infoplane.acceleration.inner.tracing import is_mostly_convolutions, poolable_convolutions

    layout = torch.channels_last
    if not traces_correctly(network, images[:CHECKED]) or not is_mostly_convolutions(network):
        return None, layout
    try:
        # A copy that shares all modules and tensors: a reference to the network itself would keep it alive.
        shared = copy.copy(network)
        choices = with_small_convolutions(Choices(traced=True), shared, images[:1], poolable_convolutions(shared))
        found = AcceleratedNetwork(shared, choices)
    except Exception:  # noqa: BLE001  # a network may refuse to be copied in any way
        return None, layout
    if not _agrees(network, found, layout, images):  # e.g. a network that flattens with `view`
        layout = torch.contiguous_format
    return found, layout


def _agrees(network: nn.Module, accelerated: AcceleratedNetwork, layout: torch.memory_format, images: Tensor) -> bool:
    """Compare logits of a few images: the path through `forward` may depend on what `_state` does not see."""
    pixels = images[:CHECKED].detach()
    try:
        with torch.no_grad():
            expected = network(pixels.clone())
        with torch.enable_grad(), accelerated.frozen_weights():
            found = accelerated(pixels.clone(memory_format=layout).requires_grad_()).detach()
        return bool((expected - found).abs().max() <= LOGIT_TOLERANCE * expected.abs().max())
    except Exception:  # noqa: BLE001  # the network has changed in any way; used as it is, it says what is wrong
        return False
