"""Evaluate a model on many images: accuracy, attacked images, and the outputs of its layers."""

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import Attack, apply_attack, merged_attack_warnings
from infoplane.checks import check_activations, check_class_places, labels_within
from infoplane.distributed.team import ALONE, Team
from infoplane.estimators.convolution import MapShape
from infoplane.measuring.probes import (
    OwnNoise,
    check_same_calls,
    gather_activations,
    record_activations,
    refusal,
    same_layer,
)
from infoplane.networks.gaussian_layer import gaussian_layers
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import as_pixels, copied_pixels, memory_format
from infoplane.networks.wrappers import named_layers
from infoplane.randomness import isolated_global_generator, seeded_generator, stable_seed
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import Prediction

BATCH = 250  # images per pass: larger batches leave a CPU's cache and gain nothing
ACTIVATION_BYTES = 2 * 2**30  # layers whose activations fit together share one pass over the images


@with_short_repr
class Evaluation(NamedTuple):
    """How a model classifies images."""

    accuracy: float
    loss: float  # mean cross-entropy in nats
    predicted: Tensor  # (n,) integers on the CPU: the likeliest class
    confidence: Tensor  # (n,) float32 on the CPU: its probability, by the model's softmax


def evaluate(
    model: nn.Module, images: Tensor, labels: Tensor, team: Team = ALONE, *, seed: int | None = None
) -> Evaluation:
    """Return accuracy, loss and predictions of `model` on the images. The mode of the model is not changed.

    Args:
        model: returns logits, either directly or as the field `logits` of its output.
        images: `(n, channels, height, width)`, uint8 or float in [0, 1].
        labels: `(n,)` integers, the indices of the classes among the logits.
        team: processes that share the batches; all return the same result.
        seed: for networks that draw, seeds the global generators before each batch, with the place of the batch.

    Raises:
        ValueError: the model cannot take the images, returns no logits or NaN, or a label has no logit.
    """
    layout, labels_range, own = memory_format(model), labels_within(labels.long()), []
    with torch.no_grad():
        for start in team.deal(range(0, len(images), BATCH)):
            with nullcontext() if seed is None else isolated_global_generator(stable_seed(seed, start), images.device):
                logits = _logits(model, images[start : start + BATCH], layout)
            check_class_places(labels_range, logits.shape[1])
            confidence, predicted = (part.cpu() for part in logits.softmax(dim=1).max(dim=1))
            if broken := int(confidence.isnan().sum()):
                raise ValueError(f"the model's logits are not finite for {broken} of {len(logits)} images")
            own_labels = labels[start : start + BATCH].long()
            loss = F.cross_entropy(logits, own_labels, reduction="sum").item()
            own.append(_Batch(start, confidence, predicted, loss))
    batches = sorted(chain(*team.gather(own)))
    predicted = torch.cat([batch.predicted for batch in batches])
    accuracy = (predicted == labels.cpu()).double().mean().item()
    loss = sum(batch.loss for batch in batches) / len(images)
    return Evaluation(accuracy, loss, predicted, torch.cat([batch.confidence for batch in batches]))


