"""A run of a sweep on a machine that does not see the sweep's folder: changed files go there and back."""

from pathlib import Path
from typing import NamedTuple

from infoplane.runs.manifest import NAME as MANIFEST
from infoplane.runs.whole_files import write_whole
from infoplane.sweeping.folder import SweepFolder

_Version = tuple[int, int]  # size and time of a file


class Packed(NamedTuple):
    """Files of one run.

    Attributes:
        name: of the point.
        files: content of files that are new or were changed, by path in the folder of the sweep.
        present: paths of all files of the run.
    """

    name: str
    files: dict[str, bytes]
    present: list[str]


class PackedRun:
    """Reads and writes the files of one run in a folder of a sweep.

    Args:
        sweep: folder of the sweep, or of its copy on another machine.
        name: of the point.
    """

    def __init__(self, sweep: Path, name: str) -> None:
        self._folder, self._name = SweepFolder(sweep), name
        self._known: dict[str, _Version] = {}

    def changes(self) -> Packed | None:
        """Return the files that changed since the last call or `write`; None if there are none.

        The manifest is read last. It may name files of the next moment, which does no harm; a file that it does not
        name would be refused.
        """
        versions = {path: _version(self._folder.path / path) for path in self._settled_paths()}
        changed = [path for path, version in versions.items() if version != self._known.get(path)]
        if not changed and versions.keys() == self._known.keys():
            return None
        files = {}
        for path in sorted(changed, key=lambda path: Path(path).name == MANIFEST):
            try:
                files[path] = (self._folder.path / path).read_bytes()
            except FileNotFoundError:  # a checkpoint that a newer one replaced at this moment: that one must come too
                return self.changes()
        self._known = versions
        return Packed(self._name, files, [*versions])

    def write(self, packed: Packed) -> None:
        """Write the files that changed elsewhere, each whole, and delete the files of the run that are gone there."""
        for path in sorted(packed.files, key=lambda path: Path(path).name != MANIFEST):  # manifest first
            write_whole(self._folder.path / path, packed.files[path])
        for path in set(self._paths()) - set(packed.present):
            (self._folder.path / path).unlink(missing_ok=True)
        self._known = {path: _version(self._folder.path / path) for path in self._paths()}

    def _settled_paths(self) -> list[str]:
        """Return the files at one moment: a listing during which a checkpoint is replaced may contain neither."""
        paths = self._paths()
        while (again := self._paths()) != paths:
            paths = again
        return paths

    def _paths(self) -> list[str]:
        folder = self._folder
        run = folder.run_path(self._name)
        inside = [path for path in sorted(run.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        beside = [path for path in (folder.log_path(self._name), folder.state_path(self._name)) if path.is_file()]
        return [path.relative_to(folder.path).as_posix() for path in (*inside, *beside)]


def _version(path: Path) -> _Version:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
