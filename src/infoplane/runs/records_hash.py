"""Hash of a run's settings and records, by which a table or figure names the run that it comes from."""

import hashlib
from pathlib import Path

from infoplane.runs.folder import RunFolder
from infoplane.runs.names import TABLES

_SHOWN = 8  # characters


def records_hash(run: RunFolder) -> str:
    """Return the first 8 characters of the sha256 of the manifest's lines about settings and records.

    Drawing the report again does not change it. `sha256sum config.json geometry/* measurements/* performance/* |
    sha256sum` in the run folder gives the same characters.
    """
    tables = (path for table in sorted(TABLES) for path in sorted((run.path / table).glob("*.parquet")))
    files = [run.config_path, *tables]
    lines = [f"{_sha256(path)}  {path.relative_to(run.path).as_posix()}\n" for path in files]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:_SHOWN]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