def check_classifies(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Raise the ValueError of `evaluate` if the first two images show that the model does not fit the data."""
    with torch.no_grad():
        logits = _logits(model, images[:2], memory_format(model))
    check_class_places(labels_within(labels.long()), logits.shape[1])


def _logits(model: nn.Module, images: Tensor, layout: torch.memory_format) -> Tensor:
    pixels = copied_pixels(images, layout)
    try:
        output = model(pixels)
    except (RuntimeError, TypeError) as error:
        raise ValueError(refusal(model, pixels, error)) from error
    logits = logits_of(output).float()
    if len(logits) != len(pixels):
        raise ValueError(f"the model returned logits of {len(logits)} rows for {len(pixels)} images")
    return logits


class _Batch(NamedTuple):
    start: int  # index of the first image; the first field, so that batches sort by it
    confidence: Tensor
    predicted: Tensor
    loss: float  # sum over its images


def prediction_counts(labels: Tensor, predicted: Tensor, confidence: Tensor) -> list[Prediction]:
    """Count how often each class is classified as each other one, in ascending order, for `Performance.predictions`.

    Args:
        labels: `(n,)` integers.
        predicted: `(n,)` integers.
        confidence: `(n,)` probability of the predicted class.
    """
    both = torch.stack([labels.cpu(), predicted])
    pairs, place, counts = torch.unique(both, dim=1, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), dtype=torch.double).index_add_(0, place, confidence.double())
    return [
        Prediction(label=label, predicted=other, n=n, confidence=total / n)
        for (label, other), n, total in zip(pairs.T.tolist(), counts.tolist(), sums.tolist(), strict=True)
    ]


def attack_images(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    team: Team = ALONE,
    name: str = "",
) -> Tensor:
    """Attack all `images`, float in [0, 1], batch by batch. The processes of a team share the batches.

    The random draws of a batch depend on its position only, not on the number of processes. A warning that several
    batches raise (`AttackWarning`) is given once, with the attack's name if there is one.

    Raises:
        ValueError: what the attack returned breaks its contract (`attacks.apply_attack`).
    """
    attacked, layout = torch.zeros_like(images), memory_format(model)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with merged_attack_warnings(name):
        for start in team.deal(range(0, len(images), BATCH)):
            rows = slice(start, start + BATCH)
            pixels, draws = as_pixels(images[rows], layout), seeded_generator(seed, start, device=generator.device)
            attacked[rows] = apply_attack(attack, model, pixels, labels[rows], generator=draws)
    return team.add_(attacked)


def recorded_names(model: nn.Module, versions: Iterable[Tensor], layers: Sequence[str]) -> list[str]:
    """Return the names under which `layer_activations` yields these layers, in its order.

    Args:
        model: any network.
        versions: `(n, channels, height, width)` each, of the same examples.
        layers: names of modules.

    Raises:
        ValueError: a layer runs more often for one version than for another.
    """
    found = [_of_one_image(model, images, layers) for images in versions]
    for other in found[1:]:
        check_same_calls(found[0], other, "the same images attacked or distorted")
    return [name for layer in layers for name in found[0] if same_layer(layer, name)]


def _of_one_image(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    return gather_activations(model, as_pixels(images[:1], memory_format(model)), layers, batch_size=1)


def map_shapes(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, MapShape]:
    """Return channels, height and width of the layers that output feature maps, by their names in the records."""
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.no_grad(), record_activations(model, layers, shapes=shapes):
        model(copied_pixels(images[:1], memory_format(model)))
    return {name: (shape[0], shape[1], shape[2]) for name, shape in shapes.items() if len(shape) == 3}


def running_layers(model: nn.Module, images: Tensor, layers: Sequence[str]) -> tuple[str, ...]:
    """Return those of `layers` that run when `model` classifies an image, e.g. without heads that only training uses.

    Args:
        model: in evaluation mode.
        images: the first of them is used.
        layers: names of modules.
    """
    modules, ran = named_layers(model), set[str]()

    def note(name: str, *_: object) -> None:
        ran.add(name)

    with ExitStack() as hooks, torch.no_grad():
        for name in layers:
            hooks.callback(modules[name].register_forward_hook(partial(note, name)).remove)
        if "torch._dynamo" in sys.modules:  # a compiled graph runs no hooks that came after it
            hooks.enter_context(torch.compiler.set_stance("force_eager"))
        model(copied_pixels(images[:1], memory_format(model)))
    return tuple(name for name in layers if name in ran)


def layer_activations(model: nn.Module, images: Tensor, layers: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer's name and its outputs for all images, `(n, features)`, in the order of `layers`.

    If one pass calls a module twice, its second outputs have the name `name#2`. One pass gathers as many layers as fit
    `ACTIVATION_BYTES`. Further layers need further passes, so that memory stays bounded. A layer that alone takes more
    is kept in a temporary file.

    Raises:
        ValueError: as `stream_activations`.
    """
    images = as_pixels(images, memory_format(model))
    one_image = _of_one_image(model, images, layers)
    group: list[str] = []
    size = 0
    for layer in layers:
        calls = [record for name, record in one_image.items() if same_layer(layer, name)]
        needed = len(images) * sum(record.shape[1] * record.element_size() for record in calls)
        if group and size + needed > ACTIVATION_BYTES:
            yield from _gathered(model, images, group, one_image)
            group, size = [], 0
        group.append(layer)
        size += needed
    yield from _gathered(model, images, group, one_image)


def _gathered(
    model: nn.Module, images: Tensor, layers: list[str], one_image: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    activations = gather_activations(model, images, layers, batch_size=BATCH, memory_bytes=ACTIVATION_BYTES)
    expected = {name: record for name, record in one_image.items() if any(same_layer(own, name) for own in layers)}
    check_same_calls(expected, activations, "whole batches")
    for layer in layers:
        for name in [name for name in activations if same_layer(layer, name)]:
            yield name, activations.pop(name)  # popped: the consumer's copy is the last


def own_noises(model: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, OwnNoise]:
    """Return the noise that the network itself adds to some of the layers, by their names in the records.

    These are the layers whose output is that of a `GaussianLayer`; most networks have none.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)`.
        layers: names of modules.

    Returns:
        Noise without any variance in some unit is left out, with a warning.

    Raises:
        ValueError: as `record_activations`; or a variance is not finite.
    """
    if not (layers and gaussian_layers(model)):
        return {}
    images = as_pixels(images, memory_format(model))
    batches: list[dict[str, OwnNoise]] = []
    for start in range(0, len(images), BATCH):
        batches.append({})
        with torch.no_grad(), record_activations(model, layers, noises=batches[-1]):
            model(images[start : start + BATCH].clone())
    found = {
        name: OwnNoise(*(torch.cat(parts) for parts in zip(*(batch[name] for batch in batches), strict=True)))
        for name in batches[0]
    }
    return {name: noise for name, noise in found.items() if _has_noise(name, noise)}


def _has_noise(layer: str, noise: OwnNoise) -> bool:
    """Return whether all variances are positive, and warn if not.

    Raises:
        ValueError: a variance is not finite.
    """
    check_activations(noise.variances, name=f"the noise variance of layer {layer!r}")
    if (lowest := noise.variances.min().item()) > 0:
        return True
    warnings.warn(
        f"layer {layer} adds noise of variance {lowest:g} to {noise.variances.max().item():g}; without noise in every "
        "unit its information has no finite value, so it is not measured at the network's own noise",
        stacklevel=2,
    )
    return False
