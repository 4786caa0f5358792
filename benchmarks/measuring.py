"""Time what measuring costs: an epoch of the MNIST study by instrument, attacks, and KDE, in one process.

    INFOPLANE_DATA=... python benchmarks/measuring.py [epoch] [thorough] [attacks] [kde] [--without-decoders] [--quick]

Without a name, all parts; quick takes one turn. Every number is a ratio to M, one float32 product `x @ x.T` of
5,000 x 16,384 in the same process. Each part takes turns with M, and the least time of `TURNS` turns counts. With
OMP_NUM_THREADS=1, times are processor times, which other work on the machine changes little.

- epoch, thorough: `InformationPlane.measure` of LeNet-5 on 5,000 test images of MNIST, original and attacked by PGD-7,
  five layers, after `UPDATES` updates of normal training; split by instrument.
- attacks: `LinfPGD` on a network in evaluation mode against a plain float32 loop, with the loss that each reaches.
- kde: `kde_information` of 5,000 x 16,384.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training_loops import NETWORKS, STEPS

from estimators import layer
from infoplane.attacks import LinfPGD
from infoplane.data import as_floats, load_split
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.estimators import kde_information
from infoplane.measuring import instruments, plane
from infoplane.measuring import layer as measured_layer
from infoplane.models import LeNet5, construct

EXAMPLES, UPDATES, TURNS, BATCH = 5_000, 200, 3, 250
QUICK = "--quick" in sys.argv[1:]


def now() -> float:
    """Wall time; of a single thread its processor time, which other work on the machine changes little."""
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = now()
    work()
    return now() - began


class Clock:
    """Adds the time of named parts."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        began = now()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + now() - began

    def function(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return timed

    def generator(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the generator function, each of its steps timed."""

        def timed(*arguments: Any, **named: Any) -> Iterator[Any]:
            items = iter(function(*arguments, **named))
            while True:
                with self.part(name):
                    item = next(items, None)
                if item is None:
                    return
                yield item

        return timed


@contextmanager
def split_by_instrument(clock: Clock) -> Iterator[None]:
    """Time the parts of a measurement inside the block."""
    kept = [(instruments, "INSTRUMENTS"), (measured_layer, "_geometry")]
    kept += [(plane, name) for name in ("evaluate", "layer_activations", "versions_of")]
    before = [(module, name, getattr(module, name)) for module, name in kept]
    instruments.INSTRUMENTS = tuple(
        replace(one, measure=clock.generator(next(iter(one.labels.values())), one.measure))
        for one in instruments.INSTRUMENTS
    )
    measured_layer._geometry = clock.function("geometry", measured_layer._geometry)
    plane.evaluate = clock.function("accuracy", plane.evaluate)
    plane.layer_activations = clock.generator("activations", plane.layer_activations)
    plane.versions_of = clock.function("attack", plane.versions_of)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def trained_lenet() -> nn.Module:
    """LeNet-5 after some updates of normal training."""
    model = construct(lambda: LeNet5(mean=0.1307), seed=0)
    split = load_split("mnist", "train")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for start in range(0, 128 * UPDATES, 128):
        images = as_floats(split.images[start : start + 128])
        optimiser.zero_grad()
        F.cross_entropy(model(images), split.labels[start : start + 128].long()).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def least_product(points: Tensor) -> float:
    """Seconds of M."""
    return min(seconds(lambda: points @ points.T) for _ in range(2))


def epochs(product: Callable[[], float], *, thorough: bool, decoders: bool) -> None:
    """Print the cost of one measured epoch."""
    model, split = trained_lenet(), load_split("mnist", "test")
    images, labels = as_floats(split.images[:EXAMPLES]), split.labels[:EXAMPLES].long()
    attack = LinfPGD(epsilon=45 / 255, step_size=8 / 255, steps=STEPS)
    if not decoders:
        decoding = instruments.INSTRUMENTS[0]
        instruments.INSTRUMENTS = (replace(decoding, measure=lambda _: iter(())), *instruments.INSTRUMENTS[1:])
    least: dict[str, float] = {}
    for turn in range(1 if QUICK else TURNS - thorough):
        clock = Clock()
        measured = plane.InformationPlane(images, labels, attack=attack)
        with split_by_instrument(clock), clock.part("all"):
            measured.measure(model, epoch=turn, thorough=thorough)
        clock.spent["rest"] = 2 * clock.spent["all"] - sum(clock.spent.values())
        least = {name: min(taken, least.get(name, taken)) for name, taken in clock.spent.items()}
        unit = product()
    print(f"\n{'thorough' if thorough else 'ordinary'} epoch, {EXAMPLES} originals and attacked, in M = {unit:.2f} s")
    for name, taken in sorted(least.items(), key=lambda item: -item[1]):
        print(f"  {name:14} {taken / unit:6.2f}   {taken:7.2f} s", flush=True)


def plain_attack(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, size: float) -> Tensor:
    """PGD as the usual few lines of float32."""
    attacked = images
    for _ in range(STEPS):
        attacked = attacked.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(attacked), labels), attacked)
        attacked = attacked.detach() + size * gradient.sign()
        attacked = torch.min(torch.max(attacked, images - epsilon), images + epsilon).clamp(0, 1)
    return attacked


def attacks(name: str) -> None:
    """Print the speed of `LinfPGD` in evaluation on a network."""
    factory, data, epsilon, size = NETWORKS[name]
    split = load_split(data, "test")
    images, labels = as_floats(split.images[: 4 * BATCH]), split.labels[: 4 * BATCH].long()
    model = construct(factory, seed=0).eval()
    attack, generator = LinfPGD(epsilon=epsilon, step_size=size, steps=STEPS), torch.Generator()
    batches = list(zip(images.split(BATCH), labels.split(BATCH), strict=True))
    ways: dict[str, Callable[[], list[Tensor]]] = {
        "plain loop": lambda: [plain_attack(model, *batch, epsilon, size) for batch in batches],
        "LinfPGD": lambda: [attack(model, *batch, generator=generator) for batch in batches],
    }
    losses = {way: F.cross_entropy(model(torch.cat(work())), labels).item() for way, work in ways.items()}
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(2 if QUICK else 5):
        for way, work in ways.items():
            least[way] = min(least[way], seconds(work))
    print(f"\n{name}: PGD-{STEPS} on {len(images)} images, {BATCH} at a time")
    for way, taken in least.items():
        print(f"  {way:12} {taken:6.2f} s  {least['plain loop'] / taken:5.2f} x  loss {losses[way]:.4f}", flush=True)


def kde(product: Callable[[], float]) -> None:
    """Print the cost of KDE."""
    points, labels = layer(EXAMPLES, 16_384)
    least = unit = float("inf")
    for _ in range(1 if QUICK else TURNS):
        unit = min(unit, product())
        least = min(least, seconds(lambda: kde_information(points, labels, noise_variance=0.1)))
    print(f"\nkde, 5,000 x 16,384: {least / unit:.2f} M")


def main() -> None:
    """Print all parts, or those that are named."""
    warnings.simplefilter("ignore")
    keep_freed_memory()
    named = [one for one in sys.argv[1:] if not one.startswith("--")] or ["epoch", "thorough", "attacks", "kde"]
    points = layer(EXAMPLES, 16_384)[0]
    units: list[float] = []

    def product() -> float:
        units.append(least_product(points))
        return min(units)

    print(f"{torch.get_num_threads()} threads; M = {product():.2f} s", flush=True)
    decoders = "--without-decoders" not in sys.argv
    if "kde" in named:
        kde(product)
    for name in NETWORKS if "attacks" in named else ():
        attacks(name)
    for one in ("epoch", "thorough"):
        if one in named:
            epochs(product, thorough=one == "thorough", decoders=decoders)


if __name__ == "__main__":
    main()
