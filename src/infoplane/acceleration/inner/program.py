"""A traced network as a list of steps."""

from dataclasses import dataclass, replace

from infoplane.acceleration.inner.operation import Operation


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a program.

    Attributes:
        operation: what is computed.
        inputs: indices of its inputs among the values of a pass.
        output: index of its output.
        from_images: whether the output depends on the images.
        last_uses: indices of values that no later step reads.
    """

    operation: Operation
    inputs: tuple[int, ...]
    output: int
    from_images: bool
    last_uses: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Program:
    """The steps from images to logits.

    Attributes:
        steps: in the order in which they run.
        values: number of values in a pass; value 0 is the images.
        logits: index of the logits.
    """

    steps: tuple[Step, ...]
    values: int
    logits: int


def single_readers(program: Program) -> list[tuple[Step, Step]]:
    """Return pairs of steps: one, and the only step that reads its output."""
    readers: dict[int, list[Step]] = {index: [] for index in range(program.values)}
    for step in program.steps:
        for index in step.inputs:
            readers[index].append(step)
    return [
        (step, readers[step.output][0])
        for step in program.steps
        if len(readers[step.output]) == 1 and step.output != program.logits
    ]


def with_last_uses(program: Program) -> Program:
    """Return the program with the last use of each value, so that a pass can forget it."""
    steps, used_later = [], {program.logits}
    for step in reversed(program.steps):
        last_uses = {index for index in (*step.inputs, step.output) if index not in used_later}
        used_later |= last_uses
        steps.append(replace(step, last_uses=tuple(last_uses)))
    return replace(program, steps=tuple(reversed(steps)))
