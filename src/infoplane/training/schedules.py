"""The learning rate as a function of progress, in epochs, and of nothing else."""

import math

from infoplane.config import TrainingConfig

PEAK = 0.4  # of a one-cycle schedule, as a share of all epochs


def learning_rate(settings: TrainingConfig, progress: float) -> float:
    """Return the learning rate at `progress` completed epochs, fractions included.

    multi-step falls by `gamma` at each milestone and stays the same within an epoch; cosine falls to 0 along half a
    cosine (Loshchilov & Hutter, 2017, arXiv:1608.03983, Equation 5, without restarts); one-cycle rises from 0 in a
    straight line for two fifths of the epochs, then falls to 0 in another (as in Wong et al., 2020, arXiv:2001.03994).
    """
    peak, share = settings.learning_rate, progress / max(settings.epochs, 1)
    match settings.schedule:
        case "multi-step":
            return peak * settings.gamma ** sum(milestone <= progress for milestone in settings.milestones)
        case "cosine":
            return peak * (1 + math.cos(math.pi * min(share, 1.0))) / 2
        case "one-cycle":
            return peak * max(0.0, min(share / PEAK, (1 - share) / (1 - PEAK)))
