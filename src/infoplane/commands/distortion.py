"""Command `infoplane distortion RUN`: study two."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import BaseModel, create_model

from infoplane.attacks import attacks_named
from infoplane.commands.common import Options, listed, open_console, says_how_to_continue
from infoplane.commands.trust import check_code_is_trusted
from infoplane.config import DistortionConfig
from infoplane.distortions import DISTORTIONS, Distortion, distortion_named


def level_options() -> type[BaseModel]:
    """Return a model with a field for the levels of each distortion; levels that are not typed are empty."""

    def field(one: Distortion) -> Any:
        default = f"(default: {' '.join(f'{level:g}' for level in one.levels)}"
        option = tyro.conf.arg(
            name=one.name,
            help=f"{one.level[0].upper()}{one.level[1:]}; {one.identity:g} changes nothing and is always measured.",
            help_behavior_hint=f"{default}, or the nearest that fit the image size)" if one.fitted else f"{default})",
        )
        return Annotated[tuple[float, ...], option], ()

    return create_model("LevelOptions", **{_field(one): field(one) for one in DISTORTIONS})


def _field(distortion: Distortion) -> str:
    return distortion.name.replace("-", "_")


class DistortionOptions(Options):
    """Study two: distort the examples of a finished run and measure accuracy and information of its networks."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run of infoplane flow or demo; records, figures and report are added to it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes the device on which the run began."""
    model: Annotated[str | None, tyro.conf.arg(metavar="PACKAGE.MODULE:FUNCTION")] = None
    """The run's model function, if it has one; typing it allows this command to import that code. A run of a training
    loop of your own has none: name a function that returns its network."""
    data: Annotated[str | None, tyro.conf.arg(metavar="PACKAGE.MODULE:FUNCTION")] = None
    """The run's data function, if it has one; typing it allows this command to import that code."""
    attacks: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=("--attack",), metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")
    ] = ()
    """Attacks whose examples are distorted, by default those of the run. Typing a function allows this command to
    import that code."""
    trust_run_code: bool = False
    """Import all functions that the run names, without typing them."""
    quiet: bool = False
    """Print nothing but errors."""
    levels: Annotated[Any, tyro.conf.arg(name="", constructor_factory=level_options)] = None
    config: Annotated[DistortionConfig, tyro.conf.arg(name="")] = DistortionConfig()

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the distortions."""
        distortions = listed("Distortions", {one.name: f"destroys {one.destroys}" for one in DISTORTIONS})
        return f"{super().described()}\n\n{distortions}"


def distortion(options: DistortionOptions) -> int:
    """Run study two on the networks of a run, draw its figures and print its accuracies."""
    from infoplane.commands.console import progress_for
    from infoplane.report.distortion_table import distortion_table
    from infoplane.report.findings_table import findings_table
    from infoplane.report.html import run_findings, write_report
    from infoplane.runs.environment import apply_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.own_loop import is_own_loop
    from infoplane.studies.distortion import distortion_study
    from infoplane.studies.finished import finished_config

    config = options.config
    for name in config.distortions:
        distortion_named(name)  # refuses unknown names
    if options.levels is not None:
        typed = {one.name: levels for one in DISTORTIONS if (levels := getattr(options.levels, _field(one)))}
        config = config.model_copy(update={"levels": config.levels | typed})
    console, run = open_console(), RunFolder(options.run)
    kept = run.read_config()["environment"]  # before the lock, which would create a missing folder
    kept_config = finished_config(run, attacks=options.attacks or None, model=options.model, data=options.data)
    attacks_named(kept_config.attacks, kept_config.attack.norm)  # refuses unknown names
    check_code_is_trusted(
        kept_config,
        run,
        model=options.model,
        data=options.data,
        attacks=options.attacks,
        trusted=options.trust_run_code,
    )
    with run.locked():
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the distortion under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            records = distortion_study(
                run,
                config,
                device=kept.get("device", "cpu"),
                attacks=options.attacks or None,
                model=options.model,
                progress=progress,
            )
            progress.doing("drawing figures and report")
            found = run_findings(run)
            report = write_report(run, found)
    if not options.quiet:
        console.print(distortion_table(records.performance))
        if not is_own_loop(run.read_config()):  # the claims are not about such a run
            console.print(findings_table(found))
        console.print(f"figures: {options.run / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0
