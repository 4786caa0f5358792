"""Grid of a sweep: what varies, and the run of each point with its name."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infoplane.errors import UserError

Words = tuple[str, ...]  # a value as words of a command line; of several words, e.g. for milestones
Key = tuple[str, str | None, int, tuple[tuple[str, Words], ...]]

_LONGEST = 100  # characters of a name
_METHODS, _RECIPES = "--methods", "--recipes"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grid(_Frozen):
    """What varies in a sweep: every combination is one run.

    Attributes:
        recipes: names of recipes.
        methods: names of training methods, each trained by a run of its own; without any, a run trains the methods of
            its recipe.
        seeds: number of training seeds, counted from 0.
        settings: values by name of the setting, e.g. `training.learning_rate`. A setting with one value is the same in
            all runs.
        deterministic: whether training is plain float32, without the timing that chooses a faster way.
        directory: where the sweep began; relative paths and modules in the settings begin there.
    """

    recipes: Annotated[tuple[str, ...], Field(min_length=1)]
    methods: tuple[str, ...] = ()
    seeds: Annotated[int, Field(ge=1)] = 1
    settings: dict[str, Annotated[tuple[Words, ...], Field(min_length=1)]] = {}
    deterministic: bool = True
    directory: str = ""

    def axes(self) -> dict[str, list[str]]:
        """Return the values of each axis as a user types them, by its option or setting."""
        settings = {f"--set {name}": list(map(" ".join, values)) for name, values in self.settings.items()}
        return {_RECIPES: [*self.recipes], _METHODS: [*self.methods], **settings}


class Point(_Frozen):
    """One run of a sweep.

    Attributes:
        name: of its run folder.
        recipe: name of its recipe.
        method: its training method, or None for the methods of the recipe.
        seed: its training seed.
        settings: all values that the grid gives, by name of the setting.
    """

    name: str
    recipe: str
    method: str | None
    seed: int
    settings: dict[str, Words]

    @property
    def key(self) -> Key:
        """What tells it from other points, without its name."""
        return _key(self.recipe, self.method, self.seed, self.settings)

    @property
    def group(self) -> tuple[str, tuple[tuple[str, Words], ...]]:
        """Equal for points that differ in method and seed alone."""
        return self.recipe, tuple(sorted(self.settings.items()))


def _key(recipe: str, method: str | None, seed: int, settings: Mapping[str, Words]) -> Key:
    return recipe, method, seed, tuple(sorted(settings.items()))


def check_each_once(grid: Grid) -> None:
    """Raise UserError if an axis of the grid names a value twice, which would be one run twice."""
    for axis, values in grid.axes().items():
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise UserError(f"{axis} names {twice} twice; name each value once")


def points_of(grid: Grid, known: Iterable[Point] = ()) -> list[Point]:
    """Return all points of a grid: seeds vary slowest, so that the first seed of every setting comes first.

    Args:
        grid: in which each value stands once.
        known: points that have a folder already. They keep their names, although more may vary now.

    Returns:
        The points. A name contains the recipe, the seed, and all other values that vary.
    """
    names = {point.key: point.name for point in known}
    taken = set(names.values())
    varying = [name for name, values in grid.settings.items() if len(values) > 1]
    with_method = len(grid.methods) > 1
    points = []
    for seed, recipe, method, values in product(
        range(grid.seeds), grid.recipes, grid.methods or (None,), product(*grid.settings.values())
    ):
        settings = dict(zip(grid.settings, values, strict=True))
        key = _key(recipe, method, seed, settings)
        if (name := names.get(key)) is None:
            varied = {setting: settings[setting] for setting in varying}
            name = _name(recipe, method if with_method else None, seed, varied)
            if name in taken:  # of a point with another value of a setting that did not vary before
                name = _hashed(name, key)
            taken.add(name)
        points.append(Point(name=name, recipe=recipe, method=method, seed=seed, settings=settings))
    return points


def check_extends(grid: Grid, old: Grid, folder: object) -> None:
    """Raise UserError unless `grid` has all points of `old`: a sweep may get more values, and loses none.

    Args:
        grid: the grid that the user asks for.
        old: the grid that the folder holds.
        folder: path of the folder, for the message.
    """
    remedy = "name its values too, or choose another folder"
    axes, before = grid.axes(), old.axes()
    for axis in {**before, **axes}:
        own, asked = before.get(axis, []), axes.get(axis, [])
        new_axis = not own and asked
        if new_axis or not set(own) <= set(asked):
            raise UserError(
                f"{folder} holds a sweep with {axis} {_listed(own)}, but this one asks for {_listed(asked)}; {remedy}"
            )
    if grid.seeds < old.seeds:
        raise UserError(
            f"{folder} holds a sweep with --seeds {old.seeds}, but this one asks for {grid.seeds}; {remedy}"
        )


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values) if values else "not set"


def _name(recipe: str, method: str | None, seed: int, varied: Mapping[str, Words]) -> str:
    """Return e.g. "digits-lenet5-trades-learning_rate=0.05-s0", which is the name of a folder."""
    last = [setting.rpartition(".")[2] for setting in varied]
    parts = [recipe, *([method] if method is not None else [])]
    for setting, words in varied.items():
        short = setting.rpartition(".")[2]
        parts.append(f"{short if last.count(short) == 1 else setting}={'_'.join(words).replace('/', '_') or 'none'}")
    whole = "-".join([*parts, f"s{seed}"])
    safe = re.sub(r"[^\w.+=-]+", "_", whole, flags=re.ASCII)
    if safe == whole and len(safe) <= _LONGEST:
        return safe
    return _hashed(safe, _key(recipe, method, seed, varied))


def _hashed(name: str, key: Key) -> str:
    """Return a name of limited length that is different for different keys and ends as `name` does."""
    start, _, seed = name.rpartition("-")
    return f"{start[:_LONGEST]}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}-{seed}"
