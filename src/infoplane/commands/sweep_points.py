"""Turn the options of a sweep into its grid, and each point into the checked settings and command line of a run."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

import tyro
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from infoplane.commands.flow import FlowOptions, checked_config, flow_options, with_recipe
from infoplane.commands.model_options import model_options
from infoplane.commands.option_names import models_of, typed_name
from infoplane.config import FlowConfig, ModelConfig, parse_fraction
from infoplane.errors import UserError, broken_rule, unknown_name
from infoplane.recipes import RECIPES
from infoplane.sweeping.grid import Grid, Point, Words

_OWN_OPTIONS = {"seed": "--seeds", "seeds": "--seeds", "methods": "--methods", "recipe": "--recipes"}
_MODEL = "model."


class _Setting(NamedTuple):
    """A setting that can vary."""

    name: str  # as in `config.json`, e.g. "training.learning_rate"
    option: str  # of `infoplane flow`
    field: FieldInfo

    @property
    def is_switch(self) -> bool:
        return self.field.annotation is bool

    @property
    def is_list(self) -> bool:
        return get_origin(self.field.annotation) is tuple

    def read(self, text: str) -> Any:
        """Return a value as it is typed, for the check of all settings together.

        Raises:
            UserError: no value was typed, or several where the setting has one.
        """
        try:
            words = shlex.split(text)
            if self.is_list:
                return words
            (word,) = words
            if word.lower() == "none" and NoneType in get_args(self.field.annotation):
                return None
            specs = [one for one in self.field.metadata if isinstance(one, tyro.constructors.PrimitiveConstructorSpec)]
            return specs[0].instance_from_str([word]) if specs else word
        except ValueError:
            raise UserError(
                f"--set {self.name} must be a value, or values with commas between them, got {text!r}"
            ) from None

    def typed(self, words: Words) -> list[str]:
        """Return a value as words of the command line of `infoplane flow`."""
        if self.is_switch:
            group, dot, last = self.option.removeprefix("--").rpartition(".")
            return [self.option if words == ("true",) else f"--{group}{dot}no-{last}"]
        return [f"{self.option}={words[0]}"] if len(words) == 1 and not self.is_list else [self.option, *words]


def _canonical(value: Any) -> Words:
    """Return a checked value as words; equal values give equal words."""
    if isinstance(value, list | tuple):
        return tuple(word for one in value for word in _canonical(one))
    if isinstance(value, bool):
        return (str(value).lower(),)
    if isinstance(value, float):
        short, pixels = f"{value:g}", f"{round(value * 255)}/255"
        if float(short) == value:
            return (short,)
        return (pixels if parse_fraction(pixels) == value else repr(value),)
    return (str(value),)


class SweepPoints:
    """What `infoplane flow` takes: its recipes and settings, to check the points of a sweep."""

    @cached_property
    def _options(self) -> type[FlowOptions]:
        return flow_options()

    @cached_property
    def _settings(self) -> dict[str, _Setting]:
        """All settings that can vary, by name."""
        found: dict[str, _Setting] = {}
        of_run = set(FlowOptions.model_fields) - {"own_data", "model_path", "config", "model_settings"}
        for model, prefix in models_of(self._options):
            for name, field in model.model_fields.items():
                hidden = tyro.conf.Suppress in field.metadata
                option = typed_name(name, field, prefix)
                if hidden or (not prefix and (name in of_run or name in _OWN_OPTIONS)):
                    continue
                setting = {"own_data": "data", "model_path": "model"}.get(name, name)
                found[f"{prefix}{setting}"] = _Setting(f"{prefix}{setting}", option, field)
        groups = {name.rpartition(".")[0] for name in found} - {"data", "model"}
        return {name: setting for name, setting in found.items() if name not in groups | {"config", "model_settings"}}

    def _named(self, name: str) -> _Setting:
        """Return a setting by its name or short name, e.g. `epochs`.

        Raises:
            UserError: there is none.
        """
        name = name.strip().removeprefix("--").replace("-", "_")
        if name in _OWN_OPTIONS:
            raise UserError(f"--set {name}: the {name} of a sweep are those of {_OWN_OPTIONS[name]}")
        aliases = {
            alias.removeprefix("--"): setting
            for setting in self._settings.values()
            for one in setting.field.metadata
            for alias in getattr(one, "aliases", None) or ()
        }
        found = self._settings.get(name) or aliases.get(name)
        if found is None:
            last = name.rpartition(".")[2]
            close = [one for one in self._settings if one.rpartition(".")[2] == last]
            close = close or difflib.get_close_matches(name, self._settings, n=1)
            meant = f", did you mean {' or '.join(close)}?" if close else ""
            raise UserError(
                f"--set: unknown setting {name!r}{meant}; infoplane flow RECIPE --help-all lists all settings"
            )
        return found

    def grid(
        self, recipes: Sequence[str], methods: Sequence[str], seeds: int | None, typed: Sequence[str], own: Grid | None
    ) -> Grid:
        """Return the grid that the user asks for. What was not typed is that of the sweep in the folder.

        Args:
            recipes: as typed.
            methods: as typed.
            seeds: as typed.
            typed: settings as typed, e.g. `training.learning_rate=.05,.1`.
            own: grid of the sweep in the folder, if there is one.

        Raises:
            UserError: a name is unknown, or a value is missing or stands twice.
        """
        for recipe in recipes:
            if recipe not in RECIPES:
                raise unknown_name("recipe", recipe, RECIPES)
        recipes = recipes or (own.recipes if own else ())
        if not recipes:
            raise UserError(f"name recipes: infoplane sweep SWEEP --recipes NAME ...; recipes are {', '.join(RECIPES)}")
        settings = dict(own.settings) if own else {}
        seen = set()
        for one in typed:
            name, equals, text = one.partition("=")
            if not equals:
                raise UserError(f"--set takes SETTING=VALUE or SETTING=VALUE,VALUE, got {one!r}")
            setting = self._named(name)
            if setting.name in seen:
                raise UserError(f"--set names {setting.name} twice; write all values behind it: {setting.name}=A,B")
            seen.add(setting.name)
            settings[setting.name] = tuple(self._checked_value(recipes[0], setting, value) for value in text.split(","))
        return Grid(
            recipes=tuple(recipes),
            methods=tuple(methods) or (own.methods if own else ()),
            seeds=seeds or (own.seeds if own else 1),
            settings=settings,
        )

    def _checked_value(self, recipe: str, setting: _Setting, text: str) -> Words:
        """Return a value in its canonical words, so that 0.1 and .1 are one; rules that it breaks are said later."""
        value = setting.read(text)
        try:
            config = self._with_values(recipe, {setting.name: value}).config
        except ValidationError as error:
            if any(one["type"].endswith(("_parsing", "_from_float")) for one in error.errors()):
                raise UserError(f"--set {_refused(error)}") from None
            return _canonical(value)
        of_network = setting.name in ("data", "model") or _is_of_network(setting.name)
        return _canonical(value if of_network else _at(config, setting.name))

    def _with_values(self, recipe: str, values: Mapping[str, Any]) -> FlowOptions:
        options = with_recipe(self._options, recipe).model_dump()
        model: dict[str, Any] = {}
        for name, value in values.items():
            if name in ("data", "model"):
                options[{"data": "own_data", "model": "model_path"}[name]] = value
            elif _is_of_network(name):
                model[name.removeprefix(_MODEL)] = value
            else:
                *groups, last = name.split(".")
                place = options["config"]
                for group in groups:
                    place = place[group]
                place[last] = value
        options["model_settings"] = model_options()(**model) if model else None
        return self._options.model_validate(options)

    def config(self, point: Point) -> FlowConfig:
        """Return the checked settings of the run of a point.

        Raises:
            UserError: they are refused; the message names the point.
        """
        if point.recipe not in RECIPES:
            raise UserError(f"{point.recipe} is no recipe of this version; use the version that began the sweep")
        values = {
            name: self._settings[name].read(shlex.join(words)) for name, words in self._known(point.settings).items()
        }
        try:
            options = self._with_values(point.recipe, values)
            update: dict[str, Any] = {"seed": point.seed}
            if point.method is not None:
                update["methods"] = (point.method,)
            checked = type(options.config).model_validate({**options.config.model_dump(), **update})
            return checked_config(options.model_copy(update={"config": checked}))
        except ValidationError as error:
            raise UserError(f"{point.name}: {_refused(error)}") from None
        except UserError as error:
            raise UserError(f"{point.name}: {error}") from None

    def _known(self, settings: Mapping[str, Words]) -> Mapping[str, Words]:
        for name in settings:
            if name not in self._settings:
                raise UserError(f"{name} is no setting of this version; use the version that began the sweep")
        return settings

    def words(self, point: Point) -> tuple[str, ...]:
        """Return what stands behind `infoplane flow` for the run of a point, without its folder."""
        words = [point.recipe]
        if point.method is not None:
            words += ["--methods", point.method]
        for name, value in self._known(point.settings).items():
            words += self._settings[name].typed(value)
        return (*words, f"--seed={point.seed}")


def _is_of_network(name: str) -> bool:
    """Return whether only some networks have the setting, e.g. `model.depth`."""
    return name.startswith(_MODEL) and name.removeprefix(_MODEL) not in ModelConfig.model_fields


def _at(config: FlowConfig, name: str) -> Any:
    place: Any = config
    for part in name.split("."):
        place = place[part] if isinstance(place, Mapping) else getattr(place, part)
    return place


def _refused(error: ValidationError) -> str:
    """Return the refused settings and the rules they break, e.g. "training.epochs must be ..., got -3"."""
    refused = []
    for refusal in error.errors():
        where = ".".join(str(part) for part in refusal["loc"] if isinstance(part, str) and part != "config")
        refused.append(f"{where} {broken_rule(refusal)}".strip())
    return "; ".join(dict.fromkeys(refused))
