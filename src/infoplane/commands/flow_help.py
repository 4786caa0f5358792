"""Text of `infoplane flow --help`: the options that most runs need, on one screen."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infoplane.attacks import catalogue
from infoplane.commands.flow import FlowOptions
from infoplane.commands.option_names import prefix_of, typed_name
from infoplane.data import catalogue as data_catalogue
from infoplane.models import catalogue as model_catalogue
from infoplane.recipes import RECIPES

# How each option is shown, by its full name.
_MOST_USED = {
    "--run": "--run FOLDER",
    "--data": "--data FOLDER",
    "--model": "--model MODULE:FUNCTION",
    "--device": "--device auto|cpu|cuda",
    "--quiet": "--quiet",
    "--seed": "--seed N",
    "--seeds": "--seeds N",
    "--methods": "--methods NAME ...",
    "--attacks": "--attacks NAME ...",
    "--data.image-size": "--data.image-size N",
    "--data.train-examples": "--data.train-examples N",
    "--training.epochs": "--epochs N",
    "--training.batch-size": "--training.batch-size N",
    "--training.learning-rate": "--training.learning-rate RATE",
    "--attack.norm": "--attack.norm linf|l2",
    "--attack.epsilon": "--attack.epsilon A/B",
    "--attack.step-size": "--attack.step-size A/B",
    "--attack.steps": "--attack.steps N",
    "--measurement.examples": "--examples N",
    "--measurement.layers": "--measurement.layers NAME ...",
}
_LEFT = 2 + max(map(len, _MOST_USED.values())) + 2
_WIDEST = 100
_FEW = 3  # attacks that are named


def flow_help(default: FlowOptions, recipe: str | None) -> str:
    """Return the most used options of `infoplane flow`, each with the beginning of its description.

    Args:
        default: settings whose values are shown as defaults.
        recipe: name of the recipe of these defaults; without one, defaults are not shown.
    """
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    lines = [
        f"usage: infoplane flow {recipe or 'RECIPE'} [options]",
        "",
        *textwrap.wrap((FlowOptions.__doc__ or "").strip(), width),
        *textwrap.wrap(
            f"Recipes: {', '.join(RECIPES)}. "
            f"Datasets: {', '.join(one.name for one in data_catalogue.DATASETS)}. "
            f"Models: {', '.join(one.name for one in model_catalogue.MODELS)}.",
            width,
        ),
        "",
    ]
    for name, field, value in _options(default):
        if name not in _MOST_USED:
            continue
        text = re.split(r"[.;](?:\s|$)", " ".join((field.description or "").split()))[0] + _choices(name)
        if recipe is not None and value not in (None, (), False):
            text += f" (default {_written(value)})"
        left = f"  {_MOST_USED[name]}".ljust(_LEFT)
        lines += textwrap.wrap(text, width, initial_indent=left, subsequent_indent=" " * _LEFT)
    lines += ["", "infoplane flow --help-all lists all options; infoplane recipes and infoplane models say more."]
    return "\n".join(lines)


def _choices(option: str) -> str:
    """Return the choices of an option; of attacks the first ones, since all would not fit a screen."""
    if option != "--attacks":
        return ""
    return f": {', '.join(spec.name for spec in catalogue.ATTACKS[:_FEW])} ... (--help-all), MODULE:FUNCTION"


def _options(given: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, Any]]:
    """Return the options by full name, each with its field and its value in `given`."""
    for name, field in type(given).model_fields.items():
        value = getattr(given, name)
        if isinstance(value, BaseModel):
            yield from _options(value, prefix_of(name, field, prefix))
        else:
            yield typed_name(name, field, prefix), field, value


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
