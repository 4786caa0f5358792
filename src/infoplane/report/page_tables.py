"""HTML of the tables of the page; names that come from the user are escaped."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

import polars as pl

from infoplane.records.standing import HELD_OUT
from infoplane.records.tables import (
    INPUT_INFORMATION,
    KDE_MIXED,
    LABEL_INFORMATION,
    NOISY,
)
from infoplane.report.bits import examples_of, in_bits, last_epoch, noisy_name, trainings_of
from infoplane.report.labels import (
    AT_OWN,
    LINEAR_ZERO,
    NOISY_OWN,
    NOISY_RELATIVE,
    OWN,
    RATE_OWN,
    RELATIVE,
    SAT,
    UNDERSAMPLED,
    curve_label,
    estimator_label,
    estimator_order,
    training_label,
)
from infoplane.report.summary import LayerSummary, Shown, accuracies, accuracy_columns, ceiling_bits, layer_summaries
from infoplane.text import decodable


def accuracy_html(performance: pl.DataFrame) -> str:
    """Return the accuracies at the last epoch, one row per training."""
    found = accuracies(performance)
    if not found:
        return "<p>No performance has been recorded yet.</p>"
    curves = accuracy_columns(found)
    heads = "".join(f'<th scope="col">{escape(curve_label(*curve))}</th>' for curve in curves)
    lines = []
    for one in found:
        cells = "".join(
            f"<td>{100 * one['curves'][curve]:.2f} %</td>" if curve in one["curves"] else "<td>-</td>"
            for curve in curves
        )
        name = escape(training_label(one["training"]) + (", at chance" if one["at_chance"] else ""))
        lines.append(f'<tr><th scope="row">{name}</th><td>{one["seed"]}</td><td>{one["epoch"]}</td>{cells}</tr>')
    return scrollable(
        "Accuracy at the last epoch",
        '<thead><tr><th scope="col" class="text">Training</th><th scope="col">Seed</th><th scope="col">Epoch</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody>",
    )


def information_html(measurements: pl.DataFrame) -> str:
    """Return tables of both informations at the last epoch, in bits.

    Each training has three tables: the most trustworthy numbers and, folded away, the pairwise estimates, whose I(T;Y)
    can be memorised, and those at relative noise.
    """
    summaries = layer_summaries(measurements)
    if not summaries:
        return "<p>No information has been measured yet.</p>"
    groups = _groups(noisy_name(in_bits(measurements)))
    tables = []
    for seed, training in dict.fromkeys((one.seed, one.training) for one in summaries):
        own = [one for one in summaries if (one.seed, one.training) == (seed, training)]
        rows = measurements.filter(pl.col("seed") == seed, pl.col("training") == training)
        found = {}
        for name, chosen in groups.items():
            kept = [
                one._replace(numbers={key: shown for key, shown in _shown_first(one, name) if chosen(*key[:2])})
                for one in own
            ]
            if any(one.numbers for one in kept):
                found[name] = _information_table(kept, rows, name)
        first = found.pop(_TRUSTED, "")
        tables.append(first)
        if found:
            name = f"{training_label(training).capitalize()}, seed {seed}: {', '.join(found)}"
            state = "" if first else " open"
            tables.append(f"<details{state}><summary>{escape(name)}</summary>{''.join(found.values())}</details>")
    note = (
        '<p class="note"><em>at most</em>: a proved upper bound of I(X;T) at this noise, from the covariance of the '
        f"layer. <em>sat</em>: {SAT}. <em>linear</em>: {LINEAR_ZERO}. <em>undersampled</em>: {UNDERSAMPLED}. "
        "<em>≤</em> before a null: the value does not exceed what permuted labels "
        "reach (95 % quantile). <em>~</em> before a null: permuted labels give more than half of the value on average. "
        "Values are raw: an estimate below 0 is shown as it is. Decoded values are lower "
        "bounds. On adversarial examples, refitted decoders also read the label that the attack leaks into the image; "
        "decoders trained on clean examples do not.</p>"
    )
    return "".join(tables) + note


_TRUSTED = "trust these first"
NULL_HEADS = '<th scope="col">null</th><th scope="col">value &minus; null mean</th>'


def _groups(noisy: str) -> dict[str, Callable[[str, str], bool]]:
    """Return the (quantity, estimator) pairs of each table; the first table has I(X;T) by `noisy` and at own noise."""
    headline = {
        *((INPUT_INFORMATION, name) for name in (noisy, NOISY_OWN, RATE_OWN)),
        *((LABEL_INFORMATION, decoded) for decoded in HELD_OUT),
    }

    def others(quantity: str, estimator: str, *, noise: str) -> bool:
        shown = quantity in (INPUT_INFORMATION, LABEL_INFORMATION) and (quantity, estimator) not in headline
        return shown and noise == next((end for end in (RELATIVE, OWN) if estimator.endswith(end)), "")

    return {
        _TRUSTED: lambda quantity, estimator: (quantity, estimator) in headline,
        "pairwise and binned estimates": partial(others, noise=""),
        "pairwise estimates at relative noise": partial(others, noise=RELATIVE),
        f"other estimates {AT_OWN}": partial(others, noise=OWN),
    }


def _shown_first(summary: LayerSummary, table: str) -> Iterable[tuple[tuple[str, str, str], Shown]]:
    """Return the numbers of a layer; in the first table I(X;T) has one noise, the network's own if there is any."""
    own = any(estimator == NOISY_OWN for _, estimator, _ in summary.numbers)
    for key, shown in summary.numbers.items():
        if not (
            own and table == _TRUSTED and key[:2] in {(INPUT_INFORMATION, NOISY), (INPUT_INFORMATION, NOISY_RELATIVE)}
        ):
            yield key, shown


