"""Commands `infoplane flow` and `infoplane demo`: study one; the demo is one of its recipes."""

import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from pydantic import Field, create_model

from infoplane.attacks import catalogue as attack_catalogue
from infoplane.attacks.catalogue import attacks_named
from infoplane.commands.common import USER_ERROR, Options, listed, open_console, says_how_to_continue
from infoplane.commands.jobs import alone, check_jobs, notes_on_jobs, processes_for
from infoplane.commands.model_options import model_options
from infoplane.commands.trust import check_code_is_trusted
from infoplane.config import FlowConfig, ModelConfig
from infoplane.data import catalogue as data_catalogue
from infoplane.data.catalogue import dataset_named, given_data
from infoplane.errors import UserError
from infoplane.models import catalogue as model_catalogue
from infoplane.models.catalogue import model_named
from infoplane.recipes import RECIPES, kept_settings, subject
from infoplane.text import DESCRIBED
from infoplane.training.catalogue import METHODS, WRAPPERS, all_settings
from infoplane.training.named import check_methods

if TYPE_CHECKING:
    from infoplane.acceleration import Choices
    from infoplane.distributed.side_processes import SideProcesses
    from infoplane.distributed.team import Team
    from infoplane.report.live import LivePage
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.progress import Progress

Device = Literal["auto", "cpu", "cuda"]

_OWN = "package.module:function"


class DemoOptions(Options):
    """Train LeNet-5 normally and adversarially on scikit-learn's digits and report: no download, less than a minute."""

    run: Path = Path("runs/demo")
    """Folder of the run; one that exists is continued."""
    quiet: bool = False
    """Print nothing but errors."""


class FlowOptions(Options):
    """Study one: measure the information in every layer while a network trains normally and adversarially."""

    run: Path | None = None
    """Folder of the run, by default runs/RECIPE-sSEED, or runs/MODEL-on-DATA-sSEED with data or model of your own.
    One that exists is continued, with its own settings where none are given but --seeds."""
    own_data: Annotated[
        str | None, tyro.conf.arg(name="data", metavar="FOLDER|FILE.npz|PACKAGE.MODULE:FUNCTION|NAME")
    ] = None
    """Data of your own: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*; a .npz file of arrays; or a function that returns
    arrays or a dataset. Or the name of a published dataset."""
    model_path: Annotated[str | None, tyro.conf.arg(name="model", metavar="PACKAGE.MODULE:FUNCTION")] = None
    """A model of your own: a function that returns a torch module."""
    model_settings: Annotated[Any, tyro.conf.arg(name="model", constructor_factory=model_options)] = None
    trust_run_code: bool = False
    """Allow importing the functions (model, data, methods, attacks) that the run's config.json names. Use it for runs
    you trust."""
    device: Device = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Of products while training and attacking for training: float32, bfloat16, or what a short timing finds faster.
    On a GPU the timing also tries CUDA graphs, which are experimental. Networks are always measured in float32."""
    deterministic: bool = False
    """Train without acceleration and without timing: the same bits on the same machine, whatever its load."""
    devices: Annotated[int, Field(ge=1), tyro.conf.arg(metavar="N")] = 1
    """Processes that share the work on this node: one per GPU."""
    jobs: Annotated[int, Field(ge=1), tyro.conf.arg(metavar="N")] = 1
    """Trainings that are carried out side by side on the CPU, each by a process of its own. The threads are divided
    between the processes. With small networks this is faster than several threads for one training."""
    nodes: Annotated[int, Field(ge=1), tyro.conf.arg(metavar="M")] = 1
    """Nodes: give the same command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set."""
    keep_checkpoints: bool = False
    """Keep the weights of every epoch instead of those of the last."""
    continue_at_chance: bool = False
    """Continue a training at chance (no more accurate than a constant answer); by default it ends."""
    quiet: bool = False
    """Print nothing but errors."""
    config: Annotated[FlowConfig, tyro.conf.arg(name="")] = FlowConfig()

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and lists of the names it takes."""
        datasets = listed("Datasets (--data.name)", {one.name: one.summary for one in data_catalogue.DATASETS})
        models = listed("Models (--model.name)", {one.name: one.description for one in model_catalogue.MODELS})
        described = {spec.name: spec.description for spec in METHODS}
        described |= {f"NAME+{spec.name}": spec.description for spec in WRAPPERS}
        methods = listed("Training methods (--methods)", described | {_OWN: "your own (docs/training.md)"})
        attacks = listed(
            "Attacks (--attacks)",
            {
                spec.name: f"{spec.description}; uses {', '.join(map(_attack_option, spec.settings))}"
                for spec in attack_catalogue.ATTACKS
            }
            | {_OWN: "your own (docs/attacks.md)"},
        )
        return "\n\n".join([super().described(), datasets, models, methods, attacks])


