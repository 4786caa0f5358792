"""Tables of the page that compares runs: what differs in their settings, accuracies, and differences of layers."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import polars as pl

from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.findings.compared_runs import LayerDifference, Level, Place
from infoplane.report.bits import trainings_of
from infoplane.report.compare_source import ComparedRun, differing
from infoplane.report.labels import curve_label, curve_order, estimator_label, examples_label, training_label
from infoplane.report.page_tables import scrollable
from infoplane.report.summary import show_bits
from infoplane.text import decodable

BITS = 1 / math.log(2)
_WORDS = ("Run", "Training", "Folder", "Setting", "Layer", "Examples", "Number", "Standing", "Claim", "Statement",
          "Statistic", "Where")  # fmt: skip
_CUT = 400  # longest value of a setting in the table, in characters


def settings_tables(names: Sequence[str], settings: Mapping[str, Sequence[str]]) -> str:
    """Return the settings and versions that differ, and those that are the same, folded.

    Args:
        names: of the runs.
        settings: values by name, one per run.
    """
    different = differing(settings)
    same = {name: values[0] for name, values in settings.items() if name not in different}
    lines = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(_cut(value))}</td>" for value in values)}</tr>'
        for name, values in different.items()
    )
    shown = (
        scrollable("Settings and versions that differ", f"{head('Setting', *names)}<tbody>{lines}</tbody>")
        if different
        else "<p>All settings and versions are the same.</p>"
    )
    common = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(_cut(value))}</td></tr>' for name, value in same.items()
    )
    folded = scrollable("The same in all runs", f"<tbody>{common}</tbody>")
    return f"{shown}<details><summary>{len(same)} settings are the same</summary>{folded}</details>" if same else shown


def accuracy_table(runs: Sequence[ComparedRun]) -> str:
    """Return the accuracies of all trainings at the largest epoch that all runs have, with 95 % intervals or spread."""
    tables = {run.name: run.records.performance.filter(pl.col("distortion").is_null()) for run in runs}
    common = set.intersection(*(set(table["epoch"]) for table in tables.values()))
    curves = sorted(
        {curve for table in tables.values() for curve in table.select("split", "examples").unique().rows()},
        key=lambda curve: curve_order(*curve),
    )
    lines = []
    for name, table in tables.items():
        for training in dict.fromkeys(training for _, training in trainings_of(table)):
            own = table.filter(pl.col("training") == training)
            epoch = max(common.intersection(own["epoch"]), default=int(max(own["epoch"])))
            rows = own.filter(pl.col("epoch") == epoch)
            cells = "".join(f"<td>{_accuracy(rows.filter(split=split, examples=kind))}</td>" for split, kind in curves)
            lines.append(
                f'<tr><th scope="row">{escape(name)}</th><th scope="row">{escape(training_label(training))}</th>'
                f"<td>{rows['seed'].n_unique()}</td><td>{epoch}</td>{cells}</tr>"
            )
    if not lines:
        return "<p>No accuracy was recorded.</p>"
    heads = head("Run", "Training", "Seeds", "Epoch", *(curve_label(*curve) for curve in curves))
    return scrollable(
        "Accuracy, the mean over seeds, with its 95 % interval: over examples (Wilson), and over several seeds (t)",
        f"{heads}<tbody>{''.join(lines)}</tbody>",
    )


def difference_tables(
    first: str, run: str, differences: Sequence[LayerDifference], levels: Mapping[tuple[str, Place], Level]
) -> str:
    """Return a table for each training: values of both runs and their difference, in bits.

    Args:
        first: name of the run that is subtracted.
        run: name of the other run.
        differences: of this run.
        levels: numbers of all runs by name of the run and place.
    """
    tables = []
    for training, epoch in dict.fromkeys((one.place.training, one.epoch) for one in differences):
        own = [one for one in differences if (one.place.training, one.epoch) == (training, epoch)]
        lines = []
        for one in sorted(own, key=lambda one: (one.place.reading, one.place.examples != "original", one.place)):
            place, value = one.place, f"{BITS * one.value:+.2f}"
            numbers = [levels[name, place] for name in (first, run)]
            layer = " / ".join(dict.fromkeys(number.layer for number in numbers))
            cells = "".join(f"<td>{_level(number)}</td>" for number in numbers)
            cells += f"<td>{f'<strong>{value}</strong>' if one.is_clear else value}</td><td>{_ends(one.low, one.high)}"
            cells += f"</td><td>{_ends(one.together_low, one.together_high)}</td>"
            cells += f'<td class="words">{escape(standing(one))}</td>'
            lines.append(
                f'<tr><th scope="row">{escape(layer)}</th><td class="text">{escape(examples_label(place.examples))}'
                f'</td><td class="text">{escape(reading_label(place))}</td>{cells}</tr>'
            )
        heads = head("Layer", "Examples", "Number", first, run, "Difference", "95 %", "95 %, all together", "Standing")
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, epoch {epoch}: {run} minus {first}, in bits",
                f"{heads}<tbody>{''.join(lines)}</tbody>",
            )
        )
    return "".join(tables)


def standing(one: LayerDifference) -> str:
    """Say in a few words what a difference is worth."""
    if one.note:
        return f"not comparable: {one.note}"
    if one.together_low is None:
        return "no error recorded"
    scope = "" if one.covers_seeds else ", these networks only"
    if not one.is_clear:
        return f"not clear{scope}"
    return f"{'higher' if one.value > 0 else 'lower'}{scope}"


def reading_label(place: Place) -> str:
    """Return what is compared, in words, e.g. "I(T;Y), decoded lower bound"."""
    quantity, estimator = place.reading
    label = estimator_label(estimator, quantity)
    return f"{quantity}, {label[0].lower()}{label[1:]}" if label[1:2].islower() else f"{quantity}, {label}"


def head(*names: str) -> str:
    """Return the head of a table."""
    kinds = {name: ' class="text"' if name in _WORDS else "" for name in names}
    cells = "".join(f'<th scope="col"{kinds[name]}>{escape(name)}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"


def runs_table(runs: Sequence[ComparedRun]) -> str:
    """Return where the runs are, and the checksums of their manifests."""
    lines = "".join(
        f'<tr><th scope="row">{escape(run.name)}</th><td class="text">{escape(decodable(str(run.path)))}</td>'
        f'<td class="text"><code>{run.checksum[:16]}</code></td></tr>'
        for run in runs
    )
    return scrollable(
        "The compared runs", f"{head('Run', 'Folder', 'sha256 of its manifest, its start')}<tbody>{lines}</tbody>"
    )


def _cut(value: str) -> str:
    return value if len(value) <= _CUT else f"{value[:_CUT]} …"


def _level(one: Level) -> str:
    text = show_bits(BITS * one.value)
    return f'{text} <span class="mark">sat</span>' if one.saturated else text


def _ends(low: float | None, high: float | None) -> str:
    if low is None or high is None or not math.isfinite(high - low):
        return "&ndash;"
    return f"{BITS * low:+.2f} to {BITS * high:+.2f}"


def _accuracy(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "-"
    accuracy = accuracy_of(rows)
    low, high = accuracy_ends(accuracy)
    return f"{100 * accuracy.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
