"""Tables of information over epochs: what the findings about trends, levels and falls rest on."""

from collections.abc import Iterator, Sequence

import polars as pl

from infoplane.findings.curves import PRIMARY
from infoplane.records.tables import DECODED_TRANSFER, INPUT_INFORMATION, LABEL_INFORMATION, ORIGINAL, PIXELS_INDEX
from infoplane.report.bits import examples_of, trainings_of
from infoplane.report.labels import estimator_label
from infoplane.report.summary import show_bits
from results_page.markdown import table, wrapped

MOST = 10  # epochs that are shown


def over_epochs(rows: pl.DataFrame) -> Iterator[str]:
    """Yield a table for each information and kind of examples, by the estimator that decides.

    Args:
        rows: measurements in bits, of all epochs, without those of single classes.
    """
    layers = rows.filter(pl.col("layer_index") != PIXELS_INDEX)
    for quantity in (INPUT_INFORMATION, LABEL_INFORMATION):
        for examples in examples_of(layers):
            estimator = PRIMARY[quantity]
            if quantity == LABEL_INFORMATION and examples != ORIGINAL:
                estimator = DECODED_TRANSFER
            found = layers.filter(quantity=quantity, examples=examples, estimator=estimator)
            if not found.is_empty():
                epochs = shown(found["epoch"].unique().sort().to_list())
                yield wrapped(f"**{quantity}, {estimator_label(estimator, quantity)}, {examples} examples.** By epoch:")
                yield table(["training", "layer", *map(str, epochs)], lines(found, epochs))


def lines(found: pl.DataFrame, epochs: Sequence[int]) -> Iterator[list[str]]:
    """Yield a line for each training and layer: the mean over the seeds that were measured at each epoch."""
    means = found.group_by("training", "layer_index", "layer", "epoch").agg(pl.col("value_bits").mean())
    for training in dict.fromkeys(training for _, training in trainings_of(found)):
        own = means.filter(training=training)
        for index, layer in own.select("layer_index", "layer").unique().sort("layer_index").iter_rows():
            at = dict(own.filter(layer_index=index).select("epoch", "value_bits").iter_rows())
            yield [training, layer, *(show_bits(at[epoch]) if epoch in at else "-" for epoch in epochs)]


def shown(epochs: Sequence[int]) -> list[int]:
    """Return at most `MOST` of some epochs, closer to each other at the start, with the first and the last."""
    if len(epochs) <= MOST:
        return list(epochs)
    last = epochs[-1]
    wanted = [0.0, *((last + 1) ** (place / (MOST - 1)) - 1 for place in range(1, MOST))]
    return sorted({min(epochs, key=lambda epoch: abs(epoch - one)) for one in wanted} | {epochs[0], last})
