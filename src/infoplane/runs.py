"""The run folder: settings, records, checkpoints and a log, each file written whole or not at all."""

import contextlib
import fcntl
import io
import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from infoplane.errors import UserError, broken_rule
from infoplane.packing import facts_alone, packed, unpacked
from infoplane.records import GEOMETRY_SCHEMA, MEASUREMENT_SCHEMA, PERFORMANCE_SCHEMA

_TABLES = {"measurements": MEASUREMENT_SCHEMA, "geometry": GEOMETRY_SCHEMA, "performance": PERFORMANCE_SCHEMA}
_CELLS, _SWEEPS = "cells", "records.parquet"  # of a calibration, and of study three
CALIBRATION = "calibration"

Content = TypeVar("Content")


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a crash, never meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:  # a full disk does not say which file it was about
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


class _Environment(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Field(ge=1)] | None = None
    keep_checkpoints: bool = False


class _Config(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    study: str
    settings: dict[str, Any]
    environment: _Environment


class RunFolder:
    """One run on disk.

    `config.json` holds settings and environment, `measurements/`, `geometry/` and `performance/` one Parquet file per
    seed, training and epoch (and distortion), `examples/` a few images for figures, `checkpoints/` weights with
    optimiser and method state, `log.jsonl` what happened when.

    Args:
        path: of the folder.
        option: by which a user chooses it, for messages.
    """

    def __init__(self, path: Path | str, *, option: str = "--run") -> None:
        self.path, self._option = Path(path), option

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __fspath__(self) -> str:
        return str(self.path)

    # settings

    @property
    def config_path(self) -> Path:
        return self.path / "config.json"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.config_path.is_file()

    def read_config(self) -> dict[str, Any]:
        """Return `config.json`: {"study", "settings", "environment"}.

        Raises:
            UserError: there is no run here, or the file is not what a run writes.
        """
        try:
            config: dict[str, Any] = json.loads(self.config_path.read_text())
            _Config.model_validate(config)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{self.path} is no run folder: it holds no config.json; name the folder that a study wrote"
            ) from None
        except OSError as error:
            raise UserError(f"{self.config_path} cannot be read ({error.strerror})") from None
        except ValidationError as error:
            refusal = error.errors()[0]
            where = ".".join(map(str, refusal["loc"])) or "all of it"
            raise UserError(
                f"{self.config_path} is damaged ({where} {broken_rule(refusal)}); restore it or start a new run"
            ) from None
        except ValueError as error:
            raise UserError(f"{self.config_path} is not valid JSON ({error}); restore it or start a new run") from None
        return config

    def study(self) -> str | None:
        """Return the name of the study that the folder holds, or None.

        Raises:
            UserError: `config.json` is damaged.
        """
        if self.exists():
            return str(self.read_config()["study"])
        return CALIBRATION if (self.path / _CELLS).is_dir() else None

    def check_holds_no_other(self, study: str) -> None:
        """Refuse a folder that something else than `study` was written to.

        Raises:
            UserError: it holds another study, or results of which nothing says what they are.
        """
        held = self.study()
        if held not in (study, None):
            raise UserError(f"{self.path} holds the study {held!r}; choose another folder with {self._option}")
        if held is None and self.has_results():
            raise UserError(
                f"{self.path} holds results but no config.json, which says of what; restore it, or choose another "
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
        """Start the run, or continue the one that is here; returns the environment that the run keeps.

        Settings of a run that never computed anything are replaced: they did not work out.

        Args:
            study: name of the study.
            settings: all of them; nested ones are named with dots.
            environment: of this process.
            may_grow: numbers among the settings that a continued run may raise; one that the run does not name is 1.
            defaults: what other settings are that the run does not name: those that came after it began.

        Raises:
            UserError: another study is here, or a run with other settings; the message names the first that differs.
        """
        self.check_holds_no_other(study)
        asked: dict[str, Any] = json.loads(json.dumps(settings))  # tuples become lists, as in the file
        config = self.read_config() if self.exists() else None
        if config is None or not self.has_results():
            self._make_folder()
            self._write_config({"study": study, "settings": asked, "environment": dict(environment)})
            return dict(environment)
        usual = flat_settings(json.loads(json.dumps(defaults or {})))
        before, now = {**usual, **dict.fromkeys(may_grow, 1), **flat_settings(config["settings"])}, flat_settings(asked)
        grown = [name for name in may_grow if name in now and now[name] > before[name]]
        names = {**now, **before}  # both ways: a setting that is no longer there differs too
        for name in sorted(names, key=lambda name: name in may_grow):  # last, since they may just not have been given
            if before.get(name) != now.get(name) and name not in grown:
                raise UserError(
                    f"{self.path} holds a run with {name} = {before.get(name)!r}, but this one asks for "
                    f"{now.get(name)!r}; continue it with its own settings, or choose another folder with "
                    f"{self._option}"
                )
        if grown:
            self._write_config({**config, "settings": asked})
        kept: dict[str, Any] = config["environment"]
        return kept

    def keep(self, **facts: Any) -> None:
        """Add to the environment that the run keeps, e.g. what was found out about this machine."""
        config = self.read_config()
        self._write_config({**config, "environment": {**config["environment"], **facts}})

    def _write_config(self, config: Mapping[str, Any]) -> None:
        write_whole(self.config_path, (json.dumps(config, indent=2) + "\n").encode())

    def _make_folder(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be a folder ({error.strerror}); choose another with {self._option}"
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process, so that two runs never write into it at once.

        Raises:
            UserError: another process holds it, or nothing can be written here.
        """
        self._make_folder()
        try:
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written to ({error.strerror}); choose another folder with {self._option}"
            ) from None
        with lock as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.path} is in use by another infoplane process; wait for it or choose another folder"
                ) from None
            for leftover in self.path.rglob(".*.tmp"):  # of a process that was killed while it wrote
                leftover.unlink()
            yield  # the lock goes with the process, also when it is killed

    def has_results(self) -> bool:
        """Whether anything was computed here; until then, settings that did not work out may be replaced."""
        folders = [self.path / folder for folder in (*_TABLES, "checkpoints", _CELLS)]
        return (self.path / _SWEEPS).is_file() or any(folder.is_dir() and any(folder.iterdir()) for folder in folders)

    # records

    def _table_path(self, folder: str, study: str, seed: int, training: str, epoch: int, part: str = "") -> Path:
        suffix = f"-{part}" if part else ""
        return self.path / folder / f"{study}-s{seed}-{training}-e{epoch:04d}{suffix}.parquet"

    def has_records(self, study: str, seed: int, training: str, epoch: int) -> bool:
        """Whether all tables of this epoch are here."""
        return all(self._table_path(folder, study, seed, training, epoch).is_file() for folder in _TABLES)

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
        """Write the tables of one epoch, or of one part of it, say a distortion, in files of its own."""
        tables = {"measurements": measurements, "geometry": geometry, "performance": performance}
        for folder, table in tables.items():
            buffer = io.BytesIO()
            table.write_parquet(buffer)
            write_whole(self._table_path(folder, study, seed, training, epoch, part), buffer.getvalue())

    def read_records(self, study: str, seed: int, training: str, epoch: int, part: str = "") -> dict[str, pl.DataFrame]:
        """Return the tables that `write_records` wrote, by its names, each empty where it is not here.

        Raises:
            UserError: a table is damaged.
        """
        return {
            folder: _read_table(path, schema) if path.is_file() else pl.DataFrame(schema=schema)
            for folder, schema in _TABLES.items()
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
        schema = _TABLES[folder]
        tables = [_read_table(path, schema) for path in sorted((self.path / folder).glob("*.parquet"))]
        return pl.concat(tables) if tables else pl.DataFrame(schema=schema)

    # example images

    def _examples_path(self, study: str, seed: int, training: str, part: str) -> Path:
        return self.path / "examples" / f"{study}-s{seed}-{training}-{part}.safetensors"

    def write_examples(
        self, study: str, seed: int, training: str, part: str, images: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Keep a few images for figures, by name, with JSON facts about them."""
        write_whole(self._examples_path(study, seed, training, part), packed(images, facts))

    def read_examples(
        self, study: str, seed: int, training: str, part: str
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_examples` wrote, or None where it is not here.

        Raises:
            UserError: the file is damaged.
        """
        path = self._examples_path(study, seed, training, part)
        if not path.is_file():
            return None
        try:
            return unpacked(path)
        except Exception as error:  # noqa: BLE001 - safetensors raises its own and plain exceptions alike
            raise UserError(f"{path} cannot be read ({error}); delete it and run infoplane {study} again") from None

    # checkpoints

    def _checkpoint_path(self, seed: int, training: str, epoch: int) -> Path:
        return self.path / "checkpoints" / f"s{seed}-{training}-e{epoch:04d}.safetensors"

    def checkpoint_epochs(self, seed: int, training: str) -> list[int]:
        """Epochs with a checkpoint of this training, ascending."""
        # Not a glob: that of "free" would also find the checkpoints of a training "free-ema".
        pattern = re.compile(rf"s{seed}-{re.escape(training)}-e(\d+)\.safetensors")
        matches = (pattern.fullmatch(path.name) for path in (self.path / "checkpoints").glob("*.safetensors"))
        return sorted(int(match[1]) for match in matches if match)

    def checkpoint_seeds(self) -> list[int]:
        """Training seeds with a checkpoint here, ascending."""
        matches = (re.match(r"s(\d+)-", path.name) for path in (self.path / "checkpoints").glob("*.safetensors"))
        return sorted({int(match[1]) for match in matches if match})

    def write_checkpoint(
        self, seed: int, training: str, epoch: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Write tensors and JSON facts of one epoch."""
        write_whole(self._checkpoint_path(seed, training, epoch), packed(tensors, facts))

    def write_best_checkpoint(
        self, seed: int, training: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
    ) -> None:
        """Write tensors and JSON facts of the epoch that did best on held-out images, in place of an earlier one."""
        write_whole(self.path / "checkpoints" / f"s{seed}-{training}-best.safetensors", packed(tensors, facts))

    def read_checkpoint(self, seed: int, training: str, epoch: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the tensors, on the CPU, and the facts of one checkpoint; never unpickles code.

        Raises:
            UserError: the file is missing or damaged.
        """
        return self._opened_checkpoint(seed, training, epoch, unpacked)

    def _opened_checkpoint(self, seed: int, training: str, epoch: int, read: Callable[[Path], Content]) -> Content:
        path = self._checkpoint_path(seed, training, epoch)
        try:
            return read(path)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; restore it, or start a new run with --run") from None
        except Exception as error:  # noqa: BLE001 - safetensors raises its own and plain exceptions alike
            raise UserError(f"{path} cannot be read ({error}); delete it and continue the run") from None

    def check_checkpoint(self, seed: int, training: str, epoch: int) -> None:
        """Open a checkpoint without reading its tensors: a torn file shows here already.

        Raises:
            UserError: the file is missing or damaged.
        """
        self._opened_checkpoint(seed, training, epoch, facts_alone)

    def prune_checkpoints(self, seed: int, training: str, keep: set[int]) -> None:
        """Delete the checkpoints of this training whose epoch is not in `keep`."""
        for epoch in self.checkpoint_epochs(seed, training):
            if epoch not in keep:
                self._checkpoint_path(seed, training, epoch).unlink()

    # log

    def log(self, event: str, **facts: Any) -> None:
        """Append one line to `log.jsonl`."""
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **facts}) + "\n"
        with (self.path / "log.jsonl").open("a") as file:
            file.write(line)


def _read_table(path: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    # A run that began before this column existed holds nothing there; any other column must be in the file.
    missing: dict[str, Literal["insert"]] = {name: "insert" for name in ("texture_accuracy",) if name in schema}
    try:
        return pl.read_parquet(path).match_to_schema(schema, missing_columns=missing)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be read ({reason}); delete it and continue the run") from None


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by names with dots."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
