"""Command `infoplane bottleneck`: networks trained for an information bottleneck, attacked honestly."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from infoplane.commands.common import Options, open_console, says_how_to_continue
from infoplane.commands.model_options import model_options
from infoplane.config import BottleneckConfig

_GROWING = ("values", "seeds", "epsilons")  # settings of which a folder can get more


class BottleneckOptions(BottleneckConfig, Options):
    """Train networks for an information bottleneck and attack them honestly: are they robust, and at which weight?"""

    run: Path = Path("runs/bottleneck")
    """Folder of the study, with a run folder for each network. One that exists is continued, also with more values,
    seeds or radii."""
    model_settings: Annotated[Any, tyro.conf.arg(name="model", constructor_factory=model_options)] = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    quiet: bool = False
    """Print nothing but errors."""


def bottleneck(options: BottleneckOptions) -> int:
    """Train, attack and measure all networks, draw the figure, and print tables and verdicts."""
    from infoplane.commands.console import progress_for
    from infoplane.data.catalogue import dataset_named
    from infoplane.findings.bottleneck import judged
    from infoplane.records.bottleneck import STUDY
    from infoplane.report.bottleneck_figure import BOTTLENECK
    from infoplane.report.bottleneck_page import bottleneck_page
    from infoplane.report.bottleneck_table import bottleneck_tables
    from infoplane.report.figure import paths_of
    from infoplane.report.style import figure_style
    from infoplane.runs.environment import apply_environment, describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies.bottleneck import bottleneck as study
    from infoplane.studies.bottleneck import checked

    typed = options.model_settings.model_dump(exclude_none=True) if options.model_settings is not None else {}
    own = options.model_dump(include=set(BottleneckConfig.model_fields))
    config = checked(BottleneckConfig.model_validate({**own, "settings": {**own["settings"], **typed}}))
    dataset_named(config.data.name)  # refuses unknown names
    folder, console = RunFolder(options.run), open_console()
    with folder.locked():
        settings = config.model_dump(mode="json", exclude=set(_GROWING))
        usual = BottleneckConfig().model_dump(mode="json", exclude=set(_GROWING))  # of settings that came later
        kept = folder.begin(STUDY, settings, describe_environment(options.device), defaults=usual)
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the epoch or the attack under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for difference in differences:
                progress.say(f"note: {difference}")
            found = study(config, folder, device=kept.get("device", "cpu"), progress=progress)
            verdicts = judged(found.images)
            folder.write_file(folder.path / "bottleneck.md", bottleneck_page(found.numbers, verdicts).encode())
            progress.doing("drawing the figure")
            with figure_style():
                folder.list_files(paths_of(BOTTLENECK.write(found.numbers, folder.path / "figures")))
    if not options.quiet:
        console.print(bottleneck_tables(found.numbers, found.evaluations, verdicts))
        console.print(f"tables:  {folder.path / 'bottleneck.md'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"figure:  {folder.path / 'figures'}", highlight=False, markup=False, soft_wrap=True)
    return 0
