"""Tables of `infoplane bottleneck`: accuracy and information of each network, and its images under attack.

Information is `saturated` if it is so near its ceiling, ln n, that it is about the number of images: above 95 % of it,
and for the Monte Carlo I(X;T) within 3 nats (4.3 bits) of it, where that estimate is too low (`records.standing`).
"""

from dataclasses import dataclass

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema

STUDY = "bottleneck"
ACCURACY, RATE_OF_CODE = "accuracy", "rate"  # quantities beside those of `records.tables`
AT_CHANCE = "at chance"  # quantity of a network whose training ended at chance: it has no other number
WORST_CASE = "worst case"  # in place of an attack: right under every attack, also those along a single draw
ALL_PATHS = "all"  # path of a worst case over all paths


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckNumber:
    """One number about one network."""

    method: str  # that trained it; the network of value 0 is trained normally
    value: float  # weight of the method's penalty
    seed: int  # of the training
    quantity: str  # "accuracy", "at chance", or of the stochastic or last hidden layer "rate", "I(X;T)" or "I(T;Y)"
    path: str | None = None  # "mean path" or "20 draws"; "all" of a worst case over both; missing for information
    attack: str | None = None  # "clean", an attack's name or "worst case"; missing for information
    epsilon: float | None = None  # radius of the L-infinity ball; missing without an attack
    number: float  # share of the images, or nats; of a network at chance, its share on all test images
    low: float | None = None  # lower end of the 95 % interval of this network, with its allowance for bias
    high: float | None = None  # upper end, likewise
    standard_error: float | None = None  # of information, in nats
    saturated: bool = False  # whether it is about n: a Monte Carlo I(X;T) within 3 nats (4.3 bits) of ln n is
    n: int  # number of images


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class BottleneckImage:
    """One image under one attack on one network."""

    value: float  # weight of the method's penalty
    seed: int  # of the training
    epsilon: float  # radius of the L-infinity ball
    path: str  # "mean path" or "20 draws"; empty for a network without random parts
    attack: str  # name of the attack; "clean" without one
    index: int  # of the image among all test images
    robust: bool  # whether it is classified correctly before the attack, and after it or outside the ball


BOTTLENECK_SCHEMA = table_schema(BottleneckNumber)  # columns of the table, with their types
BOTTLENECK_IMAGE_SCHEMA = table_schema(BottleneckImage)  # columns of the table, with their types
