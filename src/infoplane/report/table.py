"""Terminal table at the end of a run; it fits 80 columns."""

from collections.abc import Mapping, Sequence

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infoplane.records.tables import (
    ADVERSARIAL,
    BINNING,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    NOISY,
    ORIGINAL,
    RANDOM,
    trainings_at_chance,
)
from infoplane.report.bits import in_bits, noisy_name, own_noise_layers, relative_noise_text, resolution_text
from infoplane.report.examples import examples_order, short_names
from infoplane.report.labels import (
    AT_OWN,
    LINEAR_ZERO,
    NOISY_OWN,
    OWN,
    RELATIVE,
    SAT,
    curve_label,
    estimator_label,
    estimator_order,
)
from infoplane.report.summary import (
    LayerSummary,
    Shown,
    accuracies,
    accuracy_columns,
    at_chance_lines,
    ceiling_bits,
    in_terminal,
    layer_summaries,
)

# The report has every estimator; 80 columns have room for three of I(T;Y), at the fixed noise, with their nulls.
_LABEL_COLUMNS = ((DECODED, "decoded"), (KDE_KL, "KDE"), (BINNING, "binned"))
_NOTHING = Shown("-", "", "", null_like=False, saturated=False, undersampled=False)
_BLANK = Shown("", "", "", null_like=False, saturated=False, undersampled=False)
_TRAINED_ON_CLEAN = ("(trained", "on clean)")  # continues the text "adv", in columns that are empty for such decoders
# Estimators with a column in the table, or shown in the report alone; all others get a separate table.
_PLACED = {DECODED, DECODED_TRANSFER, NOISY, KDE_KL, KDE_BD, KDE_MIXED, BINNING}


def summary_table(measurements: pl.DataFrame, performance: pl.DataFrame) -> Group:
    """Render accuracy and the last epoch's information, in bits, for `rich.console.Console.print`.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`; may be empty or incomplete.
        performance: columns of `records.PERFORMANCE_SCHEMA`; may be empty or incomplete.
    """
    parts: list[Table | Text] = []
    if not performance.is_empty():
        parts.append(_accuracy_table(performance))
        parts += [Text(line, style="bold red") for line in at_chance_lines(performance)]
    summaries = [one for one in layer_summaries(measurements) if one.examples != RANDOM]  # the report shows these
    dead = trainings_at_chance(performance)
    rows = in_bits(measurements)
    noise = noisy_name(rows).removeprefix(NOISY)
    names = short_names(sorted({one.examples for one in summaries}, key=examples_order))
    for seed, training in dict.fromkeys((one.seed, one.training) for one in summaries):
        own = [one for one in summaries if (one.seed, one.training) == (seed, training)]
        note = ", at chance" if (seed, training) in dead else ""
        parts.append(_information_table(own, measurements, noise, note, names))
        if others := _other_table(own, names):
            parts.append(others)
    if not summaries:
        parts.append(Text("No information has been measured yet."))
    else:
        relative = f"relative, {relative_noise_text(rows)}" if noise == RELATIVE else ""
        resolution = resolution_text(rows) if relative else ""
        parts.append(_legend(summaries, relative, resolution, names, own_noise_layers(rows)))
    return Group(*parts)


def _new_table(title: Text) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
        padding=(0, 0), pad_edge=False,
    )  # fmt: skip


def _accuracy_table(performance: pl.DataFrame) -> Table:
    found = accuracies(performance)
    several_seeds = len({one["seed"] for one in found}) > 1
    table = _new_table(Text("\nAccuracy"))
    table.add_column("training  ", overflow="fold")
    table.add_column("epoch", justify="right")
    curves = accuracy_columns(found)
    for curve in curves:
        table.add_column(Text(" " + curve_label(*curve)), justify="right", overflow="fold", min_width=8)
    for one in found:
        name = one["training"] + (f" (seed {one['seed']})" if several_seeds else "")
        name += ", at chance" if one["at_chance"] else ""
        shown = [f"{100 * one['curves'][curve]:.2f} %" if curve in one["curves"] else "-" for curve in curves]
        table.add_row(Text(name), str(one["epoch"]), *shown)
    return table


