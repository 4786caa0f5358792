"""docs/columns.md names every column of every table, and every value that a measurement writes."""

import importlib.util
import re
from pathlib import Path

import pytest
from tests.loops.own_loops import measured

from infoplane.records import attacks, bottleneck, evaluation, shape, sweeps, tables, where

DOCS = Path(__file__).parents[1] / "docs"
_SPEC = importlib.util.spec_from_file_location("make_columns", DOCS / "make_columns.py")
make_columns = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_columns)
SCHEMAS = {
    "Measurement": tables.MEASUREMENT_SCHEMA,
    "Geometry": tables.GEOMETRY_SCHEMA,
    "Performance": tables.PERFORMANCE_SCHEMA,
    "AttackOutcome": attacks.ATTACK_OUTCOME_SCHEMA,
    "TransferOutcome": attacks.TRANSFER_SCHEMA,
    "AttackedImage": tables.table_schema(evaluation.AttackedImage),
    "PointwiseRecord": where.POINTWISE_SCHEMA,
    "PointwiseLayerRecord": where.POINTWISE_LAYER_SCHEMA,
    "CueAnswer": shape.CUE_ANSWER_SCHEMA,
    "CueLayer": shape.CUE_LAYER_SCHEMA,
    "BottleneckNumber": bottleneck.BOTTLENECK_SCHEMA,
    "BottleneckImage": bottleneck.BOTTLENECK_IMAGE_SCHEMA,
    "SweepMeasurement": sweeps.SWEEP_SCHEMA,
}


def test_the_page_is_what_the_code_says():
    assert (DOCS / "columns.md").read_text("utf-8") == make_columns.page(), "run python docs/make_columns.py"


@pytest.mark.parametrize("table", make_columns.TABLES, ids=lambda table: table.row)
def test_every_column_is_on_the_page_with_a_meaning(table):
    found = make_columns.columns(table)
    if table.row in SCHEMAS:
        assert [one.name for one in found] == list(SCHEMAS[table.row])
    assert [one.name for one in found if len(one.meaning) < 5] == []


def test_every_table_of_records_is_on_the_page():
    assert set(SCHEMAS) <= {table.row for table in make_columns.TABLES}


def test_every_value_that_a_measurement_writes_is_on_the_page():
    known = make_columns.constants()
    rows = measured().measurements
    for column, names in make_columns.VALUES.items():
        written = set(rows[column].drop_nulls())
        assert len(written) > 1
        assert written - {known[name][0] for name in names} == set()


def test_every_constant_that_names_an_estimator_or_a_quantity_is_on_the_page():
    text = (DOCS.parent / "src" / "infoplane" / "records" / "tables.py").read_text("utf-8")
    quantities = set(re.findall(r"^(\w+_INFORMATION|\w+_ENTROPY) = ", text, flags=re.MULTILINE)) - {"PAIR_INFORMATION"}
    assert quantities == set(make_columns.VALUES["quantity"])
