"""Whether what is printed goes to a terminal on which a line can be drawn again and again."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Set by the kernel of a notebook, for itself and for every command that a cell starts.
_OF_A_KERNEL = ("module://matplotlib_inline.", "module://ipykernel.")


def can_redraw(console: "Console") -> bool:
    """Whether a live bar can be drawn: on a terminal whose cursor moves, and in no notebook.

    A notebook gives the command after `!` a terminal of its own and asks for colours, also through a pipe
    (FORCE_COLOR), but shows the codes that move a cursor as rubbish between the lines.
    """
    if console.is_jupyter or "JPY_PARENT_PID" in os.environ:
        return False
    if os.environ.get("MPLBACKEND", "").startswith(_OF_A_KERNEL):
        return False
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()
