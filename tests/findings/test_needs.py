"""Claims that a planned run is too small to decide are named before it begins."""

import pytest

from infoplane.config import FlowConfig, MeasurementConfig, TrainingConfig
from infoplane.findings.needs import undecidable

ALL = ("1", "2", "3a", "3b", "4", "5", "6")


def planned(*, epochs=30, every=1, decoders=12, seeds=2):
    measurement = MeasurementConfig(thorough_epochs=decoders)
    training = TrainingConfig(epochs=epochs)
    return FlowConfig(training=training, measure_every=every, measurement=measurement, seeds=seeds)


@pytest.mark.parametrize(
    ("config", "numbers"),
    [
        (planned(), []),
        (planned(seeds=1), ["1", "2", "3a", "4", "5"]),
        (planned(decoders=7), ["1"]),
        (planned(decoders=8, every=1), []),
        (planned(decoders=3), ["1", "3a"]),
        (planned(every=10), ["1"]),  # epochs 0, 10, 20, 30
        (planned(every=15), ["1", "3a"]),
    ],
)
def test_too_few_seeds_and_epochs_are_said(config, numbers):
    assert [line.split()[1] for line in undecidable(config, ALL)] == numbers


def test_the_line_says_what_is_needed_and_what_is_planned():
    (line,) = undecidable(planned(decoders=4), ["1"])
    assert line == (
        "claim 1 of the study stays undecided: it needs decoders at 8 epochs or more, and 4 are planned "
        "(--measurement.thorough-epochs, --measure-every)"
    )


def test_only_claims_that_were_asked_about_are_named():
    assert undecidable(planned(seeds=1, decoders=0), ["3b", "6"]) == []
