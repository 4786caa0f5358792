"""Command `infoplane measure`: a folder of checkpoints that another program trained becomes a run."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from pydantic import Field

from infoplane.attacks import ATTACKS, attacks_named
from infoplane.commands.common import Options, listed, open_console, says_how_to_continue
from infoplane.commands.model_options import model_options
from infoplane.commands.weights_options import ImageOptions, PixelOptions, data_config, network_config
from infoplane.config import AttackConfig, FlowConfig, MeasurementConfig
from infoplane.errors import UserError


class MeasureOptions(Options):
    """Measure a folder of checkpoints that another program trained; it becomes a run with a report."""

    checkpoints: tyro.conf.Positional[Path]
    """Folder with a file of weights for each epoch: .safetensors, .pt, .pth or .ckpt. The epoch is the number in the
    file's name."""
    model_path: Annotated[str, tyro.conf.arg(name="model", metavar="NAME|PACKAGE.MODULE:FUNCTION")]
    """Network of the weights: a function that returns a torch module."""
    own_data: Annotated[str, tyro.conf.arg(name="data", metavar="NAME|FOLDER|FILE.npz|MODULE:FUNCTION")]
    """Test images: a dataset, or your own as for infoplane flow."""
    run: Path | None = None
    """Folder of the run, by default runs/NAME-OF-THE-FOLDER. One that exists is continued: epochs that it holds are not
    measured again."""
    epochs: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")] = ()
    """Epochs of the files, in natural order of their names, if the names do not say them."""
    name: str | None = None
    """Title of the report, by default MODEL on DATA."""
    training: str = "normal"
    """Name of the training in the records."""
    seed: int = Field(0, ge=0)
    """Seed of the training, for the records and the attacks' random draws."""
    attacks: Annotated[
        tuple[str, ...], tyro.conf.arg(aliases=("--attack",), metavar="[NAME|PACKAGE.MODULE:FUNCTION ...]")
    ] = ()
    """Attacks whose examples are measured too; by default the original examples alone are."""
    attack: AttackConfig = AttackConfig()
    model_settings: Annotated[Any, tyro.conf.arg(name="model", constructor_factory=model_options)] = None
    model: PixelOptions = PixelOptions()
    data: ImageOptions = ImageOptions()
    measurement: MeasurementConfig = MeasurementConfig()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes the device on which the run began, or a GPU if there is one."""
    quiet: bool = False
    """Print nothing but errors."""

    @classmethod
    def described(cls) -> str:
        """Return the purpose of the command, and the attacks."""
        attacks = {spec.name: spec.description for spec in ATTACKS if not spec.needs_source}
        return f"{super().described()}\n\n{listed('Attacks (--attacks)', attacks)}"


def measure(options: MeasureOptions) -> int:
    """Measure each checkpoint, draw the figures and write the report."""
    from infoplane.commands.console import progress_for
    from infoplane.loops.checkpoint_files import checkpoints_in
    from infoplane.loops.checkpoints import measure_checkpoints
    from infoplane.report.html import write_report
    from infoplane.runs.environment import apply_environment, describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies.attack_lines import attack_lines

    config = _config(options)
    files = checkpoints_in(options.checkpoints, options.epochs)
    run = RunFolder(options.run or Path("runs") / options.checkpoints.resolve().name)
    kept = run.read_config()["environment"] if run.exists() else describe_environment(options.device)
    console = open_console()
    with run.locked():
        differences = apply_environment(kept, options.device)
        with (
            says_how_to_continue("only the checkpoint under way will be repeated"),
            progress_for(console, quiet=options.quiet) as progress,
        ):
            for line in [*(f"note: {difference}" for difference in differences), *attack_lines(config)]:
                progress.say(line)
            measure_checkpoints(
                files,
                config,
                run,
                name=options.name or config.recipe,
                training=options.training,
                device=kept.get("device", "cpu"),
                progress=progress,
            )
            progress.doing("drawing figures and report")
            report = write_report(run)
    if not options.quiet:
        console.print(f"figures: {run.path / 'figures'}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"report:  {report}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _config(options: MeasureOptions) -> FlowConfig:
    """Return settings of study one with model, data, attacks and measurement of the options."""
    from infoplane.recipes import data_name
    from infoplane.text import one_line

    for spec in attacks_named(options.attacks, options.attack.norm).values():
        if spec.needs_source:
            raise UserError(f"the attack {spec.name} trains a network of its own, and this command trains none")
    data = data_config(options.own_data, options.data)
    model = network_config(options.model_path, options.model_settings, options.model)
    return FlowConfig(
        recipe=one_line(f"{model.name} on {data_name(data.model_dump())}"),
        seed=options.seed,
        attacks=options.attacks,
        data=data,
        model=model,
        attack=options.attack,
        measurement=options.measurement,
    )
