"""The command, drawing only the kinds of figures that DRAWN_FIGURES names; a script, so that it can start others."""

import os
import sys
from collections.abc import Callable

import infoplane.commands.cli as cli


def rendering_only(*kinds: str) -> Callable[..., None]:
    """Return a `save_figure` that renders these kinds; all other figures are made, and their files are empty."""
    from infoplane.report.figure_formats import FORMATS
    from infoplane.report.style import save_figure
    from infoplane.runs.whole_files import write_whole

    def save(figure, stem, formats=FORMATS):
        if stem.name.startswith(kinds):
            save_figure(figure, stem, formats)
            return
        for suffix in formats:
            write_whole(stem.with_name(f"{stem.name}.{suffix}"), b"")

    return save


def draw_only(kinds: list[str]) -> None:
    import infoplane.report.figure as figures
    import infoplane.report.html as html
    from infoplane.report import figure_files

    if kinds[:1] == ["unrendered"]:
        figures.save_figure = rendering_only(*kinds[1:])
    elif kinds:
        figure_files.FIGURES = tuple(spec for spec in figure_files.FIGURES if spec.kind in kinds)

    def write_here(run, output=None, *, processes=None):
        """Draw in this process: others would draw all figures."""
        return figure_files.write_figures(run, output) if kinds else []

    html.write_figures = write_here


if __name__ == "__main__":
    dispatch = cli._dispatch

    def dispatch_drawing_little(arguments: list[str]) -> int:
        """Change nothing before the command has begun: what it imports, and when, matters."""
        draw_only(os.environ["DRAWN_FIGURES"].split())
        return dispatch(arguments)

    cli._dispatch = dispatch_drawing_little
    sys.exit(cli.main())
