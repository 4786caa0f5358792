"""Export of the study's own figures beside ours, as one page that works offline."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import polars as pl

from infoplane.report.clouds_figure import FOUR_CLOUDS
from infoplane.report.distortion_figure import DISTORTION
from infoplane.report.figure import DrawnFigure, paths_of
from infoplane.report.flow_figure import INFORMATION_FLOW
from infoplane.report.limits_figure import LIMITS
from infoplane.report.recorded import recorded_of
from infoplane.report.study_style import CLOUDS, DISTORTED, FLOW, NOISE_LIMITS
from infoplane.report.style import figure_style
from infoplane.report.sweep_curves import Sweeps
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import SWEEPS
from infoplane.runs.whole_files import write_whole

FOLDER = "study-style"  # in the folder of the report
_SWEEPS, _LIMITS = "sweeps", "limits"  # folders of study three in that of a run
_MISSING = (
    (DISTORTED, "infoplane distortion {run}"),
    (CLOUDS, f"infoplane geometry --output {{run}}/{_SWEEPS}"),
    (NOISE_LIMITS, f"infoplane limits --output {{run}}/{_LIMITS}"),
)


def write_study_style(run: RunFolder, output: Path | None = None) -> Path:
    """Draw the study's Figures 4 to 7 from the records of a run, and write a page that shows ours beside them.

    Ours are drawn too, so that both show the same records. Figures whose records are missing are named on the page,
    with the command that makes them.

    Args:
        run: folder of the run.
        output: the folder "study-style" is made in this folder; None is the run's folder.

    Returns:
        Path of the page.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    recorded, folder = recorded_of(run), (output or run.path) / FOLDER
    pairs: list[tuple[list[DrawnFigure], list[DrawnFigure]]] = []
    with figure_style():
        for own in recorded.parts():
            for theirs, ours in ((FLOW, INFORMATION_FLOW), (DISTORTED, DISTORTION)):
                if own.per == theirs.per:
                    pairs.append(tuple(spec.write(own, folder, own.about, own.label) for spec in (theirs, ours)))  # type: ignore[arg-type]
        if (clouds := _read(run, _SWEEPS, "records.parquet")) is not None:
            points = pl.read_parquet(run.path / _SWEEPS / "clouds.parquet")
            pairs.append(
                (CLOUDS.write(Sweeps(clouds, points), folder), FOUR_CLOUDS.write(Sweeps(clouds, points), folder))
            )
        if (limits := _read(run, _LIMITS, "records.parquet")) is not None:
            pairs.append((NOISE_LIMITS.write(limits, folder), LIMITS.write(limits, folder)))
    drawn = [figure for pair in pairs for side in pair for figure in side]
    page = folder / "study.html"
    write_whole(page, _page(recorded.name, pairs, _missing(run, drawn)).encode())
    if output is None:
        run.list_files([*paths_of(drawn), page])
    return page


def _read(run: RunFolder, folder: str, name: str) -> pl.DataFrame | None:
    path = run.path / folder / name
    if not path.is_file():
        return None
    return RunFolder(run.path / folder).read_table(path, SWEEPS, f"delete it and run infoplane {folder} again")


def _missing(run: RunFolder, drawn: Sequence[DrawnFigure]) -> list[str]:
    kinds = {one.spec.kind for one in drawn}
    return [
        f"{spec.kind.replace('-', ' ').capitalize()} has no records: {command.format(run=run.path)}"
        for spec, command in _MISSING
        if spec.kind not in kinds
    ]


def _page(name: str, pairs: Sequence[tuple[list[DrawnFigure], list[DrawnFigure]]], missing: Sequence[str]) -> str:
    rows = "".join(f"<tr>{_cell(theirs)}{_cell(ours)}</tr>" for theirs, ours in pairs if theirs)
    notes = "".join(f"<li>{escape(line)}</li>" for line in missing)
    title = escape(f"{name}: the study's figures beside ours")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:15px/1.45 sans-serif;margin:1.5rem}'
        "img{width:100%}td{vertical-align:top;width:50%;padding:.5rem}th{text-align:left}</style></head>"
        f"<body><h1>{title}</h1><p>Left: layout and estimators of the study (Zhang et al. 2022, arXiv:2207.05756), "
        "without ceilings, nulls and intervals. Right: ours, from the same records. Information is in bits.</p>"
        f"<ul>{notes}</ul><table><thead><tr><th>The study's</th><th>Ours</th></tr></thead><tbody>{rows}</tbody>"
        "</table></body></html>\n"
    )


def _cell(figures: Sequence[DrawnFigure]) -> str:
    parts = []
    for one in figures:
        title, image = escape(one.title), base64.b64encode(one.png.read_bytes()).decode()
        parts.append(
            f'<figure><img alt="{title}" src="data:image/png;base64,{image}"><figcaption><strong>{title}.</strong> '
            f"{escape(one.spec.caption)}</figcaption></figure>"
        )
    return f"<td>{''.join(parts)}</td>"
