"""The estimators that are calibrated: from a task of known information to the numbers that each states."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import torch

from infoplane.estimators.binning import binning_information
from infoplane.estimators.bins import EqualBins, LayerQuantiles, UnitQuantiles
from infoplane.estimators.cca import cca_information
from infoplane.estimators.copula import copula_information
from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.influence import NORMAL_QUANTILE
from infoplane.estimators.kde import kde_information
from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information
from infoplane.estimators.neural import neural_information
from infoplane.estimators.noisy import noisy_information
from infoplane.estimators.nulls import null_like
from infoplane.estimators.ross import ross_information
from infoplane.estimators.tasks import ChannelTask, LabelTask, PairTask
from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.standing import saturated

PAIR_INFORMATION = "I(X;Y)"
LOWER, UPPER, ESTIMATE = "lower", "upper", "estimate"

_BINS: dict[str, dict[str, Any]] = {
    "bins of width 0.5": {"bin_width": 0.5},
    "30 bins of [-1, 1]": {"bins": EqualBins()},
    "30 quantiles of units": {"bins": UnitQuantiles()},
    "30 quantiles of layer": {"bins": LayerQuantiles()},
}
_NOISE_VARIANCE = 0.1  # that of the study, where a task leaves the noise to the estimator
_PERMUTATIONS = 20  # behind each null

Task = TypeVar("Task", ChannelTask, LabelTask, PairTask)


class Reading(NamedTuple):
    """One number that a fit states about a task, in nats."""

    estimator: str
    quantity: str
    kind: str  # what it is of the quantity: a LOWER or UPPER bound, or an ESTIMATE
    value: float
    low: float | None = None  # 95 % interval, where one is stated
    high: float | None = None
    flagged: bool | None = None  # above 0.95 of its ceiling or biased by its own account; None without either
    null_like: bool | None = None  # None where permuted labels are not tried


@dataclass(frozen=True, kw_only=True)
class Fit(Generic[Task]):
    """One computation on one draw of a task; it may state several numbers."""

    readings: Callable[[Task, torch.Generator], list[Reading]]
    estimator: Callable[..., Any]  # whose source decides the numbers
    settings: str  # what besides task and seed decides the numbers
    seconds: Callable[[int, int], float]  # rough, from samples and features: only order and time left rest on it
    most_features: int = 100_000  # beyond them it is too slow or not defined, or goes with another estimator


def _within(value: float, error: float) -> tuple[float, float]:
    return value - NORMAL_QUANTILE * error, value + NORMAL_QUANTILE * error


def _kde(task: ChannelTask | LabelTask, noise_variance: float, generator: torch.Generator) -> list[Reading]:
    result = kde_information(
        task.activations,
        task.labels,
        noise_variance=noise_variance,
        permutations=_PERMUTATIONS,
        generator=generator,
    )

    def reading(name: str, field: str, quantity: str, kind: str, ceiling: float | None) -> Reading:
        value, null = getattr(result, field), result.nulls.get(field)
        return Reading(
            name,
            quantity,
            kind,
            value,
            *_within(value, result.errors[field]),
            flagged=None if ceiling is None else saturated(value, ceiling),
            null_like=None if null is None else null_like(value, null),
        )

    return [
        reading("KDE Bhattacharyya", "input_lower", INPUT_INFORMATION, LOWER, result.input_ceiling),
        reading("KDE Kullback-Leibler", "input_upper", INPUT_INFORMATION, UPPER, result.input_ceiling),
        reading("KDE Bhattacharyya", "label_lower", LABEL_INFORMATION, ESTIMATE, result.label_ceiling),
        reading("KDE Kullback-Leibler", "label_upper", LABEL_INFORMATION, ESTIMATE, result.label_ceiling),
        reading("KDE mixed", "label_lower_bound", LABEL_INFORMATION, LOWER, None),
        reading("KDE mixed", "label_upper_bound", LABEL_INFORMATION, UPPER, None),
    ]


def _noisy(task: ChannelTask | LabelTask, noise_variance: float, generator: torch.Generator) -> list[Reading]:
    result = noisy_information(
        task.activations,
        task.labels,
        noise_variance=noise_variance,
        permutations=_PERMUTATIONS,
        generator=generator,
    )
    return [
        Reading(
            "noisy (SP-MC)",
            INPUT_INFORMATION,
            ESTIMATE,
            result.input,
            *_within(result.input, result.input_error),
            flagged=result.input_biased or saturated(result.input, result.input_ceiling),
        ),
        Reading(
            "noisy (SP-MC)",
            LABEL_INFORMATION,
            ESTIMATE,
            result.label,
            *_within(result.label, result.label_error),
            flagged=result.label_biased or saturated(result.label, result.label_ceiling),
            null_like=null_like(result.label, result.nulls["label"]),
        ),
    ]


def _binned(task: LabelTask, generator: torch.Generator, *, name: str) -> list[Reading]:
    result = binning_information(
        task.activations, task.labels, **_BINS[name], permutations=_PERMUTATIONS, generator=generator
    )
    null, readings = result.nulls["label"], []
    for suffix, value in (("", result.label), (", corrected", result.label + result.label_correction)):
        readings.append(
            Reading(
                f"{name}{suffix}",
                LABEL_INFORMATION,
                ESTIMATE,
                value,
                *_within(value, result.errors["label"]),
                flagged=saturated(value, result.label_ceiling),
                null_like=None if suffix else null_like(value, null),
            )
        )
    return readings


def _decoded(task: LabelTask, decoder: Literal["linear", "mlp"], generator: torch.Generator) -> list[Reading]:
    result = decoded_information(task.activations, task.labels, generator=generator, decoder=decoder)
    return [
        Reading(
            f"decoded, {decoder}",
            LABEL_INFORMATION,
            LOWER,
            result.label,
            result.lower,
            result.upper,
        )
    ]


def _ross(task: LabelTask, reduction: Literal["decoder", "none"], generator: torch.Generator) -> list[Reading]:
    result = ross_information(task.activations, task.labels, reduction=reduction, generator=generator)
    name = "Ross, decoder" if reduction == "decoder" else "Ross, raw"
    return [Reading(name, LABEL_INFORMATION, ESTIMATE, result.label, result.lower, result.upper)]


def _neighbours(task: PairTask, name: str, generator: torch.Generator) -> list[Reading]:
    estimate = ksg_information if name == "KSG" else mixed_ksg_information
    result = estimate(task.x, task.y, generator=generator)
    return [Reading(name, PAIR_INFORMATION, ESTIMATE, result.information, result.lower, result.upper)]


def _copula(task: PairTask, generator: torch.Generator) -> list[Reading]:
    del generator
    result = copula_information(task.x, task.y)
    return [Reading("Gaussian copula", PAIR_INFORMATION, ESTIMATE, result.information, result.lower, result.upper)]


def _cca(task: PairTask, generator: torch.Generator) -> list[Reading]:
    result = cca_information(task.x, task.y, generator=generator)
    return [Reading("shrunk CCA", PAIR_INFORMATION, ESTIMATE, result.information, result.lower, result.upper)]


def _neural(task: PairTask, generator: torch.Generator) -> list[Reading]:
    result = neural_information(task.x, task.y, generator=generator)
    return [
        Reading(
            f"neural, {name}",
            PAIR_INFORMATION,
            ESTIMATE,
            one.value,
            one.lower,
            one.upper,
            flagged=None if one.ceiling is None else saturated(one.held_out, one.ceiling),
        )
        for name, one in {
            "DV": result.dv,
            "NWJ": result.nwj,
            "InfoNCE": result.info_nce,
            "SMILE": result.smile,
            "FLO": result.flo,
        }.items()
    ]


CHANNEL_FITS: dict[str, Fit[ChannelTask]] = {
    "kde": Fit(
        readings=lambda task, generator: _kde(task, task.noise_variance, generator),
        estimator=kde_information,
        settings=f"noise variance of the task, {_PERMUTATIONS} permutations",
        seconds=lambda n, d: 2e-8 * n**2 * (1 + d / 1500),
    ),
    "noisy": Fit(
        readings=lambda task, generator: _noisy(task, task.noise_variance, generator),
        estimator=noisy_information,
        settings=f"noise variance of the task, {_PERMUTATIONS} permutations",
        seconds=lambda n, d: 2.5e-8 * n**2 * (1 + d / 280),
    ),
}
LABEL_FITS: dict[str, Fit[LabelTask]] = {
    "kde": Fit(
        readings=lambda task, generator: _kde(task, _NOISE_VARIANCE, generator),
        estimator=kde_information,
        settings=f"noise variance {_NOISE_VARIANCE}, {_PERMUTATIONS} permutations",
        seconds=lambda n, d: 2e-8 * n**2 * (1 + d / 1500),
    ),
    "noisy": Fit(
        readings=lambda task, generator: _noisy(task, _NOISE_VARIANCE, generator),
        estimator=noisy_information,
        settings=f"noise variance {_NOISE_VARIANCE}, {_PERMUTATIONS} permutations",
        seconds=lambda n, d: 2.5e-8 * n**2 * (1 + d / 280),
        most_features=600,  # beyond them it goes with KDE: both have long since memorised the labels
    ),
    **{
        fit: Fit(
            readings=partial(_binned, name=name),
            estimator=binning_information,
            settings=f"corrected: by the counts of cells; {_PERMUTATIONS} permutations",
            seconds=lambda n, d: 6e-6 * n * (1 + d / 100),
            most_features=100_000 if fit == "binning" else 600,  # beyond them every policy has memorised the labels
        )
        for fit, name in zip(("binning", "binning-equal", "binning-units", "binning-layer"), _BINS, strict=True)
    },
    "decoded": Fit(
        readings=lambda task, generator: _decoded(task, "linear", generator),
        estimator=decoded_information,
        settings="linear, 5 folds",
        seconds=lambda n, d: 6e-5 * n * (1 + d / 700),
    ),
    "decoded-mlp": Fit(
        readings=lambda task, generator: _decoded(task, "mlp", generator),
        estimator=decoded_information,
        settings="mlp, 5 folds",
        seconds=lambda n, d: 4e-4 * n * (1 + d / 700),
    ),
    "ross": Fit(
        readings=lambda task, generator: _ross(task, "decoder", generator),
        estimator=ross_information,
        settings="10 neighbours, among outputs of decoders fitted on the other 4 of 5 folds",
        seconds=lambda n, d: 1.4e-4 * n * (1 + d / 1500),
    ),
    "ross-raw": Fit(
        readings=lambda task, generator: _ross(task, "none", generator),
        estimator=ross_information,
        settings="10 neighbours",
        seconds=lambda n, d: 7e-8 * n**2 * (1 + d / 200),
        most_features=4096,
    ),
}
PAIR_FITS: dict[str, Fit[PairTask]] = {
    "ksg": Fit(
        readings=lambda task, generator: _neighbours(task, "KSG", generator),
        estimator=ksg_information,
        settings="3 neighbours",
        seconds=lambda n, d: 1.6e-7 * n**2 * (min(d, 10) / 10 + d / 100),
        most_features=2100,
    ),
    "mixed-ksg": Fit(
        readings=lambda task, generator: _neighbours(task, "mixed KSG", generator),
        estimator=mixed_ksg_information,
        settings="5 neighbours",
        seconds=lambda n, d: 1.6e-7 * n**2 * (min(d, 10) / 10 + d / 100),
        most_features=4,  # beyond them it goes with KSG
    ),
    "copula": Fit(
        readings=_copula,
        estimator=copula_information,
        settings="canonical correlations of normal scores",
        seconds=lambda n, d: 4e-7 * n * (1 + (d / 30) ** 2),
        most_features=1500,
    ),
    "cca": Fit(
        readings=_cca,
        estimator=cca_information,
        settings="normal scores, directions of the other 4 of 5 folds",
        seconds=lambda n, d: 2e-5 * n * (1 + (d / 80) ** 1.4),
        most_features=600,
    ),
    "neural": Fit(
        readings=_neural,
        estimator=neural_information,
        settings="critics with held-out samples, extrapolated from halves and quarters of the samples",
        seconds=lambda n, d: 0.003 * n * (1 + d / 500),
    ),
}
