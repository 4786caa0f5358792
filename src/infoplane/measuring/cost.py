"""Estimate the seconds of one measurement from short measurements of the first layer."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, apply_attack
from infoplane.config import MeasurementConfig
from infoplane.estimators import own_noise_information
from infoplane.measuring.evaluate import BATCH, layer_activations, own_noises
from infoplane.measuring.in_memory import number_of_rows
from infoplane.measuring.layer import LayerFacts, measure_layer
from infoplane.measuring.layer_outputs import LayerOutputs, due, stratified_groups
from infoplane.measuring.probes import OwnNoise, gather_activations
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.randomness import seeded_generator
from infoplane.records.tables import ORIGINAL
from infoplane.text import with_field_help

FEW = 1000  # examples; fewer are measured in seconds, and no estimate is made unless asked for
PROBED = 900  # examples at least; a third of them is measured too
_SHARE = 20  # one of so many examples is measured: what grows with n^2 does not show in few of very many
_HELD = 2**26  # activations of these examples at most
NARROW, WIDE = 16, 1024  # features; first layers with fewer than the latter are repeated
LONG_SECONDS = 60.0  # of one measurement: a user is warned of more
_LONG_WORK = 1e12  # multiplications of all pairs of examples: some 20 s on two cores; the probe costs seconds itself
_LONG_CALL = 2.0  # seconds
_FEWEST = 8  # images of a batch that is timed
_ATTACKING = 5.0  # seconds that timing an attack may take
_ATTACK = 30  # forward passes of an image in a usual attack: seven steps, of three each, and some more
_FACTS = LayerFacts(study="", seed=0, training="", epoch=0, split="", layer_index=0, layer="")


@with_field_help
class MeasuringSeconds(NamedTuple):
    """Estimated seconds of one measurement, correct to a factor of about two.

    Attributes:
        ordinary: at most epochs.
        thorough: with decoders and the Monte Carlo estimate.
    """

    ordinary: float
    thorough: float


class _Rates(NamedTuple):
    """Seconds of n examples at some width: `linear` n + `square` n^2."""

    features: int
    linear: float
    square: float


def seems_long(model: nn.Module, images: Tensor, layers: Sequence[str], *, versions: int) -> bool:
    """Return whether a measurement takes so long that estimating its seconds is worth some seconds."""
    one_image = gather_activations(model, as_pixels(images[:1], memory_format(model)), layers, batch_size=1)
    return versions * len(images) ** 2 * sum(record.shape[1] for record in one_image.values()) > _LONG_WORK


def estimated_seconds(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    layers: Sequence[str],
    attacks: Mapping[str, Attack],
    settings: MeasurementConfig,
) -> MeasuringSeconds:
    """Measure few examples of the first layer at two numbers of examples and two widths, and extrapolate.

    The time is taken as n (a + b D) + n^2 (c + d D) for n examples and D features. Attacks and passes through the
    network are timed on one batch. A layer with noise of the network's own is measured at that noise too, at its own
    width.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)` floats in [0, 1].
        labels: `(n,)` integers.
        layers: names of the probed modules.
        attacks: by the names of their examples.
        settings: of the measurement.
    """
    order = torch.randperm(len(images), generator=seeded_generator(0, "cost")).to(images.device)
    few, own = images[order[:PROBED]], labels[order[:PROBED]]
    timed = partial(_seconds, images.device)
    batch = as_pixels(few[:BATCH], memory_format(model))
    batch = batch[: _affordable(model, batch)]
    known = own[: len(batch)]
    one_image = gather_activations(model, batch[:1], layers, batch_size=1)
    noises = own_noises(model, few, layers).values()
    passes = (
        (3 if noises else 2)
        * (1 + len(attacks))
        * timed(partial(gather_activations, model, batch, layers, batch_size=BATCH))
    )
    draws = seeded_generator(0, "cost", device=images.device)
    attacking = sum(
        timed(partial(apply_attack, attack, model, batch, known, generator=draws)) for attack in attacks.values()
    )
    by_batch = (passes + attacking) * len(images) / len(batch)
    widths = [record.shape[1] for record in one_image.values()]
    drawn = order[: _number_probed(len(images), widths[0])]
    _, first = next(layer_activations(model, images[drawn], layers[:1]))
    first = first.repeat(1, math.ceil(WIDE / first.shape[1])) if first.shape[1] < WIDE else first
    samples, versions, found = len(images), 1 + len(attacks), []
    of_layers = _of_layers(first, labels[drawn], samples, widths, settings)
    for of_version, thorough in zip(of_layers, (False, True), strict=True):
        of_noise = sum(_of_own_noise(noise, own, samples, settings, thorough=thorough) for noise in noises)
        found.append(by_batch + versions * (of_version + of_noise))
    return MeasuringSeconds(*found)


def _number_probed(samples: int, features: int) -> int:
    """Return how many examples of the first layer are measured."""
    return max(PROBED, min(samples // _SHARE, _HELD // features))


def _affordable(model: nn.Module, batch: Tensor) -> int:
    """Return of how many images an attack can be timed in some seconds: all of a batch, but of large networks."""
    first = batch[:_FEWEST]
    with torch.no_grad():
        of_one = _seconds(batch.device, partial(model, first)) / len(first)
    return min(len(batch), max(_FEWEST, int(_ATTACKING / (_ATTACK * max(of_one, 1e-9)))))


def _of_layers(
    first: Tensor, labels: Tensor, samples: int, widths: Sequence[int], settings: MeasurementConfig
) -> MeasuringSeconds:
    """Return the seconds of measuring one version of the examples at layers of these widths.

    What is added at thorough epochs takes a part of the examples alone where a layer is large. It grows with n from few
    examples on, and takes long, so few are measured.
    """
    of_few = (_rates(first[:PROBED], labels[:PROBED], settings, thorough=thorough) for thorough in (False, True))
    ordinary, thorough = of_few
    of_all = ordinary if len(first) <= PROBED else _rates(first, labels, settings, thorough=False)
    total = added = 0.0
    for width in widths:
        total += _at(width, samples, of_all)
        held = number_of_rows(samples, width)
        added += max(0.0, _at(width, held, thorough) - _at(width, held, ordinary))
    return MeasuringSeconds(total, total + added)


def _rates(first: Tensor, labels: Tensor, settings: MeasurementConfig, *, thorough: bool) -> list[_Rates]:
    """Measure few examples at two widths: a narrow one and all features."""
    numbers = [max(2, len(first) // 3), len(first)]
    rates = []
    for features in (min(NARROW, first.shape[1]), first.shape[1]):
        taken = [
            _seconds(
                first.device,
                partial(_measure, first[:n, :features], labels[:n], settings, thorough),
                calls=1 if thorough else 2,
            )
            for n in numbers
        ]
        rates.append(_Rates(features, *_linear_and_square(numbers, taken)))
    return rates


def _at(width: int, samples: int, rates: Sequence[_Rates]) -> float:
    """Return the seconds at a width, along the line through two others."""
    narrow, wide = rates
    share = (width - narrow.features) / max(1, wide.features - narrow.features)
    linear, square = (max(one, one + share * (other - one)) for one, other in zip(narrow[1:], wide[1:], strict=True))
    return linear * samples + square * samples**2


def _of_own_noise(
    noise: OwnNoise, labels: Tensor, samples: int, settings: MeasurementConfig, *, thorough: bool
) -> float:
    """Return the seconds of measuring one version of the examples at the network's own noise in one layer."""

    def measure(number: int) -> None:
        own_noise_information(
            noise.means[:number],
            noise.variances[:number],
            labels[:number],
            generator=seeded_generator(0, "permutations"),
            permutations=settings.permutations,
            lower=thorough,
        )

    numbers = [max(2, len(labels) // 3), len(labels)]
    taken = [_seconds(labels.device, partial(measure, n), calls=1 if thorough else 2) for n in numbers]
    linear, square = _linear_and_square(numbers, taken)
    return linear * samples + square * samples**2


def _linear_and_square(numbers: Sequence[int], taken: Sequence[float]) -> tuple[float, float]:
    """Solve t = a n + b n^2 for two times; neither part is negative."""
    (few, many), (short, long) = numbers, taken
    square = (long / many - short / few) / (many - few) if many > few else 0.0
    linear = short / few - square * few
    if square <= 0:
        return long / many, 0.0
    return (linear, square) if linear >= 0 else (0.0, long / many**2)


def _measure(activations: Tensor, labels: Tensor, settings: MeasurementConfig, thorough: bool) -> None:
    outputs = LayerOutputs(
        versions={ORIGINAL: activations},
        labels=labels,
        groups=stratified_groups(labels, seeded_generator(0, "groups")),
        settings=settings,
        due=due(thorough=thorough),
    )
    measure_layer(outputs, _FACTS)


def _seconds(device: torch.device, work: Callable[[], object], calls: int = 2) -> float:
    """Return the shortest time of some calls: the first may load code, which matters less if it is long."""
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - began)
        if taken[-1] > _LONG_CALL:
            break
    return min(taken)


def in_words(seconds: float) -> str:
    """Return a time as people say it, e.g. "20 s", "3 min" or "1.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
