"""Estimator cases: how each calibrated estimator is applied to a task of known information."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from infoplane.estimators.binning import binning_information
from infoplane.estimators.bins import EqualBins, LayerQuantiles, UnitQuantiles
from infoplane.estimators.cca import cca_information
from infoplane.estimators.copula import copula_information
from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.kde import kde_information
from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information
from infoplane.estimators.neural import neural_information
from infoplane.estimators.noisy import noisy_information
from infoplane.estimators.ross import ross_information
from infoplane.estimators.tasks import ChannelTask, LabelTask, PairTask
from infoplane.records.tables import BINNING, DECODED, KDE_BD, KDE_KL, KDE_MIXED, KSG, NOISY

_BINS: dict[str, dict[str, Any]] = {
    "bins of width 0.5": {"bin_width": 0.5},
    "30 bins of [-1, 1]": {"bins": EqualBins()},
    "30 quantiles of units": {"bins": UnitQuantiles()},
    "30 quantiles of layer": {"bins": LayerQuantiles()},
}
_CORRECTED = "binning-corrected"
_NOISE_VARIANCE = 0.1  # that of the study, where a task leaves the noise to the estimator
_PERMUTATIONS = 20  # behind each null

Task = TypeVar("Task", ChannelTask, LabelTask, PairTask)


class Reading(NamedTuple):
    """One number that a fit states about a task, in nats."""

    estimator: str
    quantity: str
    kind: str  # how the value relates to the quantity: a lower or upper bound, or an estimate
    value: float
    low: float | None = None  # 95 % interval, where one is stated
    high: float | None = None
    flagged: bool | None = None  # saturated or undersampled; None where it can be neither
    null_like: bool | None = None  # whether permuted labels reach the value; None if there is no null


@dataclass(frozen=True, kw_only=True)
class Fit(Generic[Task]):
    """One way to apply an estimator to a draw of a task; it may give several numbers.

    Raise `version` by hand whenever the numbers change: when the estimator, anything that it uses, its settings or
    `estimates` compute something else. Kept cells of older versions are then measured again. The cells of all other
    fits stay valid.
    """

    names: Mapping[str, str]  # names of the estimators in the table, by their names in the records
    estimates: Callable[[Task, torch.Generator], Iterable[Estimate]]
    settings: str  # in words, for the table
    version: int = 1
    seconds: Callable[[int, int], float]  # rough, from samples and features; used for order and time left only
    most_features: int = 100_000  # with more it is too slow, not defined, or equal to another estimator

    def readings(self, task: Task, generator: torch.Generator) -> list[Reading]:
        """Return the numbers about all samples, without those about single classes."""
        found = self.estimates(task, generator)
        return [_reading(self.names[one.estimator], one) for one in found if one.class_index is None]


def _reading(name: str, one: Estimate) -> Reading:
    can_be_flagged = one.ceiling is not None or one.undersampled is not None
    flagged = one.saturated or bool(one.undersampled) if can_be_flagged else None
    return Reading(name, one.quantity, one.kind, one.value, one.low, one.high, flagged, one.null_like)


def _kde(task: ChannelTask | LabelTask, noise_variance: float, generator: torch.Generator) -> Iterable[Estimate]:
    return kde_information(
        task.activations,
        task.labels,
        noise_variance=noise_variance,
        permutations=_PERMUTATIONS,
        generator=generator,
    ).estimates()


def _noisy(task: ChannelTask | LabelTask, noise_variance: float, generator: torch.Generator) -> Iterable[Estimate]:
    return noisy_information(
        task.activations,
        task.labels,
        noise_variance=noise_variance,
        permutations=_PERMUTATIONS,
        generator=generator,
    ).estimates()


def _binned(task: LabelTask, generator: torch.Generator, *, name: str) -> Iterable[Estimate]:
    result = binning_information(
        task.activations, task.labels, **_BINS[name], permutations=_PERMUTATIONS, generator=generator
    )
    plain = replace(result.label, undersampled=None)  # flagged only if saturated; the correction is for the others
    corrected = plain.value + result.label_correction
    return plain, replace(plain, estimator=_CORRECTED, value=corrected, null=None)


def _decoded(task: LabelTask, generator: torch.Generator, **settings: Any) -> Iterable[Estimate]:
    result = decoded_information(task.activations, task.labels, generator=generator, **settings)
    return (replace(result, ceiling=None),)  # a held-out bound is never saturated


def _ross(task: LabelTask, generator: torch.Generator, **settings: Any) -> Iterable[Estimate]:
    return ross_information(task.activations, task.labels, generator=generator, **settings).estimates()


_KDE_NAMES = {KDE_BD: "KDE (BD)", KDE_KL: "KDE (KL)", KDE_MIXED: "KDE mixed"}
_NOISY_NAMES = {NOISY: "noisy (SP-MC)"}
_NEURAL_NAMES = {"dv": "DV", "nwj": "NWJ", "info_nce": "InfoNCE", "smile": "SMILE", "flo": "FLO"}

CHANNEL_FITS: dict[str, Fit[ChannelTask]] = {
    "kde": Fit(
        names=_KDE_NAMES,
        estimates=lambda task, generator: _kde(task, task.noise_variance, generator),
        settings=f"noise variance of the task, {_PERMUTATIONS} permutations",
        version=2,
        seconds=lambda n, d: 2e-8 * n**2 * (1 + d / 1500),
    ),
    "noisy": Fit(
        names=_NOISY_NAMES,
        estimates=lambda task, generator: _noisy(task, task.noise_variance, generator),
        settings=f"noise variance of the task, {_PERMUTATIONS} permutations",
        version=2,
        seconds=lambda n, d: 2.5e-8 * n**2 * (1 + d / 280),
    ),
}
LABEL_FITS: dict[str, Fit[LabelTask]] = {
    "kde": Fit(
        names=_KDE_NAMES,
        estimates=lambda task, generator: _kde(task, _NOISE_VARIANCE, generator),
        settings=f"noise variance {_NOISE_VARIANCE}, {_PERMUTATIONS} permutations",
        version=2,
        seconds=lambda n, d: 2e-8 * n**2 * (1 + d / 1500),
    ),
    "noisy": Fit(
        names=_NOISY_NAMES,
        estimates=lambda task, generator: _noisy(task, _NOISE_VARIANCE, generator),
        settings=f"noise variance {_NOISE_VARIANCE}, {_PERMUTATIONS} permutations",
        version=2,
        seconds=lambda n, d: 2.5e-8 * n**2 * (1 + d / 280),
        most_features=600,  # beyond them it goes with KDE: both have long since memorised the labels
    ),
    **{
        fit: Fit(
            names={BINNING: name, _CORRECTED: f"{name}, corrected"},
            estimates=partial(_binned, name=name),
            settings=f"corrected: by the counts of cells; {_PERMUTATIONS} permutations",
            seconds=lambda n, d: 6e-6 * n * (1 + d / 100),
            most_features=100_000 if fit == "binning" else 600,  # beyond them every policy has memorised the labels
        )
        for fit, name in zip(("binning", "binning-equal", "binning-units", "binning-layer"), _BINS, strict=True)
    },
    "decoded": Fit(
        names={DECODED: "decoded, linear"},
        estimates=partial(_decoded, decoder="linear"),
        settings="linear, 5 folds",
        version=2,
        seconds=lambda n, d: 6e-5 * n * (1 + d / 700),
    ),
    "decoded-mlp": Fit(
        names={DECODED: "decoded, mlp"},
        estimates=partial(_decoded, decoder="mlp"),
        settings="mlp, 5 folds",
        version=2,
        seconds=lambda n, d: 4e-4 * n * (1 + d / 700),
    ),
    "ross": Fit(
        names={"ross": "Ross, decoder"},
        estimates=partial(_ross, reduction="decoder"),
        settings="10 neighbours, among outputs of decoders fitted on the other 4 of 5 folds",
        version=2,
        seconds=lambda n, d: 1.4e-4 * n * (1 + d / 1500),
    ),
    "ross-raw": Fit(
        names={"ross": "Ross, raw"},
        estimates=partial(_ross, reduction="none"),
        settings="10 neighbours",
        seconds=lambda n, d: 7e-8 * n**2 * (1 + d / 200),
        most_features=4096,
    ),
}
PAIR_FITS: dict[str, Fit[PairTask]] = {
    "ksg": Fit(
        names={KSG: "KSG"},
        estimates=lambda task, generator: ksg_information(task.x, task.y, generator=generator).estimates(),
        settings="3 neighbours",
        seconds=lambda n, d: 1.6e-7 * n**2 * (min(d, 10) / 10 + d / 100),
        most_features=2100,
    ),
    "mixed-ksg": Fit(
        names={"mixed-ksg": "mixed KSG"},
        estimates=lambda task, generator: mixed_ksg_information(task.x, task.y, generator=generator).estimates(),
        settings="5 neighbours",
        seconds=lambda n, d: 1.6e-7 * n**2 * (min(d, 10) / 10 + d / 100),
        most_features=4,  # beyond them it goes with KSG
    ),
    "copula": Fit(
        names={"copula": "Gaussian copula"},
        estimates=lambda task, _: copula_information(task.x, task.y).estimates(),
        settings="canonical correlations of normal scores",
        seconds=lambda n, d: 4e-7 * n * (1 + (d / 30) ** 2),
        most_features=1500,
    ),
    "cca": Fit(
        names={"cca": "shrunk CCA"},
        estimates=lambda task, generator: cca_information(task.x, task.y, generator=generator).estimates(),
        settings="normal scores, directions of the other 4 of 5 folds",
        seconds=lambda n, d: 2e-5 * n * (1 + (d / 80) ** 1.4),
        most_features=600,
    ),
    "neural": Fit(
        names={f"neural-{field}": f"neural, {name}" for field, name in _NEURAL_NAMES.items()},
        estimates=lambda task, generator: neural_information(task.x, task.y, generator=generator).estimates(),
        settings="critics with held-out samples, extrapolated from halves and quarters of the samples",
        seconds=lambda n, d: 0.003 * n * (1 + d / 500),
    ),
}
