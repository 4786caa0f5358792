"""Study two: accuracy and information of finished networks on distorted examples (docs/method.md, section 6).

The attack comes first, then the distortion. A white-box attack is made once per network, on undistorted originals.

At every layer and level the study takes KDE, binning, and decoders trained on undistorted clean examples and applied to
held-out examples (`decoded-transfer`). These decoders show how much of the label the network still encodes as before;
they take little time. Decoders refitted to distorted examples show whether the layer is predictive of the label in any
linear code. They and the Monte Carlo estimate between the KDE bounds take as long as all the rest together, so they are
taken at the last layer alone, which the study's figure and claims are about. For examples that the network
misclassifies before any distortion, the wrong class is also decoded at every level. At the strongest level, decoders of
the wrong class are refitted at every layer, for comparison with the undistorted ones in study one's last epoch. The
null of a decoder comes from refits to permuted labels; decoders of wrong classes at inner layers have none.

Two controls show what is due to the attack: the misclassified originals, and, along saturation, examples under a random
perturbation of the attack's size.

Relative noise is relative to the same examples before the distortion, with the same variance as in study one's last
epoch. So the noise is the same at every level, and only the outputs change.
"""

import time
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor

from infoplane import distortions
from infoplane.attacks import attacks_named
from infoplane.config import DistortionConfig
from infoplane.distortions import distortion_named, texture_donors
from infoplane.errors import UserError
from infoplane.estimators import mean_unit_variance
from infoplane.measuring.attacked_versions import randomly_perturbed
from infoplane.measuring.evaluate import evaluate, layer_activations, recorded_names
from infoplane.measuring.fitted_decoders import DECODABLE, fitted_decoders
from infoplane.measuring.in_memory import sampled_rows
from infoplane.measuring.layer_outputs import Undistorted
from infoplane.measuring.plane import Distorted, Plane, PlaneRecords, distinct_images
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ORIGINAL, RANDOM, geometry_table, measurement_table, performance_table
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.attack_warnings import attack_warnings_said
from infoplane.studies.example_sheet import ExampleSheet, shown_levels, shown_places
from infoplane.studies.finished import FinishedNetwork, FinishedRun
from infoplane.studies.flow.work_estimate import level_work, reading_work

STUDY = "distortion"
CONTROLLED = "saturation"  # the distortion along which the randomly perturbed examples are measured

Tables = dict[str, pl.DataFrame]


@with_short_repr
class DistortionRecords(NamedTuple):
    """Tables of the study, including those of earlier calls."""

    measurements: pl.DataFrame
    geometry: pl.DataFrame
    performance: pl.DataFrame


def distortion_study(
    run: RunFolder,
    config: DistortionConfig,
    *,
    device: str = "cpu",
    attacks: Sequence[str] | None = None,
    model: str | None = None,
    progress: Progress | None = None,
) -> DistortionRecords:
    """Measure all networks of a finished run of study one on distorted examples, original and attacked.

    Each network and distortion has its own files in the run's folder; levels with records are not measured again.

    Args:
        run: the folder of the run; records are added to it.
        config: distortions and their levels. The level that changes nothing is always measured, once per network.
        device: "cpu" or "cuda".
        attacks: names of the attacks whose examples are distorted; None takes those of the run.
        model: builds the networks of a run that `InformationPlane.save` wrote: its name, or package.module:function.
        progress: shows how far the study is.

    Raises:
        UserError: the run is not finished, a distortion does not fit its images, or the run has distortions of the
            examples of other attacks.
    """
    progress = progress or Silence()
    finished = FinishedRun(run, device, attacks=attacks, model=model, progress=progress)
    for seed, training in finished.ended_at_chance:
        progress.say(f"{training} training, seed {seed}: it ended at chance, so its network is not measured")
    _check_epochs(run, finished)
    plan = planned_levels(config, finished.images, finished.labels)
    sittings = [_Sitting(finished, seed, training, plan, run, progress) for seed, training in finished.trainings]
    ahead = sum(sitting.work_ahead() for sitting in sittings)
    for line in attack_lines(finished.config) if ahead else []:
        progress.say(line)
    progress.begin(ahead)
    for sitting in sittings:
        sitting.go()
    chosen = pl.col("study") == STUDY
    return DistortionRecords(
        run.measurements().filter(chosen), run.geometry().filter(chosen), run.performance().filter(chosen)
    )


