"""Study one: information flow during normal and adversarial training (docs/method.md, section 5)."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import polars as pl
from torch import Tensor

from infoplane.acceleration import PLAIN, Choices
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import FlowConfig
from infoplane.distributed.team import ALONE, Team
from infoplane.errors import UserError
from infoplane.measuring.plane import PlaneRecords
from infoplane.networks.memory_format import as_pixels
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import (
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress, Silence
from infoplane.runs.state_tensors import split_state
from infoplane.runs.training_state import check_network, misfit, read_state, write_state
from infoplane.studies.attack_lines import attack_lines
from infoplane.studies.attack_warnings import attack_warnings_said
from infoplane.studies.file_weights import WeightsOfRun, check_weights_settings
from infoplane.studies.flow.attack_record import keep_attacks, try_attacks
from infoplane.studies.flow.costs import with_chosen_epochs
from infoplane.studies.flow.data_record import keep_data
from infoplane.studies.flow.ended import ADVICE, ENDED_AT_CHANCE, ended_at_chance, measured_weights, stopped_at
from infoplane.studies.flow.epoch_line import accuracies_text
from infoplane.studies.flow.follower import Order, Start
from infoplane.studies.flow.method_record import keep_method, try_method
from infoplane.studies.flow.substitute import Substitutes, check_substitute
from infoplane.studies.flow.trainers import SourceNetworks
from infoplane.studies.flow.work import STUDY, FlowWork
from infoplane.studies.flow.work_estimate import FORWARD, measuring_work
from infoplane.studies.parts import Images, load_images
from infoplane.text import with_field_help
from infoplane.training.named import NamedTraining, named_trainings


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
    methods = named_trainings(config)
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
    pixels = as_pixels(images.test.images[images.measured])  # once: floats take four times the memory
    trainings = [(own, training) for own in config.of_each_seed() for training in methods]
    team.tell(Start(config, device, choices))
    substitutes = Substitutes(run, progress, images=images, choices=choices)
    of_file = WeightsOfRun(config, images.test, run, progress.say)
    flows = [
        _Flow(
            own,
            training,
            images,
            pixels,
            run,
            progress,
            choices,
            team,
            substitutes,
            of_file,
            number=number,
            name=_name(config, own.seed, training.name),
            continue_at_chance=continue_at_chance,
            on_measured=on_measured,
            advice=advice,
        )
        for number, (own, training) in enumerate(trainings)
    ]
    if unused := flows[0].unused_layers():
        progress.say(f"layers {', '.join(unused)} do not run when the network classifies and are left out")
    flows[0].try_attacks()
    for flow in flows[: len(methods)]:
        flow.try_method()
    ahead = sum(flow.work_ahead() for flow in flows)
    for line in attack_lines(config) if ahead else []:
        progress.say(line)
    progress.begin(ahead)
    for flow in flows:
        flow.go(keep_checkpoints=keep_checkpoints)
    if run is not None:
        own = pl.col("study") == STUDY  # later studies write into the same folder
        return FlowRecords(*(table.filter(own) for table in (run.measurements(), run.geometry(), run.performance())))
    return FlowRecords(
        measurement_table(row for flow in flows for row in flow.measurements),
        geometry_table(row for flow in flows for row in flow.geometry),
        performance_table(row for flow in flows for row in flow.performance),
    )


def _name(config: FlowConfig, seed: int, training: str) -> str:
    """Return the name of a training for progress lines."""
    return training if config.seeds == 1 else f"{training}, seed {seed}"


class _Flow:
    """One training of the study. Each epoch: measure, write the records, train, write the next checkpoint."""

    def __init__(
        self,
        config: FlowConfig,
        training: NamedTraining,
        images: Images,
        pixels: Tensor,
        run: RunFolder | None,
        progress: Progress,
        choices: Choices,
        team: Team,
        substitutes: Substitutes,
        of_file: WeightsOfRun,
        *,
        number: int,
        name: str,
        continue_at_chance: bool,
        on_measured: Callable[[], None],
        advice: str,
    ) -> None:
        self.measurements: list[Measurement] = []
        self.geometry: list[Geometry] = []
        self.performance: list[Performance] = []
        self._config, self._training, self._images, self._name = config, training.name, images, name
        self._run, self._progress, self._pixels = run, progress, pixels
        self._number, self._team, self._on_measured = number, team, on_measured
        self._work = FlowWork(config, training, images, pixels, choices, team)
        self._sources = SourceNetworks(config, training, images, run, progress, choices)
        self._substitutes, self._of_file = substitutes, of_file
        self._continue_at_chance, self._advice = continue_at_chance, advice
        self._method = training
        ended = stopped_at(run, config, training.name, continue_at_chance=continue_at_chance)
        self._last = ended or config.training.epochs
        self._said_at_chance = False
        # measured in full now: at the end at chance, only accuracies were measured
        self._again = ended_at_chance(run, config, training.name) if continue_at_chance else None
        self._first = self._first_epoch()

    def _measured_epochs(self) -> list[int]:
        """Return the epochs to measure: all planned ones, or those up to an early end of the training."""
        return [epoch for epoch in self._config.measured_epochs() if epoch < self._last] + [self._last]

    def _is_measured(self, epoch: int) -> bool:
        if self._run is None or epoch == self._again:
            return False
        return self._run.has_records(STUDY, self._config.seed, self._training, epoch)

    def _first_epoch(self) -> int | None:
        """Return the latest epoch to continue from without a gap in the records; None if nothing is left to do."""
        missing = [epoch for epoch in self._measured_epochs() if not self._is_measured(epoch)]
        if self._run is None:
            return 0
        checkpoints = self._run.checkpoint_epochs(self._config.seed, self._training)
        if not missing and self._last in checkpoints:
            return None
        latest = missing[0] if missing else self._last
        return max((epoch for epoch in checkpoints if epoch <= latest), default=0)

    def _lost_epochs(self) -> list[int]:
        """Return the epochs without records although later epochs have them."""
        measured = [epoch for epoch in self._measured_epochs() if self._is_measured(epoch)]
        latest = max(measured, default=-1)
        return [epoch for epoch in self._measured_epochs() if epoch < latest and epoch not in measured]

    def unused_layers(self) -> tuple[str, ...]:
        """Layers with weights that do not run and so are not measured."""
        return self._work.unused_layers

    def try_method(self) -> None:
        """Check before training starts that the method can train the network; try a user's own for one recorded step.

        Raises:
            UserError: it cannot; or the user's own method raises, is not valid, or gives other results than before.
        """
        self._work.check_method()
        if not self._method.method.is_own or self._images.train is None:
            return
        found = try_method(self._method, self._config, self._images.test)
        if self._run is not None and self._run.exists():
            keep_method(self._run, self._training, found)

    def try_attacks(self) -> None:
        """Try the user's own attacks on a few images before training starts, and record their effect in the run.

        Raises:
            UserError: an attack raises, is not valid, or gives other results than when the run began.
        """
        labels = self._images.test.labels[self._images.measured]
        found = try_attacks(self._work.attacks, self._work.model, self._pixels, labels)
        if self._run is not None and self._run.exists():
            keep_attacks(self._run, found)

    # work, in forward and backward passes of one image, for the estimate of the time left

    def _epoch_work(self) -> float:
        attack = pgd_attack(self._config.attack, random_start=True)
        return self._method.passes(attack) * len(self._images.train) if self._images.train else 0

    def _measuring_work(self, epoch: int) -> float:
        evaluated = len(self._images.test) + (len(self._images.train) if self._images.train else 0)
        per_image = measuring_work(self._config, thorough=self._is_thorough(epoch), final=epoch == self._last)
        return evaluated * FORWARD + self._images.number_measured * per_image

    def _is_thorough(self, epoch: int) -> bool:
        thorough = self._config.thorough_epochs()
        return epoch in thorough or (epoch == self._last and bool(thorough))

    def work_ahead(self) -> float:
        """Return the amount of work that `go` will do."""
        if self._first is None:
            return 0
        missing = [epoch for epoch in self._measured_epochs() if not self._is_measured(epoch)]
        measuring = sum(self._measuring_work(epoch) for epoch in missing if epoch >= self._first)
        return (self._last - self._first) * self._epoch_work() + measuring

    # the protocol

    def go(self, *, keep_checkpoints: bool) -> None:
        """Train and measure all missing epochs."""
        if self._first is None:
            self._check_network(self._last)  # added seeds must train the same network as the finished ones
            self._progress.say(f"{self._name}: complete")
            return
        if lost := [epoch for epoch in self._lost_epochs() if epoch >= self._first]:
            self._progress.say(
                f"{self._name}: the records of epoch {lost[0]} are missing; training again from epoch {self._first}"
            )
        planned, self._done = self.work_ahead(), 0.0
        sources, substitute = self._sources.weights(), self._substitutes.weights(self._config)
        self._together("begin", sources, substitute, *self._of_file.read())
        self._restore(self._first)
        epoch = self._first
        while True:
            if epoch in self._measured_epochs() and not self._is_measured(epoch):
                self._measure(epoch)
                if epoch == self._again:
                    self._again = None
                    self._checkpoint(epoch, keep=keep_checkpoints)  # the training did not end with this epoch
            if epoch >= self._last:
                break
            self._train(epoch)
            epoch += 1
            self._checkpoint(epoch, keep=keep_checkpoints)
            if reason := self._why_ended():
                self._last = epoch
                self._progress.say(f"{self._name}: ended after epoch {epoch}: {reason}")
        self._together("end")
        self._advance(planned - self._done)  # the work that a training which ended early does not need

    def _advance(self, work: float) -> None:
        self._done += work
        self._progress.advance(work)

    def _why_ended(self) -> str | None:
        """Return why the training ends with this epoch, if it does; report once a training that continues at chance."""
        trainer = self._work.trainer
        assert trainer is not None
        if trainer.stopped is not None:
            return trainer.stopped
        if trainer.at_chance is not None and self._ends_at_chance():
            return f"the network answers no better than a constant does ({trainer.at_chance}). {self._advice}"
        if trainer.at_chance is not None and not self._said_at_chance:
            self._said_at_chance = True
            self._progress.say(f"{self._name}: at chance after epoch {trainer.epoch} so far ({trainer.at_chance})")
        return None

    def _ends_at_chance(self) -> bool:
        trainer = self._work.trainer
        return trainer is not None and not self._continue_at_chance and trainer.is_dead

    def _together(
        self, method: str, *positional: object, here: Mapping[str, object] = MappingProxyType({}), **named: object
    ) -> Any:
        """Call a method of the work on every process of the team, on the leader with some more arguments."""
        self._team.tell(Order(self._number, method, positional, named))
        return getattr(self._work, method)(*positional, **named, **here)

    def _restore(self, epoch: int) -> None:
        if self._run is None:
            return
        seed = self._config.seed
        if epoch not in self._run.checkpoint_epochs(seed, self._training):
            self._checkpoint(0, keep=True)
        elif self._work.trainer is None:
            self._check_network(epoch)
        else:
            state = read_state(self._run, seed, self._training, epoch)
            try:
                self._together("load", state)
            except ValueError as error:
                raise misfit(self._run, seed, self._training, error) from error
            check_network(self._work.network, state, self._pixels, self._run, seed, self._training)
            self._progress.say(f"{self._name}: continued after epoch {epoch}")

    def _check_network(self, epoch: int) -> None:
        """Load the weights of an epoch into the network, to check that its code still fits them."""
        assert self._run is not None
        seed, network = self._config.seed, self._work.model
        state = read_state(self._run, seed, self._training, epoch)
        try:
            network.load_state_dict(measured_weights(state))
        except (RuntimeError, KeyError) as error:
            raise misfit(self._run, seed, self._training, error) from error
        check_network(network, state, self._pixels, self._run, seed, self._training)

    def _checkpoint(self, epoch: int, *, keep: bool) -> None:
        if self._run is None:
            return
        trainer = self._work.trainer
        state = trainer.state_dict() if trainer else {"model": self._work.model.state_dict(), "epoch": 0}
        state[ENDED_AT_CHANCE] = epoch > 0 and self._ends_at_chance()
        where = (self._config.seed, self._training)
        state = write_state(self._run, *where, epoch, state, self._work.network, self._pixels)
        if trainer is not None and epoch and trainer.best_epoch == epoch:
            self._run.write_best_checkpoint(self._config.seed, self._training, *split_state(state))
        if not keep:  # never a later one: if lost records are made again, the later one is the finished network
            later = [known for known in self._run.checkpoint_epochs(self._config.seed, self._training) if known > epoch]
            self._run.prune_checkpoints(self._config.seed, self._training, keep={epoch, *later})

    def _train(self, epoch: int) -> None:
        train = self._images.train
        assert train is not None
        self._progress.doing(f"{self._name}: training epoch {epoch + 1} of {self._config.training.epochs}")
        per_image = self._epoch_work() / len(train)
        with attack_warnings_said(f"{self._name}, training epoch {epoch + 1}", self._progress, self._log):
            record = self._together("train_epoch", here={"on_batch": lambda batch: self._advance(batch * per_image)})
        self._log("trained", **record._asdict())

    def _measure(self, epoch: int) -> None:
        config = self._config
        self._progress.doing(f"{self._name}: measuring epoch {epoch} of {config.training.epochs}")
        began = time.perf_counter()
        final, thorough = epoch == self._last, self._is_thorough(epoch)
        try:
            with attack_warnings_said(f"{self._name}, measuring epoch {epoch}", self._progress, self._log):
                records: PlaneRecords = (
                    self._together("evaluate", epoch)
                    if self._ends_at_chance()
                    else self._together("measure", epoch, thorough=thorough, final=final)
                )
        except ValueError as error:  # e.g. activations of the user's network that are not finite
            raise UserError(f"{self._training} training, seed {config.seed}, epoch {epoch}: {error}") from error
        if self._run is not None:
            self._run.write_records(
                STUDY,
                config.seed,
                self._training,
                epoch,
                measurements=measurement_table(records.measurements),
                geometry=geometry_table(records.geometry),
                performance=performance_table(records.performance),
            )
        self.measurements += records.measurements
        self.geometry += records.geometry
        self.performance += records.performance
        self._advance(self._measuring_work(epoch))
        taken = time.perf_counter() - began
        trained = self._work.trainer.seconds if self._work.trainer else 0.0
        self._log("measured", epoch=epoch, seconds=taken)
        self._progress.say(
            f"{self._name}  epoch {epoch}/{config.training.epochs}  {accuracies_text(records.performance)}  "
            f"(trained {trained:.0f} s, measured in {taken:.1f} s)"
        )
        self._on_measured()

    def _log(self, event: str, **facts: object) -> None:
        if self._run is not None:
            self._run.log(event, seed=self._config.seed, training=self._training, **facts)