def _information_table(summaries: Sequence[LayerSummary], measurements: pl.DataFrame, name: str) -> str:
    keys = {key for one in summaries for key in one.numbers}
    columns = {
        quantity: sorted((key for key in keys if key[0] == quantity), key=lambda key: (estimator_order(key[1]), key[2]))
        for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)
    }
    with_null = {key for one in summaries for key, shown in one.numbers.items() if shown.null}
    bounded = {key for one in summaries for key, shown in one.numbers.items() if shown.at_most and _is_monte_carlo(key)}
    groups, heads = "", ""
    for quantity, own in columns.items():
        ceiling = ceiling_bits(measurements, quantity)
        title = quantity if ceiling is None else f"{quantity}, ceiling {ceiling:.2f}"
        span = len(own) + sum(2 * (key in with_null) + _has_interval(key) + (key in bounded) for key in own)
        groups += f'<th scope="colgroup" colspan="{span}" class="group part">{escape(title)}</th>' if own else ""
        for key in own:
            heads += f'<th scope="col"{_part(key, own)}>{escape(_column_label(key))}</th>'
            heads += '<th scope="col">95 % interval</th>' if _has_interval(key) else ""
            heads += NULL_HEADS if key in with_null else ""
            heads += '<th scope="col">at most</th>' if key in bounded else ""
    lines = []
    before = None
    for one in summaries:
        count = sum(other.layer == one.layer for other in summaries)
        first = one.layer != before
        before = one.layer
        layer = f'<th scope="rowgroup" rowspan="{count}">{escape(one.layer)}</th>' if first else ""
        cells = "".join(
            number_cells(
                one.numbers.get(key), _part(key, own), with_interval=_has_interval(key), with_null=key in with_null
            )
            + (f"<td>{one.numbers[key].at_most or '-' if key in one.numbers else '-'}</td>" if key in bounded else "")
            for own in columns.values()
            for key in own
        )
        mark = ' class="first"' if first else ""
        lines.append(f'<tr{mark}>{layer}<th scope="row">{escape(one.examples)}</th>{cells}</tr>')
    head = summaries[0]
    return scrollable(
        f"{training_label(head.training).capitalize()}, seed {head.seed}, epoch {head.epoch}: information in bits, "
        f"{name}",
        f'<thead><tr><td colspan="2"></td>{groups}</tr><tr><th scope="col" class="text">Layer</th>'
        f'<th scope="col" class="text">Examples</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody>',
    )


def _column_label(key: tuple[str, str, str]) -> str:
    quantity, estimator, kind = key
    if estimator.partition("@")[0] == KDE_MIXED:
        return f"{kind} bound for the mixture"
    if quantity == INPUT_INFORMATION and estimator in (NOISY_RELATIVE, NOISY_OWN):  # among decoders, without noise
        return estimator_label(estimator, quantity)
    return estimator_label(estimator.removesuffix(RELATIVE).removesuffix(OWN), quantity)


def _is_monte_carlo(key: tuple[str, str, str]) -> bool:
    """Whether it is a Monte Carlo I(X;T), which comes with the most that the layer can have at this noise."""
    return key[0] == INPUT_INFORMATION and key[1].partition("@")[0] == NOISY


