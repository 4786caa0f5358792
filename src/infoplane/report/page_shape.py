"""Section of the page on texture against shape; empty if the run has no such records."""

from html import escape

import polars as pl

from infoplane.findings.shape_bias import shape_bias
from infoplane.findings.shape_claim import RULE, shape_sentences
from infoplane.findings.shape_layers import cue_layers
from infoplane.measuring.exchanged import kind_title
from infoplane.records.tables import DECODED, DECODED_TRANSFER
from infoplane.report.labels import training_label
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable
from infoplane.report.shape_table import BIAS_HEADS, bias_cells, cue_cells, label_cell, null_cell
from infoplane.runs.shape_files import CueRecords, ShapeFiles


def shape_section(source: PageSource) -> PageSection | None:
    """Return the section; None if `infoplane shape` was not run."""
    if source.run is None:
        return None
    html = shape_html(ShapeFiles(source.run).read(), source.figures_html("shape"))
    return PageSection("shape", "Texture against shape", html) if html else None


def shape_html(found: CueRecords, figures: str) -> str:
    """Return the content of the section, or an empty string without records.

    Args:
        found: records of all networks.
        figures: its figures.
    """
    if found.answers.is_empty():
        return ""
    said = "".join(f"<li>{escape(one)}</li>" for one in shape_sentences(found.answers, found.layers))
    layers, tables = cue_layers(found.layers), []
    for kind, width, training in layers.select("kind", "width", "training").unique(maintain_order=True).rows():
        own = layers.filter(pl.col("width").eq_missing(pl.lit(width, pl.Float64)), kind=kind, training=training)
        tables.append(_layers(own, f"{training_label(training).capitalize()}, {kind_title(kind, width)}"))
    folded = f"<details><summary>Tables of the layers</summary>{''.join(tables)}</details>" if tables else ""
    return f"<ul>{said}</ul>\n<p>{escape(RULE)}</p>\n{figures}\n{_biases(found.answers)}{folded}"


def _biases(answers: pl.DataFrame) -> str:
    heads = "".join(f'<th scope="col"{_align(place)}>{head}</th>' for place, head in enumerate(BIAS_HEADS))
    lines = []
    for row in shape_bias(answers).iter_rows(named=True):
        name, *cells = map(escape, bias_cells(row))
        own = "".join(f"<td{_align(place)}>{cell}</td>" for place, cell in enumerate(cells, start=1))
        lines.append(f'<tr><th scope="row">{name}</th>{own}</tr>')
    return scrollable(
        "Answers to conflicts of shape and texture, with 95 % intervals",
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody>",
    )


def _align(place: int) -> str:
    return ' class="text"' if place < 2 else ""


def _layers(rows: pl.DataFrame, title: str) -> str:
    cues = ("shape", "texture", "shape - texture", "null")
    heads = "".join(f'<th scope="col">{cue}, {said}</th>' for said in ("trained on clean", "refitted") for cue in cues)
    lines = []
    for layer in rows["layer"].unique(maintain_order=True):
        cells = [label_cell(rows, layer)]
        for estimator in (DECODED_TRANSFER, DECODED):
            cells += [*cue_cells(rows, estimator, layer), null_cell(rows, estimator, layer)]
        own = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{escape(layer)}</th>{own}</tr>')
    return scrollable(
        f"{title}: decoded information about both cues, in bits, with 95 % intervals",
        f'<thead><tr><th scope="col" class="text">Layer</th><th scope="col">label, no conflict</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody>",
    )
