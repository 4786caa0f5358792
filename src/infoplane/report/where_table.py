"""Terminal tables of `infoplane where`: which share of the examples loses the label at each layer."""

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.findings.where_sentences import RULE, attack_names, where_sentences
from infoplane.findings.where_shares import ALL, MISCLASSIFIED, loss_shares
from infoplane.records.tables import ORIGINAL
from infoplane.report.examples import examples_order
from infoplane.report.labels import training_label
from infoplane.runs.where_files import Where
from infoplane.text import percent

_FIRST, _FURTHER = 3, 4  # columns of the first table, originals and an attack, and of further ones, two attacks


def where_tables(found: Where) -> Group:
    """Render everything, for `rich.console.Console.print`.

    Args:
        found: records of all networks.
    """
    shares, names = loss_shares(found.pointwise, found.layers), attack_names(found.layers)
    parts: list[RenderableType] = []
    for training in shares["training"].unique(maintain_order=True):
        own = shares.filter(training=training)
        columns = list(columns_of(own, names).items())
        starts = range(_FIRST, len(columns), _FURTHER)  # more columns are wider than a terminal
        tables = [columns[:_FIRST], *(columns[start : start + _FURTHER] for start in starts)]
        parts += [_table(own, dict(some), training) for some in tables]
    parts += [Text(f"\n{RULE}")]
    parts += [Text(f"- {sentence}") for sentence in where_sentences(found.pointwise, found.layers)]
    return Group(*parts)


def columns_of(shares: pl.DataFrame, names: dict[str, str]) -> dict[tuple[str, str], str]:
    """Return the head of each column by kind of examples and which of them it is about.

    Args:
        shares: columns of `findings.where_shares.SHARES_SCHEMA`, of one training.
        names: of attacks, by the names of their examples.
    """
    heads = {}
    for kind in sorted(shares["examples"].unique(), key=examples_order):
        heads[kind, ALL] = ORIGINAL if kind == ORIGINAL else names.get(kind, kind)
        if kind != ORIGINAL:
            heads[kind, MISCLASSIFIED] = f"misclassified by {names.get(kind, kind)}"
    return heads


def cell_of(shares: pl.DataFrame, kind: str, among: str, place: int) -> str:
    """Return a share with its interval; "-" where there are no such examples."""
    own = shares.filter(examples=kind, among=among, place_index=place).to_dicts()
    return percent(own[0]["share"], own[0]["share_low"], own[0]["share_high"]) if own else "-"


def _table(shares: pl.DataFrame, heads: dict[tuple[str, str], str], training: str) -> Table:
    seeds = int(shares["seeds"].max())  # type: ignore[arg-type]
    title = f"{training_label(training).capitalize()}" + (f", {seeds} seeds together" if seeds > 1 else "")
    table = Table(
        title=Text(f"\n{title}: share of examples that lose the label at each layer (95 % interval)"),
        title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
    )  # fmt: skip
    table.add_column("label lost at")
    for head in heads.values():
        table.add_column(Text(head), justify="right")
    table.add_column("permuted labels", justify="right")
    counts = [shares.filter(examples=kind, among=among)["n"] for kind, among in heads]
    table.add_row("examples", *(f"{number[0]:,}" if len(number) else "0" for number in counts), "")
    for index, place in shares.select("place_index", "place").unique().sort("place_index").rows():
        cells = [cell_of(shares, kind, among, index) for kind, among in heads]
        table.add_row(Text(place), *cells, permuted_text(shares, index))
    return table


def permuted_text(shares: pl.DataFrame, place: int) -> str:
    """Return the share under permuted labels at a place, "-" where it was not measured."""
    known = shares.filter(examples=ORIGINAL, place_index=place)["permuted_share"].drop_nulls()
    return f"{100 * known[0]:.0f} %" if len(known) else "-"
