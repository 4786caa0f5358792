"""Run a traced network: logits, and gradients to the images alone."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices
from infoplane.acceleration.inner.tracing import plain_attributes, trace


class TracedNetwork:
    """Compute what `network` computes in evaluation mode, as a traced program without autograd.

    Autograd saves what gradients of the weights would need, gives each result new memory and converts the weights to
    lower precision at every pass. The program folds BatchNorms into the convolutions before them, and prepares the
    weights once, until `clear_cache`.

    Args:
        network: any module from images to logits; its weights are read and its modules stay as they are.
        choices: precision, and which convolutions are computed row by row.

    Raises:
        TracingError: `network` cannot be traced.
        AttributeError: it has no layer of a name in `choices`.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        self._network = network
        self._program = trace(network, choices)
        self._attributes = plain_attributes(network)
        self.generation = 0  # of the weights: counts how often the cache was cleared

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, in the type of the last layer."""
        logits: Tensor = _Pass.apply(images, self)  # type: ignore[no-untyped-call]
        return logits

    def is_up_to_date(self) -> bool:
        """Return whether all attributes have the values that they had when the network was traced."""
        return plain_attributes(self._network) == self._attributes

    def clear_cache(self) -> None:
        """Forget tensors that were computed from the weights, before the weights change."""
        self.generation += 1
        for step in self._program.steps:
            step.operation.clear_cache()

    def forward(self, images: Tensor) -> tuple[Tensor, list[Any]]:
        """Return the logits, and for each step what its backward pass needs."""
        values: list[Any] = [None] * self._program.values
        values[0] = images
        tape = []
        for step in self._program.steps:
            values[step.output], saved = step.operation.forward(*(values[index] for index in step.inputs))
            tape.append(saved)
            for index in step.last_uses:
                values[index] = None
        return values[self._program.logits], tape

    def backward(self, tape: list[Any], gradient: Tensor) -> Tensor | None:
        """Return the gradient to the images, or None where the logits do not depend on them."""
        gradients = _Gradients(self._program.values)
        gradients.add(self._program.logits, gradient, owned=False)
        for step, saved in zip(reversed(self._program.steps), reversed(tape), strict=True):
            found, owned = gradients.take(step.output)
            if found is None or not step.from_images:
                continue
            if step.operation.overwrites_gradient and not owned:
                found, owned = found.clone(), True
            to_inputs = step.operation.backward(saved, found)
            memory = step.operation.gradient_memory
            owned = memory == "new" or (memory == "given" and owned)
            for index, one in zip(step.inputs, to_inputs, strict=False):
                if one is not None:
                    gradients.add(index, one, owned=owned)
        return gradients.take(0)[0]


class _Gradients:
    """Gradients to the values of a pass, as far as they are summed; those that are owned may be overwritten."""

    def __init__(self, values: int) -> None:
        self._sums: list[Tensor | None] = [None] * values
        self._owned = [False] * values

    def add(self, index: int, gradient: Tensor, *, owned: bool) -> None:
        before = self._sums[index]
        if before is None:
            self._sums[index], self._owned[index] = gradient, owned
        elif self._owned[index]:
            before.add_(gradient)
        else:
            self._sums[index] = gradient.add_(before) if owned else before + gradient
            self._owned[index] = True

    def take(self, index: int) -> tuple[Tensor | None, bool]:
        gradient, self._sums[index] = self._sums[index], None
        return gradient, self._owned[index]


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, network: TracedNetwork) -> Tensor:
        logits, ctx.tape = network.forward(images.detach())
        ctx.network, ctx.generation = network, network.generation
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        if ctx.generation != ctx.network.generation:
            raise RuntimeError("the weights may have changed: take gradients inside the block that froze them")
        return ctx.network.backward(ctx.tape, gradient), None
