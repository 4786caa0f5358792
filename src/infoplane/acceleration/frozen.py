"""A network whose weights hold still, as an attack sees it: logits, and gradients to the images alone."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices
from infoplane.acceleration.reading import read, way_of


class FrozenNetwork:
    """What `network` computes in evaluation mode, operation by operation, and back.

    Autograd keeps what weights' gradients would need, gives each result new memory and makes lower-precision weights
    anew at every pass. Here BatchNorms go into the convolutions around them, activations write over what they are
    given, and what is made of the weights is made once, until `let_go`.

    Args:
        network: any module from images to logits; its weights are read, its modules stay as they are.
        choices: the precision, and which convolutions go another way.

    Raises:
        UnreadableError: its `forward` cannot be read as a list of operations.
        AttributeError: it has no layer of such a name.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        self._network = network
        self._reading = read(network, choices)
        self._way = way_of(network)
        self.held = 0  # how often the weights were let go: a pass must have gone back before

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, in the precision of the last layer."""
        logits: Tensor = _Pass.apply(images, self)  # type: ignore[no-untyped-call]
        return logits

    def is_as_read(self) -> bool:
        """Whether no plain value has changed that may decide the network's way."""
        return way_of(self._network) == self._way

    def let_go(self) -> None:
        """Forget what was made of the weights: they move now."""
        self.held += 1
        for step in self._reading.steps:
            step.operation.let_go()

    def forward(self, images: Tensor) -> tuple[Tensor, list[Any]]:
        """Return the logits, and what each step needs on the way back."""
        values: list[Any] = [None] * self._reading.places
        values[0] = images
        tape = []
        for step in self._reading.steps:
            values[step.gives], saved = step.operation.forward(*(values[place] for place in step.given))
            tape.append(saved)
            for place in step.last:
                values[place] = None
        return values[self._reading.logits], tape

    def backward(self, tape: list[Any], gradient: Tensor) -> Tensor | None:
        """Return the gradient to the images of the logits' one, None where they have no part in them."""
        gradients = _Gradients(self._reading.places)
        gradients.add(self._reading.logits, gradient, own=False)
        for step, saved in zip(reversed(self._reading.steps), reversed(tape), strict=True):
            found, own = gradients.take(step.gives)
            if found is None or not step.moves:
                continue
            if step.operation.overwrites and not own:
                found, own = found.clone(), True
            back = step.operation.backward(saved, found)
            kind = step.operation.gives_back
            own = kind == "new" or (kind == "given" and own)
            for place, one in zip(step.given, back, strict=False):
                if one is not None:
                    gradients.add(place, one, own=own)
        return gradients.take(0)[0]


class _Gradients:
    """To each value of a pass, as far as they have been added up; `own` ones may be written over."""

    def __init__(self, places: int) -> None:
        self._sums: list[Tensor | None] = [None] * places
        self._own = [False] * places

    def add(self, place: int, gradient: Tensor, *, own: bool) -> None:
        already = self._sums[place]
        if already is None:
            self._sums[place], self._own[place] = gradient, own
        elif self._own[place]:
            already.add_(gradient)
        else:
            self._sums[place] = gradient.add_(already) if own else already + gradient
            self._own[place] = True

    def take(self, place: int) -> tuple[Tensor | None, bool]:
        gradient, self._sums[place] = self._sums[place], None
        return gradient, self._own[place]


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, network: FrozenNetwork) -> Tensor:
        logits, ctx.tape = network.forward(images.detach())
        ctx.network, ctx.held = network, network.held
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        if ctx.held != ctx.network.held:
            raise RuntimeError("the weights were let go since: take gradients while they are held still")
        return ctx.network.backward(ctx.tape, gradient), None
