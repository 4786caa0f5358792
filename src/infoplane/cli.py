"""The command line. Strings become settings here; heavy imports wait until a command needs them."""

import contextlib
import difflib
import io
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from pydantic import BaseModel, ConfigDict, Field

from infoplane.config import FlowConfig, MeasurementConfig
from infoplane.errors import UserError
from infoplane.recipes import RECIPES

if TYPE_CHECKING:
    from rich.console import Console

USER_ERROR, INTERRUPTED = 2, 130
Options = TypeVar("Options")
_arguments: list[str] = []  # as they were typed, to say how to continue


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DemoOptions(_Options):
    """Train LeNet-5 normally and adversarially on scikit-learn's digits and report: no download, about a minute."""

    run: Path = Path("runs/demo")
    """Folder of the run; one that exists is continued."""
    quiet: bool = False
    """Print nothing but errors."""


class FlowOptions(_Options):
    """Study one: follow the information in every layer while a network trains normally and adversarially."""

    run: Path | None = None
    """Folder of the run, by default runs/RECIPE-sSEED; one that exists is continued."""
    data_folder: Annotated[Path | None, tyro.conf.arg(name="data", metavar="FOLDER")] = None
    """Images of your own: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*."""
    model_path: Annotated[str | None, tyro.conf.arg(name="model", metavar="PACKAGE.MODULE:FUNCTION")] = None
    """A model of your own: a function that returns a torch module."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    keep_checkpoints: bool = False
    """Keep the weights of every epoch instead of the last."""
    quiet: bool = False
    """Print nothing but errors."""
    config: Annotated[FlowConfig, tyro.conf.arg(name="")] = FlowConfig()


class EstimateOptions(_Options):
    """Estimate the information in activations of your own."""

    file: tyro.conf.Positional[Path]
    """.npz or .safetensors with `activations` (samples, features) and `labels` (samples,)."""
    noise_variance: float = Field(0.1, gt=0)
    """Variance of the Gaussian noise of KDE, in squared activation units."""
    bin_width: float = Field(0.5, gt=0)
    """Width of a bin, in activation units."""
    permutations: int = Field(40, ge=0)
    """Permuted label sets behind the null of I(T;Y)."""
    seed: int = Field(0, ge=0)
    """Seed of the permutations."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print JSON, in nats, instead of a table in bits."""


class CalibrateOptions(_Options):
    """Hold every estimator against distributions whose information is known."""

    output: Path = Path("runs/calibration")
    """Folder of the table and of its finished cells, which are not computed again."""
    quick: bool = False
    """A few tasks, few samples and few replicates: under two minutes on two cores."""
    jobs: int | None = Field(None, ge=1)
    """Processes of one thread each, by default one per core; the numbers do not depend on it."""
    seed: int = Field(0, ge=0)
    """Decides the draws of the tasks and of the estimators."""
    estimators: tuple[str, ...] = ()
    """Only these, by default all: kde, noisy, binning, decoded ..."""
    tasks: tuple[str, ...] = ()
    """Only these, by default all."""
    document: Annotated[Path | None, tyro.conf.arg(metavar="FILE.md")] = None
    """Write the table here too."""


class ReportOptions(_Options):
    """Draw the figures and the report of a run again."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


class DataOptions(_Options):
    """Fetch a dataset from its published source, or verify the copy that is there."""

    name: tyro.conf.Positional[Literal["digits", "mnist", "cifar10", "stl10"]]
    """Which dataset."""
    folder: Path | None = None
    """Where to look and to store, by default INFOPLANE_DATA, then the user's cache."""


class RecipesOptions(_Options):
    """List the recipes and what each costs."""


def demo(options: DemoOptions) -> int:
    """Run the digits recipe and show its table and report."""
    return _run_flow(RECIPES["digits-lenet5"].config, options.run, quiet=options.quiet)


def flow(options: FlowOptions) -> int:
    """Run study one with the settings of a recipe and the options given."""
    settings = options.config.model_dump()
    if options.data_folder is not None:
        settings["data"] |= {"name": "folder", "folder": str(options.data_folder.resolve())}
    if options.model_path is not None:
        settings["model"]["name"] = options.model_path
    config = FlowConfig.model_validate(settings)
    return _run_flow(
        config,
        options.run or Path("runs") / f"{config.recipe}-s{config.seed}",
        quiet=options.quiet,
        device=options.device,
        keep_checkpoints=options.keep_checkpoints,
    )


