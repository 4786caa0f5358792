"""Manifest of a folder: the sha256 of every file that infoplane wrote, checked before a file is read."""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from infoplane.errors import UserError
from infoplane.runs.whole_files import append_whole, make_folder, write_whole

NAME = "manifest.sha256"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(.+)")


class Manifest:
    """Lines of checksum and name in `manifest.sha256`, in the format of `sha256sum`. Lines are only ever appended.

    A file's line is written before the file. A process that is killed between the two leaves the earlier content,
    whose line is still there, or no file. So a file that no line describes was not written by infoplane, or was changed
    later.

    Args:
        folder: the folder that names are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self._folder = folder / NAME, folder
        self._seen: tuple[int, int, int] | None = None  # state of the file that `_known` was read from
        self._known: dict[str, set[str]] = {}

    def write(self, path: Path, content: bytes) -> None:
        """Append the checksum of `content` to the manifest, then write it to `path`, whole or not at all."""
        self._append({self._name(path): _checksum(content)}, durable=True)
        write_whole(path, content)

    def add(self, paths: Iterable[Path]) -> None:
        """Append the checksums of files that exist and are not read back as numbers, e.g. figures and pages."""
        self._append({self._name(path): _checksum(path.read_bytes()) for path in paths}, durable=False)

    def read(self, path: Path, remedy: str) -> bytes:
        """Return the content of a file as infoplane wrote it.

        Args:
            path: path of a file in the folder.
            remedy: advice to the user if the file was changed, e.g. "delete it and continue the run".

        Raises:
            FileNotFoundError, NotADirectoryError: there is no such file.
            UserError: the file cannot be read, was changed, or was not written by infoplane; or there is no manifest.
        """
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); make it readable, or restore it") from None
        if not self.path.is_file():
            place = shlex.quote(str(self._folder))
            raise UserError(
                f"{self.path} is missing, so the files beside it cannot be checked; restore it, or, if "
                f"you trust them: cd {place} && find * -type f ! -name {NAME} -exec sha256sum {{}} + > {NAME}"
            )
        known = self._checksums().get(self._name(path))
        if known is None:
            raise UserError(f"{path} is not named in {NAME}: infoplane did not write it there; move it elsewhere")
        if _checksum(content) not in known:
            raise UserError(
                f"{path} was changed after infoplane wrote it: its sha256 is not the one in {NAME}; restore it, or "
                f"{remedy}"
            )
        return content

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _checksums(self) -> dict[str, set[str]]:
        """Return all checksums by file name. Damaged lines are ignored."""
        try:
            state = self.path.stat()
            if self._seen != (now := (state.st_ino, state.st_size, state.st_mtime_ns)):
                lines = self.path.read_bytes().decode("utf-8", "surrogateescape").split("\n")
                self._known = {}
                for match in filter(None, map(_LINE.fullmatch, lines)):
                    self._known.setdefault(match[2], set()).add(match[1])
                self._seen = now
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UserError(f"{self.path} cannot be read ({error.strerror}); make it readable, or restore it") from None
        return self._known

    def _append(self, files: dict[str, str], *, durable: bool) -> None:
        known = self._checksums()
        lines = [f"{found}  {name}\n" for name, found in files.items() if found not in known.get(name, ())]
        if lines:
            make_folder(self._folder)
            append_whole(self.path, os.fsencode("".join(lines)), durable=durable)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
