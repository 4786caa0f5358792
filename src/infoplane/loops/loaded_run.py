"""Load a run folder: its tables, settings and path."""

from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.loops.notebook_table import tables_html
from infoplane.report.bits import trainings_of
from infoplane.report.subject import Subject, subject_of
from infoplane.runs.folder import RunFolder


class LoadedRun:
    """A run that `load_run` has found. Tables are read when they are first used.

    Args:
        run: its folder.

    Raises:
        UserError: the folder holds no run, another version wrote it, or a file is damaged.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._config = run.read_config()

    def __repr__(self) -> str:
        title, model, data, _ = self._subject()
        trainings = trainings_of(self.measurements, self.performance)
        names = ", ".join(dict.fromkeys(training for _, training in trainings)) or "none"
        seeds = ", ".join(map(str, dict.fromkeys(seed for seed, _ in trainings))) or "none"
        epochs = self.performance["epoch"].unique().sort().to_list()
        spread = f"{epochs[0]} to {epochs[-1]} ({len(epochs)} measured)" if epochs else "none"
        return (
            f"LoadedRun({str(self.path)!r}: {title}\n"
            f"    model {model}, data {data}, trainings {names}, seeds {seeds}, epochs {spread}\n"
            f"    measurements {self.measurements.shape}, performance {self.performance.shape}, "
            f"geometry {self.geometry.shape})"
        )

    def _repr_html_(self) -> str:
        return tables_html(f"{self._subject().title} ({self.path})", self.measurements, self.performance)

    def _subject(self) -> Subject:
        return subject_of(self._config, self.path.name)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._run.path

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.json`: "schema", "study", "settings" and "environment"."""
        return self._config

    @cached_property
    def measurements(self) -> pl.DataFrame:
        """All measurements of information, one row each (`records.MEASUREMENT_SCHEMA`)."""
        return self._run.measurements()

    @cached_property
    def geometry(self) -> pl.DataFrame:
        """Geometry of the layers' outputs, one row per measured layer (`records.GEOMETRY_SCHEMA`)."""
        return self._run.geometry()

    @cached_property
    def performance(self) -> pl.DataFrame:
        """Accuracy and loss (`records.PERFORMANCE_SCHEMA`)."""
        return self._run.performance()


def load_run(path: Path | str) -> LoadedRun:
    """Return the tables and settings of a run folder, for notebooks and scripts. No code of the run is imported.

    `infoplane.flat(run.measurements).to_pandas()` is a table for pandas.

    Args:
        path: of the folder, which `infoplane flow`, `infoplane demo`, `infoplane measure` or `InformationPlane.save`
            wrote.

    Raises:
        UserError: the folder holds no run, another version wrote it, or a file is damaged. A table that is damaged
            raises when it is first used.
    """
    return LoadedRun(RunFolder(path, option="another path"))
