"""The grid of a sweep: its points, their names, and what a sweep can grow to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import UserError
from infoplane.sweeping.grid import Grid, check_each_once, check_extends, points_of

WORDS = st.lists(st.text("ab.1/é ", min_size=1, max_size=4), min_size=1, max_size=2).map(tuple)


def each_once(values):
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


SETTINGS = st.dictionaries(
    st.sampled_from(["training.learning_rate", "data.seed", "training.seed"]), each_once(WORDS), max_size=3
)


@st.composite
def grids(draw):
    return Grid(
        recipes=draw(each_once(st.sampled_from(["mnist-vib", "digits-lenet5"]))),
        methods=draw(st.just(()) | each_once(st.sampled_from(["normal", "trades+awp", "my.module:mine"]))),
        seeds=draw(st.integers(1, 3)),
        settings=draw(SETTINGS),
    )


def rates(*values, seeds=1):
    return Grid(recipes=("r",), seeds=seeds, settings={"training.learning_rate": tuple((one,) for one in values)})


def test_a_point_is_named_by_what_varies():
    grid = Grid(
        recipes=("digits-lenet5",),
        methods=("normal", "trades"),
        settings={"training.learning_rate": (("0.05",), ("0.1",)), "training.epochs": (("3",),)},
    )
    assert [point.name for point in points_of(grid)] == [
        "digits-lenet5-normal-learning_rate=0.05-s0",
        "digits-lenet5-normal-learning_rate=0.1-s0",
        "digits-lenet5-trades-learning_rate=0.05-s0",
        "digits-lenet5-trades-learning_rate=0.1-s0",
    ]


@given(grids())
def test_names_are_different_folders_and_the_same_each_time(grid):
    points = points_of(grid)
    names = [point.name for point in points]
    assert len(set(names)) == len(names)
    assert len({point.key for point in points}) == len(points)
    assert all(re.fullmatch(r"[A-Za-z0-9_.+=-]{1,130}", name) and not name.startswith(".") for name in names)
    assert points_of(grid) == points
    assert points_of(grid, points) == points


@given(grids(), st.data())
def test_a_grid_that_grows_keeps_its_points(grid, data):
    more = {name: (*values, ("new",)) for name, values in grid.settings.items() if data.draw(st.booleans())}
    grown = grid.model_copy(update={"settings": {**grid.settings, **more}, "seeds": grid.seeds + 1})
    old = points_of(grid)
    new = points_of(grown, old)
    assert set(map(repr, old)) <= set(map(repr, new))
    names = [point.name for point in new]
    assert len(set(names)) == len(names)
    check_extends(grown, grid, "folder")


def test_values_that_look_alike_as_names_are_different_folders():
    grid = Grid(recipes=("r",), settings={"data.folder": (("a b",), ("a/b",), ("a:b",)), "x.y": (("1",), ("2",))})
    names = [point.name for point in points_of(grid)]
    assert len(set(names)) == 6


def test_a_name_fits_a_file_system():
    grid = Grid(recipes=("r",), settings={"data.folder": (("x" * 400,), ("x" * 399 + "y",))})
    first, second = (point.name for point in points_of(grid))
    assert first != second
    assert len(first) < 130


def test_a_setting_that_varies_later_leaves_the_names_of_before():
    first = points_of(rates("0.1"))
    assert [point.name for point in first] == ["r-s0"]
    assert [point.name for point in points_of(rates("0.2", "0.1"), first)] == ["r-learning_rate=0.2-s0", "r-s0"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (rates("0.1"), "--set training.learning_rate 0.1, 0.2, but this one asks for 0.1"),
        (rates("0.1", "0.2"), "--seeds 2, but this one asks for 1"),
        (Grid(recipes=("q",), seeds=2), "--recipes r, but this one asks for q"),
        (Grid(recipes=("r",), seeds=2), "asks for not set"),
        (rates("0.1", "0.2", seeds=2).model_copy(update={"methods": ("normal",)}), "--methods not set"),
    ],
)
def test_a_grid_without_points_of_before_is_refused(asked, words):
    with pytest.raises(UserError, match=re.escape(words)):
        check_extends(asked, rates("0.1", "0.2", seeds=2), "folder")


def test_a_value_twice_is_refused():
    with pytest.raises(UserError, match=r"learning_rate names 0\.1 twice"):
        check_each_once(rates("0.1", "0.1"))
