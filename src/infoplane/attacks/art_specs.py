"""The attacks that infoplane takes from ART, with fewer iterations than in the papers."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infoplane.attacks.art import STARTING_DRAWS, ArtAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from infoplane.attacks.balls import Norm

_AROUND = 5  # passes per image for the originals and the checks of the result


@dataclass(frozen=True, kw_only=True)
class OnePixel(ArtAttack):
    """One pixel of any value, by differential evolution of 400 candidates.

    Source: Su et al. (2019), arXiv:1710.08864, Section III.

    Args:
        generations: at most; the paper takes 100.
    """

    name: str = "one-pixel"
    generations: int = 10

    @property
    def most_queries(self) -> int:
        """See `ArtAttack`."""
        return 401 * (self.generations + 1) + 2

    def library(self, estimator: Any, *, targeted: bool) -> Any:
        """Return the attack of ART."""
        from art.attacks.evasion.pixel_threshold import PixelAttack

        return PixelAttack(estimator, th=1, es=1, max_iter=self.generations, targeted=targeted, verbose=False)


@dataclass(frozen=True, kw_only=True)
class ZOO(ArtAttack):
    """The loss of Carlini & Wagner from logits alone: Adam on coordinates with estimated derivatives, 128 at a time.

    Source: Chen et al. (2017), arXiv:1708.03999, Section 3.

    Args:
        iterations: per search; the paper takes 1,000 to 10,000.
        searches: number of values of c, the first 10; the paper takes 9 from .01.
        rate: learning rate of Adam; the paper takes .002 to .01.
    """

    clip_values = (-1.0, 1.0)  # ART clips the change, not the image: with (0, 1) pixels could only become brighter

    name: str = "zoo"
    iterations: int = 100
    searches: int = 1
    rate: float = 0.02

    @property
    def most_queries(self) -> int:
        """See `ArtAttack`."""
        return self.searches * self.iterations * 257 + 3

    def library(self, estimator: Any, *, targeted: bool) -> Any:
        """Return the attack of ART."""
        from art.attacks.evasion.zoo import ZooAttack

        return ZooAttack(
            estimator,
            targeted=targeted,
            learning_rate=self.rate,
            max_iter=self.iterations,
            binary_search_steps=self.searches,
            initial_const=10.0,
            abort_early=False,
            use_resize=False,  # for images of more than 32 pixels
            use_importance=False,
            nb_parallel=min(128, math.prod(estimator.input_shape)),
            variable_h=1e-4,
            verbose=False,
        )


@dataclass(frozen=True, kw_only=True)
class Boundary(ArtAttack):
    """A random walk along the boundary towards the original, from classes alone.

    Source: Brendel et al. (2018), arXiv:1712.04248, Section 2.

    Args:
        iterations: each asks for the classes of about 40 images; the paper takes 25,000 steps of one image.
    """

    needs_start = True

    name: str = "boundary"
    iterations: int = 100

    @property
    def most_queries(self) -> int:
        """See `ArtAttack`."""
        return 60 * self.iterations + 3

    def library(self, estimator: Any, *, targeted: bool) -> Any:
        """Return the attack of ART."""
        from art.attacks.evasion.boundary import BoundaryAttack

        return BoundaryAttack(
            estimator,
            targeted=targeted,
            delta=0.01,
            epsilon=0.01,
            step_adapt=1 / 1.5,
            max_iter=self.iterations,
            num_trial=25,
            sample_size=20,
            verbose=False,
        )


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(ArtAttack):
    """Steps along the normal of the boundary, estimated from classes alone.

    Source: Chen et al. (2020), arXiv:1904.02144, Algorithm 2.

    Args:
        norm: in which the perturbation is small.
        iterations: the t-th asks for the classes of about 100 sqrt(t) images; the paper takes 40.
    """

    needs_start = True

    name: str = "hopskipjump"
    norm: Norm = "l2"
    iterations: int = 10

    @property
    def most_queries(self) -> int:
        """See `ArtAttack`. ART repeats a step without end where rounding takes the image across the boundary."""
        return sum(int(100 * step**0.5) + 60 for step in range(1, self.iterations + 1)) + 3

    def library(self, estimator: Any, *, targeted: bool) -> Any:
        """Return the attack of ART."""
        from art.attacks.evasion.hop_skip_jump import HopSkipJump as Library

        return Library(
            estimator,
            targeted=targeted,
            norm="inf" if self.norm == "linf" else 2,
            max_iter=self.iterations,
            max_eval=10_000,
            init_eval=100,
            verbose=False,
        )


ONE_PIXEL_SPEC = AttackSpec(
    name="one-pixel",
    description="one pixel, by differential evolution (Su et al. 2019)",
    settings=(),
    norms=("linf", "l2"),
    build=lambda _settings: OnePixel(),
    cost=lambda _settings: 0,
    threat="black-box",
    source="Su et al. (2019), arXiv:1710.08864, Section III",
    queries=401 * 11 + 2 + _AROUND,
    in_ball=False,
    extra="attacks",
)
ZOO_SPEC = AttackSpec(
    name="zoo",
    description="smallest perturbation in L2 from logits alone (Chen et al. 2017)",
    settings=(),
    norms=("linf", "l2"),
    build=lambda _settings: ZOO(),
    cost=lambda _settings: 0,
    threat="black-box",
    source="Chen et al. (2017), arXiv:1708.03999, Section 3",
    queries=100 * 257 + 3 + _AROUND,
    in_ball=False,
    extra="attacks",
)
BOUNDARY_SPEC = AttackSpec(
    name="boundary",
    description="walk along the boundary, from classes alone (Brendel et al. 2018)",
    settings=(),
    norms=("linf", "l2"),
    build=lambda _settings: Boundary(),
    cost=lambda _settings: 0,
    threat="black-box",
    source="Brendel et al. (2018), arXiv:1712.04248, Section 2",
    queries=60 * 100 + 3 + STARTING_DRAWS + _AROUND,
    in_ball=False,
    extra="attacks",
)
HOPSKIPJUMP_SPEC = AttackSpec(
    name="hopskipjump",
    description="smallest perturbation from classes alone (Chen et al. 2020)",
    settings=("norm",),
    norms=("linf", "l2"),
    build=lambda settings: HopSkipJump(norm=settings.norm),
    cost=lambda _settings: 0,
    threat="black-box",
    source="Chen et al. (2020), arXiv:1904.02144, Algorithm 2",
    queries=2_846 + 3 + STARTING_DRAWS + _AROUND,
    in_ball=False,
    extra="attacks",
)
