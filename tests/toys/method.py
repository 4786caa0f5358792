"""A toy training method, added as docs/add-a-training-method.md says: this file and one line in the list."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

if TYPE_CHECKING:
    from infoplane.training import Batch, BatchLoss, LossMethod


class ToySettings(MethodSettings):
    """Settings of the toy."""

    toy_share: float = Field(0.5, ge=0, le=1)
    """Share of the loss that is taken on attacked images."""


def toy_training(parts: Parts[ToySettings]) -> "LossMethod":
    """Return the method that minimises a share of the loss on attacked images, the rest on original ones."""
    import torch.nn.functional as F

    from infoplane.training import BatchLoss, Cost, LossMethod, in_evaluation_mode

    share = parts.settings.toy_share

    def loss(model, batch: "Batch") -> "BatchLoss":
        clean, attacked = model(batch.images), model(batch.attacked)
        value = share * F.cross_entropy(attacked, batch.labels) + (1 - share) * F.cross_entropy(clean, batch.labels)
        return BatchLoss(value, (attacked.argmax(dim=1) == batch.labels).sum())

    passes = parts.attack.gradient_evaluations
    return LossMethod(
        loss=loss,
        cost=Cost(forward=2, gradient=2),
        attack=in_evaluation_mode(parts.attack),
        attack_cost=Cost(forward=passes, gradient=passes),
    )


TOY = MethodSpec(
    name="toy",
    description="a share of the loss on images attacked by PGD",
    settings=ToySettings,
    build=toy_training,
    passes=lambda parts: Passes(parts.attack.steps + 2, loss=2),
)
