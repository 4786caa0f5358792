"""Attacks of the Adversarial Robustness Toolbox (ART): one adapter for those that change one image at a time."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from infoplane.attacks.library import LibraryAttack

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.art_network import ArrayNetwork
    from infoplane.attacks.balls import Norm
    from infoplane.attacks.goal import Goal

STARTING_DRAWS = 100  # uniform images among which a start in another class is looked for


@dataclass(frozen=True, kw_only=True)
class ArtAttack(LibraryAttack):
    """Base class of the attacks of ART that change one image at a time. A subclass writes `library` and `most_queries`.

    Only images that are not yet what is wanted are attacked. The result is the closest image that is, among all images
    whose class the attack asked for; the original, where there is none.

    Raises:
        UserError: ART is not installed.
    """

    extra = "attacks"
    # Whether the attack begins at an image that is what is wanted: uniform pixels, or another image of the batch. ART
    # would draw one from a generator that follows no seed.
    needs_start: ClassVar[bool] = False
    # Smallest and largest value of a pixel, as the attack is told; images are clipped to [0, 1] in any case.
    clip_values: ClassVar[tuple[float, float]] = (0.0, 1.0)

    norm: Norm = "l2"

    @abstractmethod
    def library(self, estimator: Any, *, targeted: bool) -> Any:
        """Return the attack of ART for its estimator."""

    @property
    @abstractmethod
    def most_queries(self) -> int:
        """Number of images whose class the attack may ask for, per image; there it is stopped."""

    def run(
        self, model: nn.Module, images: Tensor, labels: Tensor, target: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return for each image the closest adversarial one, or the original."""
        from contextlib import suppress

        from infoplane.attacks.art_network import ArrayNetwork, OutOfQueriesError, as_estimator
        from infoplane.attacks.closest import Closest
        from infoplane.attacks.goal import Goal

        goal = Goal(labels if target is None else target.long(), targeted=target is not None)
        network, closest = ArrayNetwork(model, images), Closest(images, norm=self.norm)
        goal.margin(network.first_logits)  # checks that the classes are places of logits
        rows = (~goal.is_reached(network.first_logits)).nonzero().squeeze(1)
        estimator = as_estimator(network, tuple(images.shape[1:]), self.clip_values)
        starts = _starts(network, images, goal, rows, generator) if self.needs_start else {}
        for row in rows:
            place, initial = row[None], {}
            if self.needs_start:
                if int(row) not in starts:
                    continue
                initial["x_adv_init"] = starts[int(row)][None].float().cpu().numpy()
            network.watch(closest, place, goal, most=self.most_queries)
            attack = self.library(estimator, targeted=goal.targeted)
            if self.needs_start:
                attack._init_sample = _given_start if goal.targeted else _given_start_elsewhere
            with suppress(OutOfQueriesError):
                found = attack.generate(
                    x=images[place].float().cpu().numpy(), y=goal.classes[place].cpu().numpy(), **initial
                )
                network.predict(found)  # the result, too, may be the closest
        return closest.confirmed(lambda attacked: goal.is_reached(network.logits(attacked)))


def _given_start(_image: Any, target: Any, _class: Any, _start_class: Any, start: Any, *_: Any) -> tuple[Any, Any]:
    """Return what `_init_sample` of ART returns: the start and its class.

    ART would draw another start, by a generator without a seed, where a random network answers differently.
    """
    return start, target


def _given_start_elsewhere(
    _image: Any, _target: Any, own_class: Any, _start_class: Any, start: Any, *_: Any
) -> tuple[Any, Any]:
    """Return what `_init_sample` of ART returns without targets: the start and the class to leave."""
    return start, own_class


def _starts(
    network: ArrayNetwork, images: Tensor, goal: Goal, rows: Tensor, generator: torch.Generator
) -> dict[int, Tensor]:
    """Return by its place, for each image for which there is one, an image that is what is wanted."""
    import torch

    starts: dict[int, Tensor] = {}
    for _ in range(STARTING_DRAWS):
        if not len(rows):
            return starts
        # Drawn for all images: the draws of one must not depend on which others are left.
        drawn = torch.rand(images.shape, generator=generator, device=generator.device, dtype=images.dtype)
        drawn = drawn.to(images.device)[rows]
        reached = goal[rows].is_reached(network.logits(drawn))
        starts |= dict(zip(rows[reached].tolist(), drawn[reached], strict=True))
        rows = rows[~reached]
    for row in rows:
        others = goal[row.expand(len(images))].is_reached(network.first_logits).nonzero().squeeze(1)
        if len(others):
            starts[int(row)] = images[others[0]]
    return starts
