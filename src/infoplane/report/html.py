"""HTML report: one page that works offline, with tables, interactive charts and all figures."""

import errno
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, get_args

import polars as pl
from plotly.offline import get_plotlyjs

from infoplane.errors import UserError
from infoplane.findings import Findings, find, plan_of
from infoplane.records.evaluation import EVALUATION, Evaluation
from infoplane.records.tables import FIXED_NOISE, INPUT_INFORMATION, LABEL_INFORMATION, RELATIVE_NOISE
from infoplane.report.bits import in_bits, layers_of, relative_noise_text, resolution_text, trainings_of, undistorted
from infoplane.report.evaluated import evaluation_of
from infoplane.report.figure import DrawnFigure, Section, paths_of
from infoplane.report.figure_files import write_figures
from infoplane.report.figures_in_order import SWEEP_FIGURES
from infoplane.report.findings_table import findings_html, findings_json
from infoplane.report.page_added import added_html
from infoplane.report.page_attacks import attacks_section
from infoplane.report.page_baselines import baselines_html
from infoplane.report.page_data import embedded_json, page_data
from infoplane.report.page_distortion import distortion_section
from infoplane.report.page_evaluation import evaluation_section
from infoplane.report.page_examples import examples_html
from infoplane.report.page_images import figures_html
from infoplane.report.page_tables import accuracy_html, geometry_html, information_html, settings_html
from infoplane.report.page_where import where_section
from infoplane.report.subject import Subject, subject_of
from infoplane.report.summary import at_chance_lines, missing_parts
from infoplane.runs.attack_files import AttackFiles
from infoplane.runs.folder import CALIBRATION, RunFolder
from infoplane.runs.parquet import SWEEPS as SWEEP_TABLE
from infoplane.runs.where_files import WhereFiles
from infoplane.runs.whole_files import write_whole
from infoplane.text import decodable

SWEEPS = "sweeps"  # name of the folder of study three in that of a run
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_NO_RUNS = ("geometry", "limits", EVALUATION, CALIBRATION)


def run_findings(run: RunFolder) -> Findings:
    """Test the study's claims on the records of a run, and on the sweeps of study three if they are in its folder.

    Raises:
        UserError: damaged records.
    """
    _check_holds_a_run(run)
    plan = plan_of(run.read_config()["settings"])
    return find(run.measurements(), run.performance(), _sweeps(run), plan=plan)


def write_report(run: RunFolder, found: Findings | None = None, output: Path | None = None) -> Path:
    """Draw the figures of `run` again and write its `findings.json` and `report.html`.

    The report of an unfinished run contains what has been recorded so far.

    Args:
        run: folder of the run.
        found: result of `run_findings`; None computes it.
        output: another folder for all files; the run's own folder is then not changed.

    Raises:
        UserError: the folder holds no run or damaged records, cannot be written to, or `output` is another run.
    """
    _check_holds_a_run(run)
    if output is not None and RunFolder(output).study() is not None:
        raise UserError(f"{output} holds a run of its own; choose another folder with --output")
    folder, config = output or run.path, run.read_config()
    path = folder / "report.html"
    measurements, performance = run.measurements(), run.performance()
    if found is None:
        found = run_findings(run)
    try:
        drawn = write_figures(run, output)
        swept = [spec.files(run.path / SWEEPS / "figures") for spec in SWEEP_FIGURES]
        figures = drawn + [one for one in swept if one.png.is_file()]
        files = AttackFiles(run)
        content = report_html(
            config,
            measurements,
            run.geometry(),
            performance,
            figures,
            found,
            evaluation_of(run),
            attacks=attacks_section(files.read_all(), files.read_matrix(), _of_section(figures, "attacks", folder)),
            where=where_section(
                WhereFiles(run).read(), _of_section(figures, "where", folder), subject_of(config, "run").class_names
            ),
            folder=folder,
        )
        write_whole(folder / "findings.json", decodable(findings_json(found)).encode())
        write_whole(path, decodable(content).encode())
        if output is None:
            run.list_files([*paths_of(drawn), folder / "findings.json", path])
    except OSError as error:
        if error.errno not in _NO_PERMISSION:
            raise
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror}); choose another folder for figures and "
            "report: infoplane report RUN --output FOLDER"
        ) from None
    return path


def _check_holds_a_run(run: RunFolder) -> None:
    if (study := run.study()) in _NO_RUNS:
        raise UserError(
            f"{run.path} holds the study {study!r}, which has figures and tables of its own there; "
            "infoplane report takes a folder that infoplane flow or demo made"
        )


def _sweeps(run: RunFolder) -> pl.DataFrame | None:
    """Return the sweeps of study three, if its folder is in that of the run."""
    sweeps = RunFolder(run.path / SWEEPS)
    path = sweeps.path / "records.parquet"
    if not path.is_file():
        return None
    return sweeps.read_table(path, SWEEP_TABLE, "delete it and run infoplane geometry again")


