"""Section of the page on where labels are lost, example by example; empty if the run has no such records."""

from collections.abc import Sequence
from html import escape
from typing import Any

import polars as pl

from infoplane.findings.where_lost import KEPT, NEVER
from infoplane.findings.where_sentences import RULE, attack_names, where_sentences
from infoplane.findings.where_shares import loss_shares, pair_shares
from infoplane.records.tables import ORIGINAL
from infoplane.report.labels import training_label
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable
from infoplane.report.subject import class_label
from infoplane.report.where_table import cell_of, columns_of, permuted_text
from infoplane.runs.where_files import Where, WhereFiles
from infoplane.text import percent

_SAID = 8  # sentences that are not folded
_PAIRS, _FEWEST = 10, 3  # pairs of class and mistaken class of each training and attack; examples of a pair
_TITLE = "Where the label is lost, example by example"


def where_section(source: PageSource) -> PageSection | None:
    """Return the section; None if `infoplane where` was not run."""
    if source.run is None:
        return None
    html = where_html(WhereFiles(source.run).read(), source.figures_html("where"), source.subject.class_names)
    return PageSection("where", _TITLE, html) if html else None


def where_html(found: Where, figures: str, class_names: Sequence[str]) -> str:
    """Return the content of the section, or an empty string without records.

    Args:
        found: records of all networks.
        figures: its figures.
        class_names: empty if the run does not record them.
    """
    if found.pointwise.is_empty():
        return ""
    said = [f"<li>{escape(one)}</li>" for one in where_sentences(found.pointwise, found.layers)]
    more = (
        f"<details><summary>More sentences</summary><ul>{''.join(said[_SAID:])}</ul></details>" if said[_SAID:] else ""
    )
    shares, names = loss_shares(found.pointwise, found.layers), attack_names(found.layers)
    tables = "".join(
        _shares(shares.filter(training=training), names, training)
        for training in shares["training"].unique(maintain_order=True)
    )
    pairs = _pairs(found, names, class_names)
    return f"<ul>{''.join(said[:_SAID])}</ul>{more}\n<p>{escape(RULE)}</p>\n{figures}\n{tables}{pairs}"


def _shares(shares: pl.DataFrame, names: dict[str, str], training: str) -> str:
    columns = columns_of(shares, names)
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in columns.values())
    counts = [shares.filter(examples=kind, among=among)["n"] for kind, among in columns]
    numbers = "".join(f"<td>{number[0]:,}</td>" if len(number) else "<td>0</td>" for number in counts)
    lines = [f'<tr><th scope="row">examples</th>{numbers}<td></td></tr>']
    for index, place in shares.select("place_index", "place").unique().sort("place_index").rows():
        cells = "".join(f"<td>{escape(cell_of(shares, kind, among, index))}</td>" for kind, among in columns)
        lines.append(
            f'<tr><th scope="row">{escape(place)}</th>{cells}<td>{escape(permuted_text(shares, index))}</td></tr>'
        )
    return scrollable(
        f"{training_label(training).capitalize()}: share of the examples that lose the label at each layer, with 95 % "
        f"intervals; {NEVER}: at no layer, with or without the attack; {KEPT}: still encoded at the last layer",
        f'<thead><tr><th scope="col" class="text">Label lost at</th>{heads}<th scope="col">permuted labels</th></tr>'
        f"</thead><tbody>{''.join(lines)}</tbody>",
    )


def _pairs(found: Where, names: dict[str, str], class_names: Sequence[str]) -> str:
    """Return a folded table of the most frequent mistakes, with the layer at which most of them lose the label."""
    pairs, lines = pair_shares(found.pointwise), []
    keys = ["training", "examples", "label", "predicted"]
    frequent = pairs.filter(pl.col("n") >= _FEWEST).sort("count", descending=True, maintain_order=True)
    most = frequent.unique(keys, keep="first", maintain_order=True)
    for training, kind in pairs.select("training", "examples").unique(maintain_order=True).rows():
        own = most.filter(training=training, examples=kind).sort("n", descending=True, maintain_order=True)
        name = kind if kind == ORIGINAL else names.get(kind, kind)
        lines += [_pair(row, name, class_names) for row in own.head(_PAIRS).to_dicts()]
    if not lines:
        return ""
    table = scrollable(
        f"Misclassified examples by class and mistaken class, the {_PAIRS} most frequent pairs of at least {_FEWEST} "
        "examples of each training and kind of examples: the place at which most of them lose the label",
        '<thead><tr><th scope="col" class="text">Training</th><th scope="col" class="text">Examples</th>'
        '<th scope="col" class="text">Class</th><th scope="col" class="text">Mistaken for</th>'
        '<th scope="col">Examples</th><th scope="col" class="text">Label lost at, most often</th>'
        f'<th scope="col">Share</th></tr></thead><tbody>{"".join(lines)}</tbody>',
    )
    return f"<details><summary>By class and mistaken class</summary>{table}</details>"


def _pair(row: dict[str, Any], examples: str, class_names: Sequence[str]) -> str:
    names = (class_label(row[name], class_names) for name in ("label", "predicted"))
    texts = "".join(f'<td class="text">{escape(cell)}</td>' for cell in (examples, *names))
    share = percent(row["share"], row["share_low"], row["share_high"])
    return (
        f'<tr><th scope="row">{escape(row["training"])}</th>{texts}<td>{row["n"]:,}</td>'
        f'<td class="text">{escape(row["place"])}</td><td>{share}</td></tr>'
    )