def _information_table(
    summaries: list[LayerSummary], measurements: pl.DataFrame, noise: str, note: str, names: Mapping[str, str]
) -> Table:
    first = summaries[0]
    own = measurements.filter(pl.col("seed") == first.seed, pl.col("training") == first.training)

    def ceiling(quantity: str) -> str:
        found = ceiling_bits(own, quantity)
        return "" if found is None else f", ceiling {found:.2f}"

    title = f"\nInformation in bits, {first.training} training{note}, seed {first.seed}, epoch {first.epoch}\n"
    name = "relative" if noise == RELATIVE else "fixed"
    title += f"I(X;T) at {name} noise{ceiling(INPUT_INFORMATION)}; I(T;Y){ceiling(LABEL_INFORMATION)}"
    table = _new_table(Text(title))
    table.add_column("\n\nlayer", overflow="fold", min_width=6)
    table.add_column("\n\non", no_wrap=True)
    table.add_column("I(X;T)\nMonte\nCarlo", justify="right", no_wrap=True)
    table.add_column("\n\nKDE bounds", justify="right", no_wrap=True)
    for index, (_, name) in enumerate(_LABEL_COLUMNS):
        table.add_column((" I(T;Y)" if index == 0 else "") + f"\n\n{name}", justify="right", no_wrap=True)
        table.add_column("\n\nnull", justify="right", no_wrap=True)
    for layer in dict.fromkeys(one.layer for one in summaries):
        # All kinds of examples share a row, so that a long layer name can wrap beside them without extra height.
        of_layer = [one for one in summaries if one.layer == layer]
        found = {names[one.examples]: _number(one, LABEL_INFORMATION, DECODED_TRANSFER) for one in of_layer}
        moved = {name: number for name, number in found.items() if number is not _NOTHING}
        cells = [Text(layer), Text("\n".join([*(names[one.examples] for one in of_layer), *moved]))]
        begin, end = (Text(f"\n{text}" * len(moved), style="dim") for text in _TRAINED_ON_CLEAN)
        cells.append(
            _stack([_number(one, INPUT_INFORMATION, NOISY + _noise_of(one, noise)) for one in of_layer]) + begin
        )
        cells.append(Text("\n").join(_bounds(one, _noise_of(one, noise)) for one in of_layer) + end)
        for estimator, _ in _LABEL_COLUMNS:
            numbers = [_number(one, LABEL_INFORMATION, estimator) for one in of_layer]
            numbers += list(moved.values()) if estimator == DECODED else [_BLANK] * len(moved)
            cells += [_stack(numbers), _stack_nulls(numbers)]
        table.add_row(*cells)
    return table


def _other_table(summaries: list[LayerSummary], names: Mapping[str, str]) -> Table | None:
    """Return a table of the estimators without a column in the table above, or None if there are none."""
    found = {key for one in summaries for key in one.numbers if key[1].partition("@")[0] not in _PLACED}
    keys = sorted(found, key=lambda key: (key[0], estimator_order(key[1]), key[2]))
    if not keys:
        return None
    table = _new_table(Text("\nOther estimators"))
    table.add_column("\nlayer", overflow="fold", min_width=6)
    table.add_column("\non", no_wrap=True)
    for quantity, estimator, _ in keys:
        table.add_column(f"{quantity}\n{estimator_label(estimator, quantity)}", justify="right")
        table.add_column("\nnull", justify="right", no_wrap=True)
    for one in summaries:
        if found.isdisjoint(one.numbers):
            continue
        cells = [Text(one.layer), Text(names[one.examples])]
        for key in keys:
            numbers = [one.numbers.get(key, _NOTHING)]
            cells += [_stack(numbers), _stack_nulls(numbers)]
        table.add_row(*cells)
    return table