def report_html(
    config: Mapping[str, Any],
    measurements: pl.DataFrame,
    geometry: pl.DataFrame,
    performance: pl.DataFrame,
    figures: Sequence[DrawnFigure],
    findings: Findings | None = None,
    evaluation: Evaluation | None = None,
    *,
    attacks: str = "",
    where: str = "",
    folder: Path | None = None,
) -> str:
    """Return the whole page.

    Args:
        config: "study", "settings" and "environment"; missing ones are left out.
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        geometry: columns of `records.GEOMETRY_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
        figures: figures of the run; their PNG files are embedded.
        findings: findings from these records; None computes them.
        evaluation: of the run's networks under attack, if there is one.
        attacks: the section of `page_attacks`, with its figures.
        where: the section of `page_where`, with its figures.
        folder: folder of the run; paths of figures are shown relative to it.
    """
    settings = config.get("settings") or {}
    shown = {section: _of_section(figures, section, folder) for section in get_args(Section)}
    distortion = distortion_section(measurements, performance, shown["distortion"])
    findings = findings or find(measurements, performance, plan=plan_of(settings))  # seeds of distorted examples too
    performance = performance.filter(pl.col("distortion").is_null())
    rows = in_bits(measurements)
    subject = subject_of(config, str(config.get("study") or "run"))
    page = Template(files("infoplane.report").joinpath("page.html").read_text("utf-8"))
    return page.substitute(
        title=escape(f"{subject.title}: information plane report"),
        headline=escape(f"Information in the layers: {subject.title}"),
        lead=(
            "How much information each layer of this network has about its input and about the label, epoch by epoch, "
            "on original and on adversarial examples. Every number comes with its estimator, error and ceiling, and "
            "every I(T;Y) with what the same estimator gives for permuted labels."
        ),
        facts=_facts(subject, rows, performance),
        missing=_aside("at-chance", "A training is at chance", at_chance_lines(performance))
        + _aside("missing", "This run is not complete", missing_parts(measurements, performance, settings)),
        accuracy=accuracy_html(performance),
        information=information_html(measurements)
        + baselines_html(measurements)
        + examples_html(measurements)
        + added_html(measurements),
        findings=findings_html(findings),
        geometry=geometry_html(undistorted(geometry)),
        distortion=distortion,
        distortion_link='<li><a href="#distortion">Distorted examples</a></li>' if distortion else "",
        evaluation=evaluation_section(evaluation, shown["evaluation"]),
        evaluation_link='<li><a href="#evaluation">Accuracy under attack</a></li>' if evaluation else "",
        attacks=attacks,
        attacks_link='<li><a href="#attacks">Traces of attacks</a></li>' if attacks else "",
        where=where,
        where_link='<li><a href="#where">Where the label is lost</a></li>' if where else "",
        figures=shown["figures"] or "<p>Nothing has been recorded yet, so there is nothing to draw.</p>",
        settings=settings_html(config),
        noise=escape(_noise(rows)),
        data=embedded_json(page_data(rows, performance)),
        css=_resource("page.css"),
        javascript=_resource("page.js"),
        plotly=get_plotlyjs(),
    )


def _of_section(figures: Sequence[DrawnFigure], section: str, folder: Path | None) -> str:
    return figures_html([one for one in figures if one.spec.section == section], folder)


def _resource(name: str) -> str:
    return files("infoplane.report").joinpath(name).read_text("utf-8")


def _facts(subject: Subject, rows: pl.DataFrame, performance: pl.DataFrame) -> str:
    pairs = trainings_of(rows, performance)
    epochs = [*rows["epoch"], *performance["epoch"]]
    # the largest number: fewer examples are misclassified, or in one class
    informations = rows.filter(
        pl.col("quantity").is_in([INPUT_INFORMATION, LABEL_INFORMATION]), pl.col("class_index").is_null()
    )
    facts = {
        "Model": subject.model,
        "Data": subject.data,
        "Training": ", ".join(dict.fromkeys(training for _, training in pairs)),
        "Seed": ", ".join(dict.fromkeys(str(seed) for seed, _ in pairs)),
        "Epochs": f"{min(epochs)} to {max(epochs)}" if epochs else "",
        "Layers": str(len(layers_of(rows)) or ""),
        "Examples measured": ", ".join(str(count) for count in informations["samples"].unique().sort()),
        "Copies among them": str(informations["copies"].max() or ""),
    }
    shown = "".join(f"<div><dt>{name}</dt><dd>{escape(fact)}</dd></div>" for name, fact in facts.items() if fact)
    return f'<dl class="facts">{shown}</dl>' if shown else ""


def _aside(name: str, title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<aside class="missing" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>'
        f"<ul>{items}</ul></aside>"
    )


def _noise(rows: pl.DataFrame) -> str:
    variances = rows.filter(noise_mode=FIXED_NOISE)["noise_variance"].unique().sort().to_list()
    widths = rows["bin_width"].drop_nulls().unique().sort().to_list()
    parts = []
    if variances:
        parts.append(f"noise variance {_span(variances)}")
    if RELATIVE_NOISE in rows["noise_mode"]:
        resolution = resolution_text(rows)
        parts.append(f"relative noise {relative_noise_text(rows)}" + (f" ({resolution})" if resolution else ""))
    if widths:
        parts.append(f"bin width {_span(widths)}")
    return f" (here: {', '.join(parts)})" if parts else ""


def _span(values: Sequence[float]) -> str:
    return f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g}"
