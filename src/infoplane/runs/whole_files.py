"""Write files whole or not at all, and never through a symbolic link."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from infoplane.errors import UserError

LOCK = ".lock"  # file in a run folder that a process locks while it works there
IN_USE = "is in use by another infoplane process"

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # O_NONBLOCK: a FIFO must not block


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that the file is never half written, for a reader or after a crash.

    A symbolic link at `path` is replaced, not followed.

    Raises:
        UserError: its folder cannot be made.
        OSError: the file cannot be written.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with os.fdopen(os.open(temporary, _NEW, 0o666), "wb") as file:
            with contextlib.suppress(OSError):  # where a file system has no locks
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # marks the file of a living process
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except OSError as error:  # the error of a full disk does not name the file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path, advice: str = "choose another folder") -> None:
    """Make a folder and those above it, unless they are there.

    Args:
        path: of the folder.
        advice: the end of a message to the user.

    Raises:
        UserError: a file has the name of one of the folders, or the system has no folders there.
        OSError: any other error, e.g. of a full disk.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        last = next((one for one in (path, *path.parents) if os.path.lexists(one)), path)
        if not last.is_dir():
            taken = "it" if last == path else last
            raise UserError(f"{path} cannot be a folder, since {taken} is a file; {advice}") from None
        raise UserError(
            f"{path} cannot be a folder, since {last} takes no new ones ({error.strerror}); {advice}"
        ) from None


def append_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Append whole lines to a file. If a killed process left half a line, a newline is written first.

    Args:
        path: path of a regular file, or of a new one.
        content: ends with a newline.
        durable: wait until the content is on the disk.

    Raises:
        OSError: the file cannot be written, is a symbolic link, or is not a regular file.
    """
    try:
        with open_regular(path, os.O_APPEND) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # two processes of one run may append at once
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            left = memoryview(b"\n" * torn + content)
            while left:  # usually one call; a second one raises the error
                left = left[os.write(file, left) :]
            if durable:
                os.fsync(file)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


@contextlib.contextmanager
def open_regular(path: Path, flags: int = 0) -> Iterator[int]:
    """Open a regular file for reading and writing, never through a symbolic link. A missing file is created.

    Raises:
        OSError: the file cannot be opened, is a symbolic link, or is not a regular file.
    """
    descriptor = os.open(path, _KEPT | flags, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def is_in_use(folder: Path) -> bool:
    """Return whether a process has locked a run folder at this moment."""
    if not (folder / LOCK).is_file():
        return False
    with open_regular(folder / LOCK) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed processes below `folder`, not those of living ones."""
    for leftover in folder.rglob(".*.tmp"):
        if _TEMPORARY.fullmatch(leftover.name) is None or leftover.is_symlink() or not leftover.is_file():
            continue
        with contextlib.suppress(OSError), open_regular(leftover) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()
