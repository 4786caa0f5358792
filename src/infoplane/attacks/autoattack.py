"""AutoAttack, the reference evaluation, through the library of its authors (pyautoattack)."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from infoplane.attacks.library import LibraryAttack
from infoplane.attacks.spec import AttackSpec
from infoplane.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.balls import Norm
    from infoplane.config import AttackConfig

_FEWEST_CLASSES = {"standard": 4, "rand": 3}  # that the DLR losses compare: 4 with targets, 3 without
_TARGETS = 9  # classes that apgd-t and fab-t aim at
_BATCH = 250  # images, the library's default


@dataclass(frozen=True, kw_only=True)
class AutoAttack(LibraryAttack):
    """A set of parameter-free attacks, each on the images that the ones before could not break.

    "standard" is APGD on the cross-entropy, targeted APGD on the DLR loss, targeted FAB and Square (5,000 queries).
    "rand", for networks that are random when they are used, is APGD on both losses over 20 draws. Images that none of
    them breaks come back as they are. Source: Croce & Hein (2020), arXiv:2003.01690, Section 6.

    Args:
        name: "autoattack" or "autoattack-rand".
        norm: of the ball.
        epsilon: its radius.
        version: which set of attacks.
        iterations: of APGD and FAB; it is AutoAttack with 100 alone.
        queries: of Square; it is AutoAttack with 5,000 alone.

    Raises:
        UserError: pyautoattack is not installed, or the network has too few classes.
    """

    extra = "autoattack"
    knows_targets = False

    norm: Norm
    epsilon: float
    version: Literal["standard", "rand"] = "standard"
    iterations: int = 100
    queries: int = 5_000

    def __post_init__(self) -> None:
        from infoplane.checks import check_positive

        super().__post_init__()
        check_positive(self.epsilon, name="epsilon")

    def run(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,  # noqa: ARG002
        generator: torch.Generator,
    ) -> Tensor:
        """Return images in the ball, broken where AutoAttack breaks them, else as they came."""
        import torch
        from pyautoattack import AutoAttack as Library

        from infoplane.attacks.balls import region_around
        from infoplane.attacks.closest import per_image
        from infoplane.networks.logits import logits_of

        def logits(pixels: Tensor) -> Tensor:
            return logits_of(model(pixels.to(images.dtype)))  # the library computes in float32

        with torch.no_grad():
            first = logits(images)
        self._check_classes(first.shape[1])
        if not bool((first.argmax(dim=1) == labels).any()):
            return images
        norm = {"linf": "Linf", "l2": "L2"}[self.norm]
        seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
        library: Any = Library(
            logits, norm=norm, eps=self.epsilon, seed=seed, version=self.version, device=images.device
        )
        targets = min(_TARGETS, first.shape[1] - 1)
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = targets
        self._set_lengths(library)
        with _all_generators_kept():
            attacked, _ = library.run_standard_evaluation(images.float(), labels, batch_size=_BATCH)
        attacked = region_around(images, self.norm, self.epsilon).projected_(attacked.to(images.dtype))
        if self.version == "rand":  # one pass more would only undo some successes
            return attacked
        with torch.no_grad():
            broken = logits(attacked).argmax(dim=1) != labels
        return torch.where(per_image(broken), attacked, images)

    def _set_lengths(self, library: Any) -> None:
        library.fab.n_iter, library.square.n_queries = self.iterations, self.queries
        for apgd in (library.apgd, library.apgd_targeted):
            apgd.n_iter = self.iterations
            # Of the first period of constant steps, its shortening and the shortest one.
            for name, share in (("n_iter_2", 0.22), ("size_decr", 0.03), ("n_iter_min", 0.06)):
                setattr(apgd, name, max(int(share * self.iterations), 1))

    def _check_classes(self, classes: int) -> None:
        fewest = _FEWEST_CLASSES[self.version]
        if classes < fewest:
            raise UserError(
                f"the attack {self.name} needs a network of at least {fewest} classes, since its DLR loss compares "
                f"{fewest} logits; this one has {classes}: use apgd-ce"
            )


def _all_generators_kept() -> AbstractContextManager[None]:
    """Return a context that restores the generators of all devices, which the library seeds."""
    import torch

    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    return torch.random.fork_rng(devices=devices)


def autoattack(settings: AttackConfig, *, name: str, version: Literal["standard", "rand"]) -> AutoAttack:
    """Return AutoAttack in the ball of the settings."""
    return AutoAttack(name=name, norm=settings.norm, epsilon=settings.epsilon, version=version)


AUTOATTACK_SPEC = AttackSpec(
    name="autoattack",
    description="AutoAttack standard: APGD, APGD-T, FAB-T, Square (Croce & Hein 2020)",
    settings=("norm", "epsilon"),
    norms=("linf", "l2"),
    build=partial(autoattack, name="autoattack", version="standard"),
    cost=lambda _settings: 101 + 9 * 101 + 9 * 100,
    source="Croce & Hein (2020), arXiv:2003.01690, Section 6",
    queries=6_050,  # Square 5,000, FAB 900, the rest checks
    fewest_classes=_FEWEST_CLASSES["standard"],
    extra="autoattack",
)
AUTOATTACK_RAND_SPEC = AttackSpec(
    name="autoattack-rand",
    description="AutoAttack rand: APGD on two losses over 20 draws (Croce & Hein 2020)",
    settings=("norm", "epsilon"),
    norms=("linf", "l2"),
    build=partial(autoattack, name="autoattack-rand", version="rand"),
    cost=lambda _settings: 2 * 101 * 20,
    source="Croce & Hein (2020), arXiv:2003.01690, Section 6",
    fewest_classes=_FEWEST_CLASSES["rand"],
    extra="autoattack",
)
