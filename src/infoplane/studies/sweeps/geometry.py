"""Measure synthetic clouds of points whose geometry, number and dimension are varied one at a time."""

import math
from typing import Any, NamedTuple

import polars as pl
import torch

from infoplane.config import GeometryConfig
from infoplane.estimators.tasks import gaussian_channel, labelled_gaussian_information, noisy_labelled_gaussians
from infoplane.estimators.tasks.channels import ChannelTask
from infoplane.estimators.tasks.clouds import (
    Cloud,
    CloudInformation,
    Origin,
    binned_cloud_information,
    cloud_information,
    labelled_cloud,
)
from infoplane.randomness import seeded_generator
from infoplane.records.short_repr import with_short_repr
from infoplane.records.sweeps import (
    BINS,
    DIMENSION,
    DIMENSION_FIXED,
    NOISE,
    PICTURES,
    PURITY,
    SAMPLES,
    SAMPLES_APART,
    SPREAD,
    TIGHTNESS,
    SweepMeasurement,
    sweep_table,
)
from infoplane.runs.progress import Progress, Silence
from infoplane.studies.sweeps.sweep_rows import Draw, sweep_rows

STUDY = "geometry"
_TIGHTNESS, _APART = 0.6, 128.0  # overlapping classes; a spread at which every point is alone in its noise
_SPREADS = tuple(2.0**power for power in range(-4, 7))
_TIGHTNESSES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)
_PURITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_NOISES = tuple(10.0 ** (half / 2) for half in range(-8, 5))
_WIDTHS = tuple(2.0**power for power in range(-8, 4))
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2)  # labels of the points
_FEATURES = (10, 20, 50, 100, 200, 500, 1000)
_CLASS_DISTANCE = 3.0  # distance of each class from the origin, along its own feature, in deviations within a class
_CAPACITY = 2.0  # nats
_PICTURES = tuple((spread, tightness) for spread in (1.0, 4.0) for tightness in (0.05, 0.9))

CLOUD_SCHEMA = {"picture": pl.Int64(), "x": pl.Float64(), "y": pl.Float64(), "label": pl.Int64()}


@with_short_repr
class GeometryRecords(NamedTuple):
    """Tables of the study."""

    measurements: pl.DataFrame  # `sweeps.SWEEP_SCHEMA`
    clouds: pl.DataFrame  # `CLOUD_SCHEMA`: points of the four pictures, first replicate


class _Place(NamedTuple):
    """One value of x in a sweep of clouds; if noise, bins or decoders are None or False, they are not measured."""

    sweep: str
    x: float
    cloud: Cloud
    samples: int
    noise_variance: float | None
    bin_width: float | None
    decoded: bool


def geometry_sweeps(config: GeometryConfig, *, progress: Progress | None = None) -> GeometryRecords:
    """Measure clouds of points as their spread, tightness, purity, number, noise, bins and dimension change.

    A replicate draws the same standard normal numbers, permutations and noise at every x of a sweep, so that
    differences along it are paired. Each cloud is shifted to a random position within a bin, because binning, unlike
    distances, depends on the origin.

    Args:
        config: numbers of points, replicates and classes; noise and bins.
        progress: shows how far the study is.
    """
    progress = progress or Silence()
    places = _places(config)
    channels = [(sweep, features) for sweep in (DIMENSION, DIMENSION_FIXED) for features in _FEATURES]
    progress.begin(config.replicates * (sum(place.samples for place in places) + len(channels) * config.points))
    rows: list[SweepMeasurement] = []
    for replicate in range(config.replicates):
        for place in places:
            progress.doing(f"{place.sweep}, draw {replicate + 1}")
            common = {"sweep": place.sweep, "x": place.x, "replicate": replicate, **_settings(place.cloud)}
            rows += sweep_rows(_draw(config, place, replicate), config.seed, config.permutations, common)
            progress.advance(place.samples)
        for sweep, features in channels:
            progress.doing(f"{sweep}, draw {replicate + 1}")
            common = {"sweep": sweep, "x": features, "replicate": replicate}
            draw = _channel_draw(config, sweep, features, replicate)
            rows += sweep_rows(draw, config.seed, config.permutations, common)
            progress.advance(config.points)
        progress.say(f"draw {replicate + 1} of {config.replicates}: {len(places) + len(channels)} sets of points")
    return GeometryRecords(sweep_table(rows), _clouds(config, places))


