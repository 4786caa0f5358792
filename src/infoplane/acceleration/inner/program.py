"""A traced network as a list of steps, and what can be saved between two steps."""

from dataclasses import dataclass, replace

from infoplane.acceleration.inner.batch_norm import BatchNorm
from infoplane.acceleration.inner.convolution import Convolution
from infoplane.acceleration.inner.elementwise import Activation
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


def optimised(program: Program) -> Program:
    """Return the program with in-place operations, carried BatchNorm scales and values forgotten after their last use.

    The operations of `program` are changed.
    """
    _allow_in_place(program)
    _carry_scales(program)
    return _with_last_uses(program)


def single_readers(program: Program) -> list[tuple[Step, Step]]:
    """Return pairs of steps: one, and the only step that reads its output."""
    readers = _readers(program)
    return [
        (step, readers[step.output][0])
        for step in program.steps
        if len(readers[step.output]) == 1 and step.output != program.logits
    ]


def carry_scale(norm: BatchNorm, convolutions: list[Convolution]) -> None:
    """Leave the scale of `norm` to the convolutions after it: it is multiplied into their backward weights.

    A ReLU between them changes nothing: scaling a channel of the gradient commutes with it.
    """
    norm.scale_is_carried, norm.gradient_memory = True, "given"
    for convolution in convolutions:
        convolution.scaled_by = norm.layer


def _readers(program: Program) -> dict[int, list[Step]]:
    """Return the steps that read each value; a step that reads it twice is there twice."""
    readers: dict[int, list[Step]] = {index: [] for index in range(program.values)}
    for step in program.steps:
        for index in step.inputs:
            readers[index].append(step)
    return readers


def _allow_in_place(program: Program) -> None:
    for step, reader in single_readers(program):
        if step.operation.output_is_new and isinstance(reader.operation, Activation):
            reader.operation.in_place = True


def _carry_scales(program: Program) -> None:
    readers = _readers(program)
    for step in program.steps:
        if not isinstance(step.operation, BatchNorm):
            continue
        output, after = step.output, readers[step.output]
        if len(after) == 1 and isinstance(after[0].operation, Activation) and output != program.logits:
            output, after = after[0].output, readers[after[0].output]
        convolutions = [one.operation for one in after if isinstance(one.operation, Convolution)]
        only_convolutions = len(convolutions) == len(after) > 0 and output != program.logits
        if only_convolutions and all(one.layer.groups == 1 for one in convolutions):
            carry_scale(step.operation, convolutions)


def _with_last_uses(program: Program) -> Program:
    steps, used_later = [], {program.logits}
    for step in reversed(program.steps):
        last_uses = {index for index in (*step.inputs, step.output) if index not in used_later}
        used_later |= last_uses
        steps.append(replace(step, last_uses=tuple(last_uses)))
    return replace(program, steps=tuple(reversed(steps)))
