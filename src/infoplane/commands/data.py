"""Command `infoplane data`: download and verify a dataset."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from infoplane.commands.common import USER_ERROR, Options, listed, open_console
from infoplane.data.catalogue import shipped_dataset, shipped_datasets
from infoplane.text import one_line


def _names() -> Any:
    return Literal[tuple(dataset.name for dataset in shipped_datasets())]


class DataOptions(Options):
    """Download a dataset from its published source, or verify the copy on disk."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(constructor_factory=_names)]
    """Name of the dataset."""
    folder: Path | None = None
    """Folder to search and to store files in, by default INFOPLANE_DATA, then the user's cache."""
    replace: bool = False
    """Replace files that do not belong to this dataset; the old ones are kept as NAME.old."""

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the datasets."""
        return f"{super().described()}\n\n{listed('Datasets', {one.name: one.summary for one in shipped_datasets()})}"


def data(options: DataOptions) -> int:
    """Download missing files of a dataset, then verify it."""
    from infoplane.data import download_bar, fetch, verify
    from infoplane.data.verification import AS_PUBLISHED

    console = open_console()

    def say(line: str) -> None:
        console.print(one_line(line), highlight=False, markup=False, soft_wrap=True)

    checks = verify(options.name, options.folder)
    can_be_fetched = shipped_dataset(options.name).publication is not None
    whole = all(check.message == AS_PUBLISHED for check in checks)
    if not all(check.ok for check in checks) or (options.replace and can_be_fetched and not whole):
        with download_bar() as bar:
            fetch(options.name, folder=options.folder, replace=options.replace, progress=bar, say=say)
        checks = verify(options.name, options.folder)
    for check in checks:
        say(f"{'ok' if check.ok else 'BROKEN':<7} {check.file}  {check.message}")
    return 0 if all(check.ok for check in checks) else USER_ERROR
