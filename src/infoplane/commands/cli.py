"""Command line: parse options into settings and run a command. Slow imports wait until a command needs them."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro
from pydantic import ValidationError

from infoplane.commands.attacks import AttacksOptions, attacks
from infoplane.commands.bottleneck import BottleneckOptions, bottleneck
from infoplane.commands.calibrate import CalibrateOptions, calibrate
from infoplane.commands.common import USER_ERROR, Options, typed, typed_command
from infoplane.commands.compare import CompareOptions, compare
from infoplane.commands.completion import completion_script
from infoplane.commands.compression import CompressionOptions, compression
from infoplane.commands.data import DataOptions, data
from infoplane.commands.distortion import DistortionOptions, distortion
from infoplane.commands.estimate import EstimateOptions, estimate
from infoplane.commands.evaluate import EvaluateOptions, evaluate
from infoplane.commands.export import ExportOptions, export
from infoplane.commands.flow import DemoOptions, FlowOptions, demo, flow, flow_options, with_recipe
from infoplane.commands.flow_help import flow_help
from infoplane.commands.geometry import GeometryOptions, geometry
from infoplane.commands.limits import LimitsOptions, limits
from infoplane.commands.measure import MeasureOptions, measure
from infoplane.commands.models import ModelsOptions, models
from infoplane.commands.output import Told, complain, interrupted_status, lasting_output, signals_end_work
from infoplane.commands.quantised import QuantisedOptions, quantised
from infoplane.commands.recipes import RecipesOptions, recipes
from infoplane.commands.refused_options import refused_text, refused_values
from infoplane.commands.register import RegisterOptions, register
from infoplane.commands.report import ReportOptions, report
from infoplane.commands.shape import ShapeOptions, shape
from infoplane.commands.status import StatusOptions, status
from infoplane.commands.sweep import SweepOptions, sweep
from infoplane.commands.watch import WatchOptions, watch
from infoplane.commands.where import WhereOptions, where
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.errors import UserError, unknown_name
from infoplane.recipes import RECIPES

_HELP, _ALL_HELP = ("-h", "--help"), "--help-all"

Parsed = TypeVar("Parsed", bound=Options)

COMMANDS: dict[str, tuple[Callable[[Any], int], type[Options]]] = {
    "demo": (demo, DemoOptions),
    "flow": (flow, FlowOptions),
    "distortion": (distortion, DistortionOptions),
    "attacks": (attacks, AttacksOptions),
    "where": (where, WhereOptions),
    "shape": (shape, ShapeOptions),
    "evaluate": (evaluate, EvaluateOptions),
    "bottleneck": (bottleneck, BottleneckOptions),
    "sweep": (sweep, SweepOptions),
    "status": (status, StatusOptions),
    "measure": (measure, MeasureOptions),
    "geometry": (geometry, GeometryOptions),
    "limits": (limits, LimitsOptions),
    "compression": (compression, CompressionOptions),
    "quantised": (quantised, QuantisedOptions),
    "register": (register, RegisterOptions),
    "recipes": (recipes, RecipesOptions),
    "models": (models, ModelsOptions),
    "estimate": (estimate, EstimateOptions),
    "calibrate": (calibrate, CalibrateOptions),
    "report": (report, ReportOptions),
    "export": (export, ExportOptions),
    "compare": (compare, CompareOptions),
    "watch": (watch, WatchOptions),
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
    lines += [
        "",
        "infoplane COMMAND --help lists the options of a command;",
        "infoplane --completion bash (zsh, fish) prints a script that makes the shell complete them: source it;",
        "infoplane --version prints the version.",
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 2 after a user's mistake.

    After Ctrl-C, SIGTERM or SIGHUP the status is 128 plus the signal's number. An internal error raises (status 1).
    """
    typed[:] = sys.argv[1:] if arguments is None else arguments
    if arguments is None:  # figures go to files; the backend that a notebook sets may not be installed
        os.environ["MPLBACKEND"] = "agg"
    works = typed and typed[0] in _LONG and not {*_HELP, _ALL_HELP}.intersection(typed)
    with lasting_output(_LOSS if works else None):
        try:
            with signals_end_work():
                ended = _dispatch(list(typed))
                sys.stdout.flush()
                return ended
        except UserError as error:
            complain(f"infoplane: {error}")
            return USER_ERROR
        except KeyboardInterrupt as interruption:
            if not isinstance(interruption, Told):
                complain(f"infoplane: interrupted; to begin again: {typed_command()}")
            return interrupted_status(interruption)
        except OSError as error:
            if error.errno not in _REMEDIES:
                raise
            where = f" while writing {error.filename}" if error.filename else ""
            remedy = _REMEDIES[error.errno]
            complain(f"infoplane: {error.strerror}{where}; what was written before is whole: {remedy}")
            return USER_ERROR


