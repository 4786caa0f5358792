"""Run a calibration: measure all estimators on distributions of known information, and make one table."""

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from infoplane.calibration.cells import DISCIPLINES, CalibrationConfig, Cell, CellResult, measure_cell, planned_cells
from infoplane.calibration.estimator_cases import Reading
from infoplane.calibration.workers import worker_processes
from infoplane.errors import UserError
from infoplane.estimators.influence import NORMAL_QUANTILE
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import LOWER, UPPER, table_schema
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRow:
    """One estimator on one task, summarised over all replicates."""

    question: str
    task: str
    truth_nats: float
    truth_source: str
    samples: int
    features: int  # of a pair, of both together
    estimator: str
    kind: str  # "lower", "upper", "estimate"
    fit: str
    settings: str
    replicates: int
    mean_error_nats: float  # of value - truth
    spread_nats: float  # standard deviation over the replicates
    stated_error_nats: float | None  # half a 95 % interval over 1.96: mean
    intervals_holding: int | None  # see `holds`
    flagged: int | None  # replicates that are saturated or undersampled
    null_like: int | None  # replicates that permuted labels reach
    seconds: float  # processor time of a fit on one thread: median
    values_nats: Sequence[float]
    lows_nats: Sequence[float] | None
    highs_nats: Sequence[float] | None


CALIBRATION_SCHEMA = table_schema(CalibrationRow)


def calibration(
    config: CalibrationConfig, folder: Path, *, jobs: int | None = None, progress: Progress | None = None
) -> pl.DataFrame:
    """Measure all cells that `folder` does not hold yet, and keep each as soon as it is done.

    Args:
        config: which cells.
        folder: finished cells are kept in `folder/cells`, one file each.
        jobs: worker processes of one thread each, by default one per core; the numbers do not depend on it.
        progress: receives the progress.

    Returns:
        One row per number that an estimator states about a task, columns as in `CALIBRATION_SCHEMA`.

    Raises:
        UserError: a name is unknown, a file of the folder is damaged, or a worker process died.
    """
    progress = progress or Silence()
    cells = planned_cells(config)
    paths = {cell: folder / "cells" / cell.file_name for cell in cells}
    missing = sorted((cell for cell in cells if not paths[cell].is_file()), key=lambda cell: -cell.expected_seconds)
    if len(missing) < len(cells):
        progress.say(f"{len(cells) - len(missing)} of {len(cells)} cells are here already")
    progress.begin(sum(cell.expected_seconds for cell in missing))
    kept = RunFolder(folder, option="--output")
    if missing:
        _measure(missing, kept, paths, min(jobs or os.cpu_count() or 1, len(missing)), progress)
    return pl.DataFrame(
        [asdict(row) for cell in cells for row in _rows(cell, _read(kept, paths[cell]))], schema=CALIBRATION_SCHEMA
    )


def _measure(cells: Iterable[Cell], kept: RunFolder, paths: dict[Cell, Path], jobs: int, progress: Progress) -> None:
    try:
        with worker_processes(jobs) as workers:
            futures = {workers.submit(measure_cell, cell): cell for cell in cells}
            progress.doing(f"{len(futures)} cells in {jobs} processes")
            for future in as_completed(futures):
                cell, result = futures[future], future.result()
                kept.write_file(paths[cell], json.dumps(result._asdict()).encode())
                progress.advance(cell.expected_seconds)
                progress.say(
                    f"{cell.fit} on {cell.task}: {len(result.seconds)} fits, "
                    f"{statistics.median(result.seconds):.2g} s each"
                )
    except BrokenProcessPool:
        raise UserError(
            "a worker process was ended from outside, perhaps for lack of memory; finished cells are kept: repeat "
            "the command with fewer --jobs"
        ) from None


def _read(kept: RunFolder, path: Path) -> CellResult:
    content = kept.read_file(path, "delete it and repeat the command")
    try:
        found = json.loads(content)
        readings = [[Reading(*reading) for reading in replicate] for replicate in found["readings"]]
        return CellResult(found["truths"], found["seconds"], readings)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and repeat the command") from None


def _rows(cell: Cell, result: CellResult) -> list[CalibrationRow]:
    discipline = DISCIPLINES[cell.discipline]
    rows = []
    for number, reading in enumerate(result.readings[0]):
        truth = result.truths.get(reading.quantity)
        if truth is None:
            continue
        readings = [replicate[number] for replicate in result.readings]
        rows.append(
            CalibrationRow(
                question=discipline.questions[reading.quantity],
                task=cell.task,
                truth_nats=truth,
                truth_source=discipline.tasks[cell.task].truth,
                samples=cell.samples,
                features=cell.features,
                estimator=reading.estimator,
                kind=reading.kind,
                fit=cell.fit,
                settings=discipline.fits[cell.fit].settings,
                replicates=len(readings),
                seconds=statistics.median(result.seconds),
                **summary(readings, truth),
            )
        )
    return rows


def summary(readings: Sequence[Reading], truth: float) -> dict[str, Any]:
    """Summarise the numbers of an estimator, one per draw of a task."""
    values = torch.tensor([reading.value for reading in readings], dtype=torch.double)  # may be infinite
    intervals = [(one.low, one.high) for one in readings if one.low is not None and one.high is not None]
    widths = torch.tensor([high - low for low, high in intervals], dtype=torch.double)
    flagged = [reading.flagged for reading in readings if reading.flagged is not None]
    null_like = [reading.null_like for reading in readings if reading.null_like is not None]
    held = sum(holds(readings[0].kind, low, high, truth) for low, high in intervals)
    return {
        "mean_error_nats": values.mean().item() - truth,
        "spread_nats": values.std().item(),
        "stated_error_nats": widths.mean().item() / (2 * NORMAL_QUANTILE) if intervals else None,
        "intervals_holding": held if intervals else None,
        "flagged": sum(flagged) if flagged else None,
        "null_like": sum(null_like) if null_like else None,
        "values_nats": values.tolist(),
        "lows_nats": [low for low, _ in intervals] or None,
        "highs_nats": [high for _, high in intervals] or None,
    }


def holds(kind: str, low: float, high: float, truth: float) -> bool:
    """Return whether a 95 % interval agrees with the truth. For a bound, only its own side is compared."""
    return (kind == UPPER or low <= truth) and (kind == LOWER or truth <= high)
