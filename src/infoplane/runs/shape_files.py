"""Files of `infoplane shape` in the folder of a run: two tables, a summary, and a few images."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl
from torch import Tensor

from infoplane.records.shape import CUE_ANSWER_SCHEMA, CUE_LAYER_SCHEMA, FOLDER_KIND, CueAnswer, CueLayer
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import Kind

ANSWERS, LAYERS = Kind(CUE_ANSWER_SCHEMA, CueAnswer), Kind(CUE_LAYER_SCHEMA, CueLayer)
SHAPE_FOLDER = "shape"
_AGAIN = "delete the folder shape of the run and run infoplane shape again"


class CueRecords(NamedTuple):
    """What `infoplane shape` found: of all networks, or of some."""

    answers: pl.DataFrame  # columns of `records.shape.CUE_ANSWER_SCHEMA`
    layers: pl.DataFrame  # columns of `records.shape.CUE_LAYER_SCHEMA`

    def where(self, chosen: pl.Expr) -> "CueRecords":
        """Return the chosen rows of both tables."""
        return CueRecords(*(table.filter(chosen) for table in self))


class ShapeFiles:
    """The folder `shape` of a run.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run, self.path = run, run.path / SHAPE_FOLDER
        self._answers, self._layers = (self.path / f"{name}.parquet" for name in ("answers", "layers"))

    def read(self) -> CueRecords:
        """Return the records of all networks; empty tables if there are none.

        Raises:
            UserError: a table is damaged.
        """
        if not (self._answers.is_file() and self._layers.is_file()):
            return CueRecords(pl.DataFrame(schema=CUE_ANSWER_SCHEMA), pl.DataFrame(schema=CUE_LAYER_SCHEMA))
        return CueRecords(
            self._run.read_table(self._answers, ANSWERS, _AGAIN), self._run.read_table(self._layers, LAYERS, _AGAIN)
        )

    def forget_others(self, fingerprints: Mapping[tuple[str, float | None], str], *, originals: str) -> None:
        """Delete records of other conflicts, so that all networks are compared on the same ones.

        Args:
            fingerprints: of the conflicts that are kept, by kind and width; kinds that are not named stay.
            originals: fingerprint of the images without a conflict. Conflicts of a folder whose decoders were fitted to
                others are deleted, named or not.
        """
        known = self.read()
        other = pl.any_horizontal(
            *(_of_kind(kind) & (pl.col("fingerprint") != kept) for kind, kept in fingerprints.items()),
            (pl.col("kind") == FOLDER_KIND) & ~pl.col("fingerprint").str.ends_with(f"-{originals}"),
        )
        kept = known.where(~other)
        if any(len(one) < len(before) for one, before in zip(kept, known, strict=True)):
            self._write(kept)

    def write(self, seed: int, training: str, found: CueRecords) -> None:
        """Write records of one network beside all others, in place of its earlier ones of the same kinds.

        Args:
            seed: of the network.
            training: its name.
            found: the new records.
        """
        kinds = {row for table in found for row in table.select("kind", "width").unique().iter_rows()}
        again = pl.any_horizontal(*map(_of_kind, kinds), pl.lit(False))
        own = (pl.col("seed") == seed) & (pl.col("training") == training) & again
        self._write(CueRecords(*(pl.concat(parts) for parts in zip(self.read().where(~own), found, strict=True))))

    def _write(self, found: CueRecords) -> None:
        self._run.write_table(self._layers, found.layers)
        self._run.write_table(self._answers, found.answers)  # last: a network with these rows is whole

    def write_summary(self, facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> None:
        """Write facts and tables as `summary.json`, and each table as CSV, for other programs."""
        content = {**facts, **{name: table.to_dicts() for name, table in tables.items()}}
        self._run.write_file(self.path / "summary.json", json.dumps(content, indent=1).encode())
        for name, table in tables.items():
            self._run.write_file(self.path / f"{name}.csv", table.write_csv().encode())

    def write_pictures(self, images: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep a few conflicts, `(n, channels, height, width)` bytes by name, with JSON facts about them."""
        self._run.write_examples(SHAPE_FOLDER, 0, "all", "conflicts", images, facts)

    def read_pictures(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return what `write_pictures` wrote, or None if there is no such file.

        Raises:
            UserError: the file is damaged.
        """
        return self._run.read_examples(SHAPE_FOLDER, 0, "all", "conflicts")


def _of_kind(kind: tuple[str, float | None]) -> pl.Expr:
    name, width = kind
    return (pl.col("kind") == name) & pl.col("width").eq_missing(pl.lit(width, pl.Float64))