def _run_flow(
    config: FlowConfig, path: Path, *, quiet: bool, device: str = "auto", keep_checkpoints: bool = False
) -> int:
    from infoplane.console import progress_for
    from infoplane.report.html import write_report
    from infoplane.report.table import summary_table
    from infoplane.runs import RunFolder, apply_environment, describe_environment
    from infoplane.studies import STUDY, information_flow
    from infoplane.training import DivergedError

    console, run = _console(), RunFolder(path)
    with run.locked():
        now = {**describe_environment(device), "keep_checkpoints": keep_checkpoints}
        kept = run.begin(STUDY, config.model_dump(mode="json"), now, may_grow=("seeds",))
        differences = apply_environment(kept, device)
        try:
            with progress_for(console, quiet=quiet) as progress:
                for difference in differences:
                    progress.say(f"note: {difference}")
                records = information_flow(
                    config,
                    run=run,
                    device=kept.get("device", "cpu"),
                    keep_checkpoints=kept.get("keep_checkpoints", False) or keep_checkpoints,
                    progress=progress,
                )
                progress.doing("drawing figures and report")
                report = write_report(run)
        except DivergedError as error:
            raise UserError(str(error)) from error
        except KeyboardInterrupt:
            again = shlex.join(["infoplane", *_arguments])
            print(f"\ninterrupted; only the epoch under way will be repeated. To continue: {again}", file=sys.stderr)
            return INTERRUPTED
    if not quiet:
        console.print(summary_table(records.measurements, records.performance))
        console.print(f"figures: {path / 'figures'}", highlight=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, soft_wrap=True)
    return 0


def recipes(options: RecipesOptions) -> int:
    """Print the table of recipes."""
    del options
    from rich.table import Table

    table = Table("recipe", "what it is", "cost on 2 CPU cores", title="infoplane flow RECIPE")
    for name, recipe in RECIPES.items():
        table.add_row(name, recipe.purpose, recipe.cost)
    _console().print(table)
    return 0


def estimate(options: EstimateOptions) -> int:
    """Print what the estimators say about the activations in a file."""
    from infoplane.report.estimate import estimate_table
    from infoplane.studies.activations import estimate_activations, read_activations

    activations, labels = read_activations(options.file)
    settings = MeasurementConfig(
        noise_variance=options.noise_variance, bin_width=options.bin_width, permutations=options.permutations
    )
    try:
        measurements = estimate_activations(activations, labels, settings, seed=options.seed)
    except ValueError as error:
        raise UserError(f"{options.file}: {error}") from error
    if options.json_output:
        print(json.dumps({"file": str(options.file), "unit": "nats", "measurements": measurements.to_dicts()}))
    else:
        _console().print(estimate_table(measurements))
    return 0


def calibrate(options: CalibrateOptions) -> int:
    """Print and save the table of estimators against known truths."""
    from infoplane.console import progress_for
    from infoplane.report.calibration import calibration_page, calibration_table
    from infoplane.runs import RunFolder, write_whole
    from infoplane.studies.calibration import calibration
    from infoplane.studies.cells import CalibrationConfig, environment

    console = _console()
    config = CalibrationConfig(**options.model_dump(include={"seed", "quick", "estimators", "tasks"}))
    try:
        with RunFolder(options.output).locked(), progress_for(console, quiet=False) as progress:
            cells = calibration(config, options.output, jobs=options.jobs, progress=progress)
    except KeyboardInterrupt:
        again = shlex.join(["infoplane", *_arguments])
        print(f"\ninterrupted; finished cells are kept. To continue: {again}", file=sys.stderr)
        return INTERRUPTED
    notice = (
        "Quick: few tasks, samples and replicates. Trust the whole table (without --quick)." if options.quick else ""
    )
    facts = {
        "command": shlex.join(["infoplane", *_arguments]),
        "date": time.strftime("%Y-%m-%d"),
        **environment(),
        "processes": f"{options.jobs or os.cpu_count()}, of one thread each",
    }
    page, content = calibration_page(cells, facts, notice), io.BytesIO()
    cells.write_parquet(content)
    write_whole(options.output / "cells.parquet", content.getvalue())
    for path in filter(None, (options.output / "calibration.md", options.document)):
        write_whole(path, page.encode())
    console.print(calibration_table(cells, notice))
    console.print(f"table: {options.output / 'calibration.md'}", highlight=False, soft_wrap=True)
    return 0


