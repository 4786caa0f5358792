"""Datasets, fetched and verified."""

from pathlib import Path
from typing import Literal

import tyro

from infoplane.commands.common import USER_ERROR, Options, open_console


class DataOptions(Options):
    """Fetch a dataset from its published source, or verify the copy that is there."""

    name: tyro.conf.Positional[Literal["digits", "mnist", "cifar10", "stl10"]]
    """Which dataset."""
    folder: Path | None = None
    """Where to look and to store, by default INFOPLANE_DATA, then the user's cache."""


def data(options: DataOptions) -> int:
    """Verify a dataset, after fetching what is missing."""
    from infoplane.data import download_bar, fetch, verify

    console = open_console()
    checks = verify(options.name, options.folder)
    if not all(check.ok for check in checks):
        with download_bar() as bar:
            fetch(options.name, folder=options.folder, progress=bar)
        checks = verify(options.name, options.folder)
    for check in checks:
        word = "ok" if check.ok else "BROKEN"
        console.print(f"{word:<7} {check.file}  {check.message}", highlight=False, markup=False, soft_wrap=True)
    return 0 if all(check.ok for check in checks) else USER_ERROR
