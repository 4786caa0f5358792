"""The command, drawing only the kinds of figures that DRAWN_FIGURES names; a script, so that it can start others."""

import os
import sys

import infoplane.report.html as html
from infoplane.commands.cli import main
from infoplane.report import figure_files

if drawn := os.environ["DRAWN_FIGURES"].split():
    figure_files.FIGURES = tuple(spec for spec in figure_files.FIGURES if spec.kind in drawn)
else:
    html.write_figures = lambda run, output=None: []  # nor a process for their PDFs

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
