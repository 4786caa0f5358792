"""Versions of the measured examples: the originals, those of each named attack, and a random control."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from infoplane.attacks import Attack, attacks_named
from infoplane.attacks.balls import random_perturbation
from infoplane.attacks.contract import stated_ball
from infoplane.config import FlowConfig
from infoplane.distributed.team import ALONE, Team
from infoplane.measuring.evaluate import attack_images
from infoplane.randomness import seeded_generator
from infoplane.records.tables import ADVERSARIAL, ORIGINAL, RANDOM

_NAME = re.compile(r"[\w.+-]+")


def measured_attacks(config: FlowConfig, source: nn.Module | None = None) -> dict[str, Attack]:
    """Return the attacks that the settings name. The keys are the names of their examples in the records.

    Args:
        config: settings of a run.
        source: network on which examples of transfer attacks are made; needed if one of the attacks is one.

    Raises:
        UserError: as `attacks.attacks_named`, or a function of the user's own does not return an attack.
        ValueError: an attack needs a source, and there is none.
    """
    specs = attacks_named(config.attacks, config.attack.norm)
    if source is None and (needing := [spec.name for spec in specs.values() if spec.needs_source]):
        raise ValueError(f"the attack {needing[0]} needs a source network, got none")
    return {
        examples: spec.build(config.attack, source) if spec.needs_source else spec.build(config.attack)
        for examples, spec in specs.items()
    }


def need_source(config: FlowConfig) -> bool:
    """Return whether one of the attacks of the settings makes its examples on another network."""
    return any(spec.needs_source for spec in attacks_named(config.attacks, config.attack.norm).values())


def attacks_by_name(attack: Attack | Mapping[str, Attack] | None) -> dict[str, Attack]:
    """Return attacks by the names of their examples in the records. A single attack gets the name "adversarial".

    Raises:
        ValueError: a name is "original", "random" or not a word, or an attack is not callable.
    """
    if attack is None:
        return {}
    attacks: dict[str, Attack] = dict(attack) if isinstance(attack, Mapping) else {ADVERSARIAL: attack}
    for name, one in attacks.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"an attack's name must consist of letters, digits and . _ + -, got {name!r}")
        if name == ORIGINAL:
            raise ValueError(f"an attack cannot be called {ORIGINAL!r}, the name of examples without an attack")
        if name == RANDOM:
            raise ValueError(f"an attack cannot be called {RANDOM!r}, the name of randomly perturbed examples")
        if not callable(one):
            raise ValueError(
                f"the attack {name} must be a function like attacks.Attack, e.g. attacks.LinfPGD(epsilon=8 / 255, "
                f"steps=7), got {type(one).__name__}"
            )
    return attacks


def versions_of(
    images: Tensor,
    labels: Tensor,
    model: nn.Module,
    attacks: Mapping[str, Attack],
    *,
    seed: int,
    training: str,
    epoch: int,
    team: Team = ALONE,
) -> dict[str, Tensor]:
    """Return the examples by name: the originals first, then those of each attack on this state of the model.

    The draws of an attack depend on its name, not on which other attacks are measured.

    Args:
        images: `(n, channels, height, width)` floats in [0, 1].
        labels: `(n,)` integers.
        model: in evaluation mode.
        attacks: by the names of their examples.
        seed: of the training.
        training: name of the training.
        epoch: number of completed epochs.
        team: processes that share the batches.

    Raises:
        ValueError: what an attack returned breaks its contract (`attacks.apply_attack`).
    """
    versions = {ORIGINAL: images}
    for name, attack in attacks.items():
        own = "" if name == ADVERSARIAL else name
        draws = seeded_generator(seed, "measuring attack", training, epoch, *filter(None, [own]), device=images.device)
        versions[name] = attack_images(model, attack, images, labels, generator=draws, team=team, name=own)
    return versions


def control_of(attacks: Mapping[str, Attack]) -> str | None:
    """Return the name of the attack whose ball is the size of the random control: the first that states one."""
    return next((name for name, attack in attacks.items() if stated_ball(attack) is not None), None)


def randomly_perturbed(images: Tensor, attacks: Mapping[str, Attack], *, examples_seed: int) -> dict[str, Tensor]:
    """Return the control of an attack: the images under a random perturbation of the attack's size, under its name.

    The size is the ball of the first attack that states one (`epsilon` and `norm`); if none does, the result is empty.
    The draws are the same for every network, epoch and training seed, so that comparisons are paired.

    Args:
        images: `(n, channels, height, width)` floats in [0, 1].
        attacks: by the names of their examples.
        examples_seed: seed of the draws.
    """
    name = control_of(attacks)
    ball = stated_ball(attacks[name]) if name is not None else None
    if ball is None:
        return {}
    return {RANDOM: random_perturbation(images, *ball, seeded_generator(examples_seed, "random perturbation"))}
