"""Learning rates over epochs, from their definitions."""

import math

import pytest

from infoplane.config import TrainingConfig
from infoplane.training import learning_rate
from infoplane.training.schedules import warmup_epochs


def test_multi_step_falls_at_milestones_and_not_between():
    settings = TrainingConfig(epochs=10, learning_rate=0.8, milestones=(2, 5), gamma=0.5, warmup_epochs=0)
    rates = [learning_rate(settings, progress) for progress in (0, 1.99, 2, 4.9, 5, 9)]
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_milestones_in_batches_halve_the_rate_twice_within_the_first_60_batches():
    settings = TrainingConfig(learning_rate=0.1, warmup_epochs=0, milestones_in="batches")
    rates = {done: learning_rate(settings, done / 469, batches=done) for done in (0, 19, 20, 59, 60, 469, 93_799)}
    assert rates == {0: 0.1, 19: 0.1, 20: 0.05, 59: 0.05, 60: 0.025, 469: 0.025, 93_799: 0.025}


def test_cosine_falls_to_nothing_along_half_a_cosine():
    settings = TrainingConfig(epochs=8, learning_rate=0.2, schedule="cosine", warmup_epochs=0)
    for progress in (0.0, 1.5, 4.0, 7.0, 8.0):
        assert learning_rate(settings, progress) == pytest.approx(0.1 * (1 + math.cos(math.pi * progress / 8)))


def test_one_cycle_rises_for_two_fifths_and_falls_for_three():
    settings = TrainingConfig(epochs=10, learning_rate=0.3, schedule="one-cycle")
    expected = {0: 0, 2: 0.15, 4: 0.3, 7: 0.15, 10: 0}
    assert {at: pytest.approx(learning_rate(settings, at)) for at in expected} == expected


@pytest.mark.parametrize("schedule", ["multi-step", "cosine"])
def test_a_warm_up_multiplies_the_schedule_by_a_straight_line_from_nothing(schedule):
    settings = TrainingConfig(epochs=10, learning_rate=0.8, milestones=(3,), schedule=schedule, warmup_epochs=2)
    plain = settings.model_copy(update={"warmup_epochs": 0})
    for progress in (0, 0.5, 1.5, 2, 3, 7.25):
        expected = min(1, progress / 2) * learning_rate(plain, progress)
        assert learning_rate(settings, progress) == pytest.approx(expected)


def test_the_warm_up_is_taken_at_the_end_of_an_update_so_that_a_long_first_one_is_not_lost():
    settings = TrainingConfig(epochs=4, learning_rate=0.8, warmup_epochs=2)
    assert learning_rate(settings, 0, update=1) == pytest.approx(0.4)
    assert learning_rate(settings, 1, update=1) == learning_rate(settings, 3, update=1) == 0.8


def test_one_cycle_has_its_own_warm_up_and_no_other():
    settings = TrainingConfig(epochs=10, learning_rate=0.3, schedule="one-cycle", warmup_epochs=5)
    assert learning_rate(settings, 2) == pytest.approx(0.15)
    assert (warmup_epochs(settings), warmup_epochs(TrainingConfig(warmup_epochs=3))) == (4, 3)


@pytest.mark.parametrize("schedule", ["multi-step", "cosine", "one-cycle"])
def test_no_schedule_ever_exceeds_its_peak_or_goes_below_zero(schedule):
    settings = TrainingConfig(epochs=3, learning_rate=0.1, schedule=schedule)
    rates = [learning_rate(settings, step / 50) for step in range(160)]
    assert 0 <= min(rates) <= max(rates) <= 0.1
