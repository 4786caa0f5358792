"""What a run keeps of a measured network: its weights and a few facts, but no code."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.networks.wrappers import unwrapped
from infoplane.runs.training_state import known_outputs


class Snapshot(NamedTuple):
    """A network as it was measured.

    Attributes:
        epoch: completed epochs.
        model: name of its class.
        parameters: number of trainable and fixed weights.
        classes: number of its logits; 0 if they are not known.
        layers: the probed ones.
        weights: by name, on the CPU, in memory of their own.
        outputs: for a few random images, which later show whether its code is the same; None if the network is random.
    """

    epoch: int
    model: str
    parameters: int
    classes: int
    layers: tuple[str, ...]
    weights: dict[str, Tensor]
    outputs: Tensor | None


def snapshot_of(model: nn.Module, images: Tensor, epoch: int, layers: Sequence[str], classes: int) -> Snapshot:
    """Return a snapshot of a network; the network is not changed.

    Args:
        model: in any mode.
        images: `(n, channels, height, width)`, of the shape that the network takes.
        epoch: completed epochs.
        layers: the probed ones.
        classes: number of classes, where the outputs do not show it.
    """
    bare = unwrapped(model)
    weights = {
        name: value.detach().to("cpu", copy=True)
        for name, value in bare.state_dict().items()
        if isinstance(value, Tensor)  # a module may add state of any other type
    }
    with torch.no_grad():
        outputs = known_outputs(model, images)
    return Snapshot(
        epoch=epoch,
        model=type(bare).__name__,
        parameters=sum(parameter.numel() for parameter in bare.parameters()),
        classes=classes if outputs is None else outputs.shape[1],
        layers=tuple(layers),
        weights=weights,
        outputs=outputs,
    )
