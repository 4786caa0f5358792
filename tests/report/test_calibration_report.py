import io

import polars as pl
import pytest
from rich.console import Console

from infoplane.report.calibration import calibration_page, calibration_table

ROW = {
    "question": "I(T;Y)",
    "task": "gaussians-16384-a4",
    "truth_nats": 2.25282,
    "truth_source": "E ln(K p(y|t))",
    "samples": 5000,
    "features": 16384,
    "estimator": "decoded, linear",
    "kind": "lower",
    "fit": "decoded",
    "settings": "5 folds",
    "replicates": 50,
    "mean_error_nats": -0.12345,
    "spread_nats": 0.0124,
    "stated_error_nats": 0.0136,
    "intervals_holding": 49,
    "flagged": 3,
    "null_like": None,
    "seconds": 1.234,
}
ROWS = [
    ROW,
    ROW | {"estimator": "KDE (KL)", "kind": "estimate", "fit": "kde", "settings": "noise 0.1",
           "mean_error_nats": 0.04976, "intervals_holding": 2, "flagged": 50, "null_like": 47, "seconds": 123.4},
    ROW | {"task": "noisy-labels-0.9", "truth_nats": 0.0, "truth_source": "ln K - H(e)", "estimator": "plain",
           "kind": "upper", "replicates": 5, "stated_error_nats": None, "intervals_holding": None, "flagged": None},
    ROW | {"question": "I(X;Y)", "task": "normal-0.75", "truth_nats": 0.41334, "samples": 2000, "kind": "upper",
           "intervals_holding": 50, "mean_error_nats": float("inf"), "spread_nats": float("nan")},
]  # fmt: skip
CELLS = pl.DataFrame(ROWS)
FACTS = {"command": "infoplane calibrate", "processor": "a | b"}


def printed(cells, notice=""):
    console = Console(file=io.StringIO(), width=120)
    console.print(calibration_table(cells, notice))
    return console.file.getvalue()


def words(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_the_terminal_groups_by_question_and_task_with_the_truth():
    text = printed(CELLS)
    places = [
        text.index(part)
        for part in (
            *("I(T;Y), N = 5,000, in nats", "gaussians-16384-a4: 2.2528", "noisy-labels-0.9: 0.0000"),
            *("I(X;Y), N = 2,000, in nats", "normal-0.75: 0.4133"),
        )
    ]
    assert places == sorted(places)


def test_every_number_stands_in_its_cell_and_says_what_its_interval_was_held_to():
    text = printed(CELLS)
    row = ["lower", "-0.123", "0.012", "0.014", "below", "49/50", "50", "3/50", "-", "1.2"]
    assert words(text, "decoded, linear")[2:] == row
    row = ["estimate", "+0.050", "0.012", "0.014", "covers", "2/50", "50", "50/50", "47/50", "123"]
    assert words(text, "KDE (KL)")[2:] == row
    assert words(text, "plain")[1:] == ["upper", "-0.123", "0.012", "-", "-", "5", "-", "-", "1.2"]
    assert "above 50/50" in text
    assert "+inf" in text


def test_the_widest_names_fit_120_columns():
    wide = CELLS.with_columns(
        task=pl.lit("gaussian-channel-2000-q0.0025"), estimator=pl.lit("30 quantiles of layer, corrected"),
        truth_nats=pl.lit(179.37861), mean_error_nats=pl.lit(-179.123), spread_nats=pl.lit(10.123),
    )  # fmt: skip
    text = printed(wide)
    assert max(map(len, text.splitlines())) <= 120
    assert "…" not in text


def test_a_notice_comes_first():
    assert printed(CELLS, "Quick ones.").startswith("Quick ones.")
    assert calibration_page(CELLS, FACTS, "Quick ones.").splitlines()[:3] == [
        *["# Estimators on data with known information", "", "Quick ones."]
    ]


def page_rows(page):
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in page.splitlines() if "| " in line]


def test_the_page_holds_all_rows_under_their_question_with_truth_and_counts():
    page = calibration_page(CELLS, FACTS)
    assert page.index("## I(T;Y), N = 5,000") < page.index("## I(X;Y), N = 2,000")
    lines = [line for line in page.splitlines() if "2/50" in line or "49/50" in line or "| plain |" in line]
    assert lines == [
        "| gaussians-16384-a4 | 2.2528 | decoded, linear | lower "
        "| -0.123 | 0.012 | 0.014 | below 49/50 | 50 | 3/50 | - | 1.2 |",
        "|  |  | KDE (KL) | estimate | +0.050 | 0.012 | 0.014 | covers 2/50 | 50 | 50/50 | 47/50 | 123 |",
        "| noisy-labels-0.9 | 0.0000 | plain | upper | -0.123 | 0.012 | - | - | 5 | - | - | 1.2 |",
    ]


def test_prose_of_the_page_has_at_most_100_columns():
    prose = [line for line in calibration_page(CELLS, FACTS, "word " * 50).splitlines() if not line.startswith("|")]
    assert max(map(len, prose)) <= 100
    assert len(prose) > 30


def test_the_tables_of_the_page_are_whole():
    page = calibration_page(CELLS, FACTS)
    tables = [block.splitlines() for block in page.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5  # facts, two questions, truths, settings
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_the_page_begins_with_its_facts_and_ends_with_truths_and_settings():
    page = calibration_page(CELLS, FACTS)
    assert "| command | infoplane calibrate |" in page
    assert "| processor | a \\| b |" in page
    assert "| gaussians-16384-a4 | E ln(K p(y\\|t)) |" in page
    assert page.count("| noisy-labels-0.9 | ln K - H(e) |") == 1
    assert "| kde | KDE (KL) | noise 0.1 |" in page
    assert "| decoded | decoded, linear; plain | 5 folds |" in page


@pytest.mark.parametrize("render", [printed, lambda cells: calibration_page(cells, FACTS)])
def test_what_the_columns_mean_is_said(render):
    text = " ".join(render(CELLS).split())
    for name in ("error", "spread", "stated", "95 %", "n", "flag", "null", "s"):
        assert f"{name}: " in text or f"**{name}**: " in text
