"""Print the tables of a run for a page of results, as Markdown: python docs/results/run_tables.py RUN

Accuracy, decoded I(T;Y) and I(X;T) at the last epoch, and the verdicts, from the records of the run alone. Information
is in bits: the mean over seeds, with the standard deviation over seeds in brackets if there are several. * saturated,
dagger undersampled, <= within the null, in one seed at least.
"""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from infoplane.records import DECODED, INPUT_INFORMATION, LABEL_INFORMATION, with_standing
from infoplane.runs import RunFolder

WITHOUT = {"distortion": "none", "level": -1.0}  # for rows without a distortion


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (columns, ["---"] * len(columns), *rows):
        print("|", " | ".join(row), "|")
    print()


def last_epoch(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the last epoch of each training."""
    return table.filter(pl.col("epoch") == pl.col("epoch").max().over("seed", "training"))


def accuracy_rows(performance: pl.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of accuracy in %: on all examples, and at the last level of each distortion."""
    last = last_epoch(performance).with_columns(pl.col(name).fill_null(value) for name, value in WITHOUT.items())
    kinds = ["split", "examples", "distortion"]
    ends = last.filter(pl.col("level") == pl.col("level").max().over("distortion"))
    wide = ends.with_columns(
        name=pl.format("{} {} {} {}", *kinds, "level").str.replace(" none -1.0", ""),
        shown=(100 * pl.col("accuracy")).round(1).cast(pl.String),
    ).pivot("name", index=["training", "seed"], values="shown")
    return wide.columns, [[str(cell if cell is not None else "") for cell in row] for row in wide.iter_rows()]


def layer_rows(rows: pl.DataFrame) -> Iterator[list[str]]:
    """Yield a row per training, estimator and kind of examples: its value at each layer."""
    keys = ["training", "quantity", "estimator", "kind", "examples"]
    for names, own in rows.sort("layer_index").group_by(keys, maintain_order=True):
        cells = []
        for _, layer in own.group_by("layer", maintain_order=True):
            values = layer["value_nats"] / math.log(2)
            spread = f" ({values.std():.2f})" if len(values) > 1 else ""
            signs = (("saturated", "*"), ("undersampled", "†"), ("null_like", "≤"))
            cells.append(f"{values.mean():.2f}{spread}{''.join(sign for name, sign in signs if layer[name].any())}")
        yield [*map(str, names), *cells]


run = RunFolder(Path(sys.argv[1]))
print_table(*accuracy_rows(run.performance()))
of_test = run.measurements().filter(pl.col("distortion").is_null(), pl.col("split") == "test")
measured = last_epoch(with_standing(of_test)).filter(
    pl.col("class_index").is_null(), pl.col("quantity").is_in([INPUT_INFORMATION, LABEL_INFORMATION])
)
chosen = measured.filter(
    pl.col("estimator").str.starts_with(DECODED)
    | (pl.col("estimator").str.starts_with("noisy") & (pl.col("examples") != "random"))
)
layers = chosen.sort("layer_index")["layer"].unique(maintain_order=True).to_list()
print_table(["training", "quantity", "estimator", "kind", "examples", *layers], list(layer_rows(chosen)))
claims = json.loads((run.path / "findings.json").read_text())["claims"]  # infoplane report writes it
print_table(
    ["claim", "verdict", "reason"],
    [[f"{one['claim']} {one['name']}", one["verdict"], one["reason"]] for one in claims],
)
