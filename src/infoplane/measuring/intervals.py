"""Intervals of accuracies, and of the difference between two accuracies on the same examples."""

import math
from typing import NamedTuple

from scipy.special import betaincinv, ndtri

LEVEL = 0.05  # intervals hold 95 %


class Interval(NamedTuple):
    """Ends of a 95 % interval."""

    low: float
    high: float


def wilson_interval(successes: float, trials: float, *, alpha: float = LEVEL) -> Interval:
    """Return the 1 - alpha interval of a share, without continuity correction.

    Args:
        successes: 0 to `trials`.
        trials: at least 1; of dependent trials the effective number, which may be a fraction.
        alpha: between 0 and 1.

    Raises:
        ValueError: a number is out of range.

    Source: Wilson (1927), Journal of the American Statistical Association 22(158); recommended by Brown, Cai &
    DasGupta (2001), Statistical Science 16(2), Section 4.
    """
    _check(successes, trials)
    z = float(ndtri(1 - alpha / 2))
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    # Rounding would leave 0 and 1 by some 1e-17 where they are the ends.
    return Interval(0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half)


def paired_interval(only_first: int, only_second: int, trials: int) -> Interval:
    """Return a 95 % interval of the difference between two shares of the same examples.

    Each end is the farther out of two. One is the end of the score interval, `paired_score_interval`. The other is
    exact, given the number m of examples on which the two differ: then `only_first` is Binomial(m, q), q = 1/2 if the
    shares are equal, and the end is m / trials * (2 q - 1) at that of the Clopper-Pearson interval of q. So the
    interval lies above 0 exactly where McNemar's exact two-sided test rejects at 5 %. With few examples that differ, m
    itself is uncertain, which the score interval covers and the exact one does not: it would be [0, 0] for m = 0.

    Args:
        only_first: number of examples that count for the first share alone.
        only_second: likewise for the second share.
        trials: number of all examples, at least 1.

    Raises:
        ValueError: a number is out of range.

    Source: McNemar (1947), Psychometrika 12(2); Clopper & Pearson (1934), Biometrika 26(4); Tango (1998).
    """
    different = only_first + only_second
    score = paired_score_interval(only_first, only_second, trials)
    if different == 0:
        return score
    tail = LEVEL / 2
    low = float(betaincinv(only_first, only_second + 1, tail)) if only_first else 0.0
    high = float(betaincinv(only_first + 1, only_second, 1 - tail)) if only_second else 1.0
    scale = different / trials
    return Interval(min(score.low, scale * (2 * low - 1)), max(score.high, scale * (2 * high - 1)))


def paired_score_interval(only_first: float, only_second: float, trials: int, *, alpha: float = LEVEL) -> Interval:
    """Return the 1 - alpha score interval of the difference between two shares of the same examples.

    It holds the differences that a score test does not reject. With no example on which the shares differ, its ends are
    z^2 / (trials + z^2) on both sides of 0.

    Args:
        only_first: number of examples that count for the first share alone; a mean over seeds may be a fraction.
        only_second: likewise for the second share.
        trials: number of all examples, at least 1.
        alpha: between 0 and 1.

    Raises:
        ValueError: a number is out of range.

    Source: Tango (1998), Statistics in Medicine 17(8), Equations 14 to 17; compared with others by Newcombe (1998),
    Statistics in Medicine 17(22), and by Fagerland, Lydersen & Laake (2014), Statistics in Medicine 33(16).
    """
    _check(only_first, trials)
    _check(only_second, trials)
    _check(only_first + only_second, trials)
    z = float(ndtri(1 - alpha / 2))
    return Interval(
        _lower_score_end(only_first, only_second, trials, z), -_lower_score_end(only_second, only_first, trials, z)
    )


def _lower_score_end(only_first: float, only_second: float, trials: int, z: float) -> float:
    """Return the smallest difference that the score test does not reject, by bisection to the last bit or so."""
    rejected, held = -1.0, (only_first - only_second) / trials
    for _ in range(60):
        middle = (rejected + held) / 2
        # the share of `only_second` that is most likely if the difference is `middle`: a root of 2 n q^2 + b q + c
        linear = -only_first - only_second + (2 * trials - only_first + only_second) * middle
        constant = -only_second * middle * (1 - middle)
        share = (math.sqrt(max(0.0, linear**2 - 8 * trials * constant)) - linear) / (4 * trials)
        deviation = math.sqrt(max(0.0, trials * (2 * share + middle * (1 - middle))))
        if only_first - only_second - trials * middle > z * deviation:
            rejected = middle
        else:
            held = middle
    return held


def _check(successes: float, trials: float) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes must lie between 0 and the number of trials, got {successes} of {trials}")
