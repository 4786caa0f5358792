"""Figure, section and table of an evaluation show its numbers and its alarms."""

import pytest
from rich.console import Console

from infoplane.records.evaluation import (
    Accuracy,
    Alarm,
    AttackedAccuracy,
    CurvePoint,
    Evaluation,
    NetworkEvaluation,
)
from infoplane.report.evaluation_figure import EVALUATION_ALONE, evaluation_figure
from infoplane.report.evaluation_table import evaluation_table
from infoplane.report.page_evaluation import evaluation_html
from infoplane.report.style import figure_style

ALARM = "the attack square-500, without gradients, leaves 10.0 % accuracy <and> the strongest white-box attack 40.0 %"


def row(name, accuracy, **more):
    facts = {
        "attack": name, "description": "about & it", "threat": "white-box", "attacked": 90, "fooled": 50, "outside": 0,
        "median_l2": 1.25, "median_linf": 0.1, "seconds": 2.0, "forward": 20.0, "gradient": 20.0, "complaints": {},
    }  # fmt: skip
    return AttackedAccuracy(accuracy=accuracy, low=accuracy - 0.05, high=accuracy + 0.05, **facts | more)


def network(name, *alarms, shift=0.0):
    return NetworkEvaluation(
        name=name,
        seed=0,
        training=name,
        checkpoint="last",
        epoch=3,
        weights_sha256="0" * 64,
        attacks=[
            row("clean", 0.9, threat="none"),
            row("pgd-20", 0.4 + shift),
            row("cw-5x200", 0.45 + shift, outside=7),
        ],
        worst_case=Accuracy(accuracy=0.4 + shift, low=0.35 + shift, high=0.45 + shift),
        curve=[
            CurvePoint(accuracy=value, low=value, high=value, epsilon=epsilon)
            for epsilon, value in ((0.1, 0.5 + shift), (0.5, shift))
        ],
        alarms=[Alarm(name="gradient-free attack wins", text=text, numbers={}) for text in alarms],
        notes=["a note"] if alarms else [],
    )


@pytest.fixture
def evaluation():
    return Evaluation(
        subject="digits $x$",
        suite="quick",
        norm="linf",
        epsilon=0.1,
        examples=100,
        weights_file=None,
        weights_file_sha256=None,
        interval="95 %, Wilson (1927)",
        curve_attack="PGD",
        left_out=["transfer: there is no other network"],
        networks=[network("normal", ALARM), network("adversarial", shift=0.2)],
    )


def texts_of(figure):
    return " ".join(text.get_text() for text in [figure._suptitle, *figure.texts])


def test_the_figure_draws_the_recorded_numbers(evaluation):
    with figure_style():
        figure = evaluation_figure(evaluation)
    curve, bars = figure.axes
    lines = [line for line in curve.lines if not line.get_label().startswith("_")]
    assert [line.get_label() for line in lines] == ["normal", "adversarial"]
    assert list(lines[1].get_xdata()) == [0.1, 0.5]
    assert list(lines[1].get_ydata()) == pytest.approx([70, 20])
    assert [label.get_text() for label in bars.get_xticklabels()] == ["clean", "pgd-20", "cw-5x200", "worst case"]
    assert list(bars.lines[0].get_ydata()) == pytest.approx([90, 40, 45, 40])


def test_every_alarm_stands_in_the_title(evaluation):
    with figure_style():
        shown = texts_of(evaluation_figure(evaluation))
        silent = texts_of(evaluation_figure(evaluation.model_copy(update={"networks": evaluation.networks[1:]})))
    assert f"ALARM, normal: {ALARM}" in shown
    assert "digits" in shown
    assert "100 images, L-infinity ball of radius 0.1" in shown
    assert "ALARM" not in silent


def test_the_figure_becomes_files(evaluation, tmp_path):
    with figure_style():
        (drawn,) = EVALUATION_ALONE.write(evaluation, tmp_path)
    assert drawn.png.read_bytes()[:4] == b"\x89PNG"
    assert drawn.pdf.read_bytes()[:4] == b"%PDF"


def test_the_section_has_table_alarms_and_notes(evaluation):
    page = evaluation_html(evaluation, "<figure>here</figure>")
    assert "<figure>here</figure>" in page
    assert (
        "<strong>Alarm:</strong> the attack square-500, without gradients, leaves 10.0 % accuracy &lt;and&gt;" in page
    )
    assert "adversarial: no alarm." in page
    assert "<li>a note</li>" in page
    assert "<td>40.0 %</td><td>35.0 to 45.0</td>" in page
    assert "cw-5x200: 50 of 90 images have an adversarial example, 7 of these outside the ball." in page
    assert "Left out: transfer: there is no other network." in page
    assert 'title="about &amp; it"' in page


def test_the_table_has_alarms_and_reasons(evaluation):
    console = Console(width=140, record=True, quiet=False, file=None)
    with console.capture() as captured:
        console.print(evaluation_table(evaluation))
    text = " ".join(captured.get().split())
    assert f"ALARM: {ALARM}" in text
    assert "worst case 40.0 % 35.0 to 45.0" in text
    assert "no alarm of gradient masking" in text
    assert "left out: transfer: there is no other network" in text
    assert "7 of these outside the ball" in text
