"""Runs of a sweep that differ in method and seed alone, as one run folder that reports and comparisons can read."""

from collections.abc import Sequence
from pathlib import Path

from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.names import TABLES
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.grid import Point, points_of

TOGETHER = "together"  # folder in that of the sweep
_REMEDY = "delete it and continue the sweep"


def runs_together(folder: SweepFolder) -> list[Path]:
    """Write `together/NAME` for each combination of recipe and settings: the records of all its methods and seeds.

    Such a folder has settings and records as one run of all these methods and seeds would have, and no checkpoints.
    Folders that are there are brought up to date.

    Returns:
        The folders, in the order of the grid. Combinations without records are left out.

    Raises:
        UserError: no run of the sweep has records yet, or some are damaged.
    """
    grid, points = folder.read()
    kinds = points_of(grid.model_copy(update={"methods": (), "seeds": 1}))
    found = []
    for kind in kinds:
        own = [point for point in points if point.group == kind.group and folder.tables(point.name)]
        if own:
            found.append(_together(folder, own, folder.path / TOGETHER / kind.name.removesuffix("-s0")))
    if not found:
        raise UserError(f"no run of {folder.path} has records yet; infoplane status says how far they are")
    return found


def _together(folder: SweepFolder, points: Sequence[Point], path: Path) -> Path:
    runs, whole = [RunFolder(folder.run_path(point.name)) for point in points], RunFolder(path)
    configs = [run.read_config() for run in runs]
    seeds = [point.seed for point in points]
    methods = dict.fromkeys(method for config in configs for method in config["settings"]["methods"])
    settings = {
        **configs[0]["settings"], "seed": min(seeds), "seeds": max(seeds) - min(seeds) + 1, "methods": [*methods]
    }  # fmt: skip
    with whole.locked():
        wanted = set()
        for run in runs:
            for source in (file for table in TABLES for file in sorted((run.path / table).glob("*.parquet"))):
                target = path / source.relative_to(run.path)
                wanted.add(target)
                content = run.read_file(source, _REMEDY)
                if not target.is_file() or target.read_bytes() != content:
                    whole.write_file(target, content)
        for stale in {file for table in TABLES for file in (path / table).glob("*.parquet")} - wanted:
            stale.unlink()
        whole.write_config(configs[0]["study"], settings, configs[0]["environment"])
    return path
