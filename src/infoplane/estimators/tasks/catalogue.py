"""Catalogue of tasks by name, in the order of the calibration table."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from infoplane.estimators.tasks.bijections import (
    WAVES_OF_X,
    WAVES_OF_Y,
    asinh,
    bimodal,
    half_cube,
    normal_cdf,
    spiral,
    swiss_roll,
    wiggly,
)
from infoplane.estimators.tasks.channels import (
    ChannelTask,
    gaussian_channel,
    noisy_labelled_gaussians,
    point_clusters,
)
from infoplane.estimators.tasks.images import (
    blob_pairs,
    draw_shapes,
    labelled_images,
    labelled_lamps,
    rectangle_pairs,
    same_class_pairs,
)
from infoplane.estimators.tasks.labels import LabelTask, labelled_gaussians, noisy_labels
from infoplane.estimators.tasks.named import NamedTask
from infoplane.estimators.tasks.pairs import (
    PairTask,
    correlated_normals,
    discrete_with_uniform_noise,
    equicorrelated_normals,
    mapped,
    student_pairs,
    uniform_noise,
)

Task = TypeVar("Task", LabelTask, PairTask, ChannelTask)
Draw = Callable[[int, torch.Generator], Task]
Maps = tuple[Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]


def _named(name: str, draw: Draw[Task], truth: str) -> NamedTask[Task]:
    information = draw(1, torch.Generator().manual_seed(0)).information
    return NamedTask(name=name, information=information, draw=draw, truth=truth)


def _by_name(*tasks: NamedTask[Task]) -> dict[str, NamedTask[Task]]:
    return {task.name: task for task in tasks}


# labels


def _gaussians(features: int, spread: float) -> NamedTask[LabelTask]:
    return _named(
        f"gaussians-{features}-a{spread:g}",
        lambda samples, generator: labelled_gaussians(samples, features, spread=spread, generator=generator),
        "E ln(K p(y|t)), one integral",
    )


def _noisy_labels(flip: float) -> NamedTask[LabelTask]:
    return _named(
        f"noisy-labels-{flip:g}",
        lambda samples, generator: noisy_labels(samples, 16, flip=flip, generator=generator),
        "ln K - H(e) - e ln(K-1)",
    )


def _lamps(size: int, spread: float) -> NamedTask[LabelTask]:
    return _named(
        f"lamps-{size}px-a{spread:g}",
        lambda samples, generator: labelled_lamps(samples, size, spread=spread, generator=generator),
        "that of the Gaussians drawn",
    )


def _labelled_shapes(size: int, flip: float) -> NamedTask[LabelTask]:
    def draw(samples: int, generator: torch.Generator) -> LabelTask:
        return labelled_images(samples, *draw_shapes(SHAPES, size, generator=generator), flip=flip, generator=generator)

    return _named(f"shape-labels-{size}px-{flip:g}", draw, "ln 2 - H(e)")


SHAPES = 2000  # images from which those of one task are drawn
# By name: distributions of a layer and labels.
LABEL_TASKS = _by_name(
    *(_gaussians(16, spread) for spread in (0.5, 1.0, 2.0, 3.0, 4.0, 6.0)),
    *(_gaussians(features, spread) for features in (10, 512, 4096, 16384) for spread in (2.0, 4.0)),
    *(_noisy_labels(flip) for flip in (0.1, 0.2, 0.5, 0.9)),
    *(_lamps(16, spread) for spread in (2.0, 4.0)),
    *(_labelled_shapes(28, flip) for flip in (0.0, 0.1)),
)

# pairs


def _normals(name: str, correlations: tuple[float, ...], maps: Maps | None = None) -> NamedTask[PairTask]:
    def draw(samples: int, generator: torch.Generator) -> PairTask:
        task = correlated_normals(samples, correlations, generator=generator)
        return mapped(task, *maps) if maps else task

    return _named(name, draw, "-1/2 sum ln(1-r^2)")


def _sparse(features: int, suffix: str = "", maps: Maps | None = None) -> NamedTask[PairTask]:
    return _normals(f"two-of-{features}-0.8{suffix}", (0.8, 0.8) + (0.0,) * (features - 2), maps)


def _dense(features: int) -> NamedTask[PairTask]:
    return _named(
        f"dense-{features}x{features}-0.5",
        lambda samples, generator: equicorrelated_normals(samples, features, correlation=0.5, generator=generator),
        "1/2 ln[(1+(m-1)r)^2/((1-r)(1+(2m-1)r))]",
    )


def _student(
    features: int, degrees: int, *, correlation: float = 0.0, suffix: str = "", maps: Maps | None = None
) -> NamedTask[PairTask]:
    def draw(samples: int, generator: torch.Generator) -> PairTask:
        task = student_pairs(samples, (correlation,) * features, degrees=degrees, generator=generator)
        return mapped(task, *maps) if maps else task

    name = f"student-{features}x{features}-v{degrees}{suffix}"
    return _named(name, draw, "f(v)+f(v+2p)-2f(v+p) + Gaussian, f(n)=lnG(n/2)-n/2 psi(n/2)")


def _uniform_noise(reach: float) -> NamedTask[PairTask]:
    return _named(
        f"uniform-noise-{reach:g}",
        lambda samples, generator: uniform_noise(samples, reach=reach, generator=generator),
        "e-ln(2e), or 1/(4e) for e>1/2",
    )


def _discrete(values: int) -> NamedTask[PairTask]:
    return _named(
        f"discrete-{values}",
        lambda samples, generator: discrete_with_uniform_noise(samples, values=values, generator=generator),
        "ln m - (m-1)/m ln 2",
    )


def _blobs(size: int, correlation: float) -> NamedTask[PairTask]:
    return _named(
        f"blobs-{size}px-{correlation:g}",
        lambda samples, generator: blob_pairs(samples, size, correlation=correlation, generator=generator),
        "-ln(1-r^2), that of the places",
    )


def _rectangles(size: int, correlation: float) -> NamedTask[PairTask]:
    return _named(
        f"rectangles-{size}px-{correlation:g}",
        lambda samples, generator: rectangle_pairs(samples, size, correlation=correlation, generator=generator),
        "-2 ln(1-r^2), that of the edges",
    )


def _shapes(size: int, patches: int, flip: float) -> NamedTask[PairTask]:
    def draw(samples: int, generator: torch.Generator) -> PairTask:
        shapes = draw_shapes(SHAPES, size, generator=generator)
        return same_class_pairs(samples, *shapes, patches=patches, flip=flip, generator=generator)

    return _named(f"shapes-{patches}x{size}px-{flip:g}", draw, "patches (ln 2 - H(e))")


CDF: Maps = (normal_cdf, normal_cdf)
HALF_CUBE: Maps = (half_cube, half_cube)
ASINH: Maps = (asinh, asinh)
WIGGLY: Maps = (partial(wiggly, waves=WAVES_OF_X), partial(wiggly, waves=WAVES_OF_Y))
BIMODAL: Maps = (partial(bimodal, weight=0.3, modes=(0.0, 5.0)), partial(bimodal, weight=0.5, modes=(-1.0, 3.0)))
SWISS_ROLL: Maps = (lambda x: swiss_roll(normal_cdf(x)), normal_cdf)


def _spiral(features: int) -> Maps:
    # X mixes its two informative features; Y mixes the second with an uninformative one, if there is one.
    speed, other = 1 / features, (1, 2) if features > 2 else (0, 1)
    return partial(spiral, plane=(0, 1), speed=speed), partial(spiral, plane=other, speed=speed)


# By name: distributions of two variables.
PAIR_TASKS = _by_name(
    _normals("normal-0.75", (0.75,)),
    _normals("normal-0.9", (0.9,)),
    _normals("normal-0.75-cdf", (0.75,), CDF),
    _normals("normal-0.75-wiggly", (0.75,), WIGGLY),
    _normals("normal-0.75-half-cube", (0.75,), HALF_CUBE),
    _normals("normal-0.75-asinh", (0.75,), ASINH),
    _normals("normal-0.75-bimodal", (0.75,), BIMODAL),
    _normals("normal-0.75-swiss-roll", (0.75,), SWISS_ROLL),
    _normals("normal-0.75-spiral", (0.75, 0.0), _spiral(2)),
    _normals("five-pairs-0.5", (0.5,) * 5),
    _normals("five-pairs-0.9", (0.9,) * 5),
    *(_dense(features) for features in (2, 3, 5, 25, 50)),
    *(_sparse(features) for features in (2, 3, 5, 25)),
    *(_sparse(features, "-cdf", CDF) for features in (2, 3, 5, 25)),
    *(_sparse(features, "-half-cube", HALF_CUBE) for features in (2, 3, 5, 25)),
    *(_sparse(features, "-spiral", _spiral(features)) for features in (2, 3, 5, 25)),
    *(_student(*row) for row in ((1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (5, 2), (5, 3))),
    _student(1, 1, suffix="-asinh", maps=ASINH),
    _student(2, 3, correlation=0.8, suffix="-0.8"),
    *(_uniform_noise(reach) for reach in (0.1, 0.75)),
    _discrete(5),
    _blobs(16, 0.8),
    _rectangles(16, 0.5),
    _rectangles(28, 0.9),
    *(_shapes(16, 4, flip) for flip in (0.0, 0.1)),
    _shapes(16, 10, 0.0),
)

# channels


def _two_points(distance: float) -> NamedTask[ChannelTask]:
    return _named(
        f"two-points-{distance:g}",
        lambda samples, generator: point_clusters(samples, 2, distance=distance, generator=generator),
        "binary-input Gaussian channel",
    )


def _far_clusters(features: int) -> NamedTask[ChannelTask]:
    return _named(
        f"ten-points-{features}",
        lambda samples, generator: point_clusters(samples, features, distance=16, classes=10, generator=generator),
        "ln 10",
    )


def _gaussian_channel(features: int, power: float) -> NamedTask[ChannelTask]:
    return _named(
        f"gaussian-channel-{features}-q{power:g}",
        lambda samples, generator: gaussian_channel(samples, features, power=power, generator=generator),
        "d/2 ln(1+q)",
    )


def _noisy_gaussians(features: int, spread: float) -> NamedTask[ChannelTask]:
    return _named(
        f"noisy-gaussians-{features}-a{spread:g}",
        lambda samples, generator: noisy_labelled_gaussians(
            samples, features, spread=spread, noise_variance=1.0, generator=generator
        ),
        "d/2 ln(1+1/s2) + I(T;Y), that of spread a/sqrt(1+s2)",
    )


# By name: distributions of a layer that is observed through Gaussian noise.
CHANNEL_TASKS = _by_name(
    *(_two_points(distance) for distance in (1.0, 2.0, 3.0, 4.0, 6.0)),
    *(_far_clusters(features) for features in (10, 2000)),
    *(_gaussian_channel(*row) for row in ((2, 9.0), (5, 9.0), (50, 0.1), (2000, 0.0025))),
    *(_noisy_gaussians(features, spread) for features in (10, 16, 512) for spread in (2.0, 4.0)),
)
