"""Load the finished networks of a run of study one, and the examples on which they are measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.config import FlowConfig
from infoplane.data import ImageSet, stratified_indices
from infoplane.errors import UserError, broken_rule
from infoplane.measuring.attacked_versions import measured_attacks, versions_of
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.records.short_repr import with_short_repr
from infoplane.runs.folder import RunFolder
from infoplane.runs.own_loop import is_own_loop, loop_settings
from infoplane.runs.progress import Progress, Silence
from infoplane.runs.training_state import check_network, misfit, read_best_state, read_state
from infoplane.studies.flow.attack_record import KEPT_ATTACKS, check_attacks, try_attacks
from infoplane.studies.flow.data_record import check_data
from infoplane.studies.flow.ended import ended_at_chance, measured_weights, stopped_at
from infoplane.studies.flow.substitute import Substitutes
from infoplane.studies.flow.work import STUDY
from infoplane.studies.own_run import OwnTest, load_own_weights, own_config
from infoplane.studies.parts import build_model, build_network, load_test_images, probed_layers


class AllAtChanceError(UserError):
    """Every training of a run ended at chance."""


@with_short_repr
@dataclass(frozen=True, kw_only=True, eq=False)  # tensors have no single truth value, so == would fail
class FinishedNetwork:
    """One network at the end of its training or at its best epoch, and the examples on which study one measured it."""

    config: FlowConfig  # of this network: `config.seed` is its own
    training: str
    model: nn.Module  # has the weights of the epoch below; its mode is not set, so measure under `evaluation_mode`
    layers: tuple[str, ...]  # probed
    attacks: Mapping[str, Attack]  # attacks of study one, by the names of their examples
    test: ImageSet  # all test images, uint8
    images: Tensor  # (n, channels, height, width) float32 in [0, 1]: the measured originals, in study one's order
    labels: Tensor  # (n,) integers
    epoch: int  # last completed epoch, which can be earlier than planned; of the best network, the best epoch
    gradient_evaluations: int  # spent on training
    seconds: float  # likewise

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.config.seed

    def versions(self) -> dict[str, Tensor]:
        """Return the measured examples by name, originals first, as study one measured them at its last epoch."""
        with evaluation_mode(self.model):
            return versions_of(
                self.images,
                self.labels,
                self.model,
                self.attacks,
                seed=self.seed,
                training=self.training,
                epoch=self.epoch,
            )


class FinishedRun:
    """The networks of a finished run of study one; trainings that ended at chance are left out.

    Args:
        run: folder of the run.
        device: "cpu" or "cuda".
        attacks: names of the attacks whose examples are measured; None takes those of study one.
        model: builds the networks of a run that `InformationPlane.save` wrote: its name, or package.module:function.
        progress: shows the training of a substitute for transfer attacks, if the run has none yet.

    Raises:
        AllAtChanceError: all trainings ended at chance.
        UserError: the folder holds no run of study one, a training has not finished, a checkpoint is damaged, the data
            is missing, or a user's own attack cannot be used.
    """

    def __init__(
        self,
        run: RunFolder,
        device: str = "cpu",
        *,
        attacks: Sequence[str] | None = None,
        model: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.config = finished_config(run, attacks=attacks, model=model)
        self._run, self._own = run, loop_settings(run)
        self._substitutes = Substitutes(run, progress or Silence(), device=device)
        seeds = run.checkpoint_seeds() or [self.config.seed]
        self.trainings = [(seed, training) for seed in seeds for training in self.config.trainings]
        if self._own is not None:
            self.trainings = self._own.trained
        for seed, training in self.trainings:
            self._check_finished(seed, training)
        self.ended_at_chance = [
            (seed, training) for seed, training in self.trainings if ended_at_chance(run, self._of(seed), training)
        ]
        self.trainings = [one for one in self.trainings if one not in self.ended_at_chance]
        if not self.trainings:
            raise AllAtChanceError(f"{run.path}: every training ended at chance; there is no network to measure")
        if self._own is not None:
            kept = OwnTest(run, self._own, device)
            self._test, self._images, self._labels = kept.images, kept.pixels, kept.images.labels
        else:
            self._test, measured = load_test_images(self.config, device)
            check_data(run, self._test)
            self._images = as_pixels(self._test.images[measured])
            self._labels = self._test.labels[measured]
        if KEPT_ATTACKS in run.read_config()["environment"]:
            own = self.config.model_copy(update={"attacks": [name for name in self.config.attacks if ":" in name]})
            network = build_model(self.config, self._test)
            check_attacks(run, try_attacks(measured_attacks(own), network, self._images, self._labels))

    def __len__(self) -> int:
        return len(self.trainings)

    def __iter__(self) -> Iterator[FinishedNetwork]:
        """Load the networks one after the other, ordered by seed and then by training."""
        return (self.network(seed, training) for seed, training in self.trainings)

    @property
    def test(self) -> ImageSet:
        """All test images, uint8: where bytes round the images of a user's own loop, `images` are exact."""
        return self._test

    @property
    def test_pixels(self) -> Tensor | None:
        """All test images as float32 in [0, 1], if the run is that of a user's own loop."""
        return self._images if self._own is not None else None

    @property
    def images(self) -> Tensor:
        """The measured originals, the same for all networks: `FinishedNetwork.images`."""
        return self._images

    def chosen(self, purpose: str, examples: int | None = None) -> Tensor:
        """Return the indices of a stratified choice of the measured examples, ascending.

        Args:
            purpose: what they are for: each purpose has a choice of its own, the same for all networks.
            examples: how many; None takes all.
        """
        labels = self._labels.cpu()
        generator = seeded_generator(self.config.data.seed, purpose)
        return stratified_indices(labels, examples or len(labels), generator=generator)

    @property
    def labels(self) -> Tensor:
        """Labels of the measured originals, `(n,)`."""
        return self._labels

    def network(self, seed: int, training: str, epoch: int | None = None) -> FinishedNetwork:
        """Load one of `trainings`.

        Args:
            seed: of the training.
            training: its name.
            epoch: of one of its checkpoints; None is the last.

        Raises:
            UserError: the checkpoint is damaged, does not fit the network of the settings, or the network's code has
                changed.
        """
        last = epoch or stopped_at(self._run, self._of(seed), training) or self.config.training.epochs
        return self._loaded(seed, training, read_state(self._run, seed, training, last))

    def best_network(self, seed: int, training: str) -> FinishedNetwork | None:
        """Load the network of the best epoch on held-out images; None if no held-out images chose one.

        Raises:
            UserError: as `network`.
        """
        if not self._run.has_best_checkpoint(seed, training):
            return None
        return self._loaded(seed, training, read_best_state(self._run, seed, training))

    def _loaded(self, seed: int, training: str, state: Mapping[str, Any]) -> FinishedNetwork:
        config = self._of(seed)
        if self._own is not None:
            layers = self._own.network(seed, training).layers
            config = config.model_copy(update={"measurement": config.measurement.model_copy(update={"layers": layers})})
            model = build_network(config, self._test)
            load_own_weights(self._run, model, measured_weights(state), seed, training)
        else:
            model = build_model(config, self._test)
            try:
                model.load_state_dict(measured_weights(state))
            except (RuntimeError, KeyError) as error:
                raise misfit(self._run, seed, training, error) from error
        check_network(model, state, self._images, self._run, seed, training)
        return FinishedNetwork(
            config=config,
            training=training,
            model=model,
            layers=probed_layers(config, model, self._test.images).names,
            attacks=measured_attacks(config, self._substitutes.network(config, self._test)),
            test=self._test,
            images=self._images,
            labels=self._labels,
            epoch=state["epoch"],
            gradient_evaluations=state.get("gradient_evaluations", 0),
            seconds=state.get("seconds", 0.0),
        )

    def _of(self, seed: int) -> FlowConfig:
        return self.config.model_copy(update={"seed": seed})

    def _check_finished(self, seed: int, training: str) -> None:
        last = stopped_at(self._run, self._of(seed), training) or self.config.training.epochs
        epochs = self._run.checkpoint_epochs(seed, training)
        if last not in epochs:
            found = f"its last checkpoint is of epoch {max(epochs)} of {last}" if epochs else "it has no checkpoint"
            if self._own is not None:
                raise UserError(f"{self._run.path}: training {training!r}, seed {seed}: {found}; save the plane again")
            raise UserError(
                f"{self._run.path}: {training} training, seed {seed}, has not finished ({found}); "
                f"continue it with infoplane flow first"
            )
        self._run.check_checkpoint(seed, training, last)  # now, before other networks are measured


