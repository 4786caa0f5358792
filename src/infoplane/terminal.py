"""Terminal check: can a line be redrawn, as a progress bar needs?"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def can_redraw(console: "Console") -> bool:
    """Return whether a live progress bar can be drawn: on a terminal whose cursor moves, not in a notebook.

    A notebook runs the command after `!` in a terminal of its own and asks for colours (FORCE_COLOR), but prints
    the codes that move a cursor as characters between the lines.
    """
    of_a_kernel = os.environ.get("PAGER") == "cat" and "FORCE_COLOR" in os.environ  # whatever started the kernel
    if console.is_jupyter or "JPY_PARENT_PID" in os.environ or of_a_kernel:
        return False
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