_LONG = (
    "demo", "flow", "distortion", "attacks", "where", "shape", "evaluate", "bottleneck", "sweep", "measure",
    "geometry", "limits", "compression", "quantised", "calibrate",
)  # fmt: skip
_LOSS = "infoplane: the output pipe was closed; the command continues and saves its results (stop it with Ctrl-C)"
_ROOM = "make room and give the command again"
_ACCESS = "make the folder writable and give the command again, or choose another folder"
_PLACE = "another file or folder has that name: move it away, or choose another folder"
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _ACCESS),
    errno.ELOOP: "it is a symbolic link, which infoplane does not follow: remove it, or choose another folder",
    **dict.fromkeys((errno.EISDIR, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL), _PLACE),
    **dict.fromkeys((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP), "its file system has no locks: choose another one"),
    errno.EIO: "the disk may be damaged: choose a folder on another one",
}


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in (*_HELP, _ALL_HELP):
        print(usage())
        return 0 if arguments else USER_ERROR
    if arguments[0] == "--version":
        import infoplane

        print(f"infoplane {infoplane.__version__}")
        return 0
    if arguments[0] == "--completion":
        print(completion_script(arguments[1:], {name: options for name, (_, options) in COMMANDS.items()}), end="")
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    command, options = COMMANDS[name]
    default = None
    if command is flow:
        options = flow_options()
        recipe = rest[0] if rest[:1] and not rest[0].startswith("-") else None
        default, rest = _flow_default(rest, options)
        if any(word in _HELP for word in rest):
            print(flow_help(default, recipe))
            return 0
    if _ALL_HELP in rest:
        rest = ["--help"]
    given = _parse(options, name, rest, default)
    keep_freed_memory()
    return command(given)


def _flow_default(rest: list[str], options: type[FlowOptions]) -> tuple[FlowOptions, list[str]]:
    """Remove the recipe from the arguments; its settings are the defaults of all options."""
    if rest and not rest[0].startswith("-"):
        name, *rest = rest
        if name not in RECIPES:
            raise unknown_name("recipe", name, RECIPES)
        return with_recipe(options, name), rest
    if any(word in (*_HELP, _ALL_HELP) for word in rest):
        return with_recipe(options, "digits-lenet5"), rest
    raise UserError(f"name a recipe first: infoplane flow RECIPE [options]; recipes are {', '.join(RECIPES)}")


def _parse(options: type[Parsed], name: str, arguments: list[str], default: Parsed | None) -> Parsed:
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                options,
                args=arguments,
                description=options.described(),
                prog=f"infoplane {name}{' RECIPE' if issubclass(options, FlowOptions) else ''}",
                default=default if default is not None else tyro.MISSING_NONPROP,
            )
    except (SystemExit, ValidationError) as stop:  # tyro does not catch validation errors of a config without a prefix
        if isinstance(stop, SystemExit) and not stop.code:
            raise
        refusal = _refusal(stop)
        mistake = refused_values(refusal, options) if refusal else refused_text(complaint.getvalue(), options)
        raise UserError(f"{mistake}; see infoplane {name} --help") from None


def _refusal(stop: BaseException | None) -> ValidationError | None:
    """Return the validation error of a config that caused an error of the parser."""
    while stop is not None and not isinstance(stop, ValidationError):
        stop = stop.__context__
    return stop
