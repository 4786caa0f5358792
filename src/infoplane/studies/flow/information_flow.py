"""Study one: information flow during normal and adversarial training (docs/method.md, section 5)."""

from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from infoplane.acceleration import PLAIN, Choices
from infoplane.config import FlowConfig
from infoplane.distributed.side_processes import SideProcesses
from infoplane.distributed.team import ALONE, Team
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import geometry_table, measurement_table, performance_table
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.file_weights import check_weights_settings
from infoplane.studies.flow.costs import with_chosen_epochs
from infoplane.studies.flow.data_record import keep_data
from infoplane.studies.flow.ended import ADVICE
from infoplane.studies.flow.follower import Start
from infoplane.studies.flow.one_training import Shared
from infoplane.studies.flow.side_by_side import train_side_by_side
from infoplane.studies.flow.substitute import check_substitute
from infoplane.studies.flow.work import STUDY
from infoplane.studies.parts import load_images
from infoplane.text import with_field_help
from infoplane.training.named import named_trainings


@with_field_help
@with_short_repr
class FlowRecords(NamedTuple):
    """The tables of the study.

    Attributes:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        geometry: columns of `records.GEOMETRY_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """

    measurements: pl.DataFrame
    geometry: pl.DataFrame
    performance: pl.DataFrame


def information_flow(
    config: FlowConfig,
    *,
    run: RunFolder | None = None,
    device: str = "cpu",
    keep_checkpoints: bool = False,
    continue_at_chance: bool = False,
    choices: Choices = PLAIN,
    progress: Progress | None = None,
    team: Team = ALONE,
    processes: SideProcesses | None = None,
    on_measured: Callable[[], None] = lambda: None,
    advice: str = ADVICE,
) -> FlowRecords:
    """Train with every method of `config` from the same weights; measure every layer before and after each epoch.

    Several seeds run one after the other. The records of a seed are the same as in a run with that seed alone, and all
    seeds use the same examples.

    Args:
        config: all settings.
        run: a folder to continue from and to write to after every epoch; None keeps everything in memory.
        device: "cpu" or "cuda".
        keep_checkpoints: keep the weights of every epoch instead of those of the last only.
        continue_at_chance: continue a training at chance, whose network is no more accurate than a constant answer. By
            default it ends: accuracy is measured once more, information is not, and the other trainings continue.
        choices: acceleration of the networks during training; measuring uses none.
        progress: shows how far the study is.
        team: processes that share the work; this one leads, the others run `follow_information_flow`.
        processes: carry out whole trainings side by side, on the CPU and with a `run`; the team is then one process.
        on_measured: called on the leader after the records of each epoch, which are then in the run's folder.
        advice: what the user can do about a training that ends at chance.

    Returns:
        Measurements, geometry and performance of all epochs, those of earlier sittings included.

    Raises:
        UserError: data, model or layers do not fit the settings.
        DivergedError: the loss or a weight of a training became NaN or infinite.
    """
    progress = progress or Silence()
    check_substitute(config)
    check_weights_settings(config)
    named_trainings(config)  # refuses names that are not known
    images = load_images(config, device)
    if run is not None and run.exists():
        keep_data(run, images.train, images.test)
    for note in sorted({images.test.note, images.train.note if images.train else ""} - {""}):
        progress.say(f"data: {note}")
    warmup, epochs = config.training.warmup_epochs, config.training.epochs
    if 0 < epochs <= warmup and config.training.schedule != "one-cycle":
        progress.say(
            f"note: the warm-up takes {warmup:g} epochs and training {epochs}, so the learning rate and epsilon do not "
            "stay at their full values; --training.warmup-epochs shortens it"
        )
    if config.measurement.examples_drawn == "each-epoch":
        progress.say(
            "note: the measured images are drawn anew at each epoch, for the originals and for each attack, so their "
            "numbers are of different images"
        )
    config = with_chosen_epochs(config, images, choices, run, progress)
    team.tell(Start(config, device, choices))
    shared = Shared.of(
        config,
        images,
        run,
        device,
        progress,
        choices,
        team,
        keep_checkpoints=keep_checkpoints,
        continue_at_chance=continue_at_chance,
        on_measured=on_measured,
        advice=advice,
    )
    trainings = shared.trainings()
    if unused := trainings[0].unused_layers():
        progress.say(f"layers {', '.join(unused)} do not run when the network classifies and are left out")
    trainings[0].try_attacks()
    for training in trainings[: len(config.methods)]:
        training.try_method()
    ahead = [training.work_ahead() for training in trainings]
    for line in attack_lines(config) if sum(ahead) else []:
        progress.say(line)
    progress.begin(sum(ahead))
    here = [number for number, work in enumerate(ahead) if processes is None or not work]
    for number in here:
        trainings[number].go()  # one without work checks that its network is still that of the code
    if processes is not None:
        there = {number: work for number, work in enumerate(ahead) if number not in here}
        train_side_by_side(shared, there, processes)
    if run is not None:
        own = pl.col("study") == STUDY  # later studies write into the same folder
        return FlowRecords(*(table.filter(own) for table in (run.measurements(), run.geometry(), run.performance())))
    return FlowRecords(
        measurement_table(row for training in trainings for row in training.measurements),
        geometry_table(row for training in trainings for row in training.geometry),
        performance_table(row for training in trainings for row in training.performance),
    )
