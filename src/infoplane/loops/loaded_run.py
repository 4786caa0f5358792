"""Load a run folder: its tables, settings and path."""

from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

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
