"""Download one file of known size and checksum from the first mirror that has it."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.spec import Source
from infoplane.errors import UserError

if TYPE_CHECKING:
    import requests

# What is called with the name of a file, the bytes that are there and the bytes expected.
Progress = Callable[[str, int, int], None]

ROUNDS = 2  # rounds through all mirrors; temporary faults, such as broken connections, get a second one
PAUSE_SECONDS = 1.0  # between rounds
TIMEOUT_SECONDS = (10, 60)  # timeouts: to connect; between two pieces
DEADLINE_SECONDS = 120.0  # for one attempt, in addition to the time that the slowest accepted connection takes
SLOWEST = 50_000  # bytes per second
_REDIRECTS = 10
_PIECE = 1 << 16


class _AttemptError(Exception):
    """Why a download from a mirror failed, and whether another attempt can help."""

    def __init__(self, reason: str, *, passing: bool) -> None:
        super().__init__(reason)
        self.passing = passing


def download(name: str, source: Source, target: Path, progress: Progress | None) -> Path:
    """Download a file into the folder of `target`, check its checksum, and return its path.

    A partial download is kept, so that the next call continues it, also after this process was killed.

    Args:
        name: name of the dataset, for messages.
        source: the file to download.
        target: path to which the caller will move the file.
        progress: called for every piece that arrives.

    Raises:
        UserError: no mirror has the file, no mirror can be reached, or another process is downloading it.
    """
    part = target.with_name(f".{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{target} is being downloaded by another process; wait for it") from None
        failures = _ask_mirrors(source, file, target.name, progress)
        received = os.fstat(file.fileno()).st_size
    if failures is None:
        return part
    if not received:
        part.unlink()
    kept = f"{received:,} of {source.size:,} bytes are kept; " if received else ""
    reasons = "; ".join(f"{url}: {failure}" for url, failure in failures.items())
    raise UserError(
        f"{name} could not be downloaded: {reasons}; {kept}check the connection and run again: infoplane data {name}, "
        f"or put {target.name} into {target.parent}"
    )


def _ask_mirrors(source: Source, file: BufferedRandom, shown: str, progress: Progress | None) -> dict[str, str] | None:
    """Download into `file` and return None; if no mirror works, return the failure of each."""
    failures: dict[str, str] = {}
    waiting = list(source.urls)
    for turn in range(ROUNDS):
        if turn and waiting:
            time.sleep(PAUSE_SECONDS)
        for url in tuple(waiting):
            before = os.fstat(file.fileno()).st_size
            try:
                _receive(url, source, file, lambda done: progress and progress(shown, done, source.size))
                _check(source, file)
            except _AttemptError as failure:
                failures[url] = str(failure)
                # the kept part may be wrong and was deleted: download the whole file from the same mirror
                from_before = before > 0 and os.fstat(file.fileno()).st_size == 0
                if not failure.passing and not from_before:
                    waiting.remove(url)
            else:
                return None
    return failures


def _check(source: Source, file: BufferedRandom) -> None:
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:
        file.truncate(0)
        raise _AttemptError("wrong checksum", passing=False)


def _receive(url: str, source: Source, file: BufferedRandom, said: Callable[[int], object]) -> None:
    import requests
    from urllib3.exceptions import HTTPError

    began = time.monotonic()
    deadline = began + DEADLINE_SECONDS + source.size / SLOWEST
    present = os.fstat(file.fileno()).st_size
    # With a compressed transfer, .gz files would arrive unpacked and have another checksum.
    headers = {"Accept-Encoding": "identity"}
    if 0 < present < source.size:
        headers["Range"] = f"bytes={present}-"
    elif present > source.size:
        file.truncate(0)
    elif present:
        return
    try:
        with requests.Session() as session:
            session.max_redirects = _REDIRECTS
            with session.get(url, stream=True, timeout=TIMEOUT_SECONDS, headers=headers) as answer:
                answer.raise_for_status()
                done = _start(answer, present)
                file.seek(done)
                file.truncate()
                announced = answer.headers.get("Content-Length", "")
                if announced.isdigit() and done + int(announced) != source.size:
                    raise _AttemptError(
                        f"offers {done + int(announced):,} bytes instead of {source.size:,}", passing=False
                    )
                while piece := answer.raw.read1(_PIECE):
                    done += len(piece)
                    if done > source.size:
                        file.truncate(0)
                        raise _AttemptError(f"sends more than the file's {source.size:,} bytes", passing=False)
                    file.write(piece)
                    said(done)
                    if time.monotonic() > deadline:
                        seconds = time.monotonic() - began
                        raise _AttemptError(f"too slow: {done:,} bytes after {seconds:.0f} s", passing=False)
    except HTTPError:
        raise _AttemptError("the connection broke off", passing=True) from None
    except requests.RequestException as error:
        raise _explained(error) from None
    finally:
        file.flush()
    if done < source.size:
        raise _AttemptError("the connection broke off", passing=True)


def _start(answer: "requests.Response", present: int) -> int:
    """Return the position in the file at which the response begins."""
    if answer.status_code != 206:
        return 0
    if answer.headers.get("Content-Range", "").startswith(f"bytes {present}-"):
        return present
    raise _AttemptError("sends another part of the file than requested", passing=False)


def _explained(error: "requests.RequestException") -> _AttemptError:
    from requests import exceptions

    match error:
        case exceptions.HTTPError(response=response) if response is not None:
            status = response.status_code
            return _AttemptError(f"HTTP {status}", passing=status >= 500)
        case exceptions.SSLError():
            return _AttemptError("its TLS certificate was not accepted", passing=False)
        case exceptions.TooManyRedirects():
            return _AttemptError(f"redirects more than {_REDIRECTS} times, probably in a loop", passing=False)
        case exceptions.Timeout():
            return _AttemptError("no answer in time", passing=True)
        case exceptions.ConnectionError():
            return _AttemptError("no connection", passing=True)
    return _AttemptError(type(error).__name__, passing=False)