def _attack_option(setting: str) -> str:
    return f"--attack.{setting}".replace("_", "-")


def flow_options() -> type[FlowOptions]:
    """Return the options with those of the training methods: their names in the help, and their settings."""
    names = [*(spec.name for spec in METHODS), *(f"NAME+{spec.name}" for spec in WRAPPERS)]
    described = f"Trainings to compare, from the same weights: {', '.join(names)}, or {_OWN}."
    settings = all_settings()
    config: Any = create_model(
        "FlowConfig",
        __base__=FlowConfig,
        methods=(tuple[str, ...], Field(FlowConfig().methods, description=described)),
        method=(settings, settings()),
        __cls_kwargs__=DESCRIBED,
    )
    options: Any = Annotated[config, tyro.conf.arg(name="")]
    return create_model(
        "FlowOptions",
        __base__=FlowOptions,
        __doc__=FlowOptions.__doc__,
        config=(options, config()),
        __cls_kwargs__=DESCRIBED,
    )


def with_recipe(options: type[FlowOptions], recipe: str) -> FlowOptions:
    """Return the options that `flow_options` gave with the settings of a recipe."""
    return options.model_validate({"config": _complete(RECIPES[recipe].config).model_dump()})


def _complete(config: FlowConfig) -> FlowConfig:
    """Return the settings with those of all methods, as a run stores them."""
    return config.model_copy(update={"method": all_settings()().model_dump() | dict(config.method)})


def demo(options: DemoOptions) -> int:
    """Run the digits recipe and show its table and report."""
    config = _complete(RECIPES["digits-lenet5"].config)
    return _run_flow(config, options.run, device="cpu", jobs=min(2, os.cpu_count() or 1), quiet=options.quiet)


def flow(options: FlowOptions) -> int:
    """Run study one with the settings of a recipe and the options given."""
    config = checked_config(options)
    return _run_flow(
        config,
        options.run or Path("runs") / f"{_folder_name(config)}-s{config.seed}",
        quiet=options.quiet,
        device=options.device,
        precision=options.precision,
        deterministic=options.deterministic,
        trust_run_code=options.trust_run_code,
        keep_checkpoints=options.keep_checkpoints,
        continue_at_chance=options.continue_at_chance,
        devices=options.devices,
        nodes=options.nodes,
        jobs=options.jobs,
    )


def checked_config(options: FlowOptions) -> FlowConfig:
    """Return all settings of a run, of its network and its methods too, before anything is read or written.

    Raises:
        UserError: a name is unknown, or settings do not fit each other.
    """
    settings = options.config.model_dump()
    if options.own_data is not None:
        settings["data"] |= given_data(options.own_data)
    if options.model_path is not None:
        settings["model"]["name"] = options.model_path
    typed = options.model_settings.model_dump(exclude_none=True) if options.model_settings is not None else {}
    settings["model"]["settings"] = _model_settings(options.config, settings["model"]["name"], typed)
    config = FlowConfig.model_validate(settings)
    check_methods(config)
    attacks_named(config.attacks, config.attack.norm)  # unknown names are refused before a folder is made
    dataset_named(config.data.name)  # refuses unknown names
    _check_weights(config)
    return config


def _check_weights(config: FlowConfig) -> None:
    """Refuse --weights with other settings than a network that was trained elsewhere can have, before data is read."""
    if config.model.weights is not None:
        from infoplane.studies.file_weights import check_weights_settings

        check_weights_settings(config)


def _model_settings(given: FlowConfig, name: str, typed: dict[str, Any]) -> dict[str, Any]:
    """Return all settings of a network: those typed, then those of the recipe if it is the recipe's network."""
    recipe = RECIPES[given.recipe].config.model
    others = {} if name != recipe.name and given.model.settings == recipe.settings else given.model.settings
    return model_named(name).checked({**others, **typed}).model_dump()


def _folder_name(config: FlowConfig) -> str:
    """Return the name of the run's folder without its seed."""
    return re.sub(r"[^\w.+]+", "-", subject(config.model_dump())).strip("-.") or config.recipe


