"""Prepare the folder of a sweep study, which holds settings, tables and figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from infoplane.runs.folder import RunFolder


@contextmanager
def sweep_folder(path: Path, study: str, config: "BaseModel") -> Iterator["RunFolder"]:
    """Lock a folder for this study and write its `config.json`. The sweeps take under a minute and always start anew.

    Raises:
        UserError: the folder is in use, or holds another study or records with other settings.
    """
    from infoplane.runs.environment import describe_environment
    from infoplane.runs.folder import RunFolder

    folder = RunFolder(path, option="--output")
    with folder.locked():
        folder.check_holds_no_other(study)
        settings: dict[str, Any] = config.model_dump(mode="json")
        if folder.exists():
            _check_same(folder.read_config()["settings"], settings, path)
        folder.write_config(study, settings, describe_environment("cpu"))
        yield folder


def _check_same(before: dict[str, Any], settings: dict[str, Any], path: Path) -> None:
    if not (path / "records.parquet").is_file():
        return  # nothing was measured with the old settings
    for name, value in settings.items():
        if (old := before.get(name)) != value:
            raise UserError(
                f"{path} holds records with {name} = {old!r}, but this run asks for {value!r}; choose another folder "
                "with --output"
            )
