"""Write the plane of a user's own training loop into a run folder, and refuse to mix it with another run."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infoplane.attacks import Attack
from infoplane.config import AttackConfig, MeasurementConfig, ModelConfig
from infoplane.errors import UserError
from infoplane.loops.named_attacks import loop_attacks
from infoplane.loops.snapshot import Snapshot
from infoplane.measuring.plane import PlaneRecords
from infoplane.records.tables import geometry_table, measurement_table, performance_table
from infoplane.runs.environment import describe_environment
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import (
    IMAGES_FILE,
    LoopData,
    LoopNetwork,
    LoopSettings,
    MeasuredImages,
    loop_settings,
    write_images,
)
from infoplane.runs.state_tensors import split_state
from infoplane.runs.training_state import OUTPUTS

STUDY = "information-flow"  # the study that runs of one's own are part of: information during training
OWN_IMAGES = "own images"
_STOPPED = "the training loop is not infoplane's"  # in the checkpoint of a training that ends before another one

RecordKey = tuple[str, int, str, float]  # training, epoch, distortion or "", level


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where images, network and attacks of a plane came from, as far as it is known.

    Args:
        data: name of the data.
        data_folder: folder or file that infoplane read the images from.
        data_settings: settings with which infoplane read them.
        builder: settings of the network, if infoplane built it.
        attack: settings with which the attacks were built.
        checkpoints: sha256 of each file of weights that was measured, by `checkpoint_key` and its name.
    """

    data: str = OWN_IMAGES
    data_folder: str | None = None
    data_settings: Mapping[str, Any] | None = None
    builder: ModelConfig | None = None
    attack: AttackConfig | None = None
    checkpoints: Mapping[str, str] = field(default_factory=dict)

    def with_checkpoint(self, key: str, name: str, sha256: str) -> "Origin":
        """Return the same origin of a network whose weights are in a file; `key` as `checkpoint_key` returns it."""
        return replace(self, checkpoints={f"{key}/{name}": sha256})


def checkpoint_key(seed: int, training: str, epoch: int) -> str:
    """Return under which name the settings have the file of one epoch: files of two trainings can be called alike."""
    return f"s{seed}-{training}-e{epoch:04d}"


class PlaneContent(NamedTuple):
    """All that is saved of a plane.

    Attributes:
        name: title of the run.
        seed: of the training.
        examples_seed: of permutations and groups.
        images: the measured ones and their labels.
        class_names: one per class, or none.
        further_inputs: number of images without labels.
        attacks: by the names of their examples.
        settings: of the measurement.
        records: by training, epoch, distortion and level.
        snapshots: of the last measured network of each training.
    """

    name: str
    seed: int
    examples_seed: int
    images: "OwnImages"
    class_names: tuple[str, ...]
    further_inputs: int
    attacks: Mapping[str, Attack]
    settings: MeasurementConfig
    records: Mapping[RecordKey, PlaneRecords]
    snapshots: Mapping[str, Snapshot]


