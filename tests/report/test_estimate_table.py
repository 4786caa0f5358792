import io
import re

import polars as pl
import pytest
from rich.console import Console

from infoplane.report.estimate import estimate_table
from infoplane.report.page_tables import information_html


@pytest.fixture(scope="module")
def rows(full_run):
    return full_run.measurements().filter(training="normal", epoch=10, layer="fc3", examples="original")


def printed(rows):
    console = Console(file=io.StringIO(), width=110)
    console.print(estimate_table(rows))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_noise_levels_stand_in_the_title(rows):
    # unit variance 0.05 2^4 11, of which relative noise is 0.2
    assert printed(rows)[0].startswith("1,000 samples, 64 features, noise variance 0.1, relative 1.76")


def test_the_most_trustworthy_estimates_come_first_and_classes_last(rows):
    lines = printed(rows)
    label = [line for line in lines if line.startswith("I(T;Y)")]
    assert label[0] == "I(T;Y) Decoded lower 3.14±.04 3.32 0.03 3.12"
    assert "relative" in label[-1]
    table = lines[: next(place for place, line in enumerate(lines) if line.startswith("lower, upper:"))]
    named = [line for line in table if line.startswith(("I(", "H("))]
    assert [line.startswith("H(") for line in named] == sorted(line.startswith("H(") for line in named)
    assert named[-1].startswith("H(T|y=9)")


def test_monte_carlo_values_near_their_ceiling_are_saturated(rows):
    assert "I(X;T) Monte Carlo estimate 9.23 sat 9.97 - -" in printed(rows)


def test_values_that_permuted_labels_reach_have_a_sign_before_their_null(rows):
    lines = printed(rows.with_columns(null_quantile95_nats=1e3, null_like=True))
    label = [line for line in lines if line.startswith("I(T;Y) Decoded")]
    assert label == ["I(T;Y) Decoded lower 3.14±.04 3.32 ≤ 1442.70 3.12"]


def test_values_that_are_mostly_null_have_a_sign_and_what_is_left(rows):
    lines = printed(rows.with_columns(null_mean_nats=pl.col("value_nats") - 0.1, null_quantile95_nats=0.2))
    (label,) = [line for line in lines if line.startswith("I(T;Y) Decoded")]
    assert label == "I(T;Y) Decoded lower 3.14±.04 3.32 ~ 0.29 0.14"


def test_the_legend_has_the_words_of_the_page(rows, full_run):
    note = re.search(r"<em>sat</em>.*?quantile\)", information_html(full_run.measurements())).group()
    words = (
        re.sub("<.*?>", "", note).replace("undersampled:", "†: undersampled,").replace("linear:", "lin:")
    )  # a terminal has room for the sign
    assert words in " ".join(printed(rows))


def test_values_from_fewer_examples_say_how_many(rows):
    one = rows.filter(estimator="decoded", quantity="I(T;Y)")
    fewer = one.with_columns(quantity=pl.lit("I(T;Y) from fewer examples"), samples=pl.lit(250, dtype=pl.Int64))
    assert any(line.startswith("I(T;Y), n=250 Decoded") for line in printed(pl.concat([rows, fewer])))


def test_the_sweep_is_left_out(rows):
    lines = printed(rows)
    without = printed(rows.filter(pl.col("noise_mode").ne_missing("sweep")))
    assert lines == without
