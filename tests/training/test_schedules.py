"""Learning rates over epochs, from their definitions."""

import math

import pytest

from infoplane.config import TrainingConfig
from infoplane.training import learning_rate


def test_multi_step_falls_at_milestones_and_not_between():
    settings = TrainingConfig(epochs=10, learning_rate=0.8, milestones=(2, 5), gamma=0.5)
    rates = [learning_rate(settings, progress) for progress in (0, 1.99, 2, 4.9, 5, 9)]
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_cosine_falls_to_nothing_along_half_a_cosine():
    settings = TrainingConfig(epochs=8, learning_rate=0.2, schedule="cosine")
    for progress in (0.0, 1.5, 4.0, 7.0, 8.0):
        assert learning_rate(settings, progress) == pytest.approx(0.1 * (1 + math.cos(math.pi * progress / 8)))


def test_one_cycle_rises_for_two_fifths_and_falls_for_three():
    settings = TrainingConfig(epochs=10, learning_rate=0.3, schedule="one-cycle")
    expected = {0: 0, 2: 0.15, 4: 0.3, 7: 0.15, 10: 0}
    assert {at: pytest.approx(learning_rate(settings, at)) for at in expected} == expected


@pytest.mark.parametrize("schedule", ["multi-step", "cosine", "one-cycle"])
def test_no_schedule_ever_exceeds_its_peak_or_goes_below_zero(schedule):
    settings = TrainingConfig(epochs=3, learning_rate=0.1, schedule=schedule)
    rates = [learning_rate(settings, step / 50) for step in range(160)]
    assert 0 <= min(rates) <= max(rates) <= 0.1