class OwnImages:
    """The images of a plane, in the form in which they are kept, with their checksums.

    Args:
        images: `(n, channels, height, width)` float32 in [0, 1].
        labels: `(n,)` int64.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = images, labels

    @cached_property
    def checksums(self) -> tuple[str, str]:
        """Sha256 of the pixels and of the labels."""
        images, labels = (
            hashlib.sha256(tensor.detach().cpu().contiguous().numpy().data).hexdigest()
            for tensor in (self.pixels, self.labels)
        )
        return images, labels

    def kept(self) -> MeasuredImages:
        """Return the images as bytes where bytes do not round them: a quarter of the memory."""
        pixels = self.pixels.detach().cpu()
        as_bytes = (pixels * 255).round().to(torch.uint8)
        exact = all(
            torch.equal(part.float().div_(255), own)
            for part, own in zip(torch.split(as_bytes, 256), torch.split(pixels, 256), strict=True)
        )
        return MeasuredImages(as_bytes if exact else pixels, self.labels.cpu())


def check_fits(run: RunFolder, plane: PlaneContent, origin: Origin) -> None:
    """Refuse a folder that holds another run, before anything is measured.

    Raises:
        UserError: it does, or it cannot be read.
    """
    if (earlier := _earlier(run)) is not None:
        _check_same(run, earlier, _settings(plane, origin))


def save_plane(run: RunFolder, plane: PlaneContent, origin: Origin, saved: Mapping[RecordKey, PlaneRecords]) -> None:
    """Add the epochs of a plane to a run folder, in place of earlier records of the same epochs.

    Every file is written whole. A process that is killed leaves a run to which the plane can be saved again.

    Args:
        run: folder of the run, locked; a new one, or one that a plane of the same images and settings was saved in.
        plane: its records.
        origin: of images and network.
        saved: records that this plane has saved there before.

    Raises:
        UserError: the folder holds another run, or cannot be written to.
    """
    settings = _settings(plane, origin)
    earlier = _earlier(run)
    if earlier is not None:
        _check_same(run, earlier, settings)
        settings = _joined(earlier, settings)
    environment = _environment(plane, settings) if earlier is None else run.read_config()["environment"]
    changed = {
        where: keys
        for where, keys in _files(plane.records).items()
        if earlier is None or not all(saved.get(key) is plane.records[key] for key in keys)
    }
    for training, epoch, part in changed:  # before the settings name the files from which the new records are
        run.delete_records(STUDY, plane.seed, training, epoch, part)
    run.write_config(STUDY, settings.model_dump(mode="json"), environment)
    if earlier is None or not (run.path / IMAGES_FILE).is_file():
        write_images(run, plane.images.kept())
    for training, snapshot in plane.snapshots.items():
        _write_network(run, plane.seed, training, snapshot)
    for (training, epoch, part), keys in changed.items():
        _write_records(run, plane, training, epoch, part, keys)
    run.log("saved", seed=plane.seed, trainings=list(plane.snapshots), records=len(plane.records))


def _settings(plane: PlaneContent, origin: Origin) -> LoopSettings:
    attacks, attack = loop_attacks(plane.attacks, origin.attack)
    images_sha256, labels_sha256 = plane.images.checksums
    snapshots = plane.snapshots
    channels, height, width = plane.images.pixels.shape[1:]
    named = len(plane.class_names)
    return LoopSettings(
        recipe=plane.name,
        examples_seed=plane.examples_seed,
        data=LoopData(
            name=origin.data,
            folder=origin.data_folder,
            settings=dict(origin.data_settings or {}),
            examples=len(plane.images.pixels),
            class_counts=tuple(torch.bincount(plane.images.labels.cpu()).tolist()),
            image_shape=(channels, height, width),
            class_names=plane.class_names,
            classes=max([named, *(one.classes for one in snapshots.values())], default=named),
            images_sha256=images_sha256,
            labels_sha256=labels_sha256,
            further_inputs=plane.further_inputs,
        ),
        model={"name": _joined_names(one.model for one in snapshots.values())},
        networks=tuple(
            LoopNetwork(
                seed=plane.seed,
                training=training,
                model=one.model,
                parameters=one.parameters,
                layers=one.layers,
            )
            for training, one in snapshots.items()
        ),
        attacks=attacks,
        attack=attack,
        measurement=plane.settings.model_copy(update={"examples": max(2, len(plane.images.pixels))}),
        builder=origin.builder,
        checkpoints=dict(origin.checkpoints),
    )


def _joined_names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _earlier(run: RunFolder) -> LoopSettings | None:
    """Return the settings of the run in the folder; None if it holds nothing yet."""
    run.check_holds_no_other(STUDY)
    if not run.exists():
        return None
    settings = loop_settings(run)
    if settings is None:
        raise UserError(
            f"{run.path} holds a run of infoplane flow, and a plane of your own cannot be added to it; choose another "
            "path"
        )
    return settings


def _check_same(run: RunFolder, before: LoopSettings, now: LoopSettings) -> None:
    """Refuse to mix records of different images, settings, attacks or networks in one run."""
    if before.builder is not None and now.builder is not None and before.builder != now.builder:
        raise UserError(f"{run.path} was measured with --model {before.builder.name} and its settings; type them again")
    old_settings, new_settings = before.measurement.model_dump(), now.measurement.model_dump()
    differing = [name for name in old_settings if old_settings[name] != new_settings[name]]
    seeds = f"examples_seed {before.examples_seed}, not {now.examples_seed}"
    names = f"{_listed(before.data.class_names)}, not {_listed(now.data.class_names)}"
    changed = ", ".join(f"{name} {old_settings[name]}, not {new_settings[name]}" for name in differing)
    what = {
        "images": before.data.images_sha256 != now.data.images_sha256,
        "labels": before.data.labels_sha256 != now.data.labels_sha256,
        f"permutations ({seeds})": before.examples_seed != now.examples_seed,
        f"class_names ({names})": before.data.class_names != now.data.class_names,
        f"logits ({before.data.classes} classes, not {now.data.classes})": before.data.classes != now.data.classes,
        f"attacks ({_attacks(before)}, not {_attacks(now)})": before.attacks != now.attacks,
        f"settings of the measurement ({changed})": differing,
    }
    for name, differs in what.items():
        if differs:
            raise UserError(f"{run.path} holds a run with other {name}; choose another folder, or delete that one")
    known = {(one.seed, one.training): one for one in before.networks}
    for one in now.networks:
        old_network = known.get((one.seed, one.training), one)
        if (old_network.model, old_network.parameters, old_network.layers) != (one.model, one.parameters, one.layers):
            raise UserError(
                f"{run.path} holds another network as training {one.training!r}, seed {one.seed}: "
                f"{old_network.model} with {old_network.parameters:,} parameters and {len(old_network.layers)} probed "
                f"layers, and this one is {one.model} with {one.parameters:,} and {len(one.layers)}; measure it under "
                "another name: training=..., or another seed, or save it into another folder"
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _attacks(settings: LoopSettings) -> str:
    return _listed([f"{one.examples}: {one.described}" for one in settings.attacks])


def _joined(before: LoopSettings, now: LoopSettings) -> LoopSettings:
    """Return the settings of both together; those of now replace earlier ones of the same network."""
    networks = {(one.seed, one.training): one for one in (*before.networks, *now.networks)}
    measured = {name.partition("/")[0] for name in now.checkpoints}
    kept = {name: sha256 for name, sha256 in before.checkpoints.items() if name.partition("/")[0] not in measured}
    return now.model_copy(
        update={
            "networks": tuple(networks[key] for key in sorted(networks)),
            "model": {"name": _joined_names(one.model for one in networks.values())},
            "checkpoints": {**kept, **now.checkpoints},
        }
    )


def _environment(plane: PlaneContent, settings: LoopSettings) -> dict[str, Any]:
    device = plane.images.pixels.device.type
    data: dict[str, Any] = {"name": settings.data.name, "test": settings.data.examples}
    if plane.class_names:
        data["classes"] = list(plane.class_names)
    return describe_environment("cuda" if device == "cuda" else "cpu") | {
        "precision": "float32, with torch's settings in the training loop",
        "data": data,
    }


def _write_network(run: RunFolder, seed: int, training: str, snapshot: Snapshot) -> None:
    """Keep the last measured network of a training, unless the folder has a later one."""
    epochs = run.checkpoint_epochs(seed, training)
    if epochs and epochs[-1] > snapshot.epoch:
        return
    state = {"model": snapshot.weights, "epoch": snapshot.epoch, "stopped": _STOPPED, OUTPUTS: snapshot.outputs}
    run.write_checkpoint(seed, training, snapshot.epoch, *split_state(state))
    run.prune_checkpoints(seed, training, {snapshot.epoch})


def _files(records: Mapping[RecordKey, PlaneRecords]) -> dict[tuple[str, int, str], list[RecordKey]]:
    """Return the keys of the records in each file: one for each epoch, and for each distortion with all its levels."""
    found: dict[tuple[str, int, str], list[RecordKey]] = {}
    for key in records:
        found.setdefault(key[:3], []).append(key)
    return found


def _write_records(
    run: RunFolder, plane: PlaneContent, training: str, epoch: int, part: str, keys: Sequence[RecordKey]
) -> None:
    found = [plane.records[key] for key in keys]
    run.write_records(
        STUDY,
        plane.seed,
        training,
        epoch,
        part,
        measurements=measurement_table(row for one in found for row in one.measurements),
        geometry=geometry_table(row for one in found for row in one.geometry),
        performance=performance_table(row for one in found for row in one.performance),
    )
