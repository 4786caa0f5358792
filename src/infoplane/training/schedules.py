"""Schedules: the learning rate as a function of progress in epochs."""

import math

from infoplane.config import ONE_CYCLE_PEAK, TrainingConfig


def warmup_epochs(settings: TrainingConfig) -> float:
    """Return the number of epochs until the learning rate first reaches its highest value."""
    return ONE_CYCLE_PEAK * settings.epochs if settings.schedule == "one-cycle" else settings.warmup_epochs


def learning_rate(settings: TrainingConfig, progress: float, *, update: float = 0.0, batches: int = 0) -> float:
    """Return the learning rate at `progress` completed epochs, fractions included.

    multi-step is multiplied by `gamma` at each milestone, a number of epochs or of batches; cosine falls to 0 along
    half a cosine (Loshchilov & Hutter, 2017, arXiv:1608.03983, Equation 5, without restarts); one-cycle rises from 0 in
    a straight line for two fifths of the epochs, then falls to 0 in another (as in Wong et al., 2020,
    arXiv:2001.03994).
    multi-step and cosine are multiplied by a warm-up, which rises from 0 to 1 in a straight line over the first
    `warmup_epochs` (Goyal et al., 2017, arXiv:1706.02677, Section 2.2); one-cycle has its own.

    Args:
        settings: settings of the training.
        progress: completed epochs before the update.
        update: length of the update in epochs. The warm-up factor is that of its end, so the first one is not zero.
        batches: completed batches of all epochs before the update, for milestones in batches.
    """
    peak, share = settings.learning_rate, progress / max(settings.epochs, 1)
    warmup = min(1.0, (progress + update) / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    match settings.schedule:
        case "multi-step":
            passed = batches if settings.milestones_in == "batches" else progress
            return warmup * peak * settings.gamma ** sum(milestone <= passed for milestone in settings.milestones)
        case "cosine":
            return warmup * peak * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        case "one-cycle":
            return peak * max(0.0, min(share / ONE_CYCLE_PEAK, (1 - share) / (1 - ONE_CYCLE_PEAK)))
