"""The command, drawing only the kinds of figures that DRAWN_FIGURES names; a script, so that it can start others."""

import os
import sys
from collections.abc import Callable

import infoplane.report.figure as figures
import infoplane.report.html as html
from infoplane.commands.cli import main
from infoplane.report import figure_files
from infoplane.report.style import save_figure
from infoplane.runs.whole_files import write_whole


def rendering_only(*kinds: str) -> Callable[..., None]:
    """Return a `save_figure` that renders these kinds; all other figures are made, and their files are empty."""

    def save(figure, stem, pdfs=None):
        if stem.name.startswith(kinds):
            save_figure(figure, stem, pdfs)
            return
        for suffix in (".png", ".pdf"):
            write_whole(stem.with_name(f"{stem.name}{suffix}"), b"")

    return save


if __name__ == "__main__":
    kinds = os.environ["DRAWN_FIGURES"].split()
    if kinds == ["unrendered"]:
        figures.save_figure = rendering_only()
    elif kinds:
        figure_files.FIGURES = tuple(spec for spec in figure_files.FIGURES if spec.kind in kinds)
    else:
        html.write_figures = lambda run, output=None: []
    sys.exit(main(sys.argv[1:]))
