"""Command `infoplane shape RUN`: whether networks answer by shape or by texture, and what their layers encode."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import Field

from infoplane.commands.common import Options, open_console, says_how_to_continue
from infoplane.commands.trust import check_code_is_trusted


class ShapeOptions(Options):
    """Say whether networks of a finished run answer by shape or by texture, and what their layers encode of both."""

    run: tyro.conf.Positional[Path]
    """Folder of a finished run; records, figures and a section of the report are added."""
    images: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Conflict images of your own, measured beside those that are made of the run's images. Their names carry the class
    of the shape and that of the texture, e.g. cat7-elephant3.png."""
    examples: Annotated[int, Field(ge=20)] | None = None
    """Images that are exchanged: a stratified part of those that the run measured, by default all."""
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


def shape(options: ShapeOptions) -> int:
    """Show conflicts of shape and texture to the networks of a run, draw the figures and print the tables."""
    from infoplane.commands.console import progress_for
    from infoplane.findings.shape_bias import shape_bias
    from infoplane.findings.shape_claim import RULE, judged, shape_sentences
    from infoplane.findings.shape_layers import cue_changes, cue_layers
    from infoplane.report.html import write_report
    from infoplane.report.shape_table import shape_tables
    from infoplane.runs.environment import apply_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.shape_files import ShapeFiles
    from infoplane.studies.finished import finished_config
    from infoplane.studies.shape import shape_study

    console, run = open_console(), RunFolder(options.run)
    kept = run.read_config()["environment"]  # before the lock, which would create a missing folder
    config = finished_config(run, attacks=(), model=options.model, data=options.data)
    check_code_is_trusted(
        config, run, model=options.model, data=options.data, attacks=(), trusted=options.trust_run_code
    )
    files = ShapeFiles(run)
    with run.locked():
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the network under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            found = shape_study(
                run,
                images=options.images,
                examples=options.examples,
                device=kept.get("device", "cpu"),
                model=options.model,
                progress=progress,
            )
            verdict, _ = judged(found.answers)
            files.write_summary(
                {"claim": verdict._asdict(), "rule": RULE, "sentences": shape_sentences(*found)},
                {
                    "bias": shape_bias(found.answers),
                    "cues": cue_layers(found.layers),
                    "changes": cue_changes(found.layers),
                },
            )
            progress.doing("drawing figures and report")
            report = write_report(run)
    if not options.quiet:
        console.print(shape_tables(found))
        console.print(f"records: {files.path}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"figures: {options.run / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0
