"""DLR, the difference of logits ratio: a loss that neither shifts nor scales of the logits change."""

from torch import Tensor

from infoplane.attacks.goal import Goal

_SMALLEST = 1e-12  # difference of logits by which is divided


class DLR:
    """The loss (max_{k != y} z_k - z_y) / (z_(1) - z_(3)) of logits z, z_(i) the i-th largest, per image.

    With a target t it is (z_t - max_{k != t} z_k) / (z_(1) - (z_(3) + z_(4)) / 2). The paper has z_y in the place of
    the maximum. The two agree until the image leaves its class; then only the maximum leads on to the target.

    Args:
        goal: of each image.

    Source: Croce & Hein (2020), arXiv:2003.01690, Equations 6 and 7.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal

    def check_classes(self, classes: int) -> None:
        """Raise ValueError if the loss is not defined for so few logits."""
        needed = 4 if self._goal.targeted else 3
        if classes < needed:
            aimed = " towards a target" if self._goal.targeted else ""
            raise ValueError(
                f"the DLR loss{aimed} needs at least {needed} classes, and the model has {classes}; use loss='ce'"
            )

    def value(self, logits: Tensor) -> Tensor:
        """Return the loss, `(batch,)`."""
        self.check_classes(logits.shape[1])
        return self._goal.margin(logits) / self._denominator(logits.topk(self._ranks, dim=1).values)

    def direction(self, logits: Tensor) -> Tensor:
        """Return the gradient of the loss times its denominator: an `Objective`."""
        self.check_classes(logits.shape[1])
        top, own = logits.topk(self._ranks, dim=1), self._goal.classes[:, None]
        rival = logits.scatter(1, own, -float("inf")).argmax(dim=1, keepdim=True)
        sign = 1.0 if self._goal.targeted else -1.0
        loss = (self._goal.margin(logits) / self._denominator(top.values))[:, None]
        if not self._goal.targeted:
            # Where the truth ranks third, the loss is 1 wherever the image is. Its numerator still has a gradient.
            loss = loss.masked_fill(top.indices[:, 2:] == own, 0.0)
        direction = logits.new_zeros(logits.shape)
        direction.scatter_(1, own, sign)
        direction.scatter_(1, rival, -sign)
        lower = top.indices[:, 2:]
        direction.scatter_add_(1, top.indices[:, :1], -loss)
        return direction.scatter_add_(1, lower, (loss / lower.shape[1]).expand_as(lower).contiguous())

    @property
    def _ranks(self) -> int:
        return 4 if self._goal.targeted else 3

    @staticmethod
    def _denominator(top: Tensor) -> Tensor:
        return top[:, 0] - top[:, 2:].mean(dim=1) + _SMALLEST
