"""What commands share: the base of their options, exit statuses, the console, and how they were typed."""

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
    """Base of the options of a command."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @classmethod
    def described(cls) -> str:
        """Return what the help of the command says above its options."""
        return (cls.__doc__ or "").strip()


def listed(title: str, descriptions: Mapping[str, str]) -> str:
    """Return a list for help: a title, then a line for each name and its description."""
    return "\n".join([f"{title}:", *(f"  {name}: {description}" for name, description in descriptions.items())])


def typed_command() -> str:
    """Return the command line under way, to be typed again."""
    return shlex.join(["infoplane", *typed])


@contextmanager
def says_how_to_continue(kept: str) -> Iterator[None]:
    """Answer Ctrl-C, SIGTERM and SIGHUP inside the block by a line; `kept` says what is not lost."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        complain(f"\ninterrupted; {kept}. To continue: {typed_command()}")
        raise Told(interruption) from None


def open_console() -> "Console":
    """Return the console that tables go to."""
    from rich.console import Console

    console = Console()
    # A pipe has no width, also where FORCE_COLOR makes it pass for a terminal: wide enough that no table is folded.
    return console if console.is_terminal and console.file.isatty() else Console(width=120)
