"""Table of baselines on the page: raw pixels, the network of random weights, and randomly perturbed examples."""

from html import escape

import polars as pl

from infoplane.records.tables import ALL_SPLITS, DECODED, INPUT_INFORMATION, LABEL_INFORMATION, ORIGINAL, RANDOM
from infoplane.report.bits import in_bits, last_epoch, layers_of, noisy_name, trainings_of
from infoplane.report.labels import estimator_label, training_label
from infoplane.report.page_tables import number_cells, scrollable
from infoplane.report.summary import show_number


def baselines_html(measurements: pl.DataFrame) -> str:
    """Return one table per training that compares its last epoch with the baselines, layer by layer.

    The last column is I(X;T) from more inputs than the measured examples, where that was measured.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
    """
    rows = in_bits(measurements)
    more = in_bits(measurements.filter(split=ALL_SPLITS).with_columns(split=pl.lit("test")))
    noisy = noisy_name(rows)
    tables = []
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training, pl.col("class_index").is_null())
        last = last_epoch(own)
        first = own.filter(pl.col("epoch") == 0)
        parts = {
            "epoch 0, random weights": first.filter(pl.col("examples") == ORIGINAL),
            f"epoch {last['epoch'][0]}": last.filter(pl.col("examples") == ORIGINAL),
            f"epoch {last['epoch'][0]}, random perturbation": last.filter(pl.col("examples") == RANDOM),
        }
        keys = [(INPUT_INFORMATION, noisy), (LABEL_INFORMATION, DECODED)]
        heads = "".join(
            f'<th scope="col">{escape(f"{quantity}, {estimator_label(estimator)}; {part}")}</th>'
            for quantity, estimator in keys
            for part in parts
        )
        inputs = more.filter(pl.col("seed") == seed, pl.col("training") == training)
        if len(inputs):
            heads += f'<th scope="col">{INPUT_INFORMATION} from {max(inputs["samples"].to_list()):,} inputs</th>'
        lines = []
        for _, layer in layers_of(own, pixels=True):
            cells = ""
            for quantity, estimator in keys:
                for part in parts.values():
                    found = part.filter(layer=layer, quantity=quantity, estimator=estimator).to_dicts()
                    shown = show_number(found[0]) if found else None
                    cells += number_cells(shown, "", with_interval=False, with_null=False)
            if len(inputs):
                found = inputs.filter(layer=layer).to_dicts()
                cells += number_cells(
                    show_number(found[0]) if found else None, "", with_interval=False, with_null=False
                )
            lines.append(f'<tr><th scope="row">{escape(layer)}</th>{cells}</tr>')
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, seed {seed}: baselines, in bits",
                f'<thead><tr><th scope="col" class="text">Layer</th>{heads}</tr></thead>'
                f"<tbody>{''.join(lines)}</tbody>",
            )
        )
    note = (
        '<p class="note">The row <em>pixels</em> is the image itself, measured like a layer. A linear decoder of a '
        "layer that reads no more than that of the pixels gains nothing from the layers before it. Epoch 0 is the "
        "network of random weights. I(X;T) needs no labels: it is also given from more inputs, test and training "
        "images, at the same noise. It is the same where the examples resolve it.</p>"
    )
    return f"<details><summary>Baselines</summary>{''.join(tables)}{note}</details>" if tables else ""
