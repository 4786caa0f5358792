"""Compact tables for notebooks: accuracy and the most trustworthy information at the last epoch, layer by layer."""

from collections.abc import Sequence
from html import escape

import polars as pl

from infoplane.records.tables import DECODED, INPUT_INFORMATION, LABEL_INFORMATION, RANDOM
from infoplane.report.bits import in_bits, noisy_name
from infoplane.report.labels import curve_label, estimator_label, estimator_order, examples_label, training_label
from infoplane.report.summary import LayerSummary, accuracies, layer_summaries
from infoplane.text import decodable

_MOST_LAYERS = 60  # rows of a table; the others are counted
_LONGEST = 60  # characters of a name


def tables_html(title: str, measurements: pl.DataFrame, performance: pl.DataFrame) -> str:
    """Return a heading and one table per training, in bits; names are escaped.

    Args:
        title: of plane or run.
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """
    shown = {(one["seed"], one["training"]): one for one in accuracies(performance)}
    summaries: dict[tuple[int, str], list[LayerSummary]] = {key: [] for key in shown}
    noisy = noisy_name(in_bits(measurements))
    for one in layer_summaries(measurements.filter(pl.col("examples") != RANDOM)):
        summaries.setdefault((one.seed, one.training), []).append(one)
    parts = [f"<p><strong>{_text(title)}</strong></p>"]
    for (seed, training), own in summaries.items():
        found = shown.get((seed, training))
        epoch = found["epoch"] if found else own[0].epoch
        curves = found["curves"].items() if found else ()
        accuracy = ", ".join(f"{_text(curve_label(*curve))} {100 * value:.1f} %" for curve, value in curves)
        head = f"{_text(training_label(training))}, seed {seed}, epoch {epoch}"
        parts.append(f"<p>{head}{f'; accuracy: {accuracy}' if accuracy else ''}</p>{_table(own, noisy)}")
    if not summaries:
        parts.append("<p>Nothing has been measured yet.</p>")
    return decodable("".join(parts))


def _table(summaries: Sequence[LayerSummary], noisy: str) -> str:
    if not summaries:
        return ""
    columns = [
        (examples, key)
        for examples in dict.fromkeys(one.examples for one in summaries)
        for quantity, wanted in ((INPUT_INFORMATION, noisy), (LABEL_INFORMATION, DECODED))
        if (key := _most_trustworthy(summaries, quantity, wanted)) is not None
    ]
    heads = "".join(
        f"<th>{_text(key[0])}, {_text(examples_label(examples))}<br><small>{_text(estimator_label(key[1], key[0]))}, "
        "bits</small></th>"
        for examples, key in columns
    )
    numbers = {(one.layer, one.examples): one.numbers for one in summaries}
    layers = list(dict.fromkeys(one.layer for one in summaries))
    rows = []
    for layer in layers[:_MOST_LAYERS]:
        cells = [numbers.get((layer, examples), {}).get(key) for examples, key in columns]
        values = "".join(f"<td>{escape(cell.value) if cell else ''}</td>" for cell in cells)
        rows.append(f"<tr><th>{_text(layer)}</th>{values}</tr>")
    more = f"<p>and {len(layers) - _MOST_LAYERS:,} more layers</p>" if len(layers) > _MOST_LAYERS else ""
    return f"<table><thead><tr><th>layer</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def _most_trustworthy(summaries: Sequence[LayerSummary], quantity: str, wanted: str) -> tuple[str, str, str] | None:
    """Return the key of the wanted estimator; without it, that of the first one that was measured."""
    keys = {key for one in summaries for key in one.numbers if key[0] == quantity}
    return min(keys, key=lambda key: (key[1] != wanted, estimator_order(key[1]), key[2]), default=None)


def _text(name: str) -> str:
    return escape(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…")
