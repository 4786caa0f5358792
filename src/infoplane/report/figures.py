"""The figures of a run, as PNG and PDF in its folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from infoplane.records import FIXED_NOISE, trainings_at_chance
from infoplane.report.bits import (
    distorted,
    distortions_of,
    in_bits,
    last_epoch,
    plane_points,
    relative_noise_text,
    trainings_of,
    trusted_planes,
    undistorted,
)
from infoplane.report.comparison_figure import comparison_figure
from infoplane.report.distortion_figure import distortion_figure, distortion_layers_figure
from infoplane.report.distortion_sheet import distortion_sheet
from infoplane.report.entropy_figure import class_entropy_figure
from infoplane.report.flow_figure import information_flow_figure, relative_noise_figure
from infoplane.report.geometry_figure import geometry_figure
from infoplane.report.labels import RELATIVE_ESTIMATORS, SWEPT, TRUSTED, at_chance_note, training_label
from infoplane.report.mistakes_figure import mistakes_figure, transfer_figure
from infoplane.report.pdfs import pdfs_beside
from infoplane.report.seeds_figure import seeds_figure, seeds_performance_figure
from infoplane.report.style import STYLE, figure_style, save_figure
from infoplane.report.subject import subject_of
from infoplane.report.sweep_figure import noise_sweep_figure
from infoplane.report.trusted_figure import trusted_figure
from infoplane.runs import RunFolder


def write_figures(run: RunFolder, output: Path | None = None) -> list[Path]:
    """Draw everything that the run has recorded so far; an unfinished run gets figures that say what is missing.

    Args:
        run: its folder.
        output: the figures go to `output/figures`; None is the run's folder.

    Returns:
        Paths below `figures/`, PNG before PDF. Per training: the information flow, the numbers to trust first, the
        planes at relative noise, the sweep of the noise, the entropies of classes. Per seed: a comparison of its
        trainings, the geometry of layers, what adversarial examples are taken for, and where distortions were measured
        their figures and sheets of examples.
        Of several seeds together: both informations and performance, as bands.
        Nothing recorded, nothing drawn.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    name, _, _, class_names = subject_of(run.read_config(), run.path.name)
    rows = in_bits(run.measurements())
    geometry = undistorted(run.geometry())
    performance = run.performance().filter(pl.col("distortion").is_null())
    points = plane_points(rows)
    folder = (output or run.path) / "figures"
    written: list[Path] = []
    pairs = trainings_of(rows, performance)
    dead = trainings_at_chance(performance)
    with figure_style(), pdfs_beside(STYLE, beside=len(pairs) > 1) as pdfs:
        for seed, training in pairs:
            own = (pl.col("seed") == seed) & (pl.col("training") == training)
            drawn = _training_figures(rows.filter(own), points.filter(own), performance.filter(own), name, class_names)
            for kind, figure in drawn:
                written += save_figure(figure, folder / f"{kind}-{training}-s{seed}", pdfs)
        seeds = list(dict.fromkeys(seed for seed, _ in pairs))
        if len(seeds) > 1:
            where = f"seeds {', '.join(map(str, seeds))} ({name}){at_chance_note(dead)}"
            figure = seeds_figure(points, f"Both informations over epochs, {where}")
            written += save_figure(figure, folder / "seeds-information", pdfs)
            figure = seeds_performance_figure(performance, f"Performance over epochs, {where}")
            written += save_figure(figure, folder / "seeds-performance", pdfs)
        for seed in seeds:
            where = f"seed {seed} ({name}){at_chance_note([one for one in dead if one[0] == seed])}"
            title = f"Both informations over epochs, {where}"
            figure = comparison_figure(points.filter(pl.col("seed") == seed), title)
            written += save_figure(figure, folder / f"comparison-s{seed}", pdfs)
            of_seed = geometry.filter(pl.col("seed") == seed)
            if not of_seed.is_empty():
                fixed = rows.filter(pl.col("noise_mode") == FIXED_NOISE)["noise_variance"].unique().to_list()
                figure = geometry_figure(of_seed, fixed, f"Geometry of the layers over epochs, {where}")
                written += save_figure(figure, folder / f"geometry-s{seed}", pdfs)
            for kind, drawing in mistake_figures(run, seed, where, class_names):
                written += save_figure(drawing, folder / f"{kind}-s{seed}", pdfs)
        for kind, figure in distortion_figures(run, name):
            written += save_figure(figure, folder / kind, pdfs)
    return written


