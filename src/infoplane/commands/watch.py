"""Command `infoplane watch`: show the page of a run in a browser while the run goes on."""

from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from infoplane.commands.common import Options, open_console
from infoplane.errors import UserError


class WatchOptions(Options):
    """Serve the page of a run to a browser on this machine, and refresh it as epochs are measured."""

    run: tyro.conf.Positional[Path]
    """Folder of the run; it may not exist yet."""
    port: Annotated[int, Field(ge=0, le=65535), tyro.conf.arg(metavar="PORT")] = 8000
    """Port on this machine; 0 takes a free one."""


def watch(options: WatchOptions) -> int:
    """Serve the page until Ctrl-C."""
    from infoplane.report.watch_server import WatchServer

    if options.run.exists() and not options.run.is_dir():
        raise UserError(f"{options.run} is a file; name the folder of a run")
    console = open_console()
    with WatchServer(options.run, options.port) as server:
        lines = [f"{server.address} shows {options.run}; Ctrl-C ends this", server.page.waiting_for()]
        for line in filter(None, lines):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.file.flush()  # a pipe would keep the address to itself
        server.serve_forever()
    return 0
