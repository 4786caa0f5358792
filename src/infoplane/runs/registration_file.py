"""File of a run folder with the claims that were registered before the run: `registered.json`."""

import json
from typing import Any

from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.names import REGISTERED

_ELSEWHERE = "register the claims in the new folder of another run"


def read_registered(run: RunFolder) -> dict[str, Any] | None:
    """Return what `write_registered` wrote; None if nothing was registered.

    Raises:
        UserError: the file was changed, or is not what infoplane writes.
    """
    path = run.path / REGISTERED
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(run.read_file(path, _ELSEWHERE))
    except ValueError:
        raise UserError(f"{path} is not what infoplane writes; restore it") from None
    return content


def write_registered(run: RunFolder, content: dict[str, Any]) -> None:
    """Write the claims into the folder of a run that has no results yet. Call it while the folder is locked.

    Raises:
        UserError: the run has results, or claims.
    """
    if run.has_results():
        raise UserError(
            f"{run.path} already holds results; claims are registered before a run, so choose a new folder for it"
        )
    if (run.path / REGISTERED).exists():
        raise UserError(f"{run.path} already holds registered claims; choose a new folder for others")
    run.write_file(run.path / REGISTERED, (json.dumps(content, indent=2) + "\n").encode())
