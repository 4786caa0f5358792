"""Trainings of study one side by side: each is carried out whole by one process, which writes its files itself."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from infoplane.acceleration import Choices
from infoplane.config import FlowConfig
from infoplane.distributed.side_processes import SideProcesses, Tell
from infoplane.distributed.team import ALONE
from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Silence
from infoplane.studies.flow.data_record import keep_data
from infoplane.studies.flow.one_training import Shared
from infoplane.studies.parts import Images, load_images
from infoplane.training import DivergedError

_SECONDS = 0.2  # between two messages about the work done
_IMAGES: dict[Path, Images] = {}  # of the run whose trainings this process carries out


class _Task(NamedTuple):
    """One training, as it is sent to a process."""

    number: int  # index of the training, in the order of seeds and methods
    config: FlowConfig
    run: Path
    device: str
    threads: int
    choices: Choices
    keep_checkpoints: bool
    continue_at_chance: bool
    advice: str


class _Said(NamedTuple):
    """A message from the process of a training: a call of `Progress`, or that an epoch was measured."""

    what: Literal["advance", "doing", "say", "measured"]
    of: float | str = ""


def train_side_by_side(shared: Shared, ahead: Mapping[int, float], processes: SideProcesses) -> None:
    """Carry out trainings of a study: first those of the first seed, then the others, the longest first.

    So a comparison of the methods can be looked at early, and no long training is left for the end, which one process
    would carry out while the others have nothing to do.

    Args:
        shared: what all trainings share. The processes write to its run.
        ahead: the work ahead of each training, by its place in `shared.trainings()`.
        processes: that carry them out.

    Raises:
        UserError: a training was refused or diverged, or a process ended.
        ValueError: there is no run.
    """
    if shared.run is None:
        raise ValueError("processes need a run to write to, got run=None")
    seeds, methods = shared.config.of_each_seed(), len(shared.config.methods)
    for seed in sorted({number // methods for number in ahead}):
        shared.substitutes.weights(seeds[seed])  # trained once, here: then the run keeps it
    tasks = [
        _Task(
            number,
            shared.config,
            shared.run.path,
            shared.device,
            torch.get_num_threads(),
            shared.choices,
            shared.keep_checkpoints,
            shared.continue_at_chance,
            shared.advice,
        )
        for number in _in_order(ahead, methods)
    ]

    def heard(said: object) -> None:
        assert isinstance(said, _Said)
        if said.what == "measured":
            shared.on_measured()
        else:
            getattr(shared.progress, said.what)(said.of)

    processes.carry_out([partial(_carry_out, task) for task in tasks], heard)


def _in_order(ahead: Mapping[int, float], methods: int) -> list[int]:
    """Return the trainings in the order in which they begin; those of equal work keep their order."""
    first_seed = [number for number in sorted(ahead) if number < methods]
    others = sorted(ahead.keys() - set(first_seed))
    return first_seed + sorted(others, key=lambda number: -ahead[number])


def _carry_out(task: _Task, tell: Tell) -> None:
    torch.set_num_threads(task.threads)
    told, run = _Told(tell), RunFolder(task.run)
    shared = Shared.of(
        task.config,
        _images_of(task, run),
        run,
        task.device,
        told,
        task.choices,
        ALONE,
        keep_checkpoints=task.keep_checkpoints,
        continue_at_chance=task.continue_at_chance,
        on_measured=lambda: tell(_Said("measured")),
        advice=task.advice,
    )
    try:
        shared.training(task.number).go()
    except DivergedError as error:
        raise UserError(str(error)) from error
    told.catch_up()


def _images_of(task: _Task, run: RunFolder) -> Images:
    """Return the images of the run, read once in this process.

    Raises:
        UserError: they are not those with which the run began, e.g. since the user's function draws other ones.
    """
    if task.run not in _IMAGES:
        images = load_images(task.config, task.device)
        if run.exists():
            keep_data(run, images.train, images.test)
        _IMAGES.clear()
        _IMAGES[task.run] = images
    return _IMAGES[task.run]


class _Told(Silence):
    """Progress that is told to another process, the work done every `_SECONDS` at most."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._work, self._told = tell, 0.0, time.monotonic()

    def advance(self, work: float) -> None:
        self._work += work
        if time.monotonic() - self._told > _SECONDS:
            self.catch_up()

    def doing(self, activity: str) -> None:
        self._tell(_Said("doing", activity))

    def say(self, line: str) -> None:
        self.catch_up()
        self._tell(_Said("say", line))

    def catch_up(self) -> None:
        """Tell what was not told yet."""
        self._tell(_Said("advance", self._work))
        self._work, self._told = 0.0, time.monotonic()
