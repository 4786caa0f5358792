"""The attacks that infoplane takes from ART, with parameters for planes; the papers' are in docs/attacks.md."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

import math
from typing import TYPE_CHECKING, Any

from infoplane.attacks.art import ArtAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from infoplane.config import AttackConfig


def one_pixel(_settings: AttackConfig, *, generations: int = 10) -> ArtAttack:
    """Return the one-pixel attack: differential evolution of 400 candidates.

    Source: Su et al. (2019), arXiv:1710.08864, Section III. The paper takes 100 generations.
    """

    def make(estimator: Any, targeted: bool) -> Any:
        from art.attacks.evasion.pixel_threshold import PixelAttack

        return PixelAttack(estimator, th=1, es=1, max_iter=generations, targeted=targeted, verbose=False)

    return ArtAttack(name="one-pixel", make=make, most_queries=400 * (generations + 2))


def zoo(_settings: AttackConfig, *, iterations: int = 100, searches: int = 1) -> ArtAttack:
    """Return ZOO: Adam on coordinates whose derivatives are estimated by differences, 128 at a time.

    Source: Chen et al. (2017), arXiv:1708.03999, Section 3. The paper takes 9 searches of 1,000 to 10,000 iterations
    at a rate of .002 to .01.
    """

    def make(estimator: Any, targeted: bool) -> Any:
        from art.attacks.evasion.zoo import ZooAttack

        return ZooAttack(
            estimator,
            targeted=targeted,
            learning_rate=0.02,
            max_iter=iterations,
            binary_search_steps=searches,
            initial_const=10.0,
            abort_early=False,
            use_resize=False,  # for images of more than 32 pixels
            use_importance=False,
            nb_parallel=min(128, math.prod(estimator.input_shape)),
            variable_h=1e-4,
            verbose=False,
        )

    # ART clips the change, not the image, to these values: with (0, 1) pixels could only become brighter.
    queries = searches * iterations * 257
    return ArtAttack(name="zoo", make=make, most_queries=queries + 10, clip_values=(-1.0, 1.0))


def boundary(_settings: AttackConfig, *, iterations: int = 100) -> ArtAttack:
    """Return the boundary attack: a random walk along the boundary towards the original.

    Source: Brendel et al. (2018), arXiv:1712.04248, Section 2. The paper takes 25,000 steps; one iteration of ART asks
    for the classes of about 40 images.
    """

    def make(estimator: Any, targeted: bool) -> Any:
        from art.attacks.evasion.boundary import BoundaryAttack

        return BoundaryAttack(
            estimator, targeted=targeted, delta=0.01, epsilon=0.01, step_adapt=1 / 1.5, max_iter=iterations,
            num_trial=25, sample_size=20, verbose=False,
        )  # fmt: skip

    return ArtAttack(name="boundary", make=make, most_queries=60 * iterations, needs_start=True)


def hopskipjump(settings: AttackConfig, *, iterations: int = 10) -> ArtAttack:
    """Return HopSkipJump: steps along the boundary's normal, estimated from classes alone, in the settings' norm.

    Source: Chen et al. (2020), arXiv:1904.02144, Algorithm 2. The paper takes 40 iterations.
    """

    def make(estimator: Any, targeted: bool) -> Any:
        from art.attacks.evasion.hop_skip_jump import HopSkipJump

        order = {"linf": "inf", "l2": 2}[settings.norm]
        return HopSkipJump(
            estimator, targeted=targeted, norm=order, max_iter=iterations, max_eval=10_000, init_eval=100, verbose=False
        )

    # ART repeats its search for a step without end where rounding takes the image across the boundary.
    return ArtAttack(
        name="hopskipjump",
        make=make,
        most_queries=_hopskipjump_queries(iterations),
        norm=settings.norm,
        needs_start=True,
    )


def _hopskipjump_queries(iterations: int) -> int:
    return sum(int(100 * step**0.5) + 60 for step in range(1, iterations + 1))


ONE_PIXEL_SPEC = AttackSpec(
    name="one-pixel",
    description="one pixel, by differential evolution (Su et al. 2019)",
    settings=(),
    norms=("linf", "l2"),
    build=one_pixel,
    cost=lambda _settings: 0,
    threat="black-box",
    source="Su et al. (2019), arXiv:1710.08864, Section III",
    queries=400 * 12,
    in_ball=False,
    extra="attacks",
)
ZOO_SPEC = AttackSpec(
    name="zoo",
    description="smallest perturbation in L2 from logits alone (Chen et al. 2017)",
    settings=(),
    norms=("linf", "l2"),
    build=zoo,
    cost=lambda _settings: 0,
    threat="black-box",
    source="Chen et al. (2017), arXiv:1708.03999, Section 3",
    queries=100 * 257 + 10,
    in_ball=False,
    extra="attacks",
)
BOUNDARY_SPEC = AttackSpec(
    name="boundary",
    description="walk along the boundary, from classes alone (Brendel et al. 2018)",
    settings=(),
    norms=("linf", "l2"),
    build=boundary,
    cost=lambda _settings: 0,
    threat="black-box",
    source="Brendel et al. (2018), arXiv:1712.04248, Section 2",
    queries=60 * 100,
    in_ball=False,
    extra="attacks",
)
HOPSKIPJUMP_SPEC = AttackSpec(
    name="hopskipjump",
    description="smallest perturbation from classes alone (Chen et al. 2020)",
    settings=("norm",),
    norms=("linf", "l2"),
    build=hopskipjump,
    cost=lambda _settings: 0,
    threat="black-box",
    source="Chen et al. (2020), arXiv:1904.02144, Algorithm 2",
    queries=_hopskipjump_queries(10),
    in_ball=False,
    extra="attacks",
)
