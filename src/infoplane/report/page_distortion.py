"""Section of the page on distorted examples."""

from html import escape

import polars as pl

from infoplane.distortions import distortion_named
from infoplane.records.tables import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, KDE_BD, LABEL_INFORMATION, NOISY
from infoplane.report.bits import (
    distorted,
    distortions_of,
    examples_of,
    in_bits,
    level_label,
    noisy_name,
    trainings_of,
)
from infoplane.report.labels import RELATIVE
from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.report.page_tables import NULL_HEADS, number_cells, scrollable
from infoplane.report.summary import show_number

# quantity, estimator, heading, whether it has an interval and a null; Monte Carlo I(X;T) comes before these
_COLUMNS = (
    (INPUT_INFORMATION, KDE_BD, "I(X;T), KDE (BD)", False, False),
    (INPUT_INFORMATION, KDE_BD + RELATIVE, "I(X;T), KDE (BD), relative noise", False, False),
    (LABEL_INFORMATION, KDE_BD, "I(T;Y), KDE (BD-BD)", False, True),
    (LABEL_INFORMATION, DECODED, "I(T;Y), decoded, refitted", True, False),
    (LABEL_INFORMATION, DECODED_TRANSFER, "I(T;Y), decoders trained on undistorted clean", True, True),
)


def distortion_section(source: PageSource) -> PageSection | None:
    """Return the section; None if no distortion was recorded."""
    performance = distorted(source.performance)
    if performance.is_empty():
        return None
    rows = in_bits(source.measurements, of_distorted=True).filter(pl.col("class_index").is_null())
    tables = [
        folded(
            f"Numbers under {name}, seed {seed}", _table(rows.filter(chosen), performance.filter(chosen), seed, name)
        )
        for seed in performance["seed"].unique().sort()
        for name in distortions_of(performance.filter(pl.col("seed") == seed))
        for chosen in [(pl.col("seed") == seed) & (pl.col("distortion") == name)]
    ]
    text = (
        "<p>The finished networks on distorted examples; attacked examples were attacked first. Each distortion "
        "destroys one kind of cue, so a network whose accuracy falls relied on that cue. Decoders trained on "
        "undistorted clean examples show whether the network still encodes the label as before, and refitted ones "
        "whether the label can be read from the layer at all. Noise, fixed or relative, is the same at every "
        "level.</p>\n"
    )
    html = f"{text}{source.figures_html('distortion')}{''.join(tables)}"
    return PageSection("distortion", "Distorted examples", html)


def _table(rows: pl.DataFrame, performance: pl.DataFrame, seed: int, name: str) -> str:
    last = rows.filter(pl.col("layer_index") == pl.col("layer_index").max())
    layer = last["layer"][0] if len(last) else "no layer"
    found = {
        (row["level"], row["training"], row["examples"], row["quantity"], row["estimator"]): show_number(row)
        for row in last.to_dicts()
    }
    performed = {(row["level"], row["training"], row["examples"]): row for row in performance.to_dicts()}
    noisy = noisy_name(rows)
    heading = f"I(X;T), Monte Carlo, {'fixed' if noisy == NOISY else 'relative'} noise"
    columns = ((INPUT_INFORMATION, noisy, heading, False, False), *_COLUMNS)
    lent = performance["texture_accuracy"].is_not_null().any()
    lines = []
    for level in distortions_of(performance)[name]:
        conditions = [
            (level, training, examples)
            for _, training in trainings_of(performance)
            for examples in examples_of(performance, control=True)
            if (level, training, examples) in performed
        ]
        for condition in conditions:
            own = performed[condition]
            cells = f"<td>{100 * own['accuracy']:.2f} %</td>"
            if lent:
                texture = own["texture_accuracy"]
                cells += "<td>-</td>" if texture is None else f"<td>{100 * texture:.2f} %</td>"
            cells += f"<td>{own['loss']:.3g}</td>"
            for quantity, estimator, _, interval, null in columns:
                number = found.get((*condition, quantity, estimator))
                cells += number_cells(number, "", with_interval=interval, with_null=null)
            head = f'<th scope="rowgroup" rowspan="{len(conditions)}">{level_label(level)}</th>'
            start = f'<tr class="first">{head}' if condition == conditions[0] else "<tr>"
            lines.append(
                f"{start}"
                f'<th scope="row">{escape(condition[1])}</th><th scope="row">{escape(condition[2])}</th>{cells}</tr>'
            )
    heads = "".join(
        f'<th scope="col">{escape(text)}</th>' + '<th scope="col">95 % interval</th>' * interval + NULL_HEADS * null
        for _, _, text, interval, null in columns
    )
    known = distortion_named(name)
    texts = "".join(
        f'<th scope="col" class="text">{escape(text)}</th>'
        for text in (known.level.capitalize(), "Training", "Examples")
    )
    taken = '<th scope="col">Predicted as the texture&rsquo;s class</th>' if lent else ""
    return scrollable(
        f"{name.capitalize()} (destroys {known.destroys}), seed {seed}, layer {layer}: information in bits",
        f'<thead><tr>{texts}<th scope="col">Accuracy</th>{taken}<th scope="col">Loss, nats</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody>",
    )
