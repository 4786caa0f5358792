"""Record the effect of a user's own attacks on a few images, to detect changed code when a run continues."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, OwnAttack, apply_attack
from infoplane.errors import UserError
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.runs.folder import RunFolder

KEPT_ATTACKS = "attacks"  # key in the environment of a run
_IMAGES = 4
_NUMBERS = 16  # per image
_CLOSE = 0.05  # relative to their length: another processor flips the sign of the smallest gradients


def try_attacks(attacks: Mapping[str, Attack], model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return numbers that describe what each of the user's own attacks does to a few images.

    An attack that takes random numbers from another source than its generator has none: its results differ each time.

    Args:
        attacks: by the names of their examples.
        model: has the initial weights of the run's first seed; in any mode.
        images: `(n, channels, height, width)` floats in [0, 1].
        labels: `(n,)` integers.

    Raises:
        UserError: an attack raises, or breaks its contract (`attacks.apply_attack`).
    """
    found = {}
    for name, attack in attacks.items():
        if not isinstance(attack, OwnAttack):
            continue
        try:
            first, second = (_numbers(attack, model, images[:_IMAGES], labels[:_IMAGES]) for _ in range(2))
        except ValueError as error:
            raise UserError(str(error)) from error
        if torch.equal(first, second):
            found[name] = first.tolist()
    return found


def keep_attacks(run: RunFolder, found: Mapping[str, Any]) -> None:
    """Write the result of `try_attacks` to the run's `config.json`, or compare it with the one written there.

    Raises:
        UserError: an attack gives other results than when the run began.
    """
    check_attacks(run, found)
    if found and KEPT_ATTACKS not in run.read_config()["environment"]:
        run.keep(**{KEPT_ATTACKS: dict(found)})


def check_attacks(run: RunFolder, found: Mapping[str, Any]) -> None:
    """Compare the result of `try_attacks` with that in the run's `config.json`, if there is one.

    Raises:
        UserError: an attack gives other results than when the run began.
    """
    kept = run.read_config()["environment"].get(KEPT_ATTACKS, {})
    for name, numbers in found.items():
        if name not in kept:
            continue
        before, now = (torch.tensor(one, dtype=torch.double) for one in (kept[name], numbers))
        if before.shape != now.shape or bool((before - now).norm() > _CLOSE * before.norm() + 1e-6):
            raise UserError(
                f"{run.path}: the attack {name} changes images differently than when this run began, so its "
                "code (or the model's) has changed; restore that code, or start a new run"
            )


def _numbers(attack: Attack, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Project the change of each image on a few random directions, `(images * _NUMBERS,)` float64 on the CPU."""
    generator = seeded_generator(0, "trial of an attack", device=images.device)
    with evaluation_mode(model), torch.autocast(images.device.type, enabled=False):
        change = apply_attack(attack, model, images, labels, generator=generator) - images
    change = change.flatten(start_dim=1).double().cpu()
    directions = seeded_generator(0, "directions of an attack")
    along = torch.randn(change.shape[1], _NUMBERS, generator=directions, dtype=torch.double)
    return (change @ along).flatten()
