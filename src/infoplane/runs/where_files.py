"""Files of `infoplane where` in the folder of a run: two tables, a summary, and a few images of each network."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from torch import Tensor

from infoplane.records.where import POINTWISE_LAYER_SCHEMA, POINTWISE_SCHEMA, PointwiseLayerRecord, PointwiseRecord
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import Kind

POINTWISE, POINTWISE_LAYERS = (
    Kind(POINTWISE_SCHEMA, PointwiseRecord),
    Kind(POINTWISE_LAYER_SCHEMA, PointwiseLayerRecord),
)
WHERE = "where"
_AGAIN = "delete the folder where of the run and run infoplane where again"


class Where(NamedTuple):
    """What `infoplane where` found: of all networks, or of one."""

    pointwise: pl.DataFrame  # columns of `records.where.POINTWISE_SCHEMA`
    layers: pl.DataFrame  # columns of `records.where.POINTWISE_LAYER_SCHEMA`

    def about(self, seed: int, training: str) -> "Where":
        """Return the records of one network."""
        return Where(*(table.filter(_of(seed, training)) for table in self))

    def without(self, seed: int, training: str) -> "Where":
        """Return the records of all other networks."""
        return Where(*(table.filter(~_of(seed, training)) for table in self))


def _of(seed: int, training: str) -> pl.Expr:
    return (pl.col("seed") == seed) & (pl.col("training") == training)


class WhereFiles:
    """The folder `where` of a run.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run, self.path = run, run.path / WHERE
        self._pointwise, self._layers = (self.path / f"{name}.parquet" for name in ("where", "layers"))

    def read(self) -> Where:
        """Return the records of all networks that are whole; empty tables if there are none.

        Raises:
            UserError: a table is damaged.
        """
        if not (self._pointwise.is_file() and self._layers.is_file()):
            return Where(pl.DataFrame(schema=POINTWISE_SCHEMA), pl.DataFrame(schema=POINTWISE_LAYER_SCHEMA))
        pointwise = self._run.read_table(self._pointwise, POINTWISE, _AGAIN)
        layers = self._run.read_table(self._layers, POINTWISE_LAYERS, _AGAIN)
        # A network of which one table knows nothing: the process ended between the two files.
        keys = ["seed", "training", "examples"]
        return Where(
            pointwise.join(layers.select(keys).unique(), on=keys, how="semi", maintain_order="left"),
            layers.join(pointwise.select(keys).unique(), on=keys, how="semi", maintain_order="left"),
        )

    def write(self, seed: int, training: str, found: Where) -> None:
        """Write the records of one network beside those of the others, in place of its earlier ones."""
        others = self.read().without(seed, training)
        whole = Where(*(pl.concat(parts) for parts in zip(others, found, strict=True)))
        self._run.write_table(self._layers, whole.layers)
        self._run.write_table(self._pointwise, whole.pointwise)  # last: a network with these rows is whole

    def write_summary(self, facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> None:
        """Write facts and tables as `summary.json`, and each table as CSV, for other programs."""
        content = {**facts, **{name: table.to_dicts() for name, table in tables.items()}}
        self._run.write_file(self.path / "summary.json", json.dumps(content, indent=1).encode())
        for name, table in tables.items():
            self._run.write_file(self.path / f"{name}.csv", table.write_csv().encode())

    def write_gallery(self, seed: int, training: str, images: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a few images of a network, `(n, channels, height, width)` bytes by name, with JSON facts about them."""
        self._run.write_examples(WHERE, seed, training, "gallery", images, facts)

    def read_gallery(self, seed: int, training: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_gallery` wrote, or None if there is no such file.

        Raises:
            UserError: the file is damaged.
        """
        return self._run.read_examples(WHERE, seed, training, "gallery")
