"""Settings are validated, frozen, and go to JSON and back."""

import json

import pytest
from pydantic import ValidationError

from infoplane.config import AttackConfig, FlowConfig, MeasurementConfig, TrainingConfig, parse_fraction
from infoplane.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_go_to_json_and_back(name):
    config = RECIPES[name].config
    assert FlowConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config
    assert config.recipe == name


@pytest.mark.parametrize(("text", "value"), [("8/255", 8 / 255), ("0.03", 0.03), ("2e-2", 0.02), ("1", 1.0)])
def test_pixel_steps_may_be_written_as_fractions(text, value):
    assert parse_fraction(text) == value


@pytest.mark.parametrize("text", ["8/0", "8/", "x", "8/255/2"])
def test_what_is_no_fraction_is_refused(text):
    with pytest.raises(ValueError, match=r"divides by zero|could not convert"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("epochs", "every", "expected"),
    [(0, 1, [0]), (3, 1, [0, 1, 2, 3]), (5, 2, [0, 2, 4, 5]), (4, 4, [0, 4]), (3, 10, [0, 3])],
)
def test_the_first_and_the_last_epoch_are_always_measured(epochs, every, expected):
    assert FlowConfig(training=TrainingConfig(epochs=epochs), measure_every=every).measured_epochs() == expected


@pytest.mark.parametrize(
    ("epochs", "every", "number", "expected"),
    [
        (6, 1, 12, [0, 1, 2, 3, 4, 5, 6]),
        (200, 1, 12, [0, 1, 2, 3, 5, 8, 14, 24, 41, 69, 118, 200]),  # 200 to the power 0, 0.1, 0.2 ... 1
        (200, 50, 4, [0, 50, 100, 200]),  # from the first measured epoch on
        (30, 3, 4, [0, 3, 9, 30]),  # 3, 9.5 and 30, each at the nearest that is measured
        (10, 1, 3, [0, 1, 10]),
        (10, 1, 2, [0, 10]),  # the two ends
        (200, 1, 1, [200]),
        (200, 1, 0, []),
        (0, 1, 12, [0]),
    ],
)
def test_thorough_epochs_are_spaced_logarithmically(epochs, every, number, expected):
    config = FlowConfig(
        training=TrainingConfig(epochs=epochs),
        measure_every=every,
        measurement=MeasurementConfig(thorough_epochs=number),
    )
    assert config.thorough_epochs() == expected


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        FlowConfig().seed = 1


@pytest.mark.parametrize("methods", [(), ("normal", "normal")])
def test_methods_are_named_once(methods):
    with pytest.raises(ValidationError, match="must name each training once"):
        FlowConfig(methods=methods)


def test_an_attack_must_be_able_to_reach_its_boundary():
    with pytest.raises(ValidationError, match=r"steps = 2 of step_size = 0\.01 cannot reach"):
        AttackConfig(epsilon=0.1, step_size=0.01, steps=2)


def test_findings_need_linear_decoders():
    assert MeasurementConfig(decoders=("linear", "best")).decoders == ("linear", "best")
    with pytest.raises(ValidationError, match="must contain linear, which findings rest on, got best"):
        MeasurementConfig(decoders=("best",))
