"""Measure checkpoints of a training that another program did: a folder of weights becomes a run."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infoplane.config import FlowConfig, MeasurementConfig
from infoplane.errors import UserError
from infoplane.loops.plane import InformationPlane, check_training_name
from infoplane.loops.saving import STUDY, Origin, checkpoint_key
from infoplane.measuring.attacked_versions import measured_attacks
from infoplane.measuring.plane import PlaneRecords
from infoplane.models.load_weights import load_weights
from infoplane.models.weights_file import WeightsFile, read_weights
from infoplane.networks.memory_format import as_pixels
from infoplane.records.tables import PIXELS
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import loop_settings
from infoplane.runs.progress import Progress
from infoplane.studies.flow.work import further_inputs
from infoplane.studies.parts import Images, build_network, load_test_images, probed_layers


def measure_checkpoints(
    files: Mapping[int, Path],
    config: FlowConfig,
    run: RunFolder,
    *,
    name: str,
    training: str,
    device: str,
    progress: Progress,
) -> list[int]:
    """Measure each checkpoint on the test images and write its records into a run; return the measured epochs.

    Epochs that the run holds already, of the same files, are not measured again. The last epoch is the final one.

    Args:
        files: of weights, by their epochs, ascending.
        config: data, model, attacks and measurement; its training is not used.
        run: folder of the run, locked.
        name: title of the run.
        training: name of the training in the records.
        device: "cpu" or "cuda".
        progress: shows how far it is.

    Raises:
        UserError: `training` cannot be part of the names of files, the data is missing, the network cannot be built or
            measured, a file does not hold its weights, or the folder holds another run.
    """
    try:
        check_training_name(training)
    except ValueError as error:
        raise UserError(f"--{error}") from None
    for asked, option, why in (
        (config.measurement.examples_drawn != "once", "examples-drawn each-epoch", "are measured on one set of images"),
        (config.measurement.splits != ("test",), "splits train", "are measured on test images"),
        (config.measurement.budget is not None, "budget", "are not trained here, and it is a share of that time"),
    ):
        if asked:
            raise UserError(f"--measurement.{option}: checkpoints {why}; leave it out, or use infoplane flow")
    test, measured = load_test_images(config, device)
    pixels, labels = as_pixels(test.images[measured]), test.labels[measured]
    model = build_network(config, test)
    probed = probed_layers(config, model, test.images)
    if probed.unused:
        progress.say(f"layers {', '.join(probed.unused)} do not run and are left out")
    plane = _CheckpointPlane(
        pixels,
        labels,
        name=name,
        class_names=test.class_names,
        layers=probed.names,
        attack=measured_attacks(config),
        inputs=further_inputs(Images(None, None, test, measured), config.measurement.inputs),
        settings=config.measurement.model_copy(update={"budget": None, "layers": probed.names}),
        seed=config.seed,
        examples_seed=config.data.seed,
    )
    origin = Origin(
        data=config.data.name,
        data_folder=config.data.folder,
        data_settings=config.data.model_dump(mode="json"),
        builder=config.model,
        attack=config.attack if config.attacks else None,
    )
    plane.check_fits(run, origin)
    thorough, last, written = thorough_epochs(list(files), config.measurement), max(files), []
    progress.begin(len(files))
    for epoch, path in files.items():
        began, content = time.perf_counter(), _read(path)
        if _is_done(run, config.seed, training, epoch, content.sha256, final=epoch == last):
            progress.say(f"epoch {epoch} ({path.name}): measured already")
            progress.advance(1)
            continue
        progress.doing(f"epoch {epoch} ({path.name})")
        load_weights(model, content.weights, of=str(path), named=config.model.name)
        try:
            records = plane.measure(
                model, epoch=epoch, training=training, thorough=epoch in thorough, final=epoch == last
            )
        except ValueError as error:
            raise UserError(f"{path}: {error}") from error
        plane.add_to(
            run, origin.with_checkpoint(checkpoint_key(config.seed, training, epoch), path.name, content.sha256)
        )
        written.append(epoch)
        progress.advance(1)
        progress.say(f"epoch {epoch} ({path.name}): {_accuracies(records)} (in {time.perf_counter() - began:.1f} s)")
    return written


class _CheckpointPlane(InformationPlane):
    """A plane whose networks and images come from known places."""

    def check_fits(self, run: RunFolder, origin: Origin) -> None:
        self._check_fits(run, origin)

    def add_to(self, run: RunFolder, origin: Origin) -> None:
        self._add_to(run, origin)


def thorough_epochs(epochs: Sequence[int], settings: MeasurementConfig) -> set[int]:
    """Return the epochs at which the more expensive estimators are used too, evenly spaced; the last is among them."""
    number = settings.thorough_epochs
    if number >= len(epochs):
        return set(epochs)
    if number <= 1:
        return set(epochs[-1:]) if number else set()
    return {epochs[round(step * (len(epochs) - 1) / (number - 1))] for step in range(number)}


def _read(path: Path) -> WeightsFile:
    try:
        return read_weights(path)
    except UserError as error:
        raise UserError(str(error).removeprefix("--weights ")) from None


def _is_done(run: RunFolder, seed: int, training: str, epoch: int, sha256: str, *, final: bool) -> bool:
    """Return whether the run holds all records of these weights, and those of a final epoch where it is one."""
    settings = loop_settings(run) if run.exists() else None
    if settings is None:
        return False
    key = checkpoint_key(seed, training, epoch)
    if sha256 not in [known for name, known in settings.checkpoints.items() if name.partition("/")[0] == key]:
        return False
    if not run.has_records(STUDY, seed, training, epoch):
        return False
    return not final or PIXELS in run.read_records(STUDY, seed, training, epoch)["measurements"]["layer"]


def _accuracies(records: PlaneRecords) -> str:
    return ", ".join(f"{one.examples} {100 * one.accuracy:.1f} %" for one in records.performance)