def mistake_figures(run: RunFolder, seed: int, where: str, class_names: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Draw what attacked examples are taken for and what layers tell about it, where that was recorded."""
    own = pl.col("seed") == seed
    performance = run.performance().filter(own, pl.col("distortion").is_null())
    if transfer := transfer_figure(performance, f"What adversarial examples are taken for, {where}", class_names):
        yield "transfer", transfer
    measurements = run.measurements().filter(own)
    saturated = in_bits(measurements, of_distorted=True).filter(pl.col("distortion") == "saturation")
    title = f"What misclassified adversarial examples tell, {where}"
    if mistakes := mistakes_figure(in_bits(measurements), saturated, title):
        yield "mistakes", mistakes


def distortion_figures(run: RunFolder, name: str) -> Iterator[tuple[str, Figure]]:
    """Draw study two, seed by seed, where it was made."""
    performance = distorted(run.performance())
    if performance.is_empty():
        return
    rows = in_bits(run.measurements(), of_distorted=True)
    for seed in performance["seed"].unique().sort():
        own, performed = (table.filter(pl.col("seed") == seed) for table in (rows, performance))
        where = f"seed {seed} ({name})"
        title = f"Distorted examples, information of the last layer, {where}"
        yield f"distortion-s{seed}", distortion_figure(own, performed, title)
        for distortion in distortions_of(performed):
            title = f"Both informations under {distortion}, layer by layer, {where}"
            yield f"distortion-layers-{distortion}-s{seed}", distortion_layers_figure(own, distortion, title)
            sheets = {}
            for (study,) in performed.select("study").unique().rows():
                for _, training in trainings_of(performed):
                    if kept := run.read_examples(study, seed, training, distortion):
                        sheets[training] = kept
            if sheets:
                title = f"Examples under {distortion}, {where}"
                yield f"distortion-sheet-{distortion}-s{seed}", distortion_sheet(sheets, distortion, title)


def _training_figures(
    rows: pl.DataFrame, points: pl.DataFrame, performance: pl.DataFrame, name: str, class_names: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Draw one training of one seed; what a run may do without is drawn where it was recorded."""
    ((seed, training),) = trainings_of(rows, performance)
    note = ", at chance" if trainings_at_chance(performance) else ""
    where = f"{training_label(training)}{note}, seed {seed} ({name})"
    recorded = set(points["estimator"])
    yield "information-flow", information_flow_figure(points, performance, f"Information flow, {where}")
    if planes := trusted_planes(points):
        noise = "relative" if planes[0] == TRUSTED else "fixed"
        title = f"Noisy I(X;T) at {noise} noise and decoded I(T;Y), with 95 % intervals, {where}"
        yield "trusted", trusted_figure(rows, title)
    if recorded.intersection(RELATIVE_ESTIMATORS):
        own = points.filter(pl.col("estimator").is_in(RELATIVE_ESTIMATORS))
        title = f"Information planes at relative noise, {relative_noise_text(rows)}, {where}"
        yield "relative-noise", relative_noise_figure(own, title)
    swept = last_epoch(rows)
    if not swept.filter(pl.col("estimator").str.ends_with(SWEPT)).is_empty():
        yield "noise-sweep", noise_sweep_figure(swept, f"Both informations against the noise, last epoch, {where}")
    title = f"Entropy of layer and class, less the noise, {where}"
    yield "class-entropies", class_entropy_figure(rows, title, class_names)
