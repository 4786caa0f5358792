"""Run folder: settings, records, checkpoints and a log, each file written whole or not at all."""

import contextlib
import fcntl
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from torch import Tensor

from infoplane.config import flat_settings
from infoplane.errors import UserError
from infoplane.runs.config_file import check_version, config_content, config_of
from infoplane.runs.manifest import Manifest
from infoplane.runs.names import TABLES
from infoplane.runs.parquet import GEOMETRY, MEASUREMENTS, PERFORMANCE, Kind, table_content, table_of
from infoplane.runs.tensor_file import facts_alone, packed, unpacked
from infoplane.runs.whole_files import IN_USE, LOCK, append_whole, clear_leftovers, make_folder, open_regular

_KINDS = dict(zip(TABLES, (MEASUREMENTS, GEOMETRY, PERFORMANCE), strict=True))
_CELLS, _SWEEPS = "cells", "records.parquet"  # of a calibration, and of study three
NETWORKS = "networks"  # folder of a compression study: two tables per network
ATTACKED = "attacked"  # folder of an evaluation: a file per network and attack
_AGAIN = "delete it and continue the run"
CALIBRATION = "calibration"

Content = TypeVar("Content")


class RunFolder:
    """One run on disk.

    - `config.json`: settings and environment.
    - `measurements/`, `geometry/`, `performance/`: one Parquet file per seed, training and epoch (and distortion).
    - `examples/`: a few images for figures.
    - `checkpoints/`: weights with optimiser and method state.
    - `images.safetensors`: the measured images, of runs that `InformationPlane.save` wrote.
    - `log.jsonl`: events with their times.
    - `manifest.sha256`: the checksums of all these files except the log. A file whose checksum differs is refused
      before its content is used.

    Args:
        path: path of the folder.
        option: the command-line option that names the folder, for messages.
    """

    def __init__(self, path: Path | str, *, option: str = "--run") -> None:
        self.path, self._option = Path(path), option
        self._manifest = Manifest(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    # settings

    @property
    def config_path(self) -> Path:
        """The file with the settings and the environment."""
        return self.path / "config.json"

    def exists(self) -> bool:
        """Return whether the folder holds a run."""
        return self.config_path.is_file()

    def read_config(self) -> dict[str, Any]:
        """Return `config.json`: {"schema", "study", "settings", "environment"}.

        Raises:
            UserError: there is no run here, another version wrote it, or infoplane did not write the file.
        """
        try:
            if not self._manifest.path.exists():
                self._check_older()
            content = self._manifest.read(self.config_path, "start a new run")
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{self.path} is no run folder: it holds no config.json; name the folder that a study wrote"
            ) from None
        return config_of(content, self.config_path)

    def _check_older(self) -> None:
        """Raise UserError if the run was written by a version that had no manifest."""
        with contextlib.suppress(OSError, ValueError, RecursionError):
            check_version(json.loads(self.config_path.read_bytes()), self.config_path)

    def study(self) -> str | None:
        """Return the name of the study that the folder holds, or None.

        Raises:
            UserError: `config.json` is damaged.
        """
        if self.exists():
            return str(self.read_config()["study"])
        return CALIBRATION if (self.path / _CELLS).is_dir() else None

    def check_holds_no_other(self, study: str) -> None:
        """Raise UserError if the folder holds anything else than `study`.

        Raises:
            UserError: it holds another study, or results without a `config.json`.
        """
        held = self.study()
        if held not in (study, None):
            raise UserError(f"{self.path} holds the study {held!r}; choose another folder with {self._option}")
        if held is None and self.has_results():
            raise UserError(
                f"{self.path} holds results but no config.json, which names their study; restore it, or choose another "
                f"folder with {self._option}"
            )

    def begin(
        self,
        study: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, Any],
        *,
        may_grow: Collection[str] = (),
        defaults: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Start a run, or continue the one in the folder; return the environment that the run began with.

        If the run has no results yet, its settings are replaced: its first attempt failed.

        Args:
            study: name of the study.
            settings: all of them; nested ones are compared by names with dots.
            environment: that of this process.
            may_grow: numeric settings that a continued run may raise; 1 if the run's file does not name them.
            defaults: values of other settings that the run's file does not name, since they were added later.

        Raises:
            UserError: the folder holds another study or a run with other settings; the message names the first
                setting that differs.
        """
        self.check_holds_no_other(study)
        asked: dict[str, Any] = json.loads(json.dumps(settings))  # tuples become lists, as in the file
        config = self.read_config() if self.exists() else None
        if config is None or not self.has_results():
            self._make_folder()
            self.write_config(study, asked, environment)
            return dict(environment)
        usual = flat_settings(json.loads(json.dumps(defaults or {})))
        before, now = {**usual, **dict.fromkeys(may_grow, 1), **flat_settings(config["settings"])}, flat_settings(asked)
        grown = [name for name in may_grow if name in now and now[name] > before[name]]
        names = {**now, **before}  # both ways: a setting that is no longer there differs too
        for name in sorted(names, key=lambda name: name in may_grow):  # last: the user may have left them out
            if before.get(name) != now.get(name) and name not in grown:
                raise UserError(
                    f"{self.path} holds a run with {name} = {before.get(name)!r}, but this one asks for "
                    f"{now.get(name)!r}; continue it with its own settings, or choose another folder with "
                    f"{self._option}"
                )
        if grown:
            self.write_config(study, asked, config["environment"])
        kept: dict[str, Any] = config["environment"]
        return kept

    def keep(self, **facts: Any) -> None:
        """Add facts to the environment in `config.json`, e.g. the result of a timing on this machine."""
        config = self.read_config()
        self.write_config(config["study"], config["settings"], {**config["environment"], **facts})

    def write_config(self, study: str, settings: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write `config.json`, in place of an earlier one."""
        self._manifest.write(self.config_path, config_content(study, settings, environment))

    def _make_folder(self) -> None:
        try:
            make_folder(self.path, f"choose another with {self._option}")
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be a folder ({error.strerror}); choose another with {self._option}"
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process, so that two runs never write into it at once.

        A new folder that is still empty at the end, since the work failed before its first file, is removed. So is one
        that holds only settings, if the work was refused (UserError).

        Raises:
            UserError: another process has locked it, or it cannot be written to.
        """
        new = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._make_folder()
        with contextlib.ExitStack() as held:
            try:
                file = held.enter_context(open_regular(self.path / LOCK))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path} {IN_USE}; wait for it or choose another folder") from None
            except OSError as error:
                linked = (self.path / LOCK).is_symlink()
                why = "its .lock is a symbolic link" if linked else error.strerror
                raise UserError(
                    f"{self.path} cannot be written to ({why}); choose another folder with {self._option}"
                ) from None
            clear_leftovers(self.path)
            try:
                yield  # the system releases the lock when the process ends, also when it is killed
            except UserError:
                if new:
                    self._remove_settings_alone()
                raise
            finally:
                if new and [path.name for path in self.path.iterdir()] == [LOCK]:
                    (self.path / LOCK).unlink()
                    with contextlib.suppress(OSError):  # another process has put something there
                        for folder in new:
                            folder.rmdir()

    def _remove_settings_alone(self) -> None:
        """Remove the settings and their manifest, if the folder holds nothing else."""
        if {path.name for path in self.path.iterdir()} == {LOCK, self.config_path.name, self._manifest.path.name}:
            self.config_path.unlink()
            self._manifest.path.unlink()

    def has_results(self) -> bool:
        """Return whether the folder holds results; until then, the settings may be replaced."""
        folders = [self.path / folder for folder in (*TABLES, "checkpoints", _CELLS, ATTACKED, NETWORKS)]
        return (self.path / _SWEEPS).is_file() or any(folder.is_dir() and any(folder.iterdir()) for folder in folders)

    # records

    def _table_path(self, folder: str, study: str, seed: int, training: str, epoch: int, part: str = "") -> Path:
        suffix = f"-{part}" if part else ""
        return self.path / folder / f"{study}-s{seed}-{training}-e{epoch:04d}{suffix}.parquet"

    def has_records(self, study: str, seed: int, training: str, epoch: int) -> bool:
        """Return whether the folder holds all tables of this epoch."""
        return all(self._table_path(folder, study, seed, training, epoch).is_file() for folder in TABLES)

    def write_records(
        self,
        study: str,
        seed: int,
        training: str,
        epoch: int,
        part: str = "",
        *,
        measurements: pl.DataFrame,
        geometry: pl.DataFrame,
        performance: pl.DataFrame,
    ) -> None:
        """Write the tables of one epoch, or of a part of it, e.g. a distortion, which has its own files."""
        tables = {"measurements": measurements, "geometry": geometry, "performance": performance}
        for folder, table in tables.items():
            self.write_table(self._table_path(folder, study, seed, training, epoch, part), table)

    def delete_records(self, study: str, seed: int, training: str, epoch: int, part: str = "") -> None:
        """Delete the tables of one epoch, or of a part of it, if they are there."""
        for folder in TABLES:
            self._table_path(folder, study, seed, training, epoch, part).unlink(missing_ok=True)

    def read_records(self, study: str, seed: int, training: str, epoch: int, part: str = "") -> dict[str, pl.DataFrame]:
        """Return the tables that `write_records` wrote, by name. A table that does not exist is empty.

        Raises:
            UserError: a table is damaged.
        """
        return {
            folder: self.read_table(path, kind) if path.is_file() else pl.DataFrame(schema=kind.schema)
            for folder, kind in _KINDS.items()
            for path in [self._table_path(folder, study, seed, training, epoch, part)]
        }

    def measurements(self) -> pl.DataFrame:
        """All measurements of the run, columns as in `records.MEASUREMENT_SCHEMA`."""
        return self._read_tables("measurements")

    def geometry(self) -> pl.DataFrame:
        """The geometry of all layers of the run, columns as in `records.GEOMETRY_SCHEMA`."""
        return self._read_tables("geometry")

    def performance(self) -> pl.DataFrame:
        """All performance records of the run, columns as in `records.PERFORMANCE_SCHEMA`."""
        return self._read_tables("performance")

    def _read_tables(self, folder: str) -> pl.DataFrame:
        kind = _KINDS[folder]
        tables = [self.read_table(path, kind) for path in sorted((self.path / folder).glob("*.parquet"))]
        return pl.concat(tables) if tables else pl.DataFrame(schema=kind.schema)

    # files of any name

    def write_table(self, path: Path, table: pl.DataFrame) -> None:
        """Write a table to a file below the folder, whole or not at all."""
        self._manifest.write(path, table_content(table))

    def read_table(self, path: Path, kind: Kind, remedy: str = _AGAIN) -> pl.DataFrame:
        """Return the table in a file below the folder, columns as in `kind.schema`.

        Args:
            path: path of the file.
            kind: kind of the table.
            remedy: advice for a damaged file that cannot be restored.

        Raises:
            UserError: the file was changed, or another version wrote it.
        """
        return table_of(self._manifest.read(path, remedy), kind, path)

    def write_file(self, path: Path, content: bytes) -> None:
        """Write a file below the folder, whole or not at all."""
        self._manifest.write(path, content)

    def read_file(self, path: Path, remedy: str) -> bytes:
        """Return the content of a file below the folder.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: the file was changed.
        """
        return self._manifest.read(path, remedy)

    def list_files(self, paths: Iterable[Path]) -> None:
        """Add files that were just made from the records, e.g. figures, to the manifest."""
        self._manifest.add(paths)

    # example images

    def _examples_path(self, study: str, seed: int, training: str, part: str) -> Path:
        return self.path / "examples" / f"{study}-s{seed}-{training}-{part}.safetensors"

    def write_examples(
        self, study: str, seed: int, training: str, part: str, images: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Keep a few images for figures, by name, with JSON facts about them."""
        self._manifest.write(self._examples_path(study, seed, training, part), packed(images, facts))

    def read_examples(
        self, study: str, seed: int, training: str, part: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_examples` wrote, or None if there is no such file.

        Raises:
            UserError: the file is damaged.
        """
        path = self._examples_path(study, seed, training, part)
        if not path.is_file():
            return None
        return _opened(path, self._manifest.read(path, f"delete it and run infoplane {study} again"), unpacked)

    # checkpoints

    def _checkpoint_path(self, seed: int, training: str, epoch: int) -> Path:
        return self.path / "checkpoints" / f"s{seed}-{training}-e{epoch:04d}.safetensors"

    def checkpoint_epochs(self, seed: int, training: str) -> list[int]:
        """Return the epochs with a checkpoint of this training, ascending."""
        # Not a glob: "free-*" would also match the checkpoints of a training "free-ema".
        pattern = re.compile(rf"s{seed}-{re.escape(training)}-e(\d+)\.safetensors")
        matches = (pattern.fullmatch(path.name) for path in (self.path / "checkpoints").glob("*.safetensors"))
        return sorted(int(match[1]) for match in matches if match)

    def checkpoint_seeds(self) -> list[int]:
        """Return the training seeds with a checkpoint here, ascending."""
        matches = (re.match(r"s(\d+)-", path.name) for path in (self.path / "checkpoints").glob("*.safetensors"))
        return sorted({int(match[1]) for match in matches if match})

    def write_checkpoint(
        self, seed: int, training: str, epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Write tensors and JSON facts of one epoch."""
        self._manifest.write(self._checkpoint_path(seed, training, epoch), packed(tensors, facts))

    def write_best_checkpoint(
        self, seed: int, training: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Write tensors and JSON facts of the best epoch so far on held-out images, in place of an earlier one."""
        self._manifest.write(self._best_path(seed, training), packed(tensors, facts))

    def _best_path(self, seed: int, training: str) -> Path:
        return self.path / "checkpoints" / f"s{seed}-{training}-best.safetensors"

    def has_best_checkpoint(self, seed: int, training: str) -> bool:
        """Return whether held-out images have chosen a best epoch of this training."""
        return self._best_path(seed, training).is_file()

    def read_best_checkpoint(self, seed: int, training: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return what `write_best_checkpoint` wrote. Nothing is unpickled.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._opened_checkpoint(self._best_path(seed, training), unpacked)

    def read_checkpoint(self, seed: int, training: str, epoch: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors, on the CPU, and the facts of one checkpoint. Nothing is unpickled.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._opened_checkpoint(self._checkpoint_path(seed, training, epoch), unpacked)

    def check_checkpoint(self, seed: int, training: str, epoch: int) -> None:
        """Compare a checkpoint with its checksum, so that a damaged file is found early.

        Raises:
            UserError: the file is missing or damaged.
        """
        self._opened_checkpoint(self._checkpoint_path(seed, training, epoch), facts_alone)

    def _opened_checkpoint(self, path: Path, read: Callable[[bytes], Content]) -> Content:
        try:
            return _opened(path, self._manifest.read(path, _AGAIN), read)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; restore it, or start a new run with --run") from None

    def prune_checkpoints(self, seed: int, training: str, keep: set[int]) -> None:
        """Delete the checkpoints of this training whose epoch is not in `keep`."""
        for epoch in self.checkpoint_epochs(seed, training):
            if epoch not in keep:
                self._checkpoint_path(seed, training, epoch).unlink()

    # log

    def log(self, event: str, **facts: Any) -> None:
        """Append one line to `log.jsonl`."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}) + "\n"
        append_whole(self.path / "log.jsonl", line.encode(), durable=False)


def _opened(path: Path, content: bytes, read: Callable[[bytes], Content]) -> Content:
    try:
        return read(content)
    except Exception as error:  # noqa: BLE001 - safetensors raises its own and plain exceptions alike
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not what infoplane writes ({reason}); restore it, or start a new run") from None