def _with_own_settings(config: FlowConfig, run: "RunFolder") -> tuple[FlowConfig, str]:
    """Use the settings of the run to continue if the user typed only --seeds and paths of code.

    Returns:
        The settings, and those that differ from the recipe, for a message.
    """
    from infoplane.studies import STUDY
    from infoplane.studies.finished import flow_config

    recipe = _complete(RECIPES[config.recipe].config)
    usual = _model_settings(recipe, config.model.name, {})
    model = recipe.model.model_copy(update={"name": config.model.name, "settings": usual})
    data = config.data.model_copy(update={"name": recipe.data.name, "folder": recipe.data.folder})
    same = {"seeds": 1, "data": data, "methods": recipe.methods, "attacks": recipe.attacks}
    given_none = config.model_copy(update=same) == recipe.model_copy(update={"model": model})
    if not given_none or not run.exists() or run.study() != STUDY or not run.has_results():
        return config, ""
    own = _complete(flow_config(run))
    if own.recipe != config.recipe:
        return config, ""  # refused later, when the run begins
    if config.seeds > 1:
        own = own.model_copy(update={"seeds": config.seeds})
    given_data, own_data = ((one.data.name, one.data.folder) for one in (config, own))
    other_data = given_data not in ((recipe.data.name, recipe.data.folder), own_data)
    if config.model.name not in (recipe.model.name, own.model.name) or other_data:
        return config, ""  # another model or other data was requested: refused later, when the run begins
    if other := {
        name: given
        for name in ("methods", "attacks")
        if (given := getattr(config, name)) not in (getattr(recipe, name), getattr(own, name))
    }:
        return own.model_copy(update=other), ""  # refused later, when the run begins
    differing = _differing_settings(config, own)
    return own, f"{run.path} is continued with its own settings: {', '.join(differing)}" if differing else ""


def _differing_settings(recipe: FlowConfig, own: FlowConfig) -> list[str]:
    """Return the settings of `own` that differ from `recipe`, e.g. "training.epochs = 6"."""
    from infoplane.config import flat_settings

    before, now = flat_settings(recipe.model_dump(mode="json")), flat_settings(own.model_dump(mode="json"))
    return [f"{name} = {value!r}" for name, value in now.items() if value != before.get(name)]


def _choices(
    config: FlowConfig,
    run: "RunFolder",
    kept: dict[str, Any],
    precision: Literal["auto", "32", "bf16"],
    progress: "Progress",
    *,
    deterministic: bool,
) -> "Choices":
    """Return the acceleration during training: that with which the run began, the requested one, or the fastest."""
    from infoplane.acceleration import PLAIN
    from infoplane.studies.flow.choose_acceleration import from_record, to_record, training_choices

    if deterministic and precision == "bf16":
        raise UserError("--deterministic trains in float32; leave out --precision bf16, or --deterministic")
    if "training" in kept or run.has_results():  # runs without a recorded choice began without acceleration
        choices = from_record(kept["training"]) if "training" in kept else PLAIN
        if precision not in ("auto", choices.precision):
            raise UserError(
                f"{run.path} began with --precision {choices.precision}; continue it with that, or choose another "
                "folder with --run"
            )
        if deterministic and choices != PLAIN:
            raise UserError(f"{run.path} began without --deterministic; leave it out, or choose another --run")
        return choices
    progress.doing("timing ways of computing")
    choices = PLAIN if deterministic else training_choices(config, kept.get("device", "cpu"), precision)
    if choices.cuda_graphs:
        progress.say("training uses CUDA graphs, which are experimental; --precision 32 or --deterministic avoids them")
    run.keep(training=to_record(choices))
    return choices


def _run_flow(
    config: FlowConfig,
    path: Path,
    *,
    device: Device = "auto",
    devices: int = 1,
    nodes: int = 1,
    jobs: int = 1,
    **options: Any,
) -> int:
    """Run the study in this process, with one process per device, whose leader this is, or with processes beside it."""
    if jobs > 1:
        check_jobs(device, devices, nodes)
        # A run that exists may have more trainings than the settings typed.
        with processes_for(jobs if path.exists() else min(jobs, config.seeds * len(config.methods))) as processes:
            return _lead(config, path, alone(), device=device, processes=processes, **options)
    from infoplane.distributed.ranks import ranks_started

    with ranks_started(devices, nodes, device) as team:
        if team.rank:
            return _follow(team)
        return _lead(config, path, team, device=device, **options)


