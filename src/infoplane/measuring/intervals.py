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
    """Return the exact conditional 95 % interval of the difference between two shares of the same examples.

    Given the number m of examples on which the two differ, `only_first` is Binomial(m, q), and q = 1/2 if the shares
    are equal. The interval is m / trials * (2 q - 1) at the ends of the Clopper-Pearson interval of q. It lies above 0
    exactly where McNemar's exact two-sided test rejects at 5 %.

    Args:
        only_first: number of examples that count for the first share alone.
        only_second: likewise for the second share.
        trials: number of all examples, at least 1.

    Raises:
        ValueError: a number is out of range.

    Source: McNemar (1947), Psychometrika 12(2); Clopper & Pearson (1934), Biometrika 26(4).
    """
    different = only_first + only_second
    _check(only_first, trials)
    _check(different, trials)
    if different == 0:
        return Interval(0.0, 0.0)
    tail = LEVEL / 2
    low = float(betaincinv(only_first, only_second + 1, tail)) if only_first else 0.0
    high = float(betaincinv(only_first + 1, only_second, 1 - tail)) if only_second else 1.0
    scale = different / trials
    return Interval(scale * (2 * low - 1), scale * (2 * high - 1))


def _check(successes: float, trials: float) -> None:
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"successes must lie between 0 and the number of trials, got {successes} of {trials}")
