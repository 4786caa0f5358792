"""Command `infoplane attacks RUN`: what the layers of finished networks encode under many attacks."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

from infoplane.attacks import ATTACKS, attacks_named
from infoplane.commands.common import Options, listed, open_console, says_how_to_continue
from infoplane.commands.trust import check_code_is_trusted
from infoplane.config import AttackConfig

# Single steps and several, with gradients and without, in the ball and of smallest norm, and a control.
_WANTED = (
    "pgd", "fgsm", "bim", "mi-fgsm", "apgd-ce", "cw", "deepfool", "square", "transfer", "random-target",
)  # fmt: skip


def usual_attacks(norm: str, *, source: bool = True) -> tuple[str, ...]:
    """Return the attacks that are measured if none is named, in this order; without those that need a source."""
    known = {spec.name: spec for spec in ATTACKS if source or not spec.needs_source}
    return tuple(name for name in _WANTED if name in known and norm in known[name].norms)


class AttacksOptions(Options):
    """Measure what the layers of a finished run's networks encode under many attacks."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run of infoplane flow or demo; records, a figure and a section of the report are added."""
    attacks: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=("--attack",), metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")
    ] = ()
    """Attacks, by default ten of all kinds that are defined for the run's norm. Attacks with records are kept. Typing
    a function allows this command to import that code."""
    examples: int = Field(500, ge=20)
    """Examples that each network is attacked on: a stratified part of those that the run measured."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes the device on which the run began."""
    model: Annotated[str | None, tyro.conf.arg(metavar="PACKAGE.MODULE:FUNCTION")] = None
    """The run's model function, if it has one; typing it allows this command to import that code. A run of a training
    loop of your own has none: name a function that returns its network."""
    data: Annotated[str | None, tyro.conf.arg(metavar="PACKAGE.MODULE:FUNCTION")] = None
    """The run's data function, if it has one; typing it allows this command to import that code."""
    trust_run_code: bool = False
    """Import all functions that the run names, without typing them."""
    quiet: bool = False
    """Print nothing but errors."""

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the attacks."""
        attacks = listed("Attacks", {spec.name: spec.description for spec in ATTACKS})
        usual = " ".join(usual_attacks(AttackConfig().norm))
        return f"{super().described()}\n\n{attacks}\n\nUsual attacks: {usual}"


def attacks(options: AttacksOptions) -> int:
    """Attack and measure the networks of a run, draw the figure and print the tables."""
    from infoplane.commands.console import progress_for
    from infoplane.findings.attack_losses import Losses
    from infoplane.report.attacks_table import attacks_tables
    from infoplane.report.html import write_report
    from infoplane.runs.attack_files import AttackFiles
    from infoplane.runs.environment import apply_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.own_loop import loop_settings
    from infoplane.studies.attack_traces import attack_traces
    from infoplane.studies.finished import finished_config, flow_config

    console, run = open_console(), RunFolder(options.run)
    kept = run.read_config()["environment"]  # before the lock, which would create a missing folder
    own = loop_settings(run)
    norm = flow_config(run).attack.norm if own is None else (own.attack or AttackConfig()).norm
    usual = usual_attacks(norm, source=own is None)  # in a loop of the user's own, nothing can be trained
    config = finished_config(run, attacks=options.attacks or usual, model=options.model, data=options.data)
    attacks_named(config.attacks, config.attack.norm)  # refuses unknown names
    check_code_is_trusted(
        config, run, model=options.model, data=options.data, attacks=options.attacks, trusted=options.trust_run_code
    )
    files = AttackFiles(run)
    with run.locked():
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the network under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            found = attack_traces(
                run,
                config.attacks,
                examples=options.examples,
                device=kept.get("device", "cpu"),
                model=options.model,
                progress=progress,
            )
            files.write_summary(Losses(found.measurements).table())
            progress.doing("drawing figures and report")
            report = write_report(run)
    if not options.quiet:
        console.print(attacks_tables(found, files.read_matrix()))
        console.print(f"losses:  {files.path / 'losses.csv'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"figures: {options.run / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0
