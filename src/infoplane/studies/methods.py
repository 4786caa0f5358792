"""Training methods by the names that settings give them."""

import math

from torch import nn

from infoplane.attacks import LinfPGD
from infoplane.config import WRAPPER, FlowConfig
from infoplane.studies.parts import build_attack
from infoplane.training import (
    AWPTraining,
    EpsilonWarmup,
    FreeLBTraining,
    FreeTraining,
    GuardedTraining,
    TrainingMethod,
    YOPOTraining,
    adversarial_training,
    ensemble_training,
    fgsm_rs_training,
    fgsm_training,
    guard_attack,
    mart_training,
    normal_training,
    trades_training,
)


def build_method(name: str, config: FlowConfig, sources: list[nn.Module], *, warmup_steps: int = 0) -> TrainingMethod:
    """Return the training method of this name, fresh.

    Args:
        name: one of `config.METHODS`, or with `config.WRAPPER` behind it.
        config: all settings.
        sources: networks that ensemble training attacks.
        warmup_steps: over so many steps the radius of the ball grows to that of the settings.
    """
    plain, own = name.removesuffix(WRAPPER), config.method

    def at(share: float) -> TrainingMethod:
        attack = config.attack
        scaled = {"epsilon": share * attack.epsilon, "step_size": share * attack.step_size}
        of_share = config.model_copy(update={"attack": attack.model_copy(update=scaled)})
        method = _plain_method(plain, of_share, sources)
        return method if name == plain else AWPTraining(method, gamma=own.awp_gamma)

    method = EpsilonWarmup(at, warmup_steps) if warmup_steps and plain != "normal" else at(1.0)
    if plain == "fgsm-rs" and own.guard:  # it checks at the full radius from the first epoch on
        method = GuardedTraining(method, guard_attack(config.attack.epsilon))
    return method


def warmup_steps(config: FlowConfig, images: int, replays: int) -> int:
    """Return how many steps of a method the warm-up takes.

    Args:
        config: all settings.
        images: that are trained on.
        replays: `TrainingMethod.replays`, updates per step.
    """
    batches = math.ceil(images / config.training.batch_size)
    return round(config.training.warmup_epochs * math.ceil(batches / replays))


def passes_per_image(name: str, config: FlowConfig) -> float:
    """Return roughly how many forward and backward passes one epoch of a method takes per training image."""
    plain, own, steps = name.removesuffix(WRAPPER), config.method, config.attack.steps
    passes = {
        "normal": 1,
        "adversarial": steps + 1,
        "fgsm": 3,
        "fgsm-rs": 2,
        "free": 1,
        "yopo": own.yopo_rounds * (1 + 0.2 * own.yopo_steps),  # a pass through the first layer costs about a fifth
        "freelb": steps,
        "trades": steps + 3,
        "mart": steps + 2,
        "ensemble": 3 + own.ensemble_sources,
    }[plain]
    if plain == name:
        return passes
    repeated = {"free": 1 / own.free_replays, "yopo": passes, "freelb": passes, "trades": 2, "mart": 2}
    return passes + repeated.get(plain, 1)


def _plain_method(name: str, config: FlowConfig, sources: list[nn.Module]) -> TrainingMethod:
    attack, epsilon, own = build_attack(config.attack, random_start=True), config.attack.epsilon, config.method
    match name:
        case "normal":
            return normal_training()
        case "adversarial":
            return adversarial_training(attack)
        case "fgsm":
            return fgsm_training(epsilon)
        case "fgsm-rs":
            return fgsm_rs_training(epsilon)
        case "free":
            return FreeTraining(epsilon, replays=own.free_replays)
        case "yopo":
            assert isinstance(attack, LinfPGD)
            return YOPOTraining(attack, rounds=own.yopo_rounds, steps=own.yopo_steps)
        case "freelb":
            return FreeLBTraining(attack)
        case "trades":
            return trades_training(attack, beta=own.trades_beta)
        case "mart":
            return mart_training(attack, weight=own.mart_weight)
        case "ensemble":
            return ensemble_training(sources, epsilon)
        case _:
            raise ValueError(f"unknown training method {name!r}")
