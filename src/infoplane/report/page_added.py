"""Table of the page: what attacked examples tell about the label beyond the originals, and what they lack."""

from html import escape

import polars as pl

from infoplane.records.tables import ADDED_INFORMATION, DECODED, REMOVED_INFORMATION, SHARED_INFORMATION
from infoplane.report.bits import in_bits, last_epoch, trainings_of
from infoplane.report.examples import examples_order
from infoplane.report.labels import training_label
from infoplane.report.page_tables import number_cells, scrollable
from infoplane.report.summary import show_number

_COLUMNS = {
    ADDED_INFORMATION: "Added: I(T&prime;;Y|T)",
    REMOVED_INFORMATION: "Removed: I(T;Y|T&prime;)",
    SHARED_INFORMATION: "Shared: I(T;Y) &minus; I(T;Y|T&prime;)",
}


def added_html(measurements: pl.DataFrame) -> str:
    """Return what attacks add and remove at the last epoch, one table per training; "" without any.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
    """
    rows = last_epoch(in_bits(measurements)).filter(
        pl.col("estimator") == DECODED, pl.col("quantity").is_in(list(_COLUMNS))
    )
    tables = []
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        found = {(row["layer_index"], row["examples"], row["quantity"]): show_number(row) for row in own.to_dicts()}
        places = own.select("layer_index", "layer", "examples").unique().rows()
        lines = []
        for index, layer, examples in sorted(places, key=lambda place: (place[0], examples_order(place[2]))):
            cells = "".join(
                number_cells(found.get((index, examples, quantity)), "", with_interval=True, with_null=False)
                for quantity in _COLUMNS
            )
            lines.append(f'<tr><th scope="row">{escape(layer)}</th><th scope="row">{escape(examples)}</th>{cells}</tr>')
        heads = "".join(f'<th scope="col">{head}</th><th scope="col">95 % interval</th>' for head in _COLUMNS.values())
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, seed {seed}, epoch {own['epoch'][0]}: what attacked "
                "examples tell about the label beyond the originals, in bits",
                '<thead><tr><th scope="col" class="text">Layer</th><th scope="col" class="text">Examples</th>'
                f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody>",
            )
        )
    note = (
        '<p class="note">T: the layer on originals, T&prime;: on the attacked examples. Differences of decoders on the '
        "same folds, so estimates and no bounds. What an attack adds contains the label that it leaks into the image: "
        "compare it with an attack that does not depend on the label (<code>--attacks pgd random-target</code>).</p>"
    )
    return "".join(tables) + note if tables else ""
