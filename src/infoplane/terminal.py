"""Whether what is printed goes to a terminal on which a line can be drawn again and again."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def can_redraw(console: "Console") -> bool:
    """Whether a live bar can be drawn: on a terminal whose cursor moves, and in no notebook.

    A notebook gives the command after `!` a terminal of its own and asks for colours, also through a pipe
    (FORCE_COLOR), but shows the codes that move a cursor as rubbish between the lines.
    """
    of_a_kernel = os.environ.get("PAGER") == "cat" and "FORCE_COLOR" in os.environ  # whatever started the kernel
    if console.is_jupyter or "JPY_PARENT_PID" in os.environ or of_a_kernel:
        return False
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
