"""Command `infoplane where RUN`: at which layer each example loses its label."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

from infoplane.attacks import attacks_named
from infoplane.commands.common import Options, open_console, says_how_to_continue
from infoplane.commands.trust import check_code_is_trusted


class WhereOptions(Options):
    """Say at which layer each example of a finished run loses its label, without and under attack."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run; records, figures and a section of the report are added."""
    attacks: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=("--attack",), metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")
    ] = ()
    """Attacks, by default those of the run. Attacks with records are kept. Typing a function allows this command to
    import that code."""
    examples: Annotated[int, Field(ge=20)] | None = None
    """Examples that are decoded: a stratified part of those that the run measured, by default all."""
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


def where(options: WhereOptions) -> int:
    """Measure pointwise information in the networks of a run, draw the figures and print the tables."""
    from infoplane.commands.console import progress_for
    from infoplane.findings.where_sentences import RULE, where_sentences
    from infoplane.findings.where_shares import loss_shares, pair_shares
    from infoplane.report.html import write_report
    from infoplane.report.where_table import where_tables
    from infoplane.runs.environment import apply_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.where_files import WhereFiles
    from infoplane.studies.finished import finished_config
    from infoplane.studies.where import where_lost

    console, run = open_console(), RunFolder(options.run)
    kept = run.read_config()["environment"]  # before the lock, which would create a missing folder
    config = finished_config(run, attacks=options.attacks or None, model=options.model, data=options.data)
    attacks_named(config.attacks, config.attack.norm)  # refuses unknown names
    check_code_is_trusted(
        config, run, model=options.model, data=options.data, attacks=options.attacks, trusted=options.trust_run_code
    )
    files = WhereFiles(run)
    with run.locked():
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the network under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            found = where_lost(
                run,
                attacks=options.attacks or None,
                examples=options.examples,
                device=kept.get("device", "cpu"),
                model=options.model,
                progress=progress,
            )
            files.write_summary(
                {"rule": RULE, "sentences": where_sentences(*found)},
                {"shares": loss_shares(*found), "pairs": pair_shares(found.pointwise)},
            )
            progress.doing("drawing figures and report")
            report = write_report(run)
    if not options.quiet:
        console.print(where_tables(found))
        console.print(f"records: {files.path}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"figures: {options.run / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0
