"""The steps of a pass, who takes what they give, and what can be spared between two of them."""

from dataclasses import dataclass, replace

from infoplane.acceleration.operations import Activation, BatchNorm, Convolution, Operation, Sum


@dataclass(frozen=True, kw_only=True)
class Step:
    """An operation, and the places, in the list of values of a pass, of what it is given and of what it gives.

    Attributes:
        moves: what it gives depends on the images.
        last: places that no later step reads.
    """

    operation: Operation
    given: tuple[int, ...]
    gives: int
    moves: bool
    last: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The steps of a pass; the images are the value at place 0."""

    steps: tuple[Step, ...]
    places: int
    logits: int


def takers_of(reading: Reading) -> dict[int, list[Step]]:
    """Return by place the steps that read it, as often as they do."""
    takers: dict[int, list[Step]] = {place: [] for place in range(reading.places)}
    for step in reading.steps:
        for place in step.given:
            takers[place].append(step)
    return takers


def taken_by_one(reading: Reading) -> list[tuple[Step, Step]]:
    """Return the steps of which one other alone takes what they give, with it."""
    takers = takers_of(reading)
    return [
        (step, takers[step.gives][0])
        for step in reading.steps
        if len(takers[step.gives]) == 1 and step.gives != reading.logits
    ]


def let_write(reading: Reading) -> None:
    """Let activations and sums write over what nobody else needs."""
    for step, taker in taken_by_one(reading):
        if step.operation.fresh and isinstance(taker.operation, Activation):
            taker.operation.writes = True
        elif step.operation.fresh and isinstance(taker.operation, Sum) and taker.operation.writes is None:
            taker.operation.writes = taker.given.index(step.gives)


def carry(reading: Reading) -> None:
    """Let convolutions carry the way back through a BatchNorm before them, where nothing else takes what it gives."""
    takers = takers_of(reading)
    for step in reading.steps:
        if not isinstance(step.operation, BatchNorm):
            continue
        place, after = step.gives, takers[step.gives]
        if len(after) == 1 and isinstance(after[0].operation, Activation) and place != reading.logits:
            place, after = after[0].gives, takers[after[0].gives]
        convolutions = [one.operation for one in after if isinstance(one.operation, Convolution)]
        alike = len(convolutions) == len(after) > 0 and place != reading.logits
        if alike and all(one.layer.groups == 1 for one in convolutions):
            step.operation.carry(convolutions)


def with_last(reading: Reading) -> Reading:
    """Return the reading with the places that can be forgotten after each step."""
    steps, seen = [], {reading.logits}
    for step in reversed(reading.steps):
        last = {place for place in (*step.given, step.gives) if place not in seen}
        seen |= last
        steps.append(replace(step, last=tuple(last)))
    return replace(reading, steps=tuple(reversed(steps)))