def _check_epochs(run: RunFolder, finished: FinishedRun) -> None:
    """Refuse to mix distortions of an earlier and a later network of one training.

    Raises:
        UserError: a training loop of the user's own went on after its network had been distorted.
    """
    recorded = run.performance().filter(pl.col("study") == STUDY)
    for seed, training, epoch in recorded.select("seed", "training", "epoch").unique().sort("seed", "epoch").rows():
        last = run.checkpoint_epochs(seed, training)[-1:]
        if (seed, training) in finished.trainings and last and epoch not in (last[0], finished.config.training.epochs):
            raise UserError(
                f"{run.path} has distortions of {training} training, seed {seed}, at epoch {epoch}, and its network is "
                f"now of epoch {last[0]}; delete them first: rm {run.path}/*/{STUDY}-s{seed}-{training}-*"
            )


def planned_levels(config: DistortionConfig, images: Tensor, labels: Tensor) -> dict[str, tuple[float, ...]]:
    """Return the levels of each distortion, from the level that changes nothing to the strongest.

    Raises:
        UserError: a distortion does not fit these images.
    """
    if unused := [name for name in config.levels if name not in config.distortions]:
        raise UserError(f"levels of {unused[0]} were given, but it is not asked for; add it to --distortions")
    height, width = images.shape[2:]
    plan, few = {}, shown_places(labels)
    for distortion in map(distortion_named, config.distortions):
        levels = config.levels.get(distortion.name) or distortion.default_levels(height, width)
        ordered = [distortion.identity, *distortion.ordered(levels)]
        plan[distortion.name] = tuple(dict.fromkeys(map(float, ordered)))
        try:
            for level in plan[distortion.name]:  # on a few images: an error comes now, not later
                distorted(distortion.name, images[few], labels[few], level, 0)
        except ValueError as error:
            raise UserError(f"{distortion.name}: {error}") from error
    return plan