def _places(config: GeometryConfig) -> list[_Place]:
    def cloud(spread: float = 1.0, tightness: float = _TIGHTNESS, purity: float = 1.0) -> Cloud:
        return Cloud(spread=spread, tightness=tightness, classes=config.classes, purity=purity)

    points, noise, bins = config.points, config.noise_variance, config.bin_width
    # decoders need a few samples of each class; with few points the first of these numbers are equal
    numbers = sorted({max(5 * config.classes, round(share * points)) for share in _SHARES})
    return [
        *(_Place(SPREAD, x, cloud(spread=x), points, noise, bins, True) for x in _SPREADS),
        *(_Place(TIGHTNESS, x, cloud(tightness=x), points, noise, bins, True) for x in _TIGHTNESSES),
        *(_Place(PURITY, x, cloud(purity=x), points, noise, bins, True) for x in _PURITIES),
        *(_Place(NOISE, x, cloud(), points, x, None, False) for x in _NOISES),
        *(_Place(BINS, x, cloud(), points, None, x, False) for x in _WIDTHS),
        *(_Place(SAMPLES, x, cloud(), x, noise, bins, True) for x in numbers),
        # without decoders, whose values are the same as for the points close together
        *(_Place(SAMPLES_APART, x, cloud(spread=_APART), x, noise, bins, False) for x in numbers),
        *(
            _Place(PICTURES, number, cloud(spread, tightness), points, noise, bins, True)
            for number, (spread, tightness) in enumerate(_PICTURES)
        ),
    ]


def _settings(cloud: Cloud) -> dict[str, Any]:
    return {"spread": cloud.spread, "tightness": cloud.tightness, "purity": cloud.purity}


def _origin(config: GeometryConfig, replicate: int) -> Origin:
    shares = torch.rand(2, generator=seeded_generator(config.seed, "origin", replicate), dtype=torch.double)
    x, y = (config.bin_width * shares).tolist()
    return x, y


def _draw(config: GeometryConfig, place: _Place, replicate: int) -> Draw:
    origin = _origin(config, replicate)
    generator = seeded_generator(config.seed, "cloud", replicate)
    task = labelled_cloud(place.samples, place.cloud, origin=origin, generator=generator)
    known = Draw(task.activations, task.labels, place.noise_variance, place.bin_width, place.decoded)
    if place.noise_variance is not None:
        known = known._replace(noisy=cloud_information(place.cloud, place.noise_variance))
    if place.bin_width is not None:
        known = known._replace(binned=binned_cloud_information(place.cloud, place.bin_width, origin=origin))
    return known._replace(label=task.information)


def _channel_draw(config: GeometryConfig, sweep: str, features: int, replicate: int) -> Draw:
    generator = seeded_generator(config.seed, "channel", replicate)
    if sweep == DIMENSION:
        task = noisy_labelled_gaussians(
            config.points, features, spread=_CLASS_DISTANCE, noise_variance=1.0, generator=generator
        )
        label = labelled_gaussian_information(_CLASS_DISTANCE)
    else:
        power = math.expm1(2 * _CAPACITY / features)
        task, label = gaussian_channel(config.points, features, power=power, generator=generator), 0.0
    return _measured(task, config.bin_width)._replace(label=label)


def _measured(task: ChannelTask, bin_width: float) -> Draw:
    truth = CloudInformation(task.information, task.label_information)
    return Draw(task.activations, task.labels, task.noise_variance, bin_width, decoded=True, noisy=truth)


def _clouds(config: GeometryConfig, places: list[_Place]) -> pl.DataFrame:
    parts = []
    for place in places:
        if place.sweep == PICTURES:
            task = _draw(config, place, 0)
            x, y = task.activations.T.tolist()
            parts.append(pl.DataFrame({"picture": int(place.x), "x": x, "y": y, "label": task.labels.tolist()}))
    return pl.concat(parts).match_to_schema(CLOUD_SCHEMA, integer_cast="upcast")
