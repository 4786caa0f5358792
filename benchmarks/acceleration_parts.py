"""Time the parts of a traced program: what a pass takes without each of them. docs/acceleration.md has results.

    OMP_NUM_THREADS=1 python benchmarks/acceleration_parts.py [SECONDS]

For LeNet-5 and WideResNet-10-1, batch 128, in bfloat16 and float32: the input gradient of one batch as a traced
program, and the same without one of its parts. Operations are replaced by the autograd fallback. All ways take turns
for SECONDS per table (20 by default). The least CPU time of one thread counts, so that other work on the machine
matters little.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices
from infoplane.acceleration.inner import matching, tracing
from infoplane.acceleration.inner.elementwise import Activation
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.models import LeNet5, WideResNet, construct

LAST = torch.channels_last
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int], dict[str, Any]]] = {
    "LeNet-5": (
        lambda: LeNet5(mean=0.13, std=0.31),
        (1, 28, 28),
        {"rowwise": ("conv2",), "rowwise_pooled": ("conv1",)},
    ),
    "WideResNet-10-1": (lambda: WideResNet(mean=0.5, std=0.25), (3, 32, 32), {}),
}
OPERATIONS = ("Linear", "PixelNormalisation", "Flattening", "MaxPooling", "Activation", "BatchNorm")


@contextmanager
def replaced(place: Any, name: str, value: object) -> Iterator[None]:
    """Replace a function of the package inside the block."""
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


def match_except(kind: str) -> Callable[..., Any]:
    """Return `match_operation` without one kind of operation."""
    usual = matching.match_operation

    def match(*arguments: Any) -> Any:
        found = usual(*arguments)
        return None if type(found).__name__ == kind else found

    return match


class NewGradient(Activation):
    """An activation that does not overwrite the gradient that it is given."""

    overwrites_gradient = False

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features, in new memory."""
        if self.slope:
            return (torch.ops.aten.leaky_relu_backward(gradient, saved, self.slope, True),)
        return (torch.ops.aten.threshold_backward(gradient, saved, 0),)


def ways(network: nn.Module, choices: Choices) -> dict[str, AcceleratedNetwork]:
    """Return the traced network whole, and without each part."""
    found = {"all parts": AcceleratedNetwork(network, choices)}
    without = {
        "BatchNorm folded into convolutions": (tracing._Translator, "_norm_after", lambda *_: None),
        **{kind: (tracing, "match_operation", match_except(kind)) for kind in OPERATIONS},
    }
    for name, (place, function, value) in without.items():
        with replaced(place, function, value):
            found[f"without {name}"] = AcceleratedNetwork(network, choices)
    with replaced(matching, "Activation", NewGradient):
        found["without gradients overwritten"] = copied = AcceleratedNetwork(network, choices)
    assert copied._traced is not None
    for step in copied._traced._program.steps:
        step.operation.gradient_memory = "shared"  # nothing is overwritten where gradients are added either
    return found | {"under autograd": AcceleratedNetwork(network, Choices(precision=choices.precision))}


def gradient(model: AcceleratedNetwork, images: Tensor) -> None:
    """Compute the input gradient of one batch."""
    pixels = images.clone().requires_grad_()
    torch.autograd.grad(model(pixels).square().sum(), pixels)


def least_seconds(models: dict[str, AcceleratedNetwork], images: Tensor, seconds: float) -> dict[str, float]:
    """Return the least CPU time of each way, in an attack that goes on for so many seconds."""
    least = dict.fromkeys(models, float("inf"))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, model in models.items():
            with model.frozen_weights():
                gradient(model, images)  # prepares the weights
                began = time.process_time()
                gradient(model, images)
                least[name] = min(least[name], time.process_time() - began)
    return least


def main() -> None:
    """Print a table per network and precision."""
    torch.set_num_threads(1)
    keep_freed_memory()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    for name, (factory, shape, convolutions) in NETWORKS.items():
        network = construct(factory, seed=0).to(memory_format=LAST).eval()
        images = torch.rand(128, *shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=LAST)
        for precision in ("bf16", "32"):
            choices = Choices(precision=precision, traced=True, **convolutions)  # type: ignore[arg-type]
            least = least_seconds(ways(network, choices), images, seconds)
            print(f"\n{name}, precision {precision}, one thread")
            for way, taken in least.items():
                print(f"  {way:44s} {1e3 * taken:8.2f} ms  {taken / least['all parts'] - 1:+7.1%}")


if __name__ == "__main__":
    main()
