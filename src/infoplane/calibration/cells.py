"""Cells of a calibration, one per estimator and task: which there are, what their numbers depend on, how to measure."""

import hashlib
import json
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from infoplane.calibration.estimator_cases import CHANNEL_FITS, LABEL_FITS, PAIR_FITS, Fit, Reading
from infoplane.data import as_floats, load_split
from infoplane.errors import UserError
from infoplane.estimators.tasks import (
    CHANNEL_TASKS,
    LABEL_TASKS,
    PAIR_TASKS,
    ChannelTask,
    LabelTask,
    NamedTask,
    PairTask,
    labelled_images,
    same_class_pairs,
    symmetric_channel_information,
)
from infoplane.randomness import seeded_generator
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, PAIR_INFORMATION


class Discipline(NamedTuple):
    """Tasks, the estimators that fit them, and the number of samples."""

    tasks: dict[str, NamedTask[Any]]
    fits: dict[str, Fit[Any]]
    samples: int
    quick_samples: int
    questions: dict[str, str]  # by quantity


@cache
def _digits() -> tuple[Tensor, Tensor]:
    split = load_split("digits", "train", image_size=8)
    return as_floats(split.images), split.labels


def _digit_labels(flip: float) -> NamedTask[LabelTask]:
    return NamedTask(
        name=f"digit-labels-8px-{flip:g}",
        information=symmetric_channel_information(flip, 10),
        draw=lambda samples, generator: labelled_images(samples, *_digits(), flip=flip, generator=generator),
        truth="ln K - H(e) - e ln(K-1)",
    )


def _digit_pairs(flip: float) -> NamedTask[PairTask]:
    return NamedTask(
        name=f"digit-pairs-8px-{flip:g}",
        information=symmetric_channel_information(flip, 10),
        draw=lambda samples, generator: same_class_pairs(
            samples, *_digits(), patches=1, flip=flip, generator=generator
        ),
        truth="ln K - H(e) - e ln(K-1)",
    )


DISCIPLINES = {
    "channel": Discipline(
        tasks=CHANNEL_TASKS,
        fits=CHANNEL_FITS,
        samples=2000,
        quick_samples=500,
        questions={INPUT_INFORMATION: "I(X;T) under noise", LABEL_INFORMATION: "I(T;Y) under noise"},
    ),
    "label": Discipline(
        tasks=LABEL_TASKS | {task.name: task for task in map(_digit_labels, (0.0, 0.2))},
        fits=LABEL_FITS,
        samples=5000,
        quick_samples=1000,
        questions={LABEL_INFORMATION: "I(T;Y)"},
    ),
    "pair": Discipline(
        tasks=PAIR_TASKS | {task.name: task for task in map(_digit_pairs, (0.0, 0.2))},
        fits=PAIR_FITS,
        samples=2000,
        quick_samples=500,
        questions={PAIR_INFORMATION: "I(X;Y)"},
    ),
}
_QUICK_TASKS = (
    *("two-points-2", "gaussian-channel-50-q0.1", "noisy-gaussians-10-a2"),
    *("gaussians-16-a2", "gaussians-512-a4", "noisy-labels-0.9"),
    *("normal-0.75", "normal-0.75-wiggly", "five-pairs-0.5", "discrete-5"),
)
_QUICK_LEFT_OUT = {"decoded-mlp", "binning-equal", "binning-units", "binning-layer"}


class Replicates(NamedTuple):
    """Number of draws: `many` if an interval is stated and a fit takes less than `limit` seconds, else `few`."""

    many: int
    few: int
    limit: float


