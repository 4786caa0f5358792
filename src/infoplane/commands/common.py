"""Parts shared by all commands: base class of options, exit statuses, console, and the typed command line."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from infoplane.commands.output import Told, complain

if TYPE_CHECKING:
    from rich.console import Console

USER_ERROR = 2
typed: list[str] = []  # the arguments as they were typed, to say how to continue


class Options(BaseModel):
    """Base class of the options of a command."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def described(cls) -> str:
        """Return the text above the options in the help of the command."""
        return (cls.__doc__ or "").strip()


def listed(title: str, descriptions: Mapping[str, str]) -> str:
    """Return a list for help: a title, then a line for each name and its description."""
    return "\n".join([f"{title}:", *(f"  {name}: {description}" for name, description in descriptions.items())])


def typed_command() -> str:
    """Return the current command line, as text that can be typed again."""
    return shlex.join(["infoplane", *typed])


@contextmanager
def says_how_to_continue(kept: str) -> Iterator[None]:
    """Print how to continue after Ctrl-C, SIGTERM or SIGHUP inside the block; `kept` says what is not lost."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        complain(f"\ninterrupted; {kept}. To continue: {typed_command()}")
        raise Told(interruption) from None


def open_console() -> "Console":
    """Return the console on which tables are printed."""
    from rich.console import Console

    console = Console()
    # A pipe has no width, even if FORCE_COLOR makes it count as a terminal; this is wide enough for every table.
    return console if console.is_terminal and console.file.isatty() else Console(width=120)
