"""The page, the comparison and the LaTeX table give one accuracy one interval."""

import polars as pl
import pytest

from infoplane.records.tables import Performance, performance_table
from infoplane.report.compare_tables import accuracy_table
from infoplane.report.latex_tables import About, accuracy_latex
from infoplane.report.page_first import accuracies_html


class _Run:
    """What the tables of a comparison need of a run."""

    name = "run"

    def __init__(self, performance):
        self.records = self
        self.performance = performance


@pytest.fixture
def performance():
    """One seed, 40 of 40 right: the interval of Wilson begins at 40 / (40 + 1.96^2) = 91.24 %."""
    row = Performance(
        study="flow", seed=0, training="normal", epoch=3, split="test", examples="original", accuracy=1.0, loss=0.1,
        n=40, gradient_evaluations=0, seconds=0.0,
    )  # fmt: skip
    return performance_table([row])


def test_the_first_screen_gives_the_interval_of_wilson(performance):
    assert '100.0 <span class="error">91.2&ndash;100.0</span>' in accuracies_html(performance)


def test_the_latex_table_gives_the_same(performance):
    assert "100.0 [91.2, 100.0]" in accuracy_latex(performance, About("run", "0" * 8, "1"))


def test_the_comparison_gives_the_same(performance):
    assert "100.0 % (91.2 to 100.0)" in accuracy_table([_Run(performance)])


def test_two_seeds_have_one_interval_on_both_pages(performance):
    other = performance.with_columns(seed=pl.lit(1, pl.Int64), accuracy=pl.lit(0.95))
    both = pl.concat([performance, other.select(performance.columns).cast(performance.schema)])
    low, high = accuracies_html(both).partition('class="error">')[2].partition("</span>")[0].split("&ndash;")
    assert f"97.5 % ({low} to {high})" in accuracy_table([_Run(both)])
    assert float(low) < 91.2  # the spread of the seeds widens it
