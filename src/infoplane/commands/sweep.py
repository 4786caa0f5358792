"""Command `infoplane sweep`: a grid of runs on the processes of one machine, or of a cluster."""

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from pydantic import Field

from infoplane.commands.common import Options, listed, open_console, says_how_to_continue, typed
from infoplane.commands.output import complain
from infoplane.errors import UserError
from infoplane.sweeping.engines.catalogue import ENGINES, engine_named
from infoplane.text import counted

if TYPE_CHECKING:
    from infoplane.config import FlowConfig
    from infoplane.sweeping.grid import Grid

PROGRAM = "infoplane"  # what the process of each run executes
_FAILURE = 1


class SweepOptions(Options):
    """Run a grid of recipes, methods, settings and seeds: each combination is a run of its own, and is continued."""

    sweep: tyro.conf.Positional[Path]
    """Folder of the sweep. One that exists is continued, with its own grid where none is given; it may get more
    values."""
    recipes: tuple[str, ...] = ()
    """Recipes to run."""
    methods: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")] = ()
    """Training methods, each in a run of its own. Without any, a run trains the methods of its recipe."""
    seeds: Annotated[int, Field(ge=1)] | None = None
    """Training seeds, counted from 0, each in a run of its own."""
    settings: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", metavar="SETTING=VALUE,VALUE")
    ] = ()
    """A setting of infoplane flow with its values, e.g. training.learning_rate=.05,.1; give it again for another
    setting. A value of several words stands in quotes."""
    engine: str = "local"
    """Where the runs are executed."""
    jobs: Annotated[int, Field(ge=1)] | None = None
    """Runs at the same time, by default one per core, on a cluster as many as it has room for."""
    address: str | None = None
    """Address of a Ray cluster, auto for the one of this machine. Without it, --engine ray starts Ray on this
    machine."""
    gpus_per_run: Annotated[float, Field(ge=0)] = 0.0
    """GPUs that a cluster reserves for each run, as it counts them: with Ray, .5 puts two runs on a GPU."""
    slurm: Annotated[tuple[str, ...], tyro.conf.arg(metavar="[OPTION=VALUE ...]")] = ()
    """Options of sbatch for --engine slurm, e.g. partition=long account=me time=240 (minutes; by default 60)."""
    deterministic: bool = True
    """Train without acceleration and without timing: the same bits on each engine and whatever its load. Otherwise
    training can take half the time. A sweep that began without it continues without it."""
    trust_run_code: bool = False
    """Import functions that only the folder of the sweep names, e.g. a training method of your own. Functions that you
    type need no such trust."""
    quiet: bool = False
    """Print nothing but errors."""

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the list of engines."""
        return "\n\n".join([super().described(), listed("Engines", {one.name: one.summary for one in ENGINES})])


def sweep(options: SweepOptions) -> int:
    """Check all points of the grid, then execute those that are not done."""
    from infoplane.commands.console import progress_for
    from infoplane.commands.sweep_points import SweepPoints
    from infoplane.sweeping.engines.engine import EngineSettings
    from infoplane.sweeping.execution import Job, Outcome
    from infoplane.sweeping.folder import SweepFolder

    folder, flow = SweepFolder(options.sweep.absolute()), SweepPoints()
    own = folder.read()[0] if folder.exists() else None
    asked = {"--deterministic": True, "--no-deterministic": False}
    for word in {*typed}.intersection(asked) if own else ():
        if own and asked[word] != own.deterministic:
            began = next(other for other in asked if other != word)
            raise UserError(f"{options.sweep} began with {began}; leave out {word}, or begin another sweep")
    grid = flow.grid(options.recipes, options.methods, options.seeds, options.settings, own)
    directory = Path(own.directory if own and own.directory else Path.cwd())
    grid = grid.model_copy(
        update={
            "deterministic": own.deterministic if own else options.deterministic,
            "directory": str(directory),
        }
    )
    if own and not options.trust_run_code:
        _check_functions_are_typed(grid, options)
    with contextlib.chdir(directory) if directory.is_dir() else contextlib.nullcontext():
        for point in folder.planned(grid):  # all of them, before the first one begins
            _check_same_epochs(point.name, flow.config(point), grid)
    engine = engine_named(
        options.engine,
        EngineSettings(
            jobs=options.jobs, address=options.address, gpus_per_run=options.gpus_per_run, slurm=options.slurm
        ),
    )
    points = folder.begin(grid)
    how = ["--deterministic"] if grid.deterministic else []
    jobs = [
        Job(
            name=point.name,
            sweep=folder.path,
            words=(*flow.words(point), *how),
            directory=directory,
            environment={name: value for name in ("INFOPLANE_DATA",) if (value := os.environ.get(name))},
            program=PROGRAM,
        )
        for point in points
        if not folder.is_done(point.name)
    ]
    outcomes: list[Outcome] = []
    console = open_console()
    with (
        says_how_to_continue("runs that are done are kept, and the others lose at most an epoch"),
        progress_for(console, quiet=options.quiet) as progress,
    ):
        before = len(points) - len(jobs)
        progress.say(f"{counted(len(points), 'run')}{f', {before} of them done before' if before else ''}")
        progress.begin(len(jobs))
        progress.doing(f"{counted(len(jobs), 'run')}; infoplane status {options.sweep}")

        def report(outcome: Outcome) -> None:
            outcomes.append(outcome)
            progress.advance(1)
            said = {"elsewhere": "another process works on it"}.get(outcome.status, outcome.status)
            reason = f": {outcome.line}" if outcome.line else ""
            progress.say(f"{outcome.name}: {said}{reason} ({before + len(outcomes)} of {len(points)})")

        if jobs:
            engine.run(jobs, report)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        complain(f"infoplane: {outcome.name} failed: {outcome.line} (all of it: {folder.log_path(outcome.name)})")
    elsewhere = sum(outcome.status == "elsewhere" for outcome in outcomes)
    if elsewhere:
        complain(
            f"infoplane: another process works on {counted(elsewhere, 'run')}; give the same command again when it ends"
        )
    if failed or elsewhere:
        return _FAILURE
    if not options.quiet:
        line = f"{len(points)} of {counted(len(points), 'run')} done: {options.sweep / 'runs'}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _check_functions_are_typed(grid: "Grid", options: SweepOptions) -> None:
    """Refuse functions that only the folder names: it may come from somebody else, and they would be imported."""
    typed_words = re.split(r"[=,\s]", " ".join([*options.methods, *options.settings]))
    axes = {f"--set {name}": grid.settings.get(name, ()) for name in ("model", "data", "attacks")}
    named = {
        "--methods": grid.methods,
        **{axis: [word for words in own for word in words] for axis, own in axes.items()},
    }
    for axis, words in named.items():
        for word in words:
            function = word.partition("+")[0]
            if re.fullmatch(r"[\w.]+:\w+", function, flags=re.ASCII) and word not in typed_words:
                shown = " ".join(words) if axis == "--methods" else f"{axis.removeprefix('--set ')}={','.join(words)}"
                raise UserError(
                    f"{options.sweep} names the function {word!r}, and this command would import that code; if you "
                    f"trust it, add {axis.split()[0]} {shown} (or --trust-run-code)"
                )


def _check_same_epochs(name: str, config: "FlowConfig", grid: "Grid") -> None:
    """Refuse a budget where records must not depend on the load: it chooses the measured epochs by a timing."""
    if grid.deterministic and config.measurement.budget is not None:
        raise UserError(
            f"{name}: measurement.budget chooses the measured epochs by a timing, so that runs could differ; set "
            "measure_every and measurement.thorough_epochs instead, or add --no-deterministic"
        )
