"""What an attack wants of each image: not its class any more, or a target class."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from infoplane.checks import check_class_places, labels_within

# From the logits, in the precision of the images, to the direction in which they are to move, of the same shape: for
# each image the gradient of what is raised, up to a positive factor.
Objective = Callable[[Tensor], Tensor]


class Goal:
    """The goal of an attack for each image of a batch.

    Args:
        classes: `(batch,)` int64, the true classes, which the attack leaves, or the targets that it aims at.
        targeted: whether `classes` are targets.
    """

    def __init__(self, classes: Tensor, *, targeted: bool) -> None:
        self.classes, self.targeted = classes, targeted
        self._range = labels_within(classes)  # once: a loop that looks at values makes a GPU wait

    def __getitem__(self, rows: Tensor) -> "Goal":
        """Return the goal of some images of the batch."""
        part = Goal.__new__(Goal)
        part.classes, part.targeted, part._range = self.classes[rows], self.targeted, self._range
        return part

    def is_reached(self, logits: Tensor) -> Tensor:
        """Return for each image whether the network's class is what the attack wants, `(batch,)` bool."""
        return (logits.argmax(dim=1) == self.classes) == self.targeted

    def margin(self, logits: Tensor) -> Tensor:
        """Return how far each image is beyond the decision boundary, `(batch,)`; above 0 the goal is reached.

        Without targets this is max_{k != y} z_k - z_y of logits z, with targets z_t - max_{k != t} z_k.
        """
        check_class_places(self._range, logits.shape[1])
        own = logits.gather(1, self.classes[:, None]).squeeze(1)
        other = logits.scatter(1, self.classes[:, None], -math.inf).amax(dim=1)
        return own - other if self.targeted else other - own

    def log_odds(self, logits: Tensor) -> Tensor:
        """Return ln((1 - p_y) / p_y), `(batch,)`, or with targets ln(p_t / (1 - p_t)), in nats.

        It orders images as the cross-entropy that the attack raises or lowers, but never rounds to 0.
        """
        check_class_places(self._range, logits.shape[1])
        own = logits.gather(1, self.classes[:, None]).squeeze(1)
        rivals = logits.scatter(1, self.classes[:, None], -math.inf).logsumexp(dim=1)
        return own - rivals if self.targeted else rivals - own

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """Return the direction that raises the cross-entropy of the true class, or lowers that of the target.

        The cross-entropy of logits z is ln(1 + e^m) of the margin m = ln sum_{k != y} e^{z_k} - z_y. Its gradient is
        that of m times 1 - p_y. float32 rounds 1 - p_y to 0 where the model is very confident (m < -17), and the attack
        would then leave such images unchanged. So the direction is the gradient of m.
        """
        check_class_places(self._range, logits.shape[1])
        rivals = logits.scatter(1, self.classes[:, None], -math.inf).softmax(dim=1)
        direction = rivals.scatter_(1, self.classes[:, None], -1.0)
        return direction.neg_() if self.targeted else direction

    def margin_slope(self, logits: Tensor) -> Tensor:
        """Return the direction that raises the margin: its gradient, `(batch, classes)`."""
        check_class_places(self._range, logits.shape[1])
        own = self.classes[:, None]
        other = logits.scatter(1, own, -math.inf).argmax(dim=1, keepdim=True)
        direction = torch.zeros_like(logits).scatter_(1, own, -1.0).scatter_(1, other, 1.0)
        return direction.neg_() if self.targeted else direction