class _Sitting:
    """Study of one network: attack, decoders, then each distortion, whose records are written when complete."""

    def __init__(
        self,
        finished: FinishedRun,
        seed: int,
        training: str,
        plan: Mapping[str, tuple[float, ...]],
        run: RunFolder,
        progress: Progress,
    ) -> None:
        self._finished, self._seed, self._training = finished, seed, training
        self._run, self._progress = run, progress
        self._epoch = finished.config.training.epochs
        self._recorded = {one.name: self._read(one.name) for one in distortions.DISTORTIONS}
        self._strongest = {name: levels[-1] for name, levels in plan.items()}
        self._ahead = {name: self._missing(name, levels) for name, levels in plan.items()}

    def _read(self, name: str) -> Tables:
        """Read the levels of a distortion that have all tables; a killed process can leave a level incomplete."""
        tables = self._run.read_records(STUDY, self._seed, self._training, self._epoch, name)
        self._check_attacks(tables["performance"])
        whole = set.intersection(*(set(table["level"]) for table in tables.values()))
        return {folder: table.filter(pl.col("level").is_in(sorted(whole))) for folder, table in tables.items()}

    def _check_attacks(self, performance: pl.DataFrame) -> None:
        """Refuse to mix distortions of the examples of different attacks."""
        recorded = set(performance["examples"]) - {ORIGINAL, RANDOM}
        config = self._finished.config
        asked = set(attacks_named(config.attacks, config.attack.norm))
        if len(performance) and recorded != asked:
            raise UserError(
                f"{self._run.path} has distortions of {', '.join(sorted(recorded)) or 'no attacked'} examples, and "
                f"this command asks for {', '.join(sorted(asked)) or 'none'}; name the same --attacks, or copy the run "
                "without its distortion files"
            )

    def _missing(self, name: str, levels: Sequence[float]) -> list[float]:
        """Return the levels that lack records or example images; damaged example images are deleted and made again."""
        recorded = self._measured_levels(name)
        shown = shown_levels(self._run, STUDY, self._seed, self._training, name)
        known = dict.fromkeys([*levels, *sorted(recorded)])
        return [level for level in known if level not in recorded or f"{level:g}" not in shown]

    def _measured_levels(self, name: str) -> set[float]:
        return set(self._recorded[name]["measurements"]["level"])

    # work, in forward and backward passes of one image, for the estimate of the time left

    def _level_work(self) -> float:
        return len(self._finished.labels) * level_work(self._finished.config)

    def _beginning_work(self) -> float:
        return len(self._finished.labels) * reading_work(self._finished.config)

    def work_ahead(self) -> float:
        """Return the amount of work that `go` will do."""
        levels = sum(map(len, self._ahead.values()))
        return self._beginning_work() + levels * self._level_work() if levels else 0

    # the protocol

    def go(self) -> None:
        """Measure all missing levels."""
        if not any(self._ahead.values()):
            self._progress.say(f"{self._who()}: complete")
            return
        self._progress.doing(f"{self._who()}: attacking, fitting decoders")
        network = self._finished.network(self._seed, self._training)
        try:
            with attack_warnings_said(self._training, self._progress, self._log):
                versions = network.versions()
            if self._ahead.get(CONTROLLED):
                seed = network.config.data.seed
                versions |= randomly_perturbed(network.images, network.attacks, examples_seed=seed)
            undistorted = undistorted_layers(network, versions)
            measured = versions if network.attacks else {}
            mistaken_for = {name: _predicted(network, images) for name, images in measured.items()}
            under = partial(Distorted, undistorted=undistorted, mistaken_for=mistaken_for)
            self._progress.advance(self._beginning_work())
            for name, levels in self._ahead.items():
                if levels:
                    own = versions if name == CONTROLLED else without_control(versions)
                    self._distort(name, levels, network, own, under)
        except ValueError as error:  # e.g. activations of the user's network or attack that are not finite
            raise UserError(f"{self._who()}: {error}") from error

    def _who(self) -> str:
        return f"{self._training} training, seed {self._seed}"

    def _distort(
        self,
        name: str,
        levels: Sequence[float],
        network: FinishedNetwork,
        versions: Mapping[str, Tensor],
        under: Callable[..., Distorted],
    ) -> None:
        began = time.perf_counter()
        parts = [self._recorded[name]]
        sheet = ExampleSheet(network)
        for level in levels:
            self._progress.doing(f"{self._who()}: {name}, level {level:g}")
            changed = {
                examples: distorted(name, images, network.labels, level, network.config.data.seed)
                for examples, images in versions.items()
            }
            sheet.add(level, without_control(changed))
            if level in self._measured_levels(name):
                self._progress.advance(self._level_work())
                continue
            identity = distortion_named(name).identity
            known = self._known_undistorted(name, set(versions)) if level == identity else None
            strongest = level == self._strongest[name]
            textures = lent_textures(name, network.labels, level, network.config.data.seed)
            parts.append(
                known
                or self._measured(network, under(name, level, changed, every_mistake=strongest, textures=textures))
            )
            self._progress.advance(self._level_work())
        tables = {folder: pl.concat([part[folder] for part in parts]) for folder in parts[0]}
        sheet.write(self._run, STUDY, name)  # written first: once records exist, the level counts as complete
        self._run.write_records(STUDY, self._seed, self._training, self._epoch, name, **tables)
        self._recorded[name] = tables
        taken = time.perf_counter() - began
        self._log("distorted", distortion=name, levels=list(levels), seconds=taken)
        self._progress.say(f"{self._who()}  {name}  {_accuracies(tables['performance'])}  (in {taken:.1f} s)")

    def _measured(self, network: FinishedNetwork, images: Distorted) -> Tables:
        plane = Plane(
            network.images,
            network.labels,
            layers=network.layers,
            settings=network.config.measurement,
            seed=network.seed,
            examples_seed=network.config.data.seed,
            study=STUDY,
        )
        records = plane.measure(
            network.model,
            epoch=network.epoch,
            training=network.training,
            distorted=images,
            gradient_evaluations=network.gradient_evaluations,
            seconds=network.seconds,
        )
        return _tables(records)

    def _known_undistorted(self, name: str, versions: Set[str]) -> Tables | None:
        """Return existing records of the undistorted level, renamed: they are the same for all distortions.

        Args:
            name: of the distortion.
            versions: names of the examples that must be among them; others are left out.
        """
        for other, tables in self._recorded.items():
            identity = distortion_named(other).identity
            wanted = (pl.col("level") == identity) & pl.col("examples").is_in(versions)
            own = {folder: table.filter(wanted) for folder, table in tables.items()}
            if versions <= set(own["measurements"]["examples"]):
                level = float(distortion_named(name).identity)
                relabelled = {"distortion": pl.lit(name), "level": pl.lit(level)}
                return {folder: table.with_columns(**relabelled) for folder, table in own.items()}
        return None

    def _log(self, event: str, **facts: object) -> None:
        self._run.log(event, training=self._training, seed=self._seed, **facts)


