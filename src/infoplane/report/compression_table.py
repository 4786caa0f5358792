"""Terminal tables of the compression studies, in bits: falls of I(X;T) per layer, verdicts, and accuracies."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infoplane.findings.compression import MATERIAL_NATS, NETWORK, VARIANT, Judged, not_learned
from infoplane.findings.finding import ALL_LAYERS, CONTRADICTED, SUPPORTED
from infoplane.records.compression import FIXED_RANGE
from infoplane.records.tables import BINNING, EXACT, INPUT_INFORMATION, KDE_KL, NOISY

_BITS = 1 / math.log(2)
_STYLES = {SUPPORTED: "green", CONTRADICTED: "red"}


def variant_label(row: Mapping[str, Any]) -> str:
    """Return how a number came about, e.g. "30 bins, fixed range", from the columns of `VARIANT`."""
    if row["estimator"] == BINNING:
        return f"{row['bins']} bins, {'fixed range' if row['bin_range'] == FIXED_RANGE else 'range of the epoch'}"
    if row["estimator"] == EXACT:
        return "exact"
    if row["estimator"] == NOISY:
        return f"Monte Carlo, {row['noise_mode']} noise"
    return f"KDE {'upper' if row['estimator'] == KDE_KL else 'lower'} bound, {row['noise_mode']} noise"


def kind_label(activation: str, bits: int | None) -> str:
    """Return a kind of network, e.g. "tanh, 8 bits"."""
    return activation if bits is None else f"{activation}, {bits} bits"


def falls_tables(found: pl.DataFrame) -> Group:
    """Return a table per kind of network: the fall of I(X;T) from its maximum to the last epoch, in bits.

    Args:
        found: as `findings.compression.falls` returns it.
    """
    tables = []
    of_inputs = found.filter(pl.col("quantity") == INPUT_INFORMATION)
    for (activation, bits), kind in of_inputs.group_by(["activation", "bits"], maintain_order=True):
        layers = [layer for layer in kind["layer"].unique(maintain_order=True) if layer != ALL_LAYERS]
        table = Table(
            title=f"\n{kind_label(str(activation), bits)}: fall of I(X;T) to the last epoch, in bits, "
            f"{kind['seeds'][0]} seeds",
            title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False,
        )  # fmt: skip
        table.add_column("I(X;T) by", no_wrap=True)
        for layer in layers:
            table.add_column(layer, justify="right")
        table.add_column("mean [95 %]", justify="right", no_wrap=True)
        table.add_column("highest, last", justify="right", no_wrap=True)
        for names, own in kind.group_by(VARIANT, maintain_order=True):
            by_layer = {row["layer"]: row for row in own.to_dicts()}
            mean = by_layer[ALL_LAYERS]
            table.add_row(
                variant_label(dict(zip(VARIANT, names, strict=True))),
                *(_bits(by_layer[layer]["fall_nats"]) for layer in layers),
                f"{_bits(mean['fall_nats'])} [{_bits(mean['fall_low'])}, {_bits(mean['fall_high'])}]",
                f"{_bits(mean['peak_nats'])}, {_bits(mean['last_nats'])}",
            )
        tables.append(table)
    legend = (
        "From the maximum before the last epoch, whose epoch is chosen on the other seeds; negative: I(X;T) rises.\n"
        "mean: over layers, with a t interval over seeds.\n"
        "highest, last: of the mean curve, averaged over layers."
    )
    return Group(*tables, Text(legend, style="dim"))


def verdicts_table(judged: Sequence[Judged]) -> Table:
    """Return the statements with their verdicts, and why, in bits."""
    title = f"\nClaims; a fall counts above a border of {_bits(MATERIAL_NATS)} bits"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False)
    for name in ("statement", "verdict", "why"):
        table.add_column(name)
    for one in judged:
        table.add_row(one.statement, Text(one.verdict, style=_STYLES.get(one.verdict, "yellow")), _why(one))
    return table


def _why(one: Judged) -> str:
    if one.corrected_low is None or one.corrected_high is None:
        return one.reason
    return f"[{_bits(one.corrected_low)}, {_bits(one.corrected_high)}] bits: {one.reason}"


def added_seeds_text(seeds: Sequence[int], judged_first: int) -> str:
    """Return the line about the seeds that came after the first verdicts; empty if there are none.

    Args:
        seeds: of the study, ascending.
        judged_first: number of seeds at the first verdicts.
    """
    added = seeds[judged_first:]
    if not added:
        return ""
    which = f"Seed {added[0]} was" if len(added) == 1 else f"Seeds {added[0]} to {added[-1]} were"
    return f"{which} added after the first verdicts; the level of 5 % is that of one look, at seeds chosen before."


def accuracies_text(accuracies: pl.DataFrame) -> Text:
    """Return lines with the accuracies at the last epoch, and the networks that did not learn."""
    last = accuracies.filter(pl.col("epoch") == pl.col("epoch").max())
    lines = []
    for (activation, bits), kind in last.group_by(["activation", "bits"], maintain_order=True):
        parts = [
            f"{split} {', '.join(f'{value:.1%}' for value in kind.filter(split=split).sort('seed')['accuracy'])}"
            for split in ("train", "test")
        ]
        lines.append(f"accuracy of {kind_label(str(activation), bits)} by seed: {'; '.join(parts)}")
    for row in not_learned(accuracies).select(*NETWORK, "accuracy").to_dicts():
        name = kind_label(row["activation"], row["bits"])
        lines.append(f"left out, did not learn: {name}, seed {row['seed']} ({row['accuracy']:.1%})")
    return Text("\n".join(lines))


def _bits(nats: float) -> str:
    return f"{nats * _BITS + 0.0:.2f}"
