"""Tables and figures of the page as HTML; every name that comes from the user is escaped here."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.records import (
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_MIXED,
    LABEL_INFORMATION,
    NOISY,
)
from infoplane.report.bits import examples_of, last_epoch, trainings_of
from infoplane.report.labels import RELATIVE, curve_label, estimator_label, estimator_order, training_label
from infoplane.report.summary import LayerSummary, Shown, accuracies, accuracy_columns, ceiling_bits, layer_summaries


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
        name = escape(training_label(one["training"]))
        lines.append(f'<tr><th scope="row">{name}</th><td>{one["seed"]}</td><td>{one["epoch"]}</td>{cells}</tr>')
    return scrollable(
        "Accuracy at the last epoch",
        '<thead><tr><th scope="col" class="text">Training</th><th scope="col">Seed</th><th scope="col">Epoch</th>'
        f"{heads}</tr></thead><tbody>{''.join(lines)}</tbody>",
    )


def information_html(measurements: pl.DataFrame) -> str:
    """Return tables of both informations at the last epoch, in bits.

    Each training has three: the numbers to trust first, those whose I(T;Y) can be memorised, KDE at relative noise.
    """
    summaries = layer_summaries(measurements)
    if not summaries:
        return "<p>No information has been measured yet.</p>"
    tables = []
    for seed, training in dict.fromkeys((one.seed, one.training) for one in summaries):
        own = [one for one in summaries if (one.seed, one.training) == (seed, training)]
        rows = measurements.filter(pl.col("seed") == seed, pl.col("training") == training)
        for name, chosen in _GROUPS.items():
            kept = [
                one._replace(numbers={key: shown for key, shown in one.numbers.items() if chosen(*key[:2])})
                for one in own
            ]
            if any(one.numbers for one in kept):
                tables.append(_information_table(kept, rows, name))
    note = (
        '<p class="note"><em>sat</em>: above 95 % of the ceiling. <em>few</em>: too few samples, by the '
        "estimator's own account: noisy from half of them differs, or most are alone in their bins. "
        "<em>≤</em> before a null: the value does not exceed what permuted labels "
        "reach (95 % quantile). Values are raw: an estimate below 0 is shown as it is. Decoded values are lower "
        "bounds; on adversarial examples the refitted decoders also read the label that the attack leaks, the "
        "transferred ones were fitted on originals.</p>"
    )
    return "".join(tables) + note


_HEADLINE = ((INPUT_INFORMATION, NOISY), (LABEL_INFORMATION, DECODED), (LABEL_INFORMATION, DECODED_TRANSFER))
_GROUPS: dict[str, Callable[[str, str], bool]] = {
    "trust these first": lambda quantity, estimator: (quantity, estimator) in _HEADLINE,
    "pairwise and binned estimates": lambda quantity, estimator: (
        (quantity, estimator) not in _HEADLINE and not estimator.endswith(RELATIVE)
    ),
    "KDE at relative noise": lambda _, estimator: estimator.endswith(RELATIVE),
}


def _information_table(summaries: Sequence[LayerSummary], measurements: pl.DataFrame, name: str) -> str:
    keys = {key for one in summaries for key in one.numbers}
    columns = {
        quantity: sorted((key for key in keys if key[0] == quantity), key=lambda key: (estimator_order(key[1]), key[2]))
        for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)
    }
    with_null = {key for one in summaries for key, shown in one.numbers.items() if shown.null}
    groups, heads = "", ""
    for quantity, own in columns.items():
        ceiling = ceiling_bits(measurements, quantity)
        title = quantity if ceiling is None else f"{quantity}, ceiling {ceiling:.2f}"
        span = len(own) + sum((key in with_null) + _has_interval(key) for key in own)
        groups += f'<th scope="colgroup" colspan="{span}" class="group part">{escape(title)}</th>' if own else ""
        for key in own:
            heads += f'<th scope="col"{_part(key, own)}>{escape(_column_label(key))}</th>'
            heads += '<th scope="col">95 % interval</th>' if _has_interval(key) else ""
            heads += '<th scope="col">null</th>' if key in with_null else ""
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
        return f"proved {kind} bound"
    return estimator_label(estimator.removesuffix(RELATIVE), quantity)


def _has_interval(key: tuple[str, str, str]) -> bool:
    """Whether the interval is about all examples of the kind, not just those that were measured."""
    return key[1] in (DECODED, DECODED_TRANSFER)


def _part(key: tuple[str, str, str], own: Sequence[tuple[str, str, str]]) -> str:
    return ' class="part"' if key == own[0] else ""


def number_cells(shown: Shown | None, part: str, *, with_interval: bool, with_null: bool) -> str:
    """Return the cells of one number: its value with its marks, then its interval and its null where wanted.

    Args:
        shown: None where nothing was measured.
        part: attribute of the first cell.
        with_interval: a cell for the 95 % interval.
        with_null: a cell for the null's 95 % quantile.
    """
    if shown is None:
        return f"<td{part}>-</td>" + "<td>-</td>" * (with_interval + with_null)
    poor = ' class="poor"' if shown.saturated or shown.null_like or shown.too_few else ""
    first = ' class="part poor"' if part and poor else part or poor
    value = escape(shown.value)
    for mark in (" sat", " few"):
        value = value.replace(mark, f' <span class="mark">{mark.strip()}</span>')
    if "±" in value:
        number, _, error = value.partition("±")
        value = f'{number}<span class="error">&thinsp;±{error}</span>'
    cells = f"<td{first}>{value}</td>"
    if with_interval:
        cells += f"<td{poor}>{shown.interval or '-'}</td>"
    if with_null:
        sign = '<span class="mark">≤</span> ' if shown.null_like else ""
        cells += f"<td{poor}>{sign}{shown.null or '-'}</td>"
    return cells


_GEOMETRY_COLUMNS = {
    "activation_norm": "Activation norm",
    "mean_unit_variance": "Mean variance per unit",
    "class_clustering_index": "Class clustering index",
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
        order = {name: rank for rank, name in enumerate(examples_of(own))}
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
    """Return a table with its caption, in a region of its own where it is wider than the page."""
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
            f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(value))}</td></tr>' for name, value in flat.items()
        )
        tables.append(scrollable(title, f"<tbody>{lines or '<tr><td>none recorded</td></tr>'}</tbody>"))
    return "".join(tables)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat


_CAPTIONS = {
    "geometry-sweeps": (
        "Study three: estimates of synthetic clouds whose information is known, against the spread of all points, the "
        "tightness of classes at one spread, the noise and the width of bins. What moves is geometry alone."
    ),
    "artefact-sweeps": (
        "Study three: the same estimates against the number of samples and of dimensions, with the truth."
    ),
    "four-clouds": "Study three: four clouds of the same labels, and what the estimators say of each.",
    "transfer": (
        "Which class the network takes adversarial examples for, by their label, at the last epoch; right answers are "
        "framed. A cell gives the share of the row and the mean confidence, the softmax probability of the class "
        "named, both in per cent. The attack only pushes away from the label: where it ends is the network's own "
        "doing, and confidence is no measure of being right."
    ),
    "mistakes": (
        "Of the adversarial examples that the network misclassifies: what layers tell about the class that they are "
        "taken for and about their label, by decoders refitted to these examples and by those of originals, with 95 % "
        "intervals; below, along saturation, the same examples with the class that they were taken for before it. "
        "Refitted decoders read anything that goes with the class, the attack's traces too; decoders of originals only "
        "what looks like that class in originals, and fall below 0 where they are misled (a triangle: off the scale). "
        "Being taken for a class is what selects the examples: in the last layers much information about it is certain."
    ),
    "distortion-sheet": (
        "A few examples at every level, as they are and attacked (the attack first, then the distortion), and below "
        "each the class that the network takes it for; a cross marks a wrong one. The attack was made on the network "
        "named beside the row."
    ),
    "distortion-layers": (
        "Both informations over the levels of a distortion, layer by layer: the KL estimate at the fixed noise and at "
        "relative noise (relative to the undistorted examples, so the noise is the same at every level), and what "
        "decoders of undistorted originals read from distorted examples that they were not fitted on. A level that "
        "scatters the outputs of a layer raises I(X;T) and the KL-KL estimate of I(T;Y) without adding anything about "
        "the label: read them against the null and the decoders."
    ),
    "distortion": (
        "Accuracy, loss and both informations of the last layer over the levels of each distortion; the first level "
        "changes nothing, and distances between levels mean nothing. Colour: training; solid: original examples, "
        "dashed: attacked ones (attacked first, then distorted). Pale: 95 % intervals over the examples, of this one "
        "seed; the loss has none. Saturated values (at the dashed ceiling) have no interval and cannot be compared. "
        "Relative noise is relative to the undistorted examples. Refitted decoders say whether the label can still be "
        "read from the layer, on attacked examples the attack's own handwriting included; decoders of undistorted "
        "originals say whether the network's own code survives, and fall below 0 where they are confidently wrong."
    ),
    "information-flow": (
        "Loss, accuracy, both informations against the layer's index (crosses: attacked examples, last epoch), and one "
        "information plane per layer and estimator. Circles are original examples, crosses attacked ones; colour is "
        "the epoch. Dashed lines are ceilings, the shaded band holds what permuted labels reach. All planes of an "
        "estimator share their axes."
    ),
    "trusted": (
        "Top: the plane of noisy I(X;T), the value between the KDE bounds, and decoded I(T;Y), what held-out decoders "
        "read. Below: each over epochs. Bars are 95 % intervals. Hatched: within 3 nats of its ceiling a noisy I(X;T) "
        "falls short for want of samples. Decoded I(T;Y) is a lower bound, usable (V-)information: it may grow with "
        "depth, and no data-processing inequality holds for it. On attacked examples, refitted decoders also read the "
        "label that a white-box attack leaks; decoders of the originals, applied to attacked examples that they were "
        "not fitted on, do not, and fall below 0 where they are confidently wrong (triangles: below the axis). Grey: "
        "what permuted labels reach, at the last epoch."
    ),
    "relative-noise": (
        "The KDE planes once more, with noise in proportion to the mean variance of each layer's units, for each epoch "
        "and kind of examples: a layer that merely scales its outputs does not move here."
    ),
    "noise-sweep": (
        "Both informations at the last epoch against the variance of the noise they are measured with. Above: between "
        "the KDE bounds of I(X;T), with the noisy value at the fixed noise. Below: the KL-KL and BD-BD estimates of "
        "I(T;Y) before what permuted labels reach on original examples (darker: the lower of the two nulls), and the "
        "decoded lower bound with its 95 % interval, which needs no noise. Vertical lines: the fixed noise, and the "
        "relative one of original examples."
    ),
    "class-entropies": (
        "Entropy of the noisy layer, less that of the noise, over all examples (black) and within each class, over "
        "epochs. Upper rows: original examples; lower rows: attacked examples, from their own records. Dashed: "
        "ceilings."
    ),
    "comparison": (
        "Both informations over epochs, layer by layer. Colour: training; solid: original examples, dashed: attacked "
        "ones, dotted: attacked ones read by decoders of the originals (drawn at 0 where they are negative). Bars: "
        "95 % intervals of noisy and decoded values. Shaded: what permuted labels reach."
    ),
    "seeds-information": (
        "Both informations over epochs. Lines: means over seeds; bands: from the lowest to the highest seed, which is "
        "no interval and grows with their number. All seeds see the same examples, so a band shows how trainings "
        "differ and says nothing of the choice of examples. Findings rest on I(X;T) by the KDE lower bound at relative "
        "noise and on decoded I(T;Y)."
    ),
    "seeds-performance": (
        "Accuracy and loss over epochs. Lines: means over seeds; bands: from the lowest to the highest seed."
    ),
    "geometry": (
        "Root mean square norm of the activations, mean variance per unit (dotted: the fixed noise variance), class "
        "clustering index (the share of the variance between classes, 0 by chance), and debiased linear CKA of "
        "attacked with original examples. Information measured with fixed noise follows the scale of the activations: "
        "read it beside these."
    ),
}


def figures_html(paths: Sequence[Path]) -> str:
    """Return every PNG among `paths` inside the page, with its caption."""
    figures = []
    for path in paths:
        if path.suffix != ".png":
            continue
        kind = next((kind for kind in _CAPTIONS if path.name.startswith(kind)), "")
        title = path.stem.replace("-", " ").capitalize()
        image = base64.b64encode(path.read_bytes()).decode()
        figures.append(
            f'<figure><img alt="{escape(title)}. {escape(_CAPTIONS.get(kind, ""))}" '
            f'src="data:image/png;base64,{image}"><figcaption><strong>{escape(title)}.</strong> '
            f"{escape(_CAPTIONS.get(kind, ''))} Also in <code>figures/{escape(path.stem)}.pdf</code>."
            "</figcaption></figure>"
        )
    return "".join(figures) or "<p>Nothing has been recorded yet, so there is nothing to draw.</p>"
