"""The attack by box-constrained L-BFGS. Source: Szegedy et al. (2014), arXiv:1312.6199, Section 4.1."""

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

_GAP = 10.0  # nats; where the gap is small, cross-entropy pushes all other classes down, not only the strongest one
_CANDIDATES = 10  # classes among which the nearest ones are looked for, as in DeepFool


@dataclass(frozen=True, kw_only=True)
class LBFGS(MinimumNorm):
    """A small perturbation r in the Euclidean norm. Source: Szegedy et al. (2014), arXiv:1312.6199, Section 4.1.

    Box-constrained L-BFGS minimises c |r| + loss(x + r, target) with x + r in [0, 1]. The loss is the cross-entropy of
    the logits times a factor for each image, with which the original misses the boundary by 10 nats: so the result does
    not depend on the logits' scale. A line search for each image looks for the largest c with which it succeeds. The
    first c is half the length of the margin's gradient at the original, with which an image comes to lie on the
    boundary of a linear classifier. It is doubled or halved until one c succeeds and one fails; then follow geometric
    means. Each minimisation begins at the closest adversarial image so far.

    The paper's attack has a target. Without one, the targets are the `rivals` classes whose boundaries are nearest by
    linearisation, one after the other, and the result is the closest image that is misclassified.

    Args:
        searches: number of values of c per target.
        steps: evaluations of loss and gradient per search.
        rivals: number of target classes that are tried where none is given.

    Raises:
        ValueError: a value is out of range.
    """

    searches: int = 8
    steps: int = 15
    rivals: int = 2

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least

        super().__post_init__()
        check_at_least(self.searches, 1, name="searches")
        check_at_least(self.steps, 2, name="steps")
        check_at_least(self.rivals, 1, name="rivals")

    @property
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image, where the network has enough classes."""
        return self.searches * self.steps * self.rivals + _CANDIDATES - 1

    def approach(self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, logits: Tensor) -> None:
        """Search towards the target, or towards each of the nearest classes."""
        import torch

        from infoplane.attacks.deepfool import Boundaries
        from infoplane.attacks.goal import Goal

        rivals = logits[rows].topk(min(_CANDIDATES, logits.shape[1]), dim=1).indices[:, 1:]
        boundaries = Boundaries(goal[rows], rivals)
        logits, slopes = oracle.gradients(closest.originals[rows], boundaries.directions, rows)
        gaps = boundaries.gaps(logits)
        lengths = torch.linalg.vector_norm(slopes.flatten(start_dim=2), dim=2)  # (functions, some)
        if goal.targeted:
            loss = _PenalisedLoss(oracle, closest, goal, rows, goal[rows], _GAP / gaps[0])
            self._line_search(loss, lengths[0])
            return
        for nearest in (gaps / lengths).argsort(dim=0)[: self.rivals]:
            target = Goal(rivals.gather(1, nearest[:, None]).squeeze(1), targeted=True)
            gap, length = (values.gather(0, nearest[None])[0] for values in (gaps, lengths))
            self._line_search(_PenalisedLoss(oracle, closest, goal, rows, target, _GAP / gap), length)

    def _line_search(self, loss: _PenalisedLoss, length: Tensor) -> None:
        """Look for the largest c with which the minimiser has reached its goal.

        Args:
            loss: of the images.
            length: `(some,)`, of the gradient of the gap to the target.
        """
        import torch

        from infoplane.attacks.box_lbfgs import minimise_in_box

        c = loss.factor * length / 2
        lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(self.searches):
            loss.c = c
            points = minimise_in_box(loss, loss.start, evaluations=self.steps)
            succeeded = loss.is_adversarial(points)
            lower, upper = torch.where(succeeded, c, lower), torch.where(succeeded, upper, c)
            between = torch.where(lower > 0, (lower * upper).sqrt(), upper / 2)
            c = torch.where(upper.isfinite(), between, 2 * lower)


class _PenalisedLoss:
    """c |r| + loss(x + r, target), and its gradient; all adversarial images on the way are offered to `closest`."""

    def __init__(
        self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, target: Goal, factor: Tensor
    ) -> None:
        import torch

        self._oracle, self._closest, self._goal, self._rows, self._target = oracle, closest, goal, rows, target
        self.factor = torch.where(factor.isfinite() & (factor > 0), factor, 1.0)
        self.c: Tensor

    @property
    def start(self) -> Tensor:
        """The closest adversarial images, and the originals where there is none."""
        return self._closest.images[self._rows]

    def is_adversarial(self, images: Tensor) -> Tensor:
        """Return which images are what is wanted, `(some,)`."""
        return self._goal[self._rows].is_reached(self._oracle.logits(images))

    def __call__(self, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        import torch.nn.functional as F

        from infoplane.attacks.closest import norms_of, per_image

        rows, classes, c = self._rows[places], self._target.classes[places], self.c[places]
        factor = self.factor[places][:, None]

        def towards(logits: Tensor) -> Tensor:
            return factor * (F.one_hot(classes, logits.shape[1]) - (factor * logits).softmax(dim=1))

        logits, slope = self._oracle.gradient(images, towards, rows)
        self._closest.offer(rows, images, self._goal[rows].is_reached(logits))
        change = images - self._closest.originals[rows]
        norms = norms_of(change, "l2")
        # |r| has no gradient at 0: there the loss alone decides.
        pull = change * per_image(c / norms.clamp(min=1e-12))
        return c * norms + F.cross_entropy(factor * logits, classes, reduction="none"), pull - slope


LBFGS_SPEC = AttackSpec(
    name="lbfgs",
    description="smallest perturbation in L2, by L-BFGS in a box (Szegedy et al. 2014)",
    settings=(),
    norms=("linf", "l2"),
    build=lambda _settings: LBFGS(),
    cost=lambda _settings: LBFGS().gradient_evaluations,
    source="Szegedy et al. (2014), arXiv:1312.6199, Section 4.1",
    queries=16 + PASSES_AROUND,
    in_ball=False,
)