def _follow(team: "Team") -> int:
    from infoplane.commands.output import Told
    from infoplane.distributed.team import LostProcessError
    from infoplane.runs.environment import apply_environment
    from infoplane.studies.flow.follower import follow_information_flow

    try:
        kept = team.tell()
        if kept is not None:
            apply_environment(kept)
            follow_information_flow(team)
    except LostProcessError:
        return USER_ERROR  # the leader reports it, unless the leader itself ended
    except KeyboardInterrupt as interruption:
        raise Told(interruption) from None  # by the leader
    return 0


def _lead(
    config: FlowConfig,
    path: Path,
    team: "Team",
    *,
    quiet: bool,
    device: Device,
    processes: "SideProcesses | None" = None,
    precision: Literal["auto", "32", "bf16"] = "auto",
    deterministic: bool = False,
    keep_checkpoints: bool = False,
    continue_at_chance: bool = False,
    trust_run_code: bool = False,
) -> int:
    from infoplane.commands.console import progress_for
    from infoplane.runs.environment import apply_environment, describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies import STUDY, information_flow
    from infoplane.studies.flow.costs import with_epochs_of_run
    from infoplane.training import DivergedError

    console, run = open_console(), RunFolder(path)
    with run.locked():
        typed = config
        config, own = _with_own_settings(config, run)
        if config.measurement.budget is not None and run.exists() and run.study() == STUDY:
            config = with_epochs_of_run(config, run) or config
        check_code_is_trusted(
            config,
            run,
            model=typed.model.name,
            data=typed.data.folder,
            methods=typed.methods,
            attacks=typed.attacks,
            trusted=trust_run_code,
        )
        computed_on = device if processes is None else "cpu"
        now = {**describe_environment(computed_on), "keep_checkpoints": keep_checkpoints, "processes": team.size}
        now["threads"] = max(1, now["threads"] // (len(processes) if processes is not None else 1))  # of one training
        usual = FlowConfig(model=ModelConfig(settings=model_named(config.model.name).checked({}).model_dump()))
        defaults = _complete(usual).model_dump(mode="json")
        kept = run.begin(STUDY, config.model_dump(mode="json"), now, may_grow=("seeds",), defaults=defaults)
        if (began := kept.get("processes", 1)) != team.size:
            raise UserError(
                f"{path} began with {began} process{'es' * (began > 1)}, got {team.size}, and each stores the state "
                "of its method; continue with as many (--devices, --nodes), or choose another folder with --run"
            )
        differences = apply_environment(kept, computed_on)
        team.tell(kept)
        try:
            with (
                says_how_to_continue("only the epoch under way will be repeated"),
                progress_for(console, quiet=quiet) as progress,
            ):
                notes = [own, *kept_settings(config), *differences, *_registration_notes(run)]
                notes += notes_on_jobs(kept["threads"], processes, device)
                for note in filter(None, notes):
                    progress.say(f"note: {note}")
                choices = _choices(config, run, kept, precision, progress, deterministic=deterministic)
                records = information_flow(
                    config,
                    run=run,
                    device=kept.get("device", "cpu"),
                    keep_checkpoints=kept.get("keep_checkpoints", False) or keep_checkpoints,
                    continue_at_chance=continue_at_chance,
                    choices=choices,
                    progress=progress,
                    team=team,
                    processes=processes,
                    on_measured=_live_page(run, progress),
                )
                progress.doing("drawing figures and report")
                from infoplane.report.html import judges_claims, run_findings, write_report

                found = run_findings(run)
                report = write_report(run, found, processes=processes)
        except DivergedError as error:
            raise UserError(str(error)) from error
    if not quiet:
        from infoplane.report.findings_table import findings_table
        from infoplane.report.registered import registered_outcomes, registered_table
        from infoplane.report.table import summary_table

        console.print(summary_table(records.measurements, records.performance))
        if judges_claims(run.read_config()):
            console.print(findings_table(found))
        if registered := registered_outcomes(run, run.read_config()["settings"], found):
            console.print(registered_table(*registered))
        console.print(f"figures: {path / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _registration_notes(run: "RunFolder") -> list[str]:
    from infoplane.runs.registration_file import read_registered

    if read_registered(run) is None:
        return []
    from infoplane.report.registered import registration_notes

    return registration_notes(run)


def _live_page(run: "RunFolder", progress: "Progress") -> Callable[[], None]:
    """Return what draws the page after measured epochs. What draws is imported then: processes wait for the first work.

    Args:
        run: its folder.
        progress: shows notes.
    """

    @cache
    def page() -> "LivePage":
        from infoplane.report.live import LivePage

        return LivePage(run, progress.say)

    return lambda: page().update()