def _has_interval(key: tuple[str, str, str]) -> bool:
    """Whether the interval is about all examples of the kind, not only the measured ones."""
    return key[1] in HELD_OUT


def _part(key: tuple[str, str, str], own: Sequence[tuple[str, str, str]]) -> str:
    return ' class="part"' if key == own[0] else ""


def number_cells(shown: Shown | None, part: str, *, with_interval: bool, with_null: bool) -> str:
    """Return the cells of one number: its value with its marks, then optionally its interval and its null.

    Args:
        shown: the number; None if nothing was measured.
        part: HTML attribute of the first cell.
        with_interval: whether to add a cell for the 95 % interval.
        with_null: whether to add cells for the null's 95 % quantile and for the value less the null's mean.
    """
    if shown is None:
        return f"<td{part}>-</td>" + "<td>-</td>" * (with_interval + 2 * with_null)
    poor = ' class="poor"' if shown.poor else ""
    first = ' class="part poor"' if part and poor else part or poor
    value = escape(shown.value)
    for mark in (" sat", " linear", " undersampled"):
        value = value.replace(mark, f' <span class="mark">{mark.strip()}</span>')
    if "±" in value:
        number, _, error = value.partition("±")
        value = f'{number}<span class="error">&thinsp;±{error}</span>'
    cells = f"<td{first}>{value}</td>"
    if with_interval:
        cells += f"<td{poor}>{shown.interval or '-'}</td>"
    if with_null:
        sign = f'<span class="mark">{shown.null_sign}</span> ' if shown.null_sign else ""
        cells += f"<td{poor}>{sign}{shown.null or '-'}</td><td{poor}>{shown.excess or '-'}</td>"
    return cells


_GEOMETRY_COLUMNS = {
    "activation_norm": "Activation norm",
    "mean_unit_variance": "Mean variance per unit",
    "class_clustering_index": "Class clustering index",
    "participation_ratio": "Participation ratio",
    "cka_with_original": "CKA with original",
}


def geometry_html(geometry: pl.DataFrame) -> str:
    """Return the geometry of the layers at the last epoch, one table per training.

    Args:
        geometry: undistorted test rows, columns of `records.GEOMETRY_SCHEMA`.
    """
    tables = []
    rows = last_epoch(geometry)
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        order = {name: rank for rank, name in enumerate(examples_of(own, control=True))}
        lines = []
        for row in sorted(own.to_dicts(), key=lambda row: (row["layer_index"], order[row["examples"]])):
            cells = "".join(
                f"<td>{row[name]:.3g}</td>" if row[name] is not None and math.isfinite(row[name]) else "<td>-</td>"
                for name in _GEOMETRY_COLUMNS
            )
            lines.append(
                f'<tr><th scope="row">{escape(row["layer"])}</th><th scope="row">{escape(row["examples"])}</th>'
                f"<td>{row['features']}</td>{cells}</tr>"
            )
        heads = "".join(f'<th scope="col">{name}</th>' for name in ("Features", *_GEOMETRY_COLUMNS.values()))
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, seed {seed}, epoch {own['epoch'][0]}: geometry of layers",
                f'<thead><tr><th scope="col" class="text">Layer</th><th scope="col" class="text">Examples</th>{heads}'
                f"</tr></thead><tbody>{''.join(lines)}</tbody>",
            )
        )
    return "".join(tables) or "<p>No geometry has been recorded.</p>"


def scrollable(caption: str, content: str) -> str:
    """Return a table with its caption, in a region that scrolls if the table is wider than the page."""
    # tabindex: a table wider than a phone must scroll by keyboard too.
    name = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">'
        f"<table><caption>{name}</caption>{content}</table></div>"
    )


def settings_html(config: Mapping[str, Any]) -> str:
    """Return settings and environment as two tables of dotted names and values."""
    tables = []
    for part, title in (("settings", "Settings"), ("environment", "Environment")):
        content = config.get(part)
        flat = _flatten(content) if isinstance(content, Mapping) else {}
        lines = "".join(
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(setting_text(value))}</td></tr>'
            for name, value in flat.items()
        )
        tables.append(scrollable(title, f"<tbody>{lines or '<tr><td>none recorded</td></tr>'}</tbody>"))
    return "".join(tables)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def setting_text(value: Any) -> str:
    """Return the value of a setting as text; one that was not set, or is empty, is said to be."""
    if value is None:
        return "not set"
    if isinstance(value, str):
        return decodable(value) or '""'
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(decodable(str(one)) for one in value) or "none"
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value)
