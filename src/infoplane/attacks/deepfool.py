"""DeepFool: step by step to the boundary of the network's linearisation. Source: Moosavi-Dezfooli et al. (2016)."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.minimum_norm import PASSES_AROUND, MinimumNorm
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from infoplane.attacks.closest import Closest
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle


@dataclass(frozen=True, kw_only=True)
class DeepFool(MinimumNorm):
    """A small perturbation in the Euclidean norm.

    Source: Moosavi-Dezfooli et al. (2016), arXiv:1511.04599, Algorithm 2.

    In each step the logits are replaced by their linearisation, and the image moves to the nearest boundary of its
    class and then into [0, 1]. As in the authors' program the overshoot is part of each step. With targets the image
    moves towards the boundary between the target and the strongest other class.

    Args:
        candidates: number of classes, those with the largest logits, among which the nearest boundary is looked for;
            the image's own class is one of them.
        overshoot: share by which the perturbation is lengthened, to cross the boundary.
        steps: largest number of steps.

    Raises:
        ValueError: a value is out of range.
    """

    candidates: int = 10
    overshoot: float = 0.02
    steps: int = 50

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_positive

        super().__post_init__()
        check_at_least(self.candidates, 2, name="candidates")
        check_at_least(self.steps, 1, name="steps")
        check_positive(self.overshoot, name="overshoot")

    @property
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image, where the network has enough classes."""
        return self.steps * (self.candidates - 1)

    def approach(self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, logits: Tensor) -> None:
        """Move each image until it crosses a boundary."""
        rivals = logits[rows].topk(min(self.candidates, logits.shape[1]), dim=1).indices[:, 1:]  # the first is its own
        attacked = closest.originals[rows]
        for _ in range(self.steps):
            boundaries = Boundaries(goal[rows], rivals)
            logits, slopes = oracle.gradients(attacked, boundaries.directions, rows)
            towards = nearest_boundary(boundaries.gaps(logits), slopes)
            originals = closest.originals[rows]
            # The sum of all steps so far, as far as [0, 1] let them be taken.
            steps = (attacked - originals) / (1 + self.overshoot) + towards
            attacked = (originals + (1 + self.overshoot) * steps).clamp_(0, 1)
            reached = goal[rows].is_reached(oracle.logits(attacked))
            closest.offer(rows, attacked, reached)
            left = (~reached & towards.flatten(start_dim=1).any(dim=1)).nonzero().squeeze(1)
            if not len(left):
                return
            rows, rivals, attacked = rows[left], rivals[left], attacked[left]


class Boundaries:
    """The boundaries that images may cross: between their own class and each rival, or those around the target.

    Args:
        goal: of each image.
        rivals: `(batch, functions)` classes; not used with targets.
    """

    def __init__(self, goal: Goal, rivals: Tensor) -> None:
        self._goal, self._rivals = goal, rivals

    def directions(self, logits: Tensor) -> Tensor:
        """Return for each boundary the function of the logits that is 0 on it and rises across it.

        Args:
            logits: `(batch, classes)`.

        Returns:
            `(functions, batch, classes)`.
        """
        import torch

        if self._goal.targeted:
            return self._goal.margin_slope(logits)[None]
        own = torch.zeros_like(logits).scatter_(1, self._goal.classes[:, None], -1.0)
        return torch.stack([own.scatter(1, rival[:, None], 1.0) for rival in self._rivals.T])

    def gaps(self, logits: Tensor) -> Tensor:
        """Return by how much the logits miss each boundary, `(functions, batch)`."""
        return -(self.directions(logits) * logits).sum(dim=2)


def nearest_boundary(gaps: Tensor, slopes: Tensor) -> Tensor:
    """Return for each image the shortest step to a boundary of the linearised network, zero where there is none.

    Args:
        gaps: `(functions, batch)`, by how much each function is below 0.
        slopes: `(functions, batch, channels, height, width)`, gradients of the functions.
    """
    import torch

    from infoplane.attacks.closest import per_image

    lengths = torch.linalg.vector_norm(slopes.flatten(start_dim=2), dim=2)
    usable = lengths.isfinite() & (lengths > 0)
    distances = torch.where(usable, gaps.abs() / lengths, torch.inf)
    nearest = distances.argmin(dim=0)
    here = torch.arange(slopes.shape[1], device=slopes.device)
    distance, length = distances[nearest, here], lengths[nearest, here]
    scale = torch.where(usable.any(dim=0), (distance + _CLEARANCE) / length, 0.0)
    return torch.where(per_image(usable.any(dim=0)), slopes[nearest, here] * per_image(scale), 0.0)


_CLEARANCE = 1e-5  # an image that lies on a boundary has to leave it


DEEPFOOL_SPEC = AttackSpec(
    name="deepfool",
    description="smallest perturbation in L2, by linearisation (Moosavi-Dezfooli et al. 2016)",
    settings=(),
    norms=("linf", "l2"),
    build=lambda _settings: DeepFool(),
    cost=lambda _settings: DeepFool().gradient_evaluations,
    source="Moosavi-Dezfooli et al. (2016), arXiv:1511.04599, Algorithm 2",
    queries=50 + PASSES_AROUND,
    in_ball=False,
)
