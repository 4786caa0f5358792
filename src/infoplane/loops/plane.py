"""`InformationPlane`: measure, save, draw and report the networks of a training loop of the user's own."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.config import MeasurementConfig
from infoplane.distributed.team import ALONE, Team
from infoplane.errors import UserError
from infoplane.loops.saving import STUDY, Origin, OwnImages, PlaneContent, RecordKey, check_fits, save_plane
from infoplane.loops.scalars import scalars_of
from infoplane.loops.snapshot import Snapshot, snapshot_of
from infoplane.measuring.plane import Distorted, Plane, PlaneRecords
from infoplane.runs.folder import RunFolder
from infoplane.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TRAINING = re.compile(r"[\w+-][\w.+-]{0,99}")


def check_training_name(training: str) -> None:
    """Raise ValueError unless the name of a training can be part of the names of files."""
    if not _TRAINING.fullmatch(training):
        raise ValueError(
            f"training must be at most 100 letters, digits and . _ + -, and not begin with a dot, got {training!r}"
        )


class InformationPlane(Plane):
    """Measures models repeatedly on the same examples with the same permutations, so that results are paired.

    Call `measure` at each epoch of your training loop. `measurements`, `geometry` and `performance` hold all rows so
    far. If an epoch is measured again, e.g. by running a notebook cell twice, the new rows replace the old ones. Copies
    of an image share folds and permutations; the column `copies` says how many there are.

    `save` writes a run folder, which all commands of infoplane read; `report` also draws its figures and page.

    Args:
        images: `(n, channels, height, width)` float32 in [0, 1]. All are measured; they are not modified.
        labels: `(n,)` integers of any type, the indices of the classes among the model's logits.
        name: title of figures and report.
        class_names: one per class, for figures and report; by default classes are numbers.
        layers: names of the modules to probe; by default `model.probed_layers`, or every convolution and linear layer
            that runs when the model classifies an image.
        attack: makes the adversarial examples: any callable like `attacks.Attack`, e.g. `LinfPGD`. A dict of several,
            e.g. `{"adversarial": LinfPGD(...), "mine": my_attack}`, is measured in one plane, each attack under its
            name in the column `examples`. `attacks.apply_attack` checks what an attack returns and restores what it
            changes in the model. None measures original examples only.
        inputs: further images, `(m, channels, height, width)` float32 in [0, 1], without labels. At the last epoch,
            I(X;T) is also measured on all images together.
        settings: noise, bins and permutations, and layers where `layers` names none.
        seed: seed of the training, for the records and the attack's draws. Planes of several seeds can be saved into
            one folder.
        examples_seed: seed of permutations and groups. Use the same one for all training seeds, so that results are
            paired.
        study: name of the study in the records. Only the default can be saved.
        split: name of the images' split in the records. Reports show the split "test".
        team: processes that measure together, each with the same arguments. They share batches and layers, and all get
            the same records.
        budget: largest share of the time of training, say 0.25, that measuring may take; by default that of the
            settings, or no limit. The time between calls of `measure` counts as training. The first call measures, and
            so does one with `final`; others leave out decoders and the Monte Carlo estimate, or the whole epoch, where
            they would take more. A warning says so once, and `left_out` lists these epochs.

    Raises:
        ValueError: images, labels, `class_names`, `attack` or `budget` are not as described, or the settings ask for
            other images than the given ones.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        name: str = "own",
        class_names: Sequence[str] = (),
        layers: Sequence[str] = (),
        attack: Attack | Mapping[str, Attack] | None = None,
        inputs: Tensor | None = None,
        settings: MeasurementConfig | None = None,
        seed: int = 0,
        examples_seed: int = 0,
        study: str = STUDY,
        split: str = "test",
        team: Team = ALONE,
        budget: float | None = None,
    ) -> None:
        if settings is not None and settings.examples_drawn != "once":
            raise ValueError(
                f"settings.examples_drawn must be once, got {settings.examples_drawn}: a plane measures the same given "
                "images at each epoch"
            )
        if settings is not None and settings.splits != ("test",):
            raise ValueError(
                f"settings.splits must be test, got {' '.join(settings.splits)}: a plane measures the given images "
                "alone; give training images to a plane of their own, with split='train'"
            )
        super().__init__(
            images,
            labels,
            layers=layers or (settings.layers if settings else ()),
            attack=attack,
            inputs=inputs,
            settings=settings,
            seed=seed,
            examples_seed=examples_seed,
            study=study,
            split=split,
            team=team,
            budget=budget,
        )
        self._name, self._class_names = one_line(str(name)), tuple(map(str, class_names))
        if self._class_names and len(self._class_names) <= int(labels.max()):
            raise ValueError(
                f"class_names must name every class, got {len(self._class_names)} names and labels up to "
                f"{int(labels.max())}; labels count from 0"
            )
        self._kept = OwnImages(images, self._labels)
        self._snapshots: dict[str, Snapshot] = {}  # by training
        self._saved: dict[Path, dict[RecordKey, PlaneRecords]] = {}  # by absolute path of the folder
        self._last: tuple[str, int] | None = None  # training and epoch that were measured last

    @property
    def name(self) -> str:
        """Title of figures and report."""
        return self._name

    def measure(
        self,
        model: nn.Module,
        *,
        epoch: int,
        training: str = "normal",
        thorough: bool = True,
        final: bool = False,
        distorted: Distorted | None = None,
        versions: Mapping[str, Tensor] | None = None,
        gradient_evaluations: int = 0,
        seconds: float = 0.0,
    ) -> PlaneRecords:
        """Measure every layer of `model`, in evaluation mode and float32. The model is not changed.

        Arguments and errors are those of `measuring.Plane.measure`.
        """
        # Python names the class of a method in the message about a missing argument: users know this class.
        return super().measure(
            model,
            epoch=epoch,
            training=training,
            thorough=thorough,
            final=final,
            distorted=distorted,
            versions=versions,
            gradient_evaluations=gradient_evaluations,
            seconds=seconds,
        )

    def _keep(self, model: nn.Module, training: str, epoch: int, layers: Sequence[str]) -> None:
        """Keep the weights of the last epoch of each training, for `save`."""
        check_training_name(training)
        self._last = (training, epoch)
        before = self._snapshots.get(training)
        if before is None or before.epoch <= epoch:
            least = max(2, int(self._labels.max()) + 1)
            self._snapshots[training] = snapshot_of(model, self._images[:1], epoch, layers, least)

    def save(self, path: Path | str) -> Path:
        """Write all records so far into a run folder, with the measured images and the last measured weights.

        Saving again adds epochs and replaces those that were measured again. Planes of other seeds and trainings, of
        the same images and settings, can be added. The code of the model is not kept: `infoplane distortion`,
        `infoplane evaluate` and `infoplane attacks` ask for it with `--model`.

        Args:
            path: of the folder; it is made if there is none.

        Returns:
            The path of the folder.

        Raises:
            UserError: nothing has been measured yet, the folder holds another run, is in use by another process, or
                cannot be written to.
        """
        run = RunFolder(path, option="another path")
        self._check_has_records()
        with run.locked():
            self._add_to(run, Origin())
        return run.path

    def _check_has_records(self) -> None:
        if not self._records:
            raise UserError("nothing has been measured yet: call measure(model, epoch=...) before save")
        if self._study != STUDY:
            raise UserError(f"planes of the study {STUDY!r} can be saved, and this one has study={self._study!r}")

    def _check_fits(self, run: RunFolder, origin: Origin) -> None:
        check_fits(run, self._content(), origin)

    def _add_to(self, run: RunFolder, origin: Origin) -> None:
        """Write the records into a folder that is locked."""
        place = run.path.absolute()
        save_plane(run, self._content(), origin, self._saved.get(place, {}))
        self._saved.pop(place, None)
        self._saved[place] = dict(self._records)  # the last entry is the folder of the last call

    def _content(self) -> PlaneContent:
        return PlaneContent(
            name=self._name,
            seed=self._seed,
            examples_seed=self._examples_seed,
            images=self._kept,
            class_names=self._class_names,
            further_inputs=0 if self._inputs is None else len(self._inputs),
            attacks=self._attacks,
            settings=self._settings,
            records=self._records,
            snapshots=self._snapshots,
        )

    def scalars(self, epoch: int | None = None, training: str | None = None) -> dict[str, float]:
        """Return the numbers of one measurement as a flat dict, for a tracker of experiments.

        Keys are like "original/accuracy", "adversarial/fc2/I(T;Y)_decoded_nats" and "original/fc2/participation_ratio".
        Values that are missing or not finite are left out.

        Args:
            epoch: a measured one; by default the last measured one of the training.
            training: by default the one that was measured last.

        Raises:
            ValueError: this epoch of this training was not measured.
        """
        if self._last is None and epoch is None and training is None:
            return {}
        training = training if training is not None or self._last is None else self._last[0]
        measured = sorted({key[1] for key in self._records if key[0] == training and not key[2]})
        if epoch is None and measured:
            epoch = self._last[1] if self._last and self._last[0] == training else measured[-1]
        if epoch not in measured:
            raise ValueError(
                f"epoch {epoch} of training {training!r} was not measured; measured are {measured or 'none'}"
            )
        return scalars_of(self._records[str(training), int(epoch), "", 0.0])

    def plot(self, path: Path | str | None = None) -> "Figure":
        """Draw the plane as it is now: each layer's I(X;T) and I(T;Y) over epochs, original and attacked, in bits.

        The estimator is the most trustworthy one that has been measured; decoders need `thorough`.

        Args:
            path: also write the figure to this file, .png, .pdf or .svg.

        Returns:
            A matplotlib figure, which notebooks show.

        Raises:
            UserError: the path has another suffix.
        """
        from infoplane.loops.plane_figure import plane_figure, write_figure

        figure = plane_figure(self.measurements, self._name)
        if path is not None:
            write_figure(figure, Path(path))
        return figure

    def report(self, path: Path | str | None = None) -> Path:
        """Save the plane, and draw the figures and the page of its run.

        Args:
            path: folder of the run; by default the one that it was saved in last, or else `runs/NAME`.

        Returns:
            The path of the page, `report.html`, which opens offline.

        Raises:
            UserError: as `save`.
        """
        from infoplane.report.html import write_report

        if path is None:
            path = next(reversed(self._saved), Path("runs") / _file_name(self._name))
        return write_report(RunFolder(self.save(path)))

    def _repr_html_(self) -> str:
        from infoplane.loops.notebook_table import tables_html

        return tables_html(self._name, self.measurements, self.performance)


def _file_name(name: str) -> str:
    """Return a name with characters that may not be in file names replaced."""
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-")[:80] or "own"
