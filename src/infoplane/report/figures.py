"""The figures of a run, as PNG and PDF in its folder."""

from pathlib import Path

import polars as pl

from infoplane.report.bits import in_bits, plane_points, trainings_of
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.entropy_figure import class_entropy_figure
from infoplane.report.flow_figure import flow_title, information_flow_figure
from infoplane.report.labels import training_label
from infoplane.report.style import figure_style, save_figure
from infoplane.runs import RunFolder


def write_figures(run: RunFolder) -> list[Path]:
    """Draw everything that the run has recorded so far; an unfinished run gets figures that say what is missing.

    Returns:
        Paths below `figures/`, PNG before PDF: per training the information flow and the entropies of classes,
        per seed a comparison of its trainings. Nothing recorded, nothing drawn.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    name = str(run.read_config().get("settings", {}).get("recipe", run.path.name))
    rows = in_bits(run.measurements())
    performance = run.performance().filter(pl.col("distortion").is_null())
    points = plane_points(rows)
    folder = run.path / "figures"
    written: list[Path] = []
    pairs = trainings_of(rows, performance)
    with figure_style():
        for seed, training in pairs:
            own = (pl.col("seed") == seed) & (pl.col("training") == training)
            figure = information_flow_figure(
                points.filter(own), performance.filter(own), flow_title(name, training, seed)
            )
            written += save_figure(figure, folder / f"information-flow-{training}-s{seed}")
            title = f"Entropy of layer and class, less the noise, {training_label(training)}, seed {seed} ({name})"
            figure = class_entropy_figure(rows.filter(own), title)
            written += save_figure(figure, folder / f"class-entropies-{training}-s{seed}")
        for seed in dict.fromkeys(seed for seed, _ in pairs):
            title = f"Both informations over epochs, seed {seed} ({name})"
            figure = comparison_figure(points.filter(pl.col("seed") == seed), title)
            written += save_figure(figure, folder / f"comparison-s{seed}")
    return written
