"""Tables of `infoplane bottleneck` show recorded intervals, marks and networks at chance."""

import math

import numpy as np
import polars as pl
import pytest

from infoplane.findings.bottleneck import Judged
from infoplane.records.bottleneck import AT_CHANCE, BOTTLENECK_SCHEMA, BottleneckNumber
from infoplane.records.evaluation import MEAN_PATH
from infoplane.report.bottleneck_page import bottleneck_page
from infoplane.report.bottleneck_table import cell_of, cells_of, evidence_of, notes_on

BITS = math.log(2)


def number(seed, middle, low=None, high=None, *, value=0.1, quantity="I(X;T)", saturated=False):
    """Information in bits, with a standard error that is far smaller than the recorded interval."""
    ends = {"low": low and low * BITS, "high": high and high * BITS, "standard_error": 0.001, "saturated": saturated}
    return BottleneckNumber(
        method="vib", value=value, seed=seed, quantity=quantity, number=middle * BITS, n=1000, **ends
    )


def table(*rows):
    return pl.DataFrame(rows, schema=BOTTLENECK_SCHEMA)


def test_the_interval_of_one_network_is_the_recorded_one():
    """Its upper end allows for bias: it lies farther from the value than the lower one."""
    found = evidence_of(table(number(0, 3.0, 2.9, 3.5))).interval()
    assert np.array(found[:2]) / BITS == pytest.approx([2.9, 3.5])


def test_ends_of_several_seeds_are_averaged_and_their_spread_is_added():
    found = evidence_of(table(number(0, 3.0, 2.9, 3.5), number(1, 4.0, 3.7, 4.7))).interval()
    half = 12.7062 * math.sqrt(0.5) / math.sqrt(2)  # Student's t with one degree of freedom, of 3 and 4
    expected = [3.5 - math.hypot(0.2, half), 3.5 + math.hypot(0.6, half)]
    assert np.array(found[:2]) / BITS == pytest.approx(expected, rel=1e-4)


def test_a_number_without_an_interval_claims_none():
    assert cell_of(table(number(0, 3.0)), 1 / BITS, 2) == "3.00 [-inf, inf]"


def test_a_saturated_cell_keeps_its_interval_and_the_mark_is_explained():
    """6.5 bits are 3.5 bits below the ceiling of 1,000 images."""
    numbers = table(number(0, 6.5, 6.3, 8.0, saturated=True))
    assert cell_of(numbers, 1 / BITS, 2) == "6.50 [6.3, 8.0] saturated"
    (note,) = notes_on(numbers)
    assert "log2 1000 = 9.97 bits" in note
    assert "from 4.3 bits below it" in note
    assert notes_on(table(number(0, 3.0, 2.9, 3.5))) == []


def test_networks_at_chance_have_a_cell_if_all_of_a_value_are_and_a_note_each():
    dead = {"method": "vib", "quantity": AT_CHANCE, "number": 0.1, "n": 297}
    numbers = table(
        number(0, 3.0, 2.9, 3.5),
        BottleneckNumber(value=0.1, seed=1, **dead),
        BottleneckNumber(value=1.0, seed=0, **dead),
        BottleneckNumber(value=1.0, seed=1, **dead),
    )
    own = numbers.filter(quantity="I(X;T)")
    assert cells_of(numbers, own, 1 / BITS, 2) == ["3.00 [2.9, 3.5]", "at chance"]
    page = bottleneck_page(numbers, Judged((), ()))
    assert "| I(X;T), Monte Carlo | 3.00 [2.9, 3.5] | at chance |" in page
    for value, seed in ((0.1, 1), (1, 0), (1, 1)):
        assert f"At chance and left out: vib {value:g}, seed {seed} (10.0 % of 297 test images are right)." in page


@pytest.mark.parametrize(("path", "heads"), [("", "| attack | 0.1 |"), (MEAN_PATH, "| path | attack | 0.1 |")])
def test_networks_without_noise_have_no_column_for_paths(path, heads):
    right = {"method": "hbar", "value": 0.1, "seed": 0, "quantity": "accuracy", "epsilon": 0.1, "path": path, "n": 100}
    page = bottleneck_page(table(BottleneckNumber(attack="clean", number=0.5, **right)), Judged((), ()))
    assert f"{heads}\n" in page
    assert f"| {path} | clean | 50.0" in page if path else "\n| clean | 50.0" in page