_REPLICATES, _QUICK_REPLICATES = Replicates(50, 5, 2.0), Replicates(10, 2, 0.5)


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """Which estimators and tasks are calibrated; by default all."""

    seed: int = 0
    quick: bool = False
    estimators: tuple[str, ...] = ()  # names of fits
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One estimator on one task, the unit that is computed and kept."""

    discipline: str
    fit: str
    task: str
    samples: int
    features: int
    seed: int
    replicates: Replicates
    version: int  # of the fit: `Fit.version`
    fingerprint: str  # hash of what else the numbers depend on: the task's draws, library versions, the processor

    @property
    def file_name(self) -> str:
        task = re.sub(r"[^A-Za-z0-9.-]+", "-", self.task)
        return f"{self.discipline}--{self.fit}--{task}--{_hash(asdict(self))[:12]}.json"

    @property
    def expected_seconds(self) -> float:
        """Rough time for the whole cell."""
        seconds = DISCIPLINES[self.discipline].fits[self.fit].seconds(self.samples, self.features)
        return seconds * (self.replicates.many if seconds < self.replicates.limit else self.replicates.few)


class CellResult(NamedTuple):
    """The results of one cell, by replicate."""

    truths: dict[str, float | None]  # by quantity
    seconds: list[float]
    readings: list[list[Reading]]


def planned_cells(config: CalibrationConfig) -> list[Cell]:
    """Return the cells of a calibration, in the order of its table.

    Raises:
        UserError: an estimator or a task is unknown, or no estimator fits any task.
    """
    _check_names("estimator", config.estimators, [name for group in DISCIPLINES.values() for name in group.fits])
    _check_names("task", config.tasks, [name for group in DISCIPLINES.values() for name in group.tasks])
    cells, machine = [], environment()
    for discipline_name, discipline in DISCIPLINES.items():
        fits = {name: fit for name, fit in discipline.fits.items() if name in (config.estimators or _all_fits(config))}
        for task_name, task in discipline.tasks.items():
            if task_name not in (config.tasks or (_QUICK_TASKS if config.quick else discipline.tasks)):
                continue
            drawn = task.draw(20, seeded_generator("fingerprint"))
            features = _features(drawn)
            cells += [
                Cell(
                    discipline=discipline_name,
                    fit=name,
                    task=task_name,
                    samples=discipline.quick_samples if config.quick else discipline.samples,
                    features=features,
                    seed=config.seed,
                    replicates=_QUICK_REPLICATES if config.quick else _REPLICATES,
                    version=fit.version,
                    fingerprint=_hash([_draw_fingerprint(drawn), machine]),
                )
                for name, fit in fits.items()
                if features <= fit.most_features
            ]
    if not cells:
        raise UserError("none of these estimators fits any of these tasks; leave out --estimators or --tasks")
    return cells


def _all_fits(config: CalibrationConfig) -> set[str]:
    names = {name for discipline in DISCIPLINES.values() for name in discipline.fits}
    return names - _QUICK_LEFT_OUT if config.quick else names


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    known = list(dict.fromkeys(known))
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            suggestion = f", did you mean {close[0]!r}?" if close else ""
            raise UserError(f"unknown {what} {name!r}{suggestion}; {what}s are {', '.join(known)}")


def _features(task: Any) -> int:
    return int(task.x.shape[1] + task.y.shape[1] if isinstance(task, PairTask) else task.activations.shape[1])


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _draw_fingerprint(task: Any) -> str:
    """Hash a small draw of a task. The hash changes with the sampler, not with other code of its file."""
    return _hash([part.numpy().tobytes().hex() if isinstance(part, Tensor) else part for part in task])


def environment() -> dict[str, str]:
    """Return what numbers and seconds depend on besides settings and seed."""
    return {
        "infoplane": version("infoplane"),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
        "processor": _processor(),
    }


def _processor() -> str:
    facts = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linux systems
    found = re.search(r"^model name\s*:\s*(.+)$", facts.read_text(), re.MULTILINE) if facts.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def measure_cell(cell: Cell) -> CellResult:
    """Fit one estimator to fresh draws of one task. Every estimator gets the same draws."""
    discipline = DISCIPLINES[cell.discipline]
    task, fit = discipline.tasks[cell.task], discipline.fits[cell.fit]
    truths: dict[str, float | None] = {}
    seconds: list[float] = []
    readings: list[list[Reading]] = []
    while len(readings) < _wanted(cell.replicates, readings, seconds):
        replicate = len(readings)
        drawn = task.draw(cell.samples, seeded_generator(cell.seed, "calibration", cell.task, replicate))
        truths = _truths(drawn)
        generator = seeded_generator(cell.seed, "calibration", cell.task, replicate, cell.fit)
        began = time.process_time()
        readings.append(fit.readings(drawn, generator))
        seconds.append(time.process_time() - began)
    return CellResult(truths, seconds, readings)


def _wanted(rule: Replicates, readings: list[list[Reading]], seconds: list[float]) -> int:
    # The first fit of a process also loads libraries, so the faster of the first two fits is compared with the limit.
    if len(readings) < 2:
        return 2
    stated = any(reading.low is not None for reading in readings[0])
    return rule.many if stated and min(seconds[:2]) < rule.limit else rule.few


def _truths(task: Any) -> dict[str, float | None]:
    if isinstance(task, ChannelTask):
        return {INPUT_INFORMATION: task.information, LABEL_INFORMATION: task.label_information}
    return {PAIR_INFORMATION if isinstance(task, PairTask) else LABEL_INFORMATION: task.information}
