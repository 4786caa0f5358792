"""Estimates as rows of the two tables, and tables whose schema is that of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import polars as pl
import pytest
import torch

from infoplane.estimators import Estimate, Null
from infoplane.measuring.to_records import record
from infoplane.records import tables as records
from infoplane.records.sweeps import SWEEP_SCHEMA, SweepMeasurement
from infoplane.records.tables import MEASUREMENT_SCHEMA, Measurement, Prediction, table_schema

FACTS = {
    "study": "s", "seed": 1, "training": "normal", "epoch": 2, "split": "test", "examples": "original",
    "layer_index": 0, "layer": "fc", "samples": 6, "features": 3, "bin_width": 0.5,
}  # fmt: skip
SWEEP_FACTS = {"sweep": "spread", "x": 1.0, "replicate": 0, "samples": 6, "features": 3, "classes": 2}


def estimate(**changes):
    facts = {
        "quantity": "I(T;Y)", "kind": "lower", "distribution": "mixture", "estimator": "toy", "value": 0.98,
        "error": 0.1, "ceiling": 1.0, "null": Null(0.2, 0.3, (0.1, 0.3)), "undersampled": True,
        "influences": torch.tensor([0.9, 1.1, 0.9, 1.1, 0.9, 0.98], dtype=torch.double),
    }  # fmt: skip
    return Estimate(**{**facts, **changes})


def test_a_row_holds_everything_that_is_known_of_the_estimate():
    row = record(Measurement, estimate(), FACTS, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert (row.estimator, row.quantity, row.kind, row.distribution) == ("toy", "I(T;Y)", "lower", "mixture")
    assert (row.value_nats, row.standard_error, row.ceiling_nats) == (0.98, 0.1, 1.0)
    assert (row.interval_low, row.interval_high) == (estimate().low, estimate().high)
    assert (row.null_mean_nats, row.null_quantile95_nats, row.permutations) == (0.2, 0.3, 2)
    assert (row.saturated, row.undersampled, row.class_index) == (True, True, None)
    assert row.group_means == pytest.approx([1.0, 1.0, 0.94])
    assert (row.bin_width, row.samples) == (0.5, 6)


def test_an_estimate_about_some_samples_counts_and_groups_these_alone():
    some = estimate(rows=torch.tensor([1, 4]), influences=torch.tensor([1.0, 0.5]), class_index=7, null=None)
    row = record(Measurement, some, FACTS, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert (row.samples, row.class_index) == (2, 7)
    assert row.group_means == [1.0, None, 0.5]
    assert (row.null_mean_nats, row.permutations) == (None, None)


def test_a_table_with_fewer_columns_gets_those_it_has():
    row = record(SweepMeasurement, estimate(), SWEEP_FACTS)
    assert (row.value_nats, row.standard_error, row.null_quantile95_nats, row.saturated) == (0.98, 0.1, 0.3, True)


@pytest.mark.parametrize(("row", "schema"), [(Measurement, MEASUREMENT_SCHEMA), (SweepMeasurement, SWEEP_SCHEMA)])
def test_a_schema_has_the_columns_of_its_row_in_their_order(row, schema):
    assert list(schema) == [field.name for field in fields(row)]


def test_types_of_columns_are_read_off_the_row():
    @dataclass
    class Row:
        word: str
        number: int | None
        share: float
        flag: bool
        means: Sequence[float | None] | None
        counts: Sequence[Prediction]

    counted = {"label": pl.Int64(), "predicted": pl.Int64(), "n": pl.Int64(), "confidence": pl.Float64()}
    assert table_schema(Row) == {
        "word": pl.String(),
        "number": pl.Int64(),
        "share": pl.Float64(),
        "flag": pl.Boolean(),
        "means": pl.List(pl.Float64()),
        "counts": pl.List(pl.Struct(counted)),
    }


def test_the_flag_of_too_few_samples_has_one_name():
    assert "undersampled" in records.MEASUREMENT_SCHEMA
    assert "biased" not in records.MEASUREMENT_SCHEMA
