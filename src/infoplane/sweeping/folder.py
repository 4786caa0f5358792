"""Folder of a sweep: its grid, and a run folder, a state and a log for each point."""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.runs.names import REGISTERED, TABLES
from infoplane.runs.whole_files import clear_leftovers, make_folder, open_regular, write_whole
from infoplane.sweeping.grid import Grid, Point, check_each_once, check_extends, points_of
from infoplane.sweeping.state import State, read_state, write_state

_NAME = "sweep.json"
_SCHEMA = 1


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    grid: Grid
    points: list[Point]


class SweepFolder:
    """One sweep on disk.

    - `sweep.json`: the grid and the names of all points.
    - `runs/NAME`: the run folder of each point, which every command takes as the folder of a run.
    - `states/NAME.json`: whether a point runs, is done or has failed.
    - `logs/NAME.txt`: what its process printed.

    Args:
        path: path of the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def file(self) -> Path:
        """The file with the grid and all points."""
        return self.path / _NAME

    def exists(self) -> bool:
        """Return whether the folder holds a sweep."""
        return self.file.is_file()

    def run_path(self, name: str) -> Path:
        """Return the run folder of a point."""
        return self.path / "runs" / name

    def log_path(self, name: str) -> Path:
        """Return the file with the output of the process of a point."""
        return self.path / "logs" / f"{name}.txt"

    def state_path(self, name: str) -> Path:
        """Return the file with the state of a point."""
        return self.path / "states" / f"{name}.json"

    def read(self) -> tuple[Grid, list[Point]]:
        """Return the grid and all points.

        Raises:
            UserError: there is no sweep, its file is damaged, or a later version wrote it.
        """
        try:
            content = json.loads(self.file.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{self.path} is no sweep: it holds no {_NAME}; name the folder of infoplane sweep"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.file} cannot be read ({error}); restore it, or begin another sweep") from None
        if isinstance(content, dict) and content.get("schema_version") != _SCHEMA:
            raise UserError(
                f"{self.file} has the schema {content.get('schema_version')!r}, and this version reads {_SCHEMA}: use "
                "the version that wrote it"
            )
        try:
            found = _Content.model_validate(content)
        except ValidationError as error:
            refusal = error.errors()[0]
            where = ".".join(map(str, refusal["loc"])) or "all of it"
            raise UserError(
                f"{self.file} is damaged ({where} {broken_rule(refusal)}); restore it, or begin another sweep"
            ) from None
        return found.grid, found.points

    def planned(self, grid: Grid) -> list[Point]:
        """Return the points of `grid`, with the names that the folder has for them already.

        Raises:
            UserError: a value stands twice, the folder holds a sweep with other values, or a run.
        """
        check_each_once(grid)
        if not self.exists():
            if (self.path / "config.json").exists():
                raise UserError(f"{self.path} holds a run; choose another folder for the sweep")
            if (self.path / REGISTERED).exists():
                raise UserError(
                    f"{self.path} holds registered claims, which are of one run: use infoplane flow with --seeds, or "
                    "choose another folder for the sweep"
                )
            return points_of(grid)
        old, known = self.read()
        check_extends(grid, old, self.path)
        return points_of(grid, known)

    def begin(self, grid: Grid) -> list[Point]:
        """Write the grid and its points into the folder, and return the points.

        Raises:
            UserError: as `planned`, or the folder cannot be made.
        """
        make_folder(self.path)
        with self._locked():
            points = self.planned(grid)
            content = _Content(grid=grid, points=points).model_dump_json(indent=2) + "\n"
            if not self.exists() or self.file.read_text() != content:
                write_whole(self.file, content.encode())
        return points

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let two commands that add points at the same time add them one after the other."""
        with open_regular(self.path / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            clear_leftovers(self.path)
            yield

    def state(self, name: str) -> State:
        """Return the state of a point."""
        return read_state(self.state_path(name))

    def write_state(self, name: str, state: State) -> None:
        """Write the state of a point."""
        write_state(self.state_path(name), state)

    def is_done(self, name: str) -> bool:
        """Return whether a point is done, and its records are still there."""
        state = self.state(name)
        return state.status == "done" and self.tables(name) >= max(state.tables, 1)

    def tables(self, name: str) -> int:
        """Return the number of tables in the run folder of a point."""
        return sum(len(list((self.run_path(name) / table).glob("*.parquet"))) for table in TABLES)
