"""Command `infoplane evaluate`: accuracy of finished networks, or of weights from elsewhere, under attacks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import Field

from infoplane.commands.common import Options, listed, open_console, says_how_to_continue
from infoplane.commands.model_options import model_options
from infoplane.commands.trust import check_code_is_trusted
from infoplane.commands.weights_options import ImageOptions, Part, PixelOptions, data_config, network_config
from infoplane.config import AttackConfig, Fraction
from infoplane.errors import UserError
from infoplane.records.evaluation import EVALUATION, EVALUATION_FILE
from infoplane.robustness.suites import SUITES, check_suite_installed

if TYPE_CHECKING:
    from rich.console import Console

    from infoplane.attacks.contract import Ball
    from infoplane.config import FlowConfig
    from infoplane.records.evaluation import Evaluation
    from infoplane.runs.folder import RunFolder

_GROWING = ("seeds", "networks", "model", "checkpoints")  # settings that a run can get more of
Suite = Literal["quick", "standard", "full"]


class BallOptions(Part):
    """The ball in which a changed image counts against a network."""

    norm: Literal["linf", "l2"] | None = None
    """Of the ball; by default that of the run, or linf."""
    epsilon: Annotated[Fraction, Field(gt=0)] | None = None
    """Radius of the ball, pixels in [0, 1]; by default that of the run, or 8/255."""


class WeightsImages(ImageOptions):
    """The images, with --weights."""


class WeightsPixels(PixelOptions):
    """Normalisation of the pixels, with --weights."""


class EvaluateOptions(Options):
    """Accuracy of a finished run's networks, or of weights from elsewhere, under a suite of attacks."""

    run: tyro.conf.Positional[Path | None] = None
    """Folder of a finished run of infoplane flow or demo; its report gets a section."""
    suite: Suite = "quick"
    """Which attacks."""
    examples: int = Field(500, ge=2)
    """Test images that are attacked, a stratified choice; all where there are fewer."""
    output: Path | None = None
    """Folder of the results, by default RUN/evaluation, or runs/evaluation-NAME for --weights NAME.pt. One that exists
    is continued."""
    weights: Annotated[Path | None, tyro.conf.arg(metavar="FILE.safetensors|FILE.pt")] = None
    """Weights from elsewhere, for --model on the test images of --data."""
    model_path: Annotated[str | None, tyro.conf.arg(name="model", metavar="NAME|PACKAGE.MODULE:FUNCTION")] = None
    """Network of the weights. With a run: its model function, which allows this command to import that code; of a
    training loop of your own, a function that returns its network."""
    model_settings: Annotated[Any, tyro.conf.arg(name="model", constructor_factory=model_options)] = None
    model: WeightsPixels = WeightsPixels()
    own_data: Annotated[str | None, tyro.conf.arg(name="data", metavar="NAME|FOLDER|FILE.npz|MODULE:FUNCTION")] = None
    """Images for the weights: a dataset, or your own as for infoplane flow. With a run: its data function, which allows
    this command to import that code."""
    data: WeightsImages = WeightsImages()
    attack: BallOptions = BallOptions()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes the device on which the run began, or a GPU if there is one."""
    trust_run_code: bool = False
    """Import all functions that the run names, without typing them."""
    quiet: bool = False
    """Print nothing but errors."""

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the suites."""
        suites = {name: ", ".join(one.name for one in attacks) for name, attacks in SUITES.items()}
        return f"{super().described()}\n\n{listed('Suites (--suite)', suites)}"


def evaluate(options: EvaluateOptions) -> int:
    """Attack the networks, and print a table for each."""
    if options.run is not None and options.weights is not None:
        raise UserError("name a run, or --weights with --model and --data, not both")
    if options.run is None and options.weights is None:
        raise UserError("name a run, or --weights FILE with --model and --data; see infoplane evaluate --help")
    check_suite_installed(options.suite)
    if options.run is not None:
        return _of_run(options, options.run)
    assert options.weights is not None, "one of the two is given"
    return _of_weights(options, options.weights)


