"""Reports of a run: terminal tables, figures for papers and one self-contained HTML page."""
