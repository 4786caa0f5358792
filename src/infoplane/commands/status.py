"""Command `infoplane status`: how far the runs of a sweep are."""

from pathlib import Path

import tyro

from infoplane.commands.common import Options, open_console


class StatusOptions(Options):
    """Show how far the runs of a sweep are: a table, the time left, and why runs failed."""

    sweep: tyro.conf.Positional[Path]
    """Folder of the sweep."""


def status(options: StatusOptions) -> int:
    """Print a row for each run, the time left, and a line for each run that failed or is lost."""
    from collections import Counter

    from rich.table import Table

    from infoplane.commands.console import format_seconds
    from infoplane.commands.sweep_points import SweepPoints
    from infoplane.sweeping.folder import SweepFolder
    from infoplane.sweeping.progress import LOST, seconds_left, sweep_progress

    folder, flow = SweepFolder(options.sweep), SweepPoints()
    _, points = folder.read()
    found = sweep_progress(folder, {point.name: flow.config(point) for point in points})
    table = Table(title=f"{options.sweep}", title_justify="left", title_style="bold")
    table.add_column("run", overflow="fold")
    table.add_column("state")
    table.add_column("epochs", justify="right")
    table.add_column("left", justify="right")
    for one in found:
        known = one.seconds_left is not None and one.status not in ("done", "failed")
        left = format_seconds(one.seconds_left or 0.0) if known else ""
        table.add_row(one.point.name, one.status, f"{one.done} of {one.epochs}", left)
    console = open_console()
    console.print(table)
    numbers = Counter(one.status for one in found)
    lines = [", ".join(f"{number} {status}" for status, number in numbers.items())]
    if (left_of_all := seconds_left(found)) is not None:
        lines[0] += f"; about {format_seconds(left_of_all)} left"
    lines += [f"{one.point.name}: {one.line}" for one in found if one.status in ("failed", LOST)]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0