def _noise_of(summary: LayerSummary, noise: str) -> str:
    """Return the noise that I(X;T) of a layer is shown at: the network's own, or else `noise`."""
    return OWN if any(estimator == NOISY_OWN for _, estimator, _ in summary.numbers) else noise


def _bounds(summary: LayerSummary, noise: str) -> Text:
    """Return both bounds of I(X;T), or the ceiling if they are saturated."""
    lower, upper = (_number(summary, INPUT_INFORMATION, name + noise) for name in (KDE_BD, KDE_KL))
    if lower.saturated:
        return Text(lower.value, style="dim")
    ends = [number.value.partition("±")[0].partition(" ")[0] for number in (lower, upper)]
    return Text("-".join(ends) if ends != ["-", "-"] else "-")


def _number(summary: LayerSummary, quantity: str, estimator: str) -> Shown:
    for (other_quantity, other_estimator, _), shown in summary.numbers.items():
        if (other_quantity, other_estimator) == (quantity, estimator):
            return shown
    return _NOTHING


def _stack(numbers: list[Shown]) -> Text:
    lines = [Text(in_terminal(one.value), style="dim" if one.poor else "") for one in numbers]
    return Text("\n").join(lines)


def _stack_nulls(numbers: list[Shown]) -> Text:
    # The sign continues the value before it: "3.32 sat ≤3.32" means that the value does not exceed its null.
    lines = [Text(f"{one.null_sign or '>'}{one.null}" if one.null else one.value and "-") for one in numbers]
    for line, one in zip(lines, numbers, strict=True):
        line.stylize("yellow" if one.null_sign else "dim")
    return Text("\n").join(lines)


def _legend(
    summaries: list[LayerSummary], relative: str, resolution: str, names: Mapping[str, str], own: Sequence[str]
) -> Text:
    shown = [number for one in summaries for number in one.numbers.values()]
    estimators = {estimator for one in summaries for _, estimator, _ in one.numbers}
    lines = []
    if DECODED in estimators:
        lines.append(
            "decoded: by decoders, from examples that they were not fitted on. A lower bound; it may grow with depth."
        )
    attacks = {short: name for name, short in names.items() if name != ORIGINAL}
    if DECODED_TRANSFER in estimators:
        lines.append(
            f"  {', '.join(attacks)}: decoders refitted on attacked examples, which also read the label that the "
            f"attack leaks.\n  {', '.join(attacks)} {' '.join(_TRAINED_ON_CLEAN)}: decoders trained on clean examples; "
            "negative: confidently wrong."
        )
    if cut := [f"{short} is {name}" for short, name in attacks.items() if short != name and name != ADVERSARIAL]:
        lines.append(f"Short names of attacks: {', '.join(cut)}.")
    if relative:
        lines.append(f"Noise under I(X;T): {relative}.")
    if resolution:
        lines.append(f"At this noise {resolution}.")
    if own:
        lines.append(f"I(X;T) of {', '.join(own)} is {AT_OWN}.")
    lines.append("KDE under I(T;Y): the KL-KL estimate at fixed noise, which is no bound. ±: standard error.")
    if any(one.saturated for one in shown):
        lines.append(f"sat: {SAT}.")
    if any(one.value.endswith(" linear") for one in shown):
        lines.append(f"lin: {LINEAR_ZERO}.")
    if any(one.undersampled and not one.saturated for one in shown):
        lines.append("†: undersampled. The estimate changes when half of the examples are dropped.")
    if any(one.null_like for one in shown):
        lines.append("≤null: no higher than with permuted labels (95 % quantile), so no evidence about the label.")
    if any(one.mostly_null for one in shown):
        lines.append("~null: mostly null. Permuted labels give more than half of the value on average.")
    return Text("\n" + "\n".join(lines), style="dim")
