"""Table of the page: does the number of examples suffice for decoders? One row per layer."""

import math
from html import escape

import polars as pl

from infoplane.estimators.learning_curve import TOLERANCE, enough_examples
from infoplane.records.tables import DECODED, FEWER_INFORMATION, LABEL_INFORMATION, ORIGINAL
from infoplane.report.bits import in_bits, last_epoch, layers_of, trainings_of
from infoplane.report.labels import training_label
from infoplane.report.page_tables import scrollable
from infoplane.report.summary import show_bits

_FOLDED = 0.8  # share of the examples that a decoder of five folds is fitted on
_SHOWN = 4  # sizes


def examples_html(measurements: pl.DataFrame) -> str:
    """Return what decoders find from fewer examples at the last epoch, one table per training; "" without any.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
    """
    rows = last_epoch(in_bits(measurements)).filter(
        pl.col("estimator") == DECODED,
        pl.col("examples") == ORIGINAL,
        pl.col("quantity").is_in([FEWER_INFORMATION, LABEL_INFORMATION]),
    )
    curves = rows.filter(pl.col("quantity") == FEWER_INFORMATION)
    tables = []
    for seed, training in trainings_of(curves):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        sizes = sorted(own.filter(pl.col("quantity") == FEWER_INFORMATION)["samples"].unique())[-_SHOWN:]
        lines = [_line(layer, own.filter(pl.col("layer_index") == index), sizes) for index, layer in layers_of(own)]
        heads = ("Features", *(f"from {size:,}" for size in sizes), "from all", "Enough examples")
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, seed {seed}, epoch {own['epoch'][0]}: decoded I(T;Y) in "
                "bits, by the number of examples that decoders are fitted on",
                '<thead><tr><th scope="col" class="text">Layer</th>'
                + "".join(f'<th scope="col">{head}</th>' for head in heads)
                + f"</tr></thead><tbody>{''.join(lines)}</tbody>",
            )
        )
    note = (
        '<p class="note">Where a value still grows with the examples, a decoder of more examples would find more. A '
        "rise from layer to layer can come from fewer features alone. <em>Enough examples</em>: how many bring the "
        f"value to within {TOLERANCE:g} nats of its limit, extrapolated by a power law; a rough guide. A dash: the "
        "curve does not tell, since it does not bend yet or the answer is far beyond the examples.</p>"
    )
    return "".join(tables) + note if tables else ""


def _line(layer: str, rows: pl.DataFrame, sizes: list[int]) -> str:
    curve = rows.filter(pl.col("quantity") == FEWER_INFORMATION).sort("samples")
    found = dict(curve.select("samples", "value_bits").iter_rows())
    whole = rows.filter(pl.col("quantity") == LABEL_INFORMATION)
    every = [(size, value) for size, value in curve.select("samples", "value_nats").iter_rows()]
    every += [(round(_FOLDED * n), value) for n, value in whole.select("samples", "value_nats").iter_rows()]
    ceiling = whole["ceiling_nats"][0] if len(whole) else None
    limit = math.inf if ceiling is None else ceiling
    enough = enough_examples(*zip(*every, strict=True), ceiling=limit) if every else None
    cells = [f"{rows['features'][0]:,}", *(show_bits(found[size]) if size in found else "-" for size in sizes)]
    cells += [show_bits(whole["value_bits"][0]) if len(whole) else "-", "-" if enough is None else f"{enough:,}"]
    return f'<tr><th scope="row">{escape(layer)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
