"""YOPO-m-n: m passes through the whole network, and n cheap steps between them through its first layer alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.attacks import LinfPGD
from infoplane.attacks.balls import Region
from infoplane.checks import check_at_least
from infoplane.training.method import Stateless, StepRecord
from infoplane.training.normal import classified
from infoplane.training.split import SplitNetwork, is_affine


class YOPOTraining(Stateless):
    """Splits the network into f0, its first layer, and g, and attacks through f0 alone for most of the way.

    Each of m rounds takes one pass at x + delta, which gives the gradient p of the loss at f0's output and the gradient
    of g's weights; then n steps of ascent on <p, f0(x + delta)>, and f0's gradient of that product at the last delta.
    The update is the mean over the rounds.

    The paper's code sums over the rounds where this takes the mean: its learning rate times m is the equal one here.
    With n = 1 it is not Free-AT: the weights move once, after m rounds.

    Cost per update: m forward and backward passes, and through f0 one forward pass more, and m gradients of its images
    and weights, which are not counted. Gradients of an affine f0 do not depend on delta: there one serves all n steps,
    otherwise each takes a pass of its own through f0. Batch statistics move m times. Source: Zhang et al. (2019),
    arXiv:1905.00877, Algorithm 1.

    Args:
        attack: its ball and step size; every start is random. Its number of steps is not used.
        rounds: m.
        steps: n.
    """

    def __init__(self, attack: LinfPGD, *, rounds: int, steps: int) -> None:
        check_at_least(rounds, 1, name="rounds")
        check_at_least(steps, 1, name="steps")
        self._attack, self._rounds, self._steps = attack, rounds, steps

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` once; loss and accuracy are means over the rounds.

        Raises:
            ValueError: the network does not split at its first layer.
        """
        split = SplitNetwork(model)
        optimiser.zero_grad(set_to_none=True)
        region = self._attack.region(images)
        attacked = region.random_point(generator).requires_grad_()
        slope: Tensor | None = None  # p / m of the round before
        losses, correct = [], []
        for _ in range(self._rounds):
            logits, first, features = split.whole(attacked)
            if slope is not None:  # where that round ended this one begins: one pass through f0 serves both
                _add_gradients((slope * first).sum(), split.first_parameters)
            loss = F.cross_entropy(logits, labels)
            (loss / self._rounds).backward()  # type: ignore[no-untyped-call]
            if attacked.grad is not None:
                raise ValueError(
                    f"images reach the logits past the first layer, {split.name}; name another first_layer"
                )
            assert features.grad is not None
            slope = features.grad
            attacked = self._moved(split, attacked, first, slope, region).requires_grad_()
            losses.append(loss.detach())
            correct.append(classified(logits, labels))
        assert slope is not None
        _add_gradients((slope * split.first(attacked)).sum(), split.first_parameters)
        optimiser.step()
        passes = self._rounds * len(images)
        return StepRecord(torch.stack(losses).mean(), torch.stack(correct).double().mean(), passes, passes)

    def _moved(self, split: SplitNetwork, attacked: Tensor, first: Tensor, slope: Tensor, region: Region) -> Tensor:
        """Take the n steps of a round; `first` is f0 at the start of them."""
        affine = is_affine(first, attacked)
        (gradient,) = torch.autograd.grad((slope * first).sum(), attacked)
        for step in range(self._steps):
            if step and not affine:
                attacked = attacked.detach().requires_grad_()
                (gradient,) = torch.autograd.grad((slope * split.first(attacked)).sum(), attacked)
            attacked = region.step_(attacked.detach().clone(), gradient, self._attack.step_size)
        return attacked


def _add_gradients(product: Tensor, parameters: list[nn.Parameter]) -> None:
    gradients = torch.autograd.grad(product, parameters, retain_graph=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
