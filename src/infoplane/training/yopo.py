"""YOPO-m-n: m passes through the whole network, each followed by n cheap attack steps in its first layer."""

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
    """Splits the network into f0, its first layer, and g, the rest; most attack steps use f0 alone.

    Each of m rounds makes one pass at x + delta. The pass gives the gradient p of the loss at f0's output and the
    gradient of g's weights. Then n steps of ascent raise <p, f0(x + delta)>, and the gradient of that product at the
    last delta is taken for f0's weights. The update is the mean over the rounds.

    The paper's code sums over the rounds; this takes the mean. So use the paper's learning rate times m. With n = 1
    this is not Free-AT: the weights are updated once, after m rounds.

    Cost per update: m forward and backward passes. One more forward pass through f0, and m gradients of its images and
    weights, are not counted. The gradients of an affine f0 do not depend on delta, so one gradient is used for all n
    steps; otherwise each step takes its own pass through f0. Batch statistics are updated m times.
    Source: Zhang et al. (2019), arXiv:1905.00877, Algorithm 1.

    Args:
        attack: gives ball and step size; every start is random. Its number of steps is not used.
        rounds: m, passes through the whole network.
        steps: n, attack steps per round.
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
            ValueError: the network cannot be split at its first layer.
        """
        split = SplitNetwork(model)
        optimiser.zero_grad(set_to_none=True)
        region = self._attack.region(images)
        attacked = region.random_point(generator).requires_grad_()
        slope: Tensor | None = None  # p / m from the round before
        losses, correct = [], []
        for _ in range(self._rounds):
            logits, first, features = split.whole(attacked)
            if slope is not None:  # this round begins where the last one ended, so one pass through f0 is used for both
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
        """Take the n attack steps of a round; `first` is f0 at their start."""
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
