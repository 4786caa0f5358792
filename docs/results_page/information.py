"""Tables of information: a row for each training and kind of examples, a column for each layer."""

import statistics
from collections.abc import Iterator

import polars as pl

from infoplane.records.tables import PIXELS_INDEX
from infoplane.report.bits import examples_of, layers_of, trainings_of
from infoplane.report.labels import FEW_PERMUTATIONS, SWEPT, estimator_label, estimator_order
from infoplane.report.summary import show_bits
from results_page.markdown import table, wrapped

MARKS = {"saturated": "\\*", "undersampled": "†", "null_like": "≤"}
MEANINGS = (
    "\\* saturated: at the ceiling, so there were too few examples or labels, or the lower KDE bound cannot be higher "
    "at this noise. † undersampled: half as many examples give clearly less; at decoders trained on clean it is the "
    "mark of their value on originals. ≤ no more than permuted labels give."
)
NOTHING = {
    "saturated": "every layer is saturated",
    "null_like": "no layer has more than permuted labels give",
}


def information(rows: pl.DataFrame, quantity: str) -> Iterator[str]:
    """Yield a paragraph and a table for each estimator of a quantity."""
    of_quantity = rows.filter(pl.col("quantity") == quantity, ~pl.col("estimator").str.ends_with(SWEPT))
    pairs = of_quantity.select("estimator", "kind").unique().rows()
    for estimator, kind in sorted(pairs, key=lambda pair: (estimator_order(pair[0]), pair[1])):
        found = of_quantity.filter(estimator=estimator, kind=kind)
        several = sum(estimator == other for other, _ in pairs) > 1
        label = estimator_label(estimator, quantity) + (f", {kind} bound" if several else "")
        of_layers = found.filter(pl.col("layer_index") != PIXELS_INDEX)
        said = next((f": {text}" for mark, text in NOTHING.items() if len(of_layers) and of_layers[mark].all()), "")
        yield wrapped(f"**{quantity}, {label}{said}.**{ceilings(found)}{permuted(found)}")
        if not said:
            layers = layers_of(found, pixels=True)
            lines = [*values(found, layers), *nulls(found, layers)]
            yield table(["training", "examples", *(name for _, name in layers)], lines)


def ceilings(found: pl.DataFrame) -> str:
    """Say what the values cannot exceed."""
    known = sorted({show_bits(value) for value in found["ceiling_bits"].drop_nulls().round(2).unique()})
    return f" Ceiling: {', '.join(known)} bits." if known else ""


def permuted(found: pl.DataFrame) -> str:
    """Say what the values under permuted labels are."""
    known = found.filter(pl.col("null_bits").is_not_null())
    if known.is_empty():
        return ""
    numbers = known["permutations"].drop_nulls().unique().sort().to_list()
    names = {one: "95 % quantile" if one > FEW_PERMUTATIONS else "largest" for one in numbers}
    what = " or ".join(f"the {name} of {one} permutations" for one, name in names.items())
    return f" Permuted labels: {what} is at most {show_bits(max(known['null_bits']))} bits."


def values(found: pl.DataFrame, layers: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Yield a line for each training and kind of examples."""
    for training in dict.fromkeys(training for _, training in trainings_of(found)):
        for examples in examples_of(found, control=True):
            part = found.filter(training=training, examples=examples)
            if not part.is_empty():
                yield [training, examples, *(cell(part.filter(layer_index=index)) for index, _ in layers)]


def nulls(found: pl.DataFrame, layers: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Yield a line with the largest null of each layer, if nulls were taken."""
    largest = [found.filter(layer_index=index)["null_bits"].drop_nulls() for index, _ in layers]
    if any(len(one) for one in largest):
        yield ["permuted labels", "largest null", *(show_bits(max(one)) if len(one) else "-" for one in largest)]


def cell(of_layer: pl.DataFrame) -> str:
    """Return one layer: of one seed with its 95 % interval, of several the mean with the deviation over seeds."""
    rows = of_layer.to_dicts()
    if not rows:
        return "-"
    if of_layer["seed"].n_unique() != len(rows):
        raise ValueError(f"more than one value for a seed: {of_layer}")
    marks = "".join(sign for name, sign in MARKS.items() if any(row[name] for row in rows))
    if len(rows) > 1:
        found = [row["value_bits"] for row in rows]
        return f"{show_bits(statistics.fmean(found))} ({statistics.stdev(found):.2f}){marks}"
    (row,) = rows
    interval = "" if row["low_bits"] is None else f" [{show_bits(row['low_bits'])}, {show_bits(row['high_bits'])}]"
    return f"{show_bits(row['value_bits'])}{interval}{marks}"
