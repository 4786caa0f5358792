"""Shell completion of commands, recipes and options; the script contains all of them and starts no Python."""

import contextlib
import io
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union

import tyro
from pydantic import create_model

from infoplane.commands.common import Options
from infoplane.commands.flow import FlowOptions, flow_options
from infoplane.errors import UserError
from infoplane.recipes import RECIPES
from infoplane.text import DESCRIBED

SHELLS = ("bash", "zsh", "fish")


def _flow() -> Any:
    """Present recipes as subcommands of flow, because the completion parser completes only commands."""
    options = flow_options()
    recipe: Any = Union[  # noqa: UP007
        tuple(Annotated[options, tyro.conf.subcommand(name, prefix_name=False)] for name in RECIPES)
    ]
    which: Any = Annotated[recipe, tyro.conf.arg(name="")]
    return create_model(
        "_Flow", __base__=Options, __doc__=FlowOptions.__doc__, which=(which, ...), __cls_kwargs__=DESCRIBED
    )


def completion_script(arguments: Sequence[str], commands: Mapping[str, type[Options]]) -> str:
    """Return the script by which a shell completes `infoplane`.

    Args:
        arguments: the name of a shell.
        commands: the options of each command.

    Raises:
        UserError: the shell is not supported.
    """
    if len(arguments) != 1 or arguments[0] not in SHELLS:
        raise UserError(f"--completion takes one of {', '.join(SHELLS)}, got {' '.join(arguments) or 'nothing'}")
    shown = {name: _flow() if options is FlowOptions else options for name, options in commands.items()}
    every: Any = Union[tuple(Annotated[options, tyro.conf.subcommand(name)] for name, options in shown.items())]  # noqa: UP007
    script = io.StringIO()
    with contextlib.redirect_stdout(script), contextlib.suppress(SystemExit):
        tyro.cli(every, prog="infoplane", args=["--tyro-print-completion", arguments[0]])
    # The script would offer each line of a longer description as a word.
    return re.sub("^COMPLETION_SPEC = .*", lambda line: line[0].replace("\\n", " "), script.getvalue(), flags=re.M)