def without_control(versions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the examples by name, without the randomly perturbed ones."""
    return {name: images for name, images in versions.items() if name != RANDOM}


def _predicted(network: FinishedNetwork, images: Tensor) -> Tensor:
    with evaluation_mode(network.model), torch.autocast(images.device.type, enabled=False):
        return evaluate(network.model, images, network.labels).predicted


def distorted(name: str, images: Tensor, labels: Tensor, level: float, examples_seed: int) -> Tensor:
    """Return the distorted images; the random draws are the same for every network and version of the examples."""
    return distortion_named(name).apply(images, labels, level, _drawing(name, level, examples_seed))


def lent_textures(name: str, labels: Tensor, level: float, examples_seed: int) -> Tensor | None:
    """Return the class of the image that lends its texture to each image, or None if the distortion lends none."""
    distortion = distortion_named(name)
    if not distortion.lends_textures or level == distortion.identity:
        return None
    return labels[texture_donors(labels, generator=_drawing(name, level, examples_seed)).to(labels.device)]


def _drawing(name: str, level: float, examples_seed: int) -> torch.Generator:
    return seeded_generator(examples_seed, "distortion", name, f"{level:g}")


def undistorted_layers(network: FinishedNetwork, versions: Mapping[str, Tensor]) -> dict[str, Undistorted]:
    """Return for each layer the scale of its relative noise, and decoders trained on undistorted originals.

    Args:
        network: the network.
        versions: `(n, channels, height, width)` by name, "original" among them.

    Raises:
        ValueError: a layer's outputs are not finite.
    """
    settings, seed = network.config.measurement, network.config.data.seed
    copies = distinct_images(versions[ORIGINAL])
    found = {}
    with evaluation_mode(network.model), torch.autocast(network.images.device.type, enabled=False):
        recorded_names(network.model, versions.values(), network.layers)
        passes = [layer_activations(network.model, images, network.layers) for images in versions.values()]
        for recorded in zip(*passes, strict=True):
            outputs = {examples: activations for examples, (_, activations) in zip(versions, recorded, strict=True)}
            decoders = []
            if len(torch.unique(copies)) >= DECODABLE:
                original = outputs[ORIGINAL]
                rows = sampled_rows(network.labels, original.shape[1], seed)
                chosen = slice(None) if rows is None else rows
                decoders = fitted_decoders(
                    original[chosen],
                    network.labels.cpu()[chosen],
                    groups=copies[chosen],
                    examples_seed=seed,
                    permutations=settings.decoder_permutations,
                )
            variances = {examples: mean_unit_variance(activations) for examples, activations in outputs.items()}
            found[recorded[0][0]] = Undistorted(variances, decoders)
    return found


def _tables(records: PlaneRecords) -> Tables:
    return {
        "measurements": measurement_table(records.measurements),
        "geometry": geometry_table(records.geometry),
        "performance": performance_table(records.performance),
    }


def _accuracies(performance: pl.DataFrame) -> str:
    """E.g. "original 98.1 -> 20.3 %, adversarial 5.2 -> 11.0 %", from the first level to the last."""
    parts = []
    for examples in performance["examples"].unique(maintain_order=True):
        own = performance.filter(pl.col("examples") == examples)["accuracy"].to_list()
        parts.append(f"{examples} {100 * own[0]:.1f} -> {100 * own[-1]:.1f} %")
    return ", ".join(parts)
