"""Cache of files whose checksum was verified, so that unchanged files are verified only once."""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

_MOST = 1000  # largest number of entries; the oldest are dropped first


def signature(path: Path) -> tuple[int, ...]:
    """Return size, times in nanoseconds and inode number of a file; they change when it is written again."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def is_remembered(dataset: str, name: str, path: Path, found: tuple[int, ...]) -> bool:
    """Whether `path` was verified as the file `name` of `dataset`, and still has the same signature."""
    return bool(found) and _read().get(_key(dataset, name, path)) == list(found)


def remember(dataset: str, name: str, path: Path, found: tuple[int, ...]) -> None:
    """Store that `path` is the published file; if the cache cannot be written, nothing is stored."""
    if not found:
        return
    known = _read()
    key = _key(dataset, name, path)
    known.pop(key, None)
    known[key] = list(found)
    text = json.dumps(dict(list(known.items())[-_MOST:]), indent=0)
    target = _cache_file()
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _cache_file() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("infoplane") / "verified.json"


def _key(dataset: str, name: str, path: Path) -> str:
    return f"{dataset}/{name}: {path.resolve()}"


def _read() -> dict[str, Any]:
    try:
        known = json.loads(_cache_file().read_text())
    except (OSError, ValueError, RecursionError):  # no cache yet, or a damaged one: all files are verified again
        return {}
    return known if isinstance(known, dict) else {}
