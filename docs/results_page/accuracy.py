"""Tables of accuracy at the last epoch, plain and under distortions."""

from collections.abc import Iterator

import polars as pl

from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.report.bits import last_epoch, trainings_of
from infoplane.report.labels import curve_label, curve_order
from results_page.markdown import table


def accuracies(performance: pl.DataFrame) -> str:
    """Return the accuracies at the last epoch in %, over seeds, with 95 % intervals."""
    rows = last_epoch(performance.filter(pl.col("distortion").is_null()))
    curves = sorted(rows.select("split", "examples").unique().rows(), key=lambda curve: curve_order(*curve))
    lines = []
    for training in dict.fromkeys(training for _, training in trainings_of(rows)):
        own = rows.filter(training=training)
        seeds = own["seed"].n_unique()
        cells = []
        for split, examples in curves:
            part = own.filter(split=split, examples=examples)
            accuracy = None if part.is_empty() else accuracy_of(part)
            low, high = accuracy_ends(accuracy) if accuracy else (0, 0)
            cells.append(f"{100 * accuracy.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]" if accuracy else "-")
        lines.append([training, str(seeds), *cells])
    return table(["training", "seeds", *(curve_label(*curve) for curve in curves)], lines)


def under_distortion(performance: pl.DataFrame) -> Iterator[str]:
    """Yield a table for each distortion: accuracy in % at the last epoch, at each of its levels."""
    rows = last_epoch(performance.filter(pl.col("distortion").is_not_null()))
    for name in rows["distortion"].unique(maintain_order=True):
        own = rows.filter(distortion=name)
        levels = sorted(own["level"].unique())
        lines = []
        for training, examples in own.select("training", "examples").unique(maintain_order=True).rows():
            part = own.filter(training=training, examples=examples)
            at_levels = [accuracy_of(part.filter(level=level)) for level in levels]
            lines.append([training, examples, *(f"{100 * one.value:.1f}" for one in at_levels)])
        yield f"Accuracy in % under {name}, by its level:"
        yield table(["training", "examples", *(f"{level:g}" for level in levels)], lines)
