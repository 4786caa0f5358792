"""The command line. Strings become settings here; heavy imports wait until a command needs them."""

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from infoplane.commands.calibrate import CalibrateOptions, calibrate
from infoplane.commands.common import INTERRUPTED, USER_ERROR, Options, typed
from infoplane.commands.data import DataOptions, data
from infoplane.commands.distortion import DistortionOptions, distortion
from infoplane.commands.estimate import EstimateOptions, estimate
from infoplane.commands.flow import DemoOptions, FlowOptions, demo, flow
from infoplane.commands.geometry import GeometryOptions, geometry
from infoplane.commands.limits import LimitsOptions, limits
from infoplane.commands.recipes import RecipesOptions, recipes
from infoplane.commands.report import ReportOptions, report
from infoplane.errors import UserError
from infoplane.recipes import RECIPES

Parsed = TypeVar("Parsed", bound=Options)

COMMANDS: dict[str, tuple[Callable[[Any], int], type[Options]]] = {
    "demo": (demo, DemoOptions),
    "flow": (flow, FlowOptions),
    "distortion": (distortion, DistortionOptions),
    "geometry": (geometry, GeometryOptions),
    "limits": (limits, LimitsOptions),
    "recipes": (recipes, RecipesOptions),
    "estimate": (estimate, EstimateOptions),
    "calibrate": (calibrate, CalibrateOptions),
    "report": (report, ReportOptions),
    "data": (data, DataOptions),
}


def usage() -> str:
    """Return what `infoplane --help` prints."""
    lines = [
        "usage: infoplane COMMAND [options]",
        "",
        "Information planes you can trust, for networks under attack.",
        "",
    ]
    lines += [f"  {name:<12}{(options.__doc__ or '').strip()}" for name, (_, options) in COMMANDS.items()]
    lines += ["", "infoplane COMMAND --help lists the options of a command."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 for a user's mistake, 130 after Ctrl-C. A failure of ours raises: status 1."""
    typed[:] = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(list(typed))
    except UserError as error:
        print(f"infoplane: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("infoplane: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, say `head`, has seen enough
        sys.stderr.close()
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else USER_ERROR
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"infoplane {version('infoplane')}")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise UserError(f"unknown command {name!r}{_suggestion(name, COMMANDS)}; commands are {', '.join(COMMANDS)}")
    command, options = COMMANDS[name]
    default = None
    if command is flow:
        default, rest = _flow_default(rest)
    return command(_parse(options, name, rest, default))


def _flow_default(rest: list[str]) -> tuple[FlowOptions, list[str]]:
    """Take the recipe off the arguments: its settings are the defaults of all options."""
    if rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in RECIPES:
            raise UserError(f"unknown recipe {name!r}{_suggestion(name, RECIPES)}; recipes are {', '.join(RECIPES)}")
        return FlowOptions(config=RECIPES[name].config), rest
    if "-h" in rest or "--help" in rest:
        print(f"usage: infoplane flow RECIPE [options]; recipes are {', '.join(RECIPES)}\n")
        return FlowOptions(config=RECIPES["digits-lenet5"].config), rest
    raise UserError(f"name a recipe first: infoplane flow RECIPE [options]; recipes are {', '.join(RECIPES)}")


def _parse(options: type[Parsed], name: str, arguments: list[str], default: Parsed | None) -> Parsed:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                options,
                args=arguments,
                prog=f"infoplane {name}{' RECIPE' if options is FlowOptions else ''}",
                default=default if default is not None else tyro.MISSING_NONPROP,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(complaint.getvalue(), name)) from None


def _one_line(complaint: str, command: str) -> str:
    """Return the parser's boxed complaint as one line."""
    lines = [line.strip("│╭╮╰╯─ ") for line in complaint.splitlines()]
    text = " ".join(line for line in lines if line)
    text = re.split(r"For full helptext|Argument helptext|For further information", text)[0]
    text = re.sub(r"^(Value error|Invalid choice|Unrecognized options|Required options|Parsing error)\s", "", text)
    # pydantic names its classes and types: of no use to someone who typed an option
    text = re.sub(r"Error parsing (?:config\.?)?(\S*?): \d+ validation errors? for \w+ ", r"\1 ", text)
    text = re.sub(r"\s*\[type=.*", "", text).replace("Value error, ", "").replace("Error parsing ", "")
    text = re.sub(r"\(default: [^)]*\)", "", text)
    return f"{' '.join(text.split()).rstrip('.')}; see infoplane {command} --help"


def _suggestion(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
