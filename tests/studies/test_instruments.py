"""A toy estimator needs its own function and one line in `INSTRUMENTS`, and is then measured and shown."""

import io
import re

import pytest
from rich.console import Console
from tests.toys.estimator import TOY, measure, toy_information

import infoplane
from infoplane.config import MeasurementConfig
from infoplane.measuring import instruments
from infoplane.measuring.instruments import INSTRUMENTS, Instrument
from infoplane.measuring.layer_outputs import When
from infoplane.records.tables import LABEL_INFORMATION
from infoplane.report.estimate import estimate_table
from infoplane.report.labels import estimator_label, estimator_order
from infoplane.report.page_tables import information_html
from infoplane.report.table import summary_table


def plane_with(monkeypatch, instrument, **settings):
    monkeypatch.setattr(instruments, "INSTRUMENTS", (*INSTRUMENTS, instrument))
    digits = infoplane.data.load_split("digits", "test")
    images, labels = infoplane.data.as_floats(digits.images[:40]), digits.labels[:40]
    config = MeasurementConfig(permutations=2, noise_sweep=())
    plane = infoplane.InformationPlane(images, labels, layers=["fc1"], settings=config)
    plane.measure(infoplane.models.LeNet5(), epoch=0, **settings)
    return plane


def printed(renderable, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_a_toy_estimator_is_measured_and_shown_with_its_label(monkeypatch):
    plane = plane_with(monkeypatch, TOY, thorough=False)
    (row,) = plane.measurements.filter(estimator="toy").to_dicts()
    assert (row["value_nats"], row["standard_error"], row["samples"]) == (0.4, 0.01, 40)
    assert estimator_label("toy") == estimator_label("toy", LABEL_INFORMATION) == "Toy estimator"
    assert estimator_order("toy") > estimator_order("binning")
    terminal = printed(summary_table(plane.measurements, plane.performance), 80)
    assert "Toy estimator" in " ".join(terminal.split())
    assert max(map(len, terminal.splitlines())) <= 80
    bits = "0.58"  # 0.4 nats
    assert bits in terminal
    assert re.search(r"I\(T;Y\) +Toy estimator +estimate +0.58", printed(estimate_table(plane.measurements), 110))
    assert "Toy estimator" in information_html(plane.measurements)


@pytest.mark.parametrize(
    ("when", "settings", "taken"),
    [
        (When.THOROUGH_EPOCHS, {"thorough": False}, False),
        (When.THOROUGH_EPOCHS, {"thorough": True}, True),
        (When.LAST_EPOCH, {"thorough": True}, False),
        (When.LAST_EPOCH, {"thorough": True, "final": True}, True),
    ],
)
def test_an_instrument_is_taken_when_it_says(when, settings, taken, monkeypatch):
    plane = plane_with(monkeypatch, Instrument(labels={"toy": "Toy"}, when=when, measure=measure), **settings)
    assert ("toy" in plane.measurements["estimator"]) == taken


def test_an_instrument_gets_the_noises_it_asks_for(monkeypatch):
    asked = []

    def at_noise(version):
        asked.extend(noise.mode for noise in version.noises)
        for noise in version.noises:
            yield toy_information(version.activations, version.labels), noise.columns()

    noisy = Instrument(labels={"toy": "Toy"}, when=When.EVERY_EPOCH, noises=("relative",), measure=at_noise)
    plane = plane_with(monkeypatch, noisy, thorough=False)
    (row,) = plane.measurements.filter(estimator="toy").to_dicts()
    assert asked == ["relative"]
    assert row["noise_mode"] == "relative"
    assert row["noise_variance"] > 0
    assert estimator_label("toy@relative") == "Toy, relative noise"


def test_every_estimator_has_a_label_of_its_own():
    labels = [label for one in INSTRUMENTS for label in one.labels.values()]
    assert len(set(labels)) == len(labels)
    for one in INSTRUMENTS:
        assert {estimator for estimator, _ in one.labels_of} <= set(one.labels)
