"""Whose data and model a run is about, in titles, tiles, axes and legends."""

import pytest

from infoplane.recipes import RECIPES, kept_settings
from infoplane.report.subject import class_label, subject_of


def config(recipe="mnist-lenet5", *, kept=None, **changes):
    settings = RECIPES[recipe].config.model_dump(mode="json")
    for part, values in changes.items():
        settings[part] |= values
    return {"study": "information-flow", "settings": settings, "environment": {"data": kept} if kept else {}}


@pytest.mark.parametrize("name", RECIPES)
def test_the_data_and_model_of_a_recipe_are_named_by_it(name):
    found = subject_of(config(name), "run")
    assert found.title == name
    assert found.data == RECIPES[name].config.data.name
    assert kept_settings(RECIPES[name].config) == []


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"data": {"name": "folder", "folder": "/a/my pets"}}, "lenet5 on my pets"),
        ({"data": {"name": "npz", "folder": "/a/pets.npz"}}, "lenet5 on pets.npz"),
        ({"data": {"name": "function", "folder": "mine:data"}}, "lenet5 on mine:data"),
        ({"data": {"name": "fashion-mnist"}}, "lenet5 on fashion-mnist"),
        ({"model": {"name": "mine:make"}}, "mine:make on mnist"),
        ({"data": {"name": "folder", "folder": "/a/\udcff\n"}, "model": {"name": "m:f"}}, "m:f on \ufffd\\n"),
    ],
)
def test_other_data_or_another_model_is_named_instead(changes, title):
    assert subject_of(config(**changes), "run").title == title


def test_a_fragment_is_marked():
    found = subject_of(config(kept={"fragment": "152 of 8,000 test images"}), "run")
    assert (found.title, found.data) == ("mnist-lenet5, fragment", "mnist, a fragment: 152 of 8,000 test images")


@pytest.mark.parametrize(
    "damaged", [None, [], "x", {"data": 3}, {"data": {"classes": "abc"}}, {"data": {"classes": [1]}}]
)
def test_a_run_that_says_nothing_or_nonsense_has_numbers_for_classes(damaged):
    found = subject_of({"settings": damaged, "environment": damaged}, "run")
    assert found.title == "run"
    assert found.class_names == ()
    assert class_label(3, found.class_names) == "3"


def test_long_names_of_classes_are_shortened():
    assert class_label(1, ("cat", "golden retriever")) == "golden retr…"
