"""Two processes measure as one, to the last bit; what goes wrong on one is an error on both."""

import pytest
import torch
from tests.team.processes import on_processes
from torch import nn

from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig
from infoplane.distributed.team import ALONE, Team, together
from infoplane.measuring import evaluate as evaluating
from infoplane.models import LeNet5, construct
from infoplane.studies import Plane


def measured(team: Team) -> tuple[list[dict[str, object]], ...]:
    evaluating.BATCH = 50  # several batches for each process
    source = torch.Generator().manual_seed(0)
    images, labels = torch.rand(160, 1, 16, 16, generator=source), torch.arange(160) % 4
    model = construct(lambda: LeNet5(image_size=16, classes=4), seed=0)
    settings = MeasurementConfig(permutations=3, decoder_permutations=1)
    attack = LinfPGD(epsilon=0.1, steps=2)
    plane = Plane(images, labels, attack=attack, settings=settings, team=team)
    plane.measure(model, epoch=0, final=True)
    return plane.measurements.to_dicts(), plane.geometry.to_dicts(), plane.performance.to_dicts()


@pytest.fixture(scope="module")
def on_two(tmp_path_factory):
    """What both tests look at: starting processes takes longer than their work."""
    return on_processes(everything, 2, tmp_path_factory.mktemp("team"))


def everything(team: Team) -> tuple[tuple[list[dict[str, object]], ...], str]:
    return measured(team), error_of(team)


def test_records_are_those_of_one_process(on_two, monkeypatch):
    monkeypatch.setattr(evaluating, "BATCH", 50)
    alone = measured(ALONE)
    assert {row["layer"] for row in alone[0]} == {"conv1", "conv2", "fc1", "fc2", "fc3", "pixels"}
    for theirs, _ in on_two:
        for own, expected in zip(theirs, alone, strict=True):
            assert repr(own) == repr(expected)  # NaN is equal to itself here


class Broken(nn.Module):
    """Its second layer gives infinity: that one is the second process's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(256, 3), nn.Linear(3, 3)

    def forward(self, images):
        return self.second(self.first(images.flatten(1))) / 0


def error_of(team: Team) -> str:
    model = Broken()
    with torch.no_grad():
        model.second.bias.fill_(torch.inf)
    plane = Plane(torch.rand(40, 1, 16, 16), torch.arange(40) % 3, layers=["first", "second"], team=team)
    try:
        plane.measure(model, epoch=0, thorough=False)
    except ValueError as error:
        return str(error)
    return "none"


def test_an_error_on_one_process_is_one_on_both(on_two):
    said = [error for _, error in on_two]
    assert said[0] == said[1]
    assert "second" in said[0]


def test_together_is_in_order_and_raises_what_was_met():
    assert together([(2, "b"), (1, "a")], ALONE) == [(1, "a"), (2, "b")]

    def failing():
        yield 1, "a"
        raise ValueError("of the second")

    with pytest.raises(ValueError, match="of the second"):
        together(failing(), ALONE)
