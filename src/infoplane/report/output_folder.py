"""Check a folder that a user names for files of infoplane."""

from pathlib import Path

from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.manifest import NAME


def check_is_in_no_run(folder: Path) -> None:
    """Raise UserError if the folder is a run, or inside one, whose manifest would not know the files."""
    inside = [one for one in folder.absolute().parents if (one / NAME).is_file() and RunFolder(one).exists()]
    if inside or RunFolder(folder).study() is not None:
        raise UserError(f"{(inside or [folder])[0]} holds a run of its own; choose another folder with --output")
