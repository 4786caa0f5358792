"""A run that `InformationPlane.save` wrote, as the studies of finished networks take it.

Such a run keeps images and weights, but no code: the user names a function that builds the network again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infoplane.attacks import attacks_named
from infoplane.config import AttackConfig, DataConfig, FlowConfig, ModelConfig, TrainingConfig
from infoplane.data import ImageSet
from infoplane.errors import UserError
from infoplane.models.load_weights import load_weights
from infoplane.networks.memory_format import as_pixels
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import LoopSettings, read_images


def own_config(
    run: RunFolder, own: LoopSettings, *, model: str | None, attacks: Sequence[str] | None = None
) -> FlowConfig:
    """Return settings of study one under which the networks of the run can be measured again.

    What the run does not say, e.g. how the networks were trained, has the usual values, and nothing uses them.

    Args:
        run: folder of the run.
        own: its settings.
        model: name of a network, or package.module:function that builds it; None takes the one that the run names.
        attacks: names of the attacks; None takes those of the run.

    Raises:
        UserError: no function is known, or an attack of the run has no name.
    """
    builder = own.builder or (ModelConfig(name=model) if model is not None else None)
    if builder is None:
        names = ", ".join(dict.fromkeys(one.model for one in own.networks))
        raise UserError(
            f"{run.path} was saved in a training loop of your own, and a run keeps weights, not code: type --model "
            f"PACKAGE.MODULE:FUNCTION, a function that returns the network ({names})"
        )
    last = max(epoch for one in own.trained for epoch in run.checkpoint_epochs(*one) or [0])
    return FlowConfig(
        recipe=own.recipe,
        attacks=_attacks(run, own, attacks),
        data=DataConfig(seed=own.examples_seed),
        model=builder,
        training=TrainingConfig(epochs=last),
        attack=own.attack or AttackConfig(),
        measurement=own.measurement,
    )


def _attacks(run: RunFolder, own: LoopSettings, typed: Sequence[str] | None) -> tuple[str, ...]:
    if typed is None:
        for one in own.attacks:
            if one.name is None:
                raise UserError(
                    f"{run.path}: no command can make the examples {one.examples!r} again, which came from "
                    f"{one.described}; type --attacks with the attacks to use, e.g. pgd or PACKAGE.MODULE:FUNCTION"
                )
        return tuple(one.name for one in own.attacks if one.name is not None)
    shipped = [name for name in typed if ":" not in name]
    if shipped and own.attack is None:
        raise UserError(
            f"{run.path} names no epsilon for the attack {shipped[0]}: no attack with epsilon and norm was measured; "
            "type --attacks PACKAGE.MODULE:FUNCTION, or measure with an attack such as LinfPGD"
        )
    for spec in attacks_named(typed, own.attack.norm if own.attack else AttackConfig().norm).values():
        if spec.needs_source:
            raise UserError(
                f"the attack {spec.name} trains a network of its own on the training images, and {run.path}, saved in "
                "a training loop of your own, has none; leave it out"
            )
    return tuple(typed)


class OwnTest:
    """The images of such a run.

    Args:
        run: folder of the run.
        own: its settings.
        device: "cpu" or "cuda".

    Raises:
        UserError: the images are missing or damaged.
    """

    def __init__(self, run: RunFolder, own: LoopSettings, device: str) -> None:
        found, path = read_images(run), str(run.path)
        self.pixels = as_pixels(found.images).to(device)
        as_bytes = found.images if found.images.dtype == torch.uint8 else (found.images * 255).round().to(torch.uint8)
        names = (*own.data.class_names, *map(str, range(len(own.data.class_names), own.data.classes)))
        self.images = ImageSet(as_bytes.to(device), found.labels.to(device), names, "test", own.data.name, source=path)


def load_own_weights(run: RunFolder, model: nn.Module, weights: dict[str, Tensor], seed: int, training: str) -> None:
    """Load the weights of a checkpoint into a network that the user's function made.

    Raises:
        UserError: a weight is missing, has another shape, or has no place in the network.
    """
    of = f"{run.path}: the checkpoint of training {training!r}, seed {seed},"
    load_weights(model, weights, of=of, named="that --model names")
