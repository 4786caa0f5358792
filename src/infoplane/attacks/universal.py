"""Universal perturbation: one change for all images, by ART."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.library import LibraryAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.balls import Norm


@dataclass(frozen=True, kw_only=True)
class UniversalPerturbation(LibraryAttack):
    """One perturbation in the ball that is made on a batch and added to all its images, broken or not.

    It grows image by image, with DeepFool (50 steps, 10 classes, overshoot .02), until a share of 1 - `delta` of the
    images is misclassified. Source: Moosavi-Dezfooli et al. (2017), arXiv:1610.08401, Algorithm 1.

    Args:
        name: of the attack's spec.
        norm: of the ball.
        epsilon: its radius, in pixels of [0, 1]; the paper's L-infinity radius is 10 / 255.
        delta: share of images that may stay correctly classified.
        passes: largest number of passes over the images.

    Raises:
        UserError: ART is not installed.
    """

    extra = "attacks"
    knows_targets = False

    name: str = "universal"
    norm: Norm
    epsilon: float
    delta: float = 0.2
    passes: int = 5

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_positive

        super().__post_init__()
        check_positive(self.epsilon, name="epsilon")
        check_at_least(self.passes, 1, name="passes")
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta must be between 0 and 1, got {self.delta}")

    def run(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        target: Tensor | None,  # noqa: ARG002
        generator: torch.Generator,  # noqa: ARG002  # the library draws from Python's own, which follows it
    ) -> Tensor:
        """Return the images with the perturbation added, in the ball and in [0, 1]."""
        from infoplane.attacks.balls import region_around

        noise = self.noise(model, images, labels)
        return region_around(images, self.norm, self.epsilon).projected_(images + noise)

    def noise(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Let ART make the perturbation. `universal_perturbation` does this in a way that keeps the contract."""
        from art.attacks.evasion.universal_perturbation import UniversalPerturbation as Library

        from infoplane.attacks.art_network import ArrayNetwork, as_estimator
        from infoplane.attacks.goal import Goal

        network = ArrayNetwork(model, images)
        Goal(labels, targeted=False).margin(network.first_logits)  # checks that the classes are places of logits
        library = Library(
            as_estimator(network, tuple(images.shape[1:])),
            attacker="deepfool",
            attacker_params={"max_iter": 50, "epsilon": 0.02, "nb_grads": 10, "verbose": False},
            delta=self.delta,
            max_iter=self.passes,
            eps=self.epsilon,
            norm="inf" if self.norm == "linf" else 2,
            verbose=False,
        )
        library.generate(images.float().cpu().numpy(), labels.cpu().numpy())
        return images.new_tensor(library.noise)


def universal_perturbation(
    attack: UniversalPerturbation, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator
) -> Tensor:
    """Return the perturbation itself, `(1, channels, height, width)`, made on these images.

    Add it to other images and clamp the sum to [0, 1]. Arguments and errors are those of the attack.
    """
    from infoplane.attacks.contract import apply_attack
    from infoplane.attacks.extras import load
    from infoplane.attacks.library import library_silenced

    made: list[Tensor] = []

    def making(
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,  # noqa: ARG001  # the library draws from Python's own, which follows it
        target: Tensor | None = None,  # noqa: ARG001
    ) -> Tensor:
        with library_silenced(attack.extra):
            made.append(attack.noise(model, images, labels.long()))
        return images

    with library_silenced(attack.extra):
        load(attack.extra)
    apply_attack(making, model, images, labels, generator=generator)
    return made[0]


UNIVERSAL_SPEC = AttackSpec(
    name="universal",
    description="one perturbation for all images of a batch (Moosavi-Dezfooli et al. 2017)",
    settings=("norm", "epsilon"),
    norms=("linf", "l2"),
    build=lambda settings: UniversalPerturbation(norm=settings.norm, epsilon=settings.epsilon),
    cost=lambda _settings: 5 * 50 * 10,
    source="Moosavi-Dezfooli et al. (2017), arXiv:1610.08401, Algorithm 1",
    queries=5 * 52,
    extra="attacks",
)
