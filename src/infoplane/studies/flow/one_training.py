"""One training of study one, from its first measurement to its last, and what all trainings of a study share."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from infoplane.acceleration import Choices
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import FlowConfig
from infoplane.distributed.team import Team
from infoplane.errors import UserError
from infoplane.measuring.plane import PlaneRecords
from infoplane.networks.memory_format import as_pixels
from infoplane.records.tables import (
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.runs.training_state import check_network, misfit, read_state, write_state
from infoplane.studies.attack_warnings import attack_warnings_said
from infoplane.studies.file_weights import WeightsOfRun
from infoplane.studies.flow.attack_record import keep_attacks, try_attacks
from infoplane.studies.flow.ended import ENDED_AT_CHANCE, ended_at_chance, measured_weights, stopped_at
from infoplane.studies.flow.epoch_line import accuracies_text
from infoplane.studies.flow.follower import Order
from infoplane.studies.flow.method_record import keep_method, try_method
from infoplane.studies.flow.substitute import Substitutes
from infoplane.studies.flow.trainers import SourceNetworks
from infoplane.studies.flow.work import STUDY, FlowWork
from infoplane.studies.flow.work_estimate import FORWARD, measuring_work
from infoplane.studies.parts import Images
from infoplane.training.named import NamedTraining, named_trainings


@dataclass(frozen=True)
class Shared:
    """What all trainings of a study share.

    Attributes:
        config: all settings.
        images, pixels: of the study; the measured ones as floats.
        run: the folder, or None.
        device: "cpu" or "cuda".
        progress: shows how far the study is.
        choices: acceleration of the networks during training.
        team: processes that share the work.
        substitutes: networks on which examples of transfer attacks are made.
        of_file: weights of a file, if the settings name one.
        keep_checkpoints, continue_at_chance, on_measured, advice: as in `information_flow`.
    """

    config: FlowConfig
    images: Images
    pixels: Tensor
    run: RunFolder | None
    device: str
    progress: Progress
    choices: Choices
    team: Team
    substitutes: Substitutes
    of_file: WeightsOfRun
    keep_checkpoints: bool
    continue_at_chance: bool
    on_measured: Callable[[], None]
    advice: str

    @classmethod
    def of(
        cls,
        config: FlowConfig,
        images: Images,
        run: RunFolder | None,
        device: str,
        progress: Progress,
        choices: Choices,
        team: Team,
        *,
        keep_checkpoints: bool,
        continue_at_chance: bool,
        on_measured: Callable[[], None],
        advice: str,
    ) -> "Shared":
        """Prepare what the trainings share."""
        return cls(
            config=config,
            images=images,
            pixels=as_pixels(images.test.images[images.measured]),  # once: floats take four times the memory
            run=run,
            device=device,
            progress=progress,
            choices=choices,
            team=team,
            substitutes=Substitutes(run, progress, images=images, choices=choices),
            of_file=WeightsOfRun(config, images.test, run, progress.say),
            keep_checkpoints=keep_checkpoints,
            continue_at_chance=continue_at_chance,
            on_measured=on_measured,
            advice=advice,
        )

    def trainings(self) -> "list[OneTraining]":
        """Return the trainings of all seeds, in the order of seeds, then of methods."""
        return [self.training(number) for number in range(self.config.seeds * len(self.config.methods))]

    def training(self, number: int) -> "OneTraining":
        """Return one of `trainings`."""
        seed, method = divmod(number, len(self.config.methods))
        own = self.config.of_each_seed()[seed]
        return OneTraining(self, number, own, named_trainings(self.config)[method])


class OneTraining:
    """One training of the study. Each epoch: measure, write the records, train, write the next checkpoint.

    Args:
        shared: what all trainings share.
        number: index of the training, in the order of seeds and methods.
        config: settings of its seed.
        training: its method, with a name.
    """

    def __init__(self, shared: Shared, number: int, config: FlowConfig, training: NamedTraining) -> None:
        self.measurements: list[Measurement] = []
        self.geometry: list[Geometry] = []
        self.performance: list[Performance] = []
        self._shared, self._number, self._config = shared, number, config
        self._training, self._method = training.name, training
        self._name = training.name if shared.config.seeds == 1 else f"{training.name}, seed {config.seed}"
        self._images, self._run, self._progress = shared.images, shared.run, shared.progress
        images, run, choices = shared.images, shared.run, shared.choices
        self._work = FlowWork(config, training, images, shared.pixels, choices, shared.team)
        self._sources = SourceNetworks(config, training, images, run, shared.progress, choices)
        ended = stopped_at(run, config, training.name, continue_at_chance=shared.continue_at_chance)
        self._last = ended or config.training.epochs
        self._said_at_chance = False
        # measured in full now: at the end at chance, only accuracies were measured
        self._again = ended_at_chance(run, config, training.name) if shared.continue_at_chance else None
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
        found = try_attacks(self._work.attacks, self._work.model, self._shared.pixels, labels)
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

    def go(self) -> None:
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
        sources, substitute = self._sources.weights(), self._shared.substitutes.weights(self._config)
        self._together("begin", sources, substitute, *self._shared.of_file.read())
        self._restore(self._first)
        epoch = self._first
        while True:
            if epoch in self._measured_epochs() and not self._is_measured(epoch):
                self._measure(epoch)
                if epoch == self._again:
                    self._again = None
                    self._checkpoint(epoch)  # the training did not end with this epoch
            if epoch >= self._last:
                break
            self._train(epoch)
            epoch += 1
            self._checkpoint(epoch)
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
            return f"the network answers no better than a constant does ({trainer.at_chance}). {self._shared.advice}"
        if trainer.at_chance is not None and not self._said_at_chance:
            self._said_at_chance = True
            self._progress.say(f"{self._name}: at chance after epoch {trainer.epoch} so far ({trainer.at_chance})")
        return None

    def _ends_at_chance(self) -> bool:
        trainer = self._work.trainer
        return trainer is not None and not self._shared.continue_at_chance and trainer.is_dead

    def _together(
        self, method: str, *positional: object, here: Mapping[str, object] = MappingProxyType({}), **named: object
    ) -> Any:
        """Call a method of the work on every process of the team, on the leader with some more arguments."""
        self._shared.team.tell(Order(self._number, method, positional, named))
        return getattr(self._work, method)(*positional, **named, **here)

    def _restore(self, epoch: int) -> None:
        if self._run is None:
            return
        seed = self._config.seed
        if epoch not in self._run.checkpoint_epochs(seed, self._training):
            self._checkpoint(0)
        elif self._work.trainer is None:
            self._check_network(epoch)
        else:
            state = read_state(self._run, seed, self._training, epoch)
            try:
                self._together("load", state)
            except ValueError as error:
                raise misfit(self._run, seed, self._training, error) from error
            check_network(self._work.network, state, self._shared.pixels, self._run, seed, self._training)
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
        check_network(network, state, self._shared.pixels, self._run, seed, self._training)

    def _checkpoint(self, epoch: int) -> None:
        if self._run is None:
            return
        trainer = self._work.trainer
        state = trainer.state_dict() if trainer else {"model": self._work.model.state_dict(), "epoch": 0}
        state[ENDED_AT_CHANCE] = epoch > 0 and self._ends_at_chance()
        where = (self._config.seed, self._training)
        best = trainer is not None and epoch > 0 and trainer.best_epoch == epoch
        write_state(self._run, *where, epoch, state, self._work.network, self._shared.pixels, best=best)
        if (
            epoch and not self._shared.keep_checkpoints
        ):  # never a later one: if lost records are made again, the later one is the finished network
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
        self._shared.on_measured()

    def _log(self, event: str, **facts: object) -> None:
        if self._run is not None:
            self._run.log(event, seed=self._config.seed, training=self._training, **facts)
