"""Section of the page on the traces of attacks."""

import math
from html import escape

import polars as pl

from infoplane.findings.attack_losses import CARRIED, INPUT, READABLE, Losses
from infoplane.report.attack_answers import RULE, answers, attack_names, lost_layer
from infoplane.report.labels import training_label
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable
from infoplane.runs.attack_files import AttackFiles, Traces

_BITS = 1 / math.log(2)
_READINGS = {
    CARRIED: "I(T;Y) lost, decoders of originals",
    READABLE: "I(T;Y) lost, decoders refitted",
    INPUT: "I(X;T) lost",
}


_STRENGTH_HEADS = (
    "Attack", "Network", "Threat", "Accuracy", "Median L2", "Median L&infin;", "Gradients", "Passes", "Seconds",
    "Label lost at",
)  # fmt: skip


def attacks_section(source: PageSource) -> PageSection | None:
    """Return the section; None if `infoplane attacks` was not run."""
    if source.run is None:
        return None
    files = AttackFiles(source.run)
    html = attacks_html(files.read_all(), files.read_matrix(), source.figures_html("attacks"))
    return PageSection("attacks", "Traces of attacks", html) if html else None


def attacks_html(found: Traces | None, matrix: pl.DataFrame | None, figures: str) -> str:
    """Return the content of the section, or an empty string without records.

    Args:
        found: records of all networks.
        matrix: columns of `records.attacks.TRANSFER_SCHEMA`.
        figures: its figures.
    """
    if found is None or found.outcomes.is_empty():
        return ""
    losses, names = Losses(found.measurements), attack_names(found.outcomes)
    said = "".join(f"<li>{escape(answer)}</li>" for answer in answers(losses, found.outcomes))
    tables = _strengths(losses, found.outcomes) + _losses(losses, names)
    if matrix is not None and len(matrix):
        tables += _transfer(matrix)
    return (
        f"<p>What the layers of the finished networks encode under many attacks. {escape(RULE)}</p>\n"
        f"<ul>{said}</ul>\n{figures}\n{tables}"
    )


def _strengths(losses: Losses, outcomes: pl.DataFrame) -> str:
    lines = []
    for row in outcomes.sort("seed", maintain_order=True).to_dicts():
        norms = "".join(
            f"<td>{'&ndash;' if row[name] is None else f'{row[name]:.3g}'}</td>"
            for name in ("median_l2", "median_linf")
        )
        lines.append(
            f'<tr><th scope="row">{escape(row["attack"])}</th><td class="text">{escape(row["training"])}, seed '
            f'{row["seed"]}</td><td class="text">{row["threat"]}</td><td>{100 * row["accuracy"]:.1f} %</td>{norms}'
            f"<td>{row['gradients']:.0f}</td><td>{row['queries']:.0f}</td><td>{row['seconds']:.1f}</td>"
            f'<td class="text">{escape(lost_layer(losses, row["training"], row["examples"]))}</td></tr>'
        )
    return scrollable(
        f"Strength and cost of each attack on {outcomes['n'][0]} examples; medians over those that it changes from "
        "right to wrong; gradients and further passes per image",
        _head(*_STRENGTH_HEADS)
        + f"<tbody>{''.join(lines)}</tbody>",
    )  # fmt: skip


def _losses(losses: Losses, names: dict[str, str]) -> str:
    table, parts = losses.table(), []
    for training in losses.trainings:
        own = table.filter(pl.col("training") == training)
        lines = []
        for examples, index, layer in own.select("examples", "layer_index", "layer").unique(maintain_order=True).rows():
            cells = ""
            for reading in _READINGS:
                one = own.filter(examples=examples, layer_index=index, reading=reading).to_dicts()
                cells += _cell(one[0], "lost") + _cell(one[0], "beyond_pgd") if one else "<td></td><td></td>"
            lines.append(
                f'<tr><th scope="row">{escape(names.get(examples, examples))}</th><th scope="row">{escape(layer)}</th>'
                f"{cells}</tr>"
            )
        heads = [part for name in _READINGS.values() for part in (f"{name} (95 %)", "minus that of PGD (95 %)")]
        parts.append(
            scrollable(
                f"{training_label(training).capitalize()}: information of a layer on originals minus that on the "
                "attacked examples, in bits, paired over examples",
                _head("Attack", "Layer", *heads) + f"<tbody>{''.join(lines)}</tbody>",
            )
        )
    return "".join(parts)


def _cell(row: dict[str, float | None], name: str) -> str:
    value, low, high = (row[key] for key in (f"{name}_nats", f"{name}_low", f"{name}_high"))
    if value is None or low is None or high is None:
        return "<td></td>"
    return f"<td>{_BITS * value:.2f} ({_BITS * low:.2f} to {_BITS * high:.2f})</td>"


def _transfer(matrix: pl.DataFrame) -> str:
    lines = []
    for row in matrix.to_dicts():
        success = "&ndash;" if row["success"] is None else _share(row, "success")
        lines.append(
            f'<tr><th scope="row">{escape(row["source"])}</th><td class="text">{escape(row["target"])}</td>'
            f"<td>{_share(row, 'accuracy')}</td><td>{success}</td><td>{row['n_both']}</td></tr>"
        )
    return scrollable(
        f"{matrix['attack'][0]} examples that were made on one network and tested on another; success: the share that "
        "the other misclassifies, of the images that both classify correctly",
        _head("Made on", "Tested on", "Accuracy (95 %)", "Success (95 %)", "Images of success")
        + f"<tbody>{''.join(lines)}</tbody>",
    )


def _share(row: dict[str, float], name: str) -> str:
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * row[name]:.1f} % ({low:.1f} to {high:.1f})"


def _head(*names: str) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"
