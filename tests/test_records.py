"""The tables of records, as other programs take them."""

import io

import polars as pl
import pytest

import infoplane
from infoplane.records.tables import (
    GEOMETRY_SCHEMA,
    MEASUREMENT_SCHEMA,
    PERFORMANCE_SCHEMA,
    geometry_table,
    measurement_table,
    performance_table,
)


@pytest.fixture(scope="module")
def plane() -> infoplane.InformationPlane:
    digits = infoplane.data.load_split("digits", "test")
    plane = infoplane.InformationPlane(infoplane.data.as_floats(digits.images[:20]), digits.labels[:20])
    plane.measure(infoplane.models.LeNet5(), epoch=0, thorough=False)
    return plane


@pytest.mark.parametrize("name", ["measurements", "geometry", "performance"])
def test_a_flat_table_is_a_csv_with_the_same_numbers(plane, name):
    table = getattr(plane, name)
    flat = infoplane.flat(table)
    again = pl.read_csv(io.StringIO(flat.write_csv()), schema_overrides=flat.schema)
    assert again.equals(flat)
    assert flat.equals(table.select(flat.columns))


@pytest.mark.parametrize(
    ("schema", "nested"),
    [(MEASUREMENT_SCHEMA, {"group_means"}), (GEOMETRY_SCHEMA, set()), (PERFORMANCE_SCHEMA, {"predictions"})],
)
def test_only_nested_columns_are_left_out(schema, nested):
    assert set(schema) - set(infoplane.flat(pl.DataFrame(schema=schema)).columns) == nested


def test_tables_without_rows_are_flat_too():
    for table in (measurement_table([]), geometry_table([]), performance_table([])):
        assert infoplane.flat(table).write_csv().count("\n") == 1


def test_a_flat_table_goes_to_pandas(plane):
    pytest.importorskip("pandas", reason="pandas is not installed; infoplane does not need it")
    pytest.importorskip("pyarrow", reason="pyarrow, by which polars fills pandas, is not installed")
    frame = infoplane.flat(plane.measurements).to_pandas()
    assert frame["value_nats"].tolist() == plane.measurements["value_nats"].to_list()
    assert "object" not in {str(kind) for kind in frame[["value_nats", "epoch", "saturated"]].dtypes}
