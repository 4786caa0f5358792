"""Worker loop of the non-zero ranks in study one."""

import warnings
from typing import NamedTuple

from infoplane.acceleration import Choices
from infoplane.attacks import AttackWarning
from infoplane.config import FlowConfig
from infoplane.distributed.team import Team
from infoplane.networks.memory_format import as_pixels
from infoplane.studies.flow.work import FlowWork
from infoplane.studies.parts import load_images
from infoplane.training import DivergedError
from infoplane.training.named import named_trainings


class Start(NamedTuple):
    """First message of the leader: the settings of the study."""

    config: FlowConfig
    device: str
    choices: Choices


class Order(NamedTuple):
    """Message of the leader: a method of `FlowWork` that all processes call now."""

    training: int  # index of the training, in the order of seeds and methods
    method: str
    positional: tuple[object, ...]
    named: dict[str, object]


def follow_information_flow(team: Team) -> None:
    """Carry out the orders of `information_flow` on the leader until the study ends.

    An error that ends the study on the leader, e.g. a training that diverges, is raised here too. Only the leader
    reports it to the user.
    """
    start: Start | None = team.tell()
    if start is None:
        return
    images = load_images(start.config, start.device)
    pixels = as_pixels(images.test.images[images.measured])
    works = [
        FlowWork(own, training, images, pixels, start.choices, team)
        for own in start.config.of_each_seed()
        for training in named_trainings(start.config)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AttackWarning)  # the leader warns about its own part
        order: Order | None
        while (order := team.tell()) is not None:
            try:
                getattr(works[order.training], order.method)(*order.positional, **order.named)
            except (DivergedError, ValueError):
                continue
