"""When trainings end and when their learning rate falls, from the settings of a run."""

import pytest

from infoplane.config import FlowConfig, TrainingConfig
from infoplane.findings.plan import Plan, plan_of
from infoplane.training.schedules import learning_rate


@pytest.mark.parametrize(
    ("settings", "drop"),
    [
        ({}, 20),
        ({"milestones": (8, 4)}, 4),
        ({"milestones": ()}, None),
        ({"gamma": 1.0}, None),
        ({"milestones_in": "batches"}, None),
        ({"schedule": "cosine", "warmup_epochs": 2.5}, 3),
        ({"schedule": "one-cycle", "epochs": 30}, 12),
    ],
)
def test_the_first_drop_is_where_the_learning_rate_falls(settings, drop):
    training = TrainingConfig(**settings)
    assert training.first_drop == drop
    rates = [learning_rate(training, epoch) for epoch in range(training.epochs)]
    falls = [epoch for epoch in range(1, len(rates)) if rates[epoch] < rates[epoch - 1]]
    assert falls[:1] in ([], [drop], [(drop or 0) + 1])  # a milestone applies to the epoch that begins there


def test_the_plan_is_that_of_the_settings_in_the_run():
    settings = FlowConfig(training=TrainingConfig(epochs=30)).model_dump(mode="json")
    assert plan_of(settings) == Plan(epochs=30, first_drop=20)
    early = FlowConfig(training=TrainingConfig(epochs=30, patience=3, validation_fraction=0.1)).model_dump(mode="json")
    assert plan_of(early) == Plan(epochs=None, first_drop=20)  # it may end before
    assert plan_of({}) == plan_of({"training": "my own loop"}) == Plan()


@pytest.mark.parametrize(
    ("plan", "epoch", "lasts", "reason"),
    [
        (Plan(), 5, (), ""),
        (Plan(), 5, (5, 5), ""),
        (Plan(10, 4), 10, (10, 10), ""),
        (Plan(10, None), 9, (9, 9), "unfinished: compared at epoch 9 of 10"),
        (Plan(), 5, (5, 10), "unfinished: one training is measured to epoch 5, the other to epoch 10"),
        (Plan(10, 20), 10, (10, 10), "too early: epoch 10 is before the learning rate first falls (epoch 20)"),
    ],
)
def test_levels_are_final_only_at_the_end(plan, epoch, lasts, reason):
    assert plan.too_early(epoch, lasts) == reason