def finished_config(
    run: RunFolder, *, attacks: Sequence[str] | None = None, model: str | None = None, data: str | None = None
) -> FlowConfig:
    """Return the settings under which the networks of a run are measured again.

    Args:
        run: of study one, or of a user's own training loop.
        attacks: names of the attacks; None takes those of the run.
        model: of a user's own training loop: the name of the network, or package.module:function that builds it.
        data: what the user typed as data; a user's own training loop has its own.

    Raises:
        UserError: the folder holds no such run, its settings are damaged, or what a user's own loop needs is missing.
    """
    if (own := loop_settings(run)) is not None:
        if data is not None:
            raise UserError(f"--data {data}: {run.path} keeps the images that its training loop measured; leave it out")
        return own_config(run, own, model=model, attacks=attacks)
    recorded = flow_config(run)
    return recorded if attacks is None else recorded.model_copy(update={"attacks": tuple(attacks)})


def flow_config(run: RunFolder) -> FlowConfig:
    """Return the settings of a run of study one.

    Raises:
        UserError: the folder holds no such run, or its settings are damaged.
    """
    kept = run.read_config()
    if is_own_loop(kept):
        raise UserError(
            f"{run.path} was saved in a training loop of your own, which infoplane flow cannot continue; choose "
            "another folder with --run"
        )
    if kept["study"] != STUDY:
        raise UserError(f"{run.path} holds the study {kept['study']!r}; choose one that infoplane flow or demo made")
    try:
        return FlowConfig.model_validate(kept["settings"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise UserError(
            f"{run.config_path} does not hold the settings of infoplane flow ({where} {broken_rule(first)}); "
            "restore it, or choose a folder that infoplane flow made"
        ) from None