def _of_run(options: EvaluateOptions, path: Path) -> int:
    import hashlib
    import json
    from contextlib import ExitStack

    from infoplane.commands.console import progress_for
    from infoplane.report.html import write_report
    from infoplane.report.subject import subject_of
    from infoplane.runs.environment import apply_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.own_loop import loop_settings
    from infoplane.studies.evaluated_run import subjects_of
    from infoplane.studies.evaluation import chosen_images, evaluate_networks
    from infoplane.studies.finished import FinishedRun, finished_config

    for name, given in (("model", options.model), ("data", options.data)):
        if typed := given.model_dump(exclude_none=True):
            raise UserError(f"--{name}.{next(iter(typed)).replace('_', '-')} is for --weights; a run has its own")
    run = RunFolder(path)
    kept = run.read_config()
    # the attacks of the run are not used here
    config = finished_config(run, attacks=(), model=options.model_path, data=options.own_data)
    if (own := loop_settings(run)) is not None and own.attack is None and options.attack.epsilon is None:
        raise UserError(f"{path} names no epsilon: no attack with epsilon and norm was measured; type --attack.epsilon")
    check_code_is_trusted(
        config, run, model=options.model_path, data=options.own_data, attacks=(), trusted=options.trust_run_code
    )
    ball = _ball(options, config.attack)
    settings = {name: value for name, value in kept["settings"].items() if name not in _GROWING}
    of_run = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    inside = options.output is None
    folder = RunFolder(options.output or path / EVALUATION, option="--output")
    console = open_console()
    with ExitStack() as locks:
        if inside:
            locks.enter_context(run.locked())
        locks.enter_context(folder.locked())
        facts = {**ball._asdict(), "examples": options.examples, "seed": config.data.seed, "run": of_run}
        folder.begin(EVALUATION, facts, kept["environment"])
        differences = apply_environment(kept["environment"], options.device)
        with (
            says_how_to_continue("only the attack under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            finished = FinishedRun(run, kept["environment"].get("device", "cpu"), attacks=(), model=options.model_path)
            for seed, training in finished.ended_at_chance:
                progress.say(f"{training} training, seed {seed}: it ended at chance, so it is not evaluated")
            evaluation = evaluate_networks(
                subjects_of(finished),
                chosen_images(finished.test, options.examples, config.data.seed, finished.test_pixels),
                folder,
                suite=options.suite,
                ball=ball,
                classes=len(finished.test.class_names),
                progress=progress,
                subject=subject_of(kept, path.name).title,
                weights_file=None,
                weights_file_sha256=None,
            )
            progress.doing("drawing figures and report")
            shown = write_report(run) if inside else _draw(evaluation, folder)
    return _print(evaluation, folder, shown, console, quiet=options.quiet)


def _of_weights(options: EvaluateOptions, path: Path) -> int:
    from infoplane.commands.console import progress_for
    from infoplane.models.weights_file import read_weights
    from infoplane.runs.environment import apply_environment, describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies.evaluated_weights import subject_of_weights
    from infoplane.studies.evaluation import chosen_images, evaluate_networks
    from infoplane.studies.parts import load_test_images

    config = _config(options)
    ball, file = _ball(options, AttackConfig()), read_weights(path)
    facts = {
        **ball._asdict(),
        "examples": options.examples,
        "data": config.data.model_dump(mode="json"),
        "model": config.model.model_dump(mode="json"),
        "weights_file_sha256": file.sha256,
    }
    folder, console = (
        RunFolder(options.output or Path("runs") / f"evaluation-{path.stem}", option="--output"),
        open_console(),
    )
    now = describe_environment(options.device)
    test, _ = load_test_images(config, now["device"])
    subject = subject_of_weights(config, test, path, file)  # refuses weights before a folder is made
    with folder.locked():
        kept = folder.begin(EVALUATION, facts, now)
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the attack under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            evaluation = evaluate_networks(
                [subject],
                chosen_images(test, options.examples, config.data.seed),
                folder,
                suite=options.suite,
                ball=ball,
                classes=len(test.class_names),
                progress=progress,
                subject=f"{subject.name} on {test.name}",
                weights_file=path.name,
                weights_file_sha256=file.sha256,
            )
            progress.doing("drawing the figure")
            shown = _draw(evaluation, folder)
    return _print(evaluation, folder, shown, console, quiet=options.quiet)


def _config(options: EvaluateOptions) -> "FlowConfig":
    """Return settings of study one with the model and the data that the options name."""
    from infoplane.config import FlowConfig

    if options.model_path is None or options.own_data is None:
        missing = "--model" if options.model_path is None else "--data"
        raise UserError(f"--weights needs {missing}: the network that the weights are of, and its test images")
    return FlowConfig(
        data=data_config(options.own_data, options.data),
        model=network_config(options.model_path, options.model_settings, options.model),
    )


def _ball(options: EvaluateOptions, default: AttackConfig) -> "Ball":
    from infoplane.attacks.contract import Ball

    norm = options.attack.norm or default.norm
    if norm != default.norm and options.attack.epsilon is None:
        raise UserError(f"--attack.norm {norm}: the run has {default.norm}; type --attack.epsilon too")
    epsilon = options.attack.epsilon or default.epsilon
    if norm == "linf" and epsilon > 1:
        raise UserError(f"--attack.epsilon of the L-infinity ball is at most 1, the range of a pixel, got {epsilon:g}")
    return Ball(norm, epsilon)


def _draw(evaluation: "Evaluation", folder: "RunFolder") -> Path:
    """Draw the figure into the folder of the evaluation and return its path."""
    from infoplane.report.evaluation_figure import EVALUATION_ALONE
    from infoplane.report.figure import paths_of
    from infoplane.report.style import figure_style

    with figure_style():
        (drawn,) = EVALUATION_ALONE.write(evaluation, folder.path / "figures")
    folder.list_files(paths_of([drawn]))
    return drawn.png


def _print(evaluation: "Evaluation", folder: "RunFolder", shown: Path, console: "Console", *, quiet: bool) -> int:
    from infoplane.report.evaluation_table import evaluation_table

    if not quiet:
        console.print(evaluation_table(evaluation))
        console.print(f"numbers: {folder.path / EVALUATION_FILE}", highlight=False, markup=False, soft_wrap=True)
        kind = "report: " if shown.suffix == ".html" else "figure: "
        console.print(f"{kind} {shown}", highlight=False, markup=False, soft_wrap=True)
    return 0
