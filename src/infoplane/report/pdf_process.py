"""Write pickled figures as PDF in a process that `pdfs.py` starts; it imports matplotlib and nothing else."""

import gc
import io
import pickle
import sys
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

RESOLUTION_DPI = 160  # resolution of images, also in a PDF


def pdf_bytes(figure: Figure) -> bytes:
    """Return the figure as PDF, without date or version."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", dpi=RESOLUTION_DPI, metadata={"CreationDate": None, "Producer": None})
    return buffer.getvalue()


def main(folder: Path) -> None:
    """Read file names N.pickle from standard input, and draw each (a style and a figure) in `folder` as N.pdf."""
    gc.disable()
    for line in sys.stdin:
        job = folder / line.rstrip("\n")
        style, figure = pickle.loads(job.read_bytes())
        with matplotlib.style.context(["default", style]):
            content = pdf_bytes(figure)
        unfinished = job.with_suffix(".part")
        unfinished.write_bytes(content)
        unfinished.replace(job.with_suffix(".pdf"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
