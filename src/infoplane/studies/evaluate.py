"""Passing many images through a model: accuracy, attacked images, and the outputs of its layers."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.layout import as_pixels, memory_format
from infoplane.probes import gather_activations
from infoplane.records import Prediction
from infoplane.short_repr import with_short_repr
from infoplane.team import ALONE, Team

BATCH = 250  # images per pass: larger batches leave a CPU's cache and gain nothing
ACTIVATION_BYTES = 2 * 2**30  # layers whose activations fit together share one pass over the images


@with_short_repr
class Evaluation(NamedTuple):
    """How a model classifies images."""

    accuracy: float
    loss: float  # mean cross-entropy in nats
    predicted: Tensor  # (n,) integers on the CPU: the likeliest class
    confidence: Tensor  # (n,) float32 on the CPU: its probability, by the model's softmax


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, team: Team = ALONE) -> Evaluation:
    """Return how `model` does on the images, in the mode it is in.

    Args:
        model: returns logits.
        images: `(n, channels, height, width)`, uint8 or float in [0, 1].
        labels: `(n,)` integers.
        team: deals the batches out; all processes return the same.
    """
    layout, own = memory_format(model), []
    with torch.no_grad():
        for start in team.deal(range(0, len(images), BATCH)):
            logits = model(as_pixels(images[start : start + BATCH], layout)).float()
            confidence, predicted = (part.cpu() for part in logits.softmax(dim=1).max(dim=1))
            loss = F.cross_entropy(logits, labels[start : start + BATCH], reduction="sum").item()
            own.append(_Batch(start, confidence, predicted, loss))
    batches = sorted(chain(*team.gather(own)))
    predicted = torch.cat([batch.predicted for batch in batches])
    accuracy = (predicted == labels.cpu()).double().mean().item()
    loss = sum(batch.loss for batch in batches) / len(images)
    return Evaluation(accuracy, loss, predicted, torch.cat([batch.confidence for batch in batches]))


class _Batch(NamedTuple):
    start: int  # first: batches sort by it
    confidence: Tensor
    predicted: Tensor
    loss: float  # sum over its images


def prediction_counts(labels: Tensor, predicted: Tensor, confidence: Tensor) -> list[Prediction]:
    """Count which classes are taken for which, in ascending order: `Performance.predictions`.

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
) -> Tensor:
    """Return all `images`, float in [0, 1], attacked batch by batch; a team deals the batches out."""
    attacked, layout = torch.zeros_like(images), memory_format(model)
    for start in team.deal(range(0, len(images), BATCH)):
        rows = slice(start, start + BATCH)
        attacked[rows] = attack(model, as_pixels(images[rows], layout), labels[rows], generator=generator)
    return team.add_(attacked)


def recorded_names(model: nn.Module, images: Tensor, layers: Sequence[str]) -> list[str]:
    """Return the names under which `layer_activations` yields these layers, in its order."""
    records = gather_activations(model, as_pixels(images[:1], memory_format(model)), layers, batch_size=1)
    return [name for layer in layers for name in records if _is_call_of(layer, name)]


def layer_activations(model: nn.Module, images: Tensor, layers: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer's name and its outputs for all images, `(n, features)`, in the order of `layers`.

    A module that one pass calls twice yields its second outputs as `name#2`. Layers are gathered together while they
    fit `ACTIVATION_BYTES`; more of them cost further passes instead of memory.
    """
    images = as_pixels(images, memory_format(model))
    one_image = gather_activations(model, images[:1], layers, batch_size=1)
    group: list[str] = []
    size = 0
    for layer in layers:
        calls = [record for name, record in one_image.items() if _is_call_of(layer, name)]
        needed = len(images) * sum(record.shape[1] * record.element_size() for record in calls)
        if group and size + needed > ACTIVATION_BYTES:
            yield from _gathered(model, images, group)
            group, size = [], 0
        group.append(layer)
        size += needed
    yield from _gathered(model, images, group)


def _gathered(model: nn.Module, images: Tensor, layers: list[str]) -> Iterator[tuple[str, Tensor]]:
    activations = gather_activations(model, images, layers, batch_size=BATCH)
    for layer in layers:
        for name in [name for name in activations if _is_call_of(layer, name)]:
            yield name, activations.pop(name)  # popped: the consumer's copy is the last


def _is_call_of(layer: str, name: str) -> bool:
    return name == layer or name.startswith(f"{layer}#")