def report(options: ReportOptions) -> int:
    """Draw figures and report of a run from its records."""
    from infoplane.report.html import write_report
    from infoplane.runs import RunFolder

    print(write_report(RunFolder(options.run)))
    return 0


def data(options: DataOptions) -> int:
    """Verify a dataset, after fetching what is missing."""
    from infoplane.data import download_bar, fetch, verify

    console = _console()
    checks = verify(options.name, options.folder)
    if not all(check.ok for check in checks):
        with download_bar() as bar:
            fetch(options.name, folder=options.folder, progress=bar)
        checks = verify(options.name, options.folder)
    for check in checks:
        word = "ok" if check.ok else "BROKEN"
        console.print(f"{word:<7} {check.file}  {check.message}", highlight=False, markup=False, soft_wrap=True)
    return 0 if all(check.ok for check in checks) else USER_ERROR


COMMANDS: dict[str, tuple[Callable[[Any], int], type[_Options]]] = {
    "demo": (demo, DemoOptions),
    "flow": (flow, FlowOptions),
    "recipes": (recipes, RecipesOptions),
    "estimate": (estimate, EstimateOptions),
    "calibrate": (calibrate, CalibrateOptions),
    "report": (report, ReportOptions),
    "data": (data, DataOptions),
}


def usage() -> str:
    """Return what `infoplane --help` prints."""
    lines = [
        "usage: infoplane COMMAND [options]",
        "",
        "Information planes you can trust, for networks under attack.",
        "",
    ]
    lines += [f"  {name:<10}{(options.__doc__ or '').strip()}" for name, (_, options) in COMMANDS.items()]
    lines += ["", "infoplane COMMAND --help lists the options of a command."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for a user's mistake, 130 after Ctrl-C. A failure of ours raises: status 1."""
    _arguments[:] = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(list(_arguments))
    except UserError as error:
        print(f"infoplane: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("infoplane: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, say `head`, has seen enough
        sys.stderr.close()
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else USER_ERROR
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"infoplane {version('infoplane')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}{_suggestion(name, COMMANDS)}; commands are {', '.join(COMMANDS)}")
    command, options = COMMANDS[name]
    default = None
    if command is flow:
        default, rest = _flow_default(rest)
    return command(_parse(options, name, rest, default))


def _flow_default(rest: list[str]) -> tuple[FlowOptions, list[str]]:
    """Take the recipe off the arguments: its settings are the defaults of all options."""
    if rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in RECIPES:
            raise UserError(f"unknown recipe {name!r}{_suggestion(name, RECIPES)}; recipes are {', '.join(RECIPES)}")
        return FlowOptions(config=RECIPES[name].config), rest
    if "-h" in rest or "--help" in rest:
        print(f"usage: infoplane flow RECIPE [options]; recipes are {', '.join(RECIPES)}\n")
        return FlowOptions(config=RECIPES["digits-lenet5"].config), rest
    raise UserError(f"name a recipe first: infoplane flow RECIPE [options]; recipes are {', '.join(RECIPES)}")


def _parse(options: type[Options], name: str, arguments: list[str], default: Options | None) -> Options:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                options,
                args=arguments,
                prog=f"infoplane {name}{' RECIPE' if options is FlowOptions else ''}",
                default=default if default is not None else tyro.MISSING_NONPROP,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(complaint.getvalue(), name)) from None


def _one_line(complaint: str, command: str) -> str:
    """Return the parser's boxed complaint as one line."""
    lines = [line.strip("│╭╮╰╯─ ") for line in complaint.splitlines()]
    text = " ".join(line for line in lines if line)
    text = re.split(r"For full helptext|Argument helptext|For further information", text)[0]
    text = re.sub(r"^(Value error|Invalid choice|Unrecognized options|Required options|Parsing error)\s", "", text)
    # pydantic names its classes and types: of no use to someone who typed an option
    text = re.sub(r"Error parsing (?:config\.?)?(\S*?): \d+ validation errors? for \w+ ", r"\1 ", text)
    text = re.sub(r"\s*\[type=.*", "", text).replace("Value error, ", "").replace("Error parsing ", "")
    text = re.sub(r"\(default: [^)]*\)", "", text)
    return f"{' '.join(text.split()).rstrip('.')}; see infoplane {command} --help"


def _suggestion(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _console() -> "Console":
    from rich.console import Console

    console = Console()
    # a pipe has no width: wide enough that no table is folded
    return console if console.is_terminal else Console(width=120)
