"""Train networks of several seeds side by side on the 12-bit task, and record their layers at chosen epochs."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from infoplane.data import load_split
from infoplane.data.twelve_bits import BITS, all_vectors, label_probabilities
from infoplane.models import MLP
from infoplane.models.load import construct
from infoplane.networks.optimisers import Adam
from infoplane.randomness import seeded_generator
from infoplane.studies.compression.stacked_networks import LayerOutputs, StackedNetworks
from infoplane.training.loop import DivergedError

HIDDEN = (10, 7, 5, 4, 3)
_DATA_SEED = 0  # one split and one set of labels for all training seeds


class Task(NamedTuple):
    """The whole 12-bit task."""

    inputs: Tensor  # (4096, 12): bits as -1 and 1, in the order of `all_vectors`
    labels: Tensor  # (4096,)
    probabilities: Tensor  # (4096,): P(y = 1 | x)
    train: Tensor  # (3482,) rows
    test: Tensor  # (614,) rows


class Snapshot(NamedTuple):
    """The networks after an epoch."""

    epoch: int
    layers: list[LayerOutputs]  # of all inputs
    predicted: Tensor  # (networks, 4096): classes


def twelve_bits_task() -> Task:
    """Return all inputs of the 12-bit task with their labels and splits."""
    labels, rows = torch.empty(2**BITS, dtype=torch.long), {}
    for name in ("train", "test"):
        split = load_split("twelve-bits", name, seed=_DATA_SEED)
        bits = (split.images.flatten(1) > 0).long()
        rows[name] = bits @ (2 ** torch.arange(BITS - 1, -1, -1))
        labels[rows[name]] = split.labels
    return Task(2 * all_vectors().float() - 1, labels, label_probabilities(), rows["train"], rows["test"])


def initial_networks(activation: str, seeds: Sequence[int], *, bits: int | None = None) -> StackedNetworks:
    """Return one network per seed, side by side; networks of a seed start from the same weights with and without bits.

    Args:
        activation: "tanh" or "relu".
        seeds: of the initial weights.
        bits: of an activation; None leaves activations as they are.
    """

    def build() -> MLP:
        return MLP(HIDDEN, activation, image_size=1, width=BITS, channels=1, classes=2)

    return StackedNetworks([construct(build, seed=seed) for seed in seeds], activation, bits=bits)


def train(
    networks: StackedNetworks,
    seeds: Sequence[int],
    task: Task,
    *,
    measured: Sequence[int],
    learning_rate: float,
    batch_size: int,
    after_epoch: Callable[[], None] = lambda: None,
) -> Iterator[Snapshot]:
    """Train with Adam until the last of the measured epochs, and yield the networks at each of them.

    Every network takes the steps that `training.Trainer` takes with the same seed: its batches come in the order that
    its seed draws, and the gradient of the summed losses is the gradient of its own loss.

    Args:
        networks: one per seed; trained in place.
        seeds: of the batch order.
        task: inputs and labels.
        measured: completed epochs, ascending.
        learning_rate: of Adam.
        batch_size: inputs per step and network.
        after_epoch: called after every epoch.

    Raises:
        DivergedError: a loss is not finite.
    """
    optimiser = Adam(networks.parameters(), lr=learning_rate, fused=True)
    with torch.no_grad():  # the first pass sets the ranges of quantised layers
        networks.eval()(task.inputs.expand(len(seeds), -1, -1))
    for epoch in range(measured[-1] + 1):
        if epoch in measured:
            yield _snapshot(networks, len(seeds), task, epoch)
        if epoch == measured[-1]:
            return
        networks.train()
        drawn = [torch.randperm(len(task.train), generator=seeded_generator(seed, "order", epoch)) for seed in seeds]
        total = torch.zeros(())
        for batch in torch.split(task.train[torch.stack(drawn)], batch_size, dim=1):
            logits, _ = networks(task.inputs[batch])
            loss = F.cross_entropy(logits.flatten(0, 1), task.labels[batch].flatten()) * len(seeds)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise DivergedError(
                f"training diverged in epoch {epoch + 1}: the loss is not finite; lower --learning-rate"
            )
        after_epoch()


def _snapshot(networks: StackedNetworks, number: int, task: Task, epoch: int) -> Snapshot:
    with torch.no_grad():
        logits, layers = networks.eval()(task.inputs.expand(number, -1, -1))
    return Snapshot(epoch, layers, logits.argmax(dim=2))
