"""Read and write tables of records as Parquet files, and check that every row is complete."""

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.records.compression import (
    ACCURACY_SCHEMA,
    COMPRESSION_SCHEMA,
    CompressionAccuracy,
    CompressionMeasurement,
)
from infoplane.records.sweeps import SWEEP_SCHEMA, SweepMeasurement
from infoplane.records.tables import (
    GEOMETRY_SCHEMA,
    LATER_COLUMNS,
    MEASUREMENT_SCHEMA,
    PERFORMANCE_SCHEMA,
    PIXELS_INDEX,
    Geometry,
    Measurement,
    Performance,
)


class Kind(NamedTuple):
    """A kind of table: its columns, and the dataclass of its rows, which defines the values that may be missing."""

    schema: Mapping[str, pl.DataType]
    row: type[Any]

    def never_null(self) -> list[str]:
        """Return the columns that hold a value in every row."""
        return [field.name for field in dataclasses.fields(self.row) if field.default is dataclasses.MISSING]


MEASUREMENTS = Kind(MEASUREMENT_SCHEMA, Measurement)
GEOMETRY = Kind(GEOMETRY_SCHEMA, Geometry)
PERFORMANCE = Kind(PERFORMANCE_SCHEMA, Performance)
SWEEPS = Kind(SWEEP_SCHEMA, SweepMeasurement)
COMPRESSION = Kind(COMPRESSION_SCHEMA, CompressionMeasurement)
ACCURACIES = Kind(ACCURACY_SCHEMA, CompressionAccuracy)


class _Place(BaseModel):
    """The columns that say where a row belongs in its study."""

    model_config = ConfigDict(strict=True, extra="ignore")

    seed: Annotated[int, Field(ge=0)] = 0  # sweeps have none
    epoch: Annotated[int, Field(ge=0)] = 0
    layer_index: Annotated[int, Field(ge=PIXELS_INDEX)] = 0
    samples: Annotated[int, Field(ge=1)] = 1
    n: Annotated[int, Field(ge=1)] = 1


def table_content(table: pl.DataFrame) -> bytes:
    """Return the content of a Parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def table_of(content: bytes, kind: Kind, path: Path) -> pl.DataFrame:
    """Return the table in the content of a file.

    Args:
        content: content of a Parquet file. Not a path, since polars reads paths as patterns or addresses.
        kind: kind of the table, with its columns.
        path: path of the file, for messages.

    Raises:
        UserError: the table is of another kind or damaged, or a row lacks a value that every row must have.
    """
    try:
        table = pl.read_parquet(io.BytesIO(content)).match_to_schema(
            dict(kind.schema), missing_columns=dict.fromkeys(LATER_COLUMNS & kind.schema.keys(), "insert")
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} cannot be read as a table of this version ({reason}); use the versions of infoplane and polars "
            "that wrote it, or begin anew in another folder"
        ) from None
    for name in kind.never_null():
        if missing := table[name].null_count():
            raise UserError(f"{path} is damaged ({name} is null in {missing} of {len(table)} rows); restore it")
    places = [name for name in _Place.model_fields if name in table.columns]
    for row in table.select(places).unique().iter_rows(named=True):
        try:
            _Place.model_validate(row)
        except ValidationError as error:
            refusal = error.errors()[0]
            raise UserError(f"{path} is damaged ({refusal['loc'][0]} {broken_rule(refusal)}); restore it") from None
    return table
