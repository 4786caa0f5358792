"""Whose data and model a run is about, in titles, tiles, axes and legends."""

import pytest

from infoplane.commands.cli import main
from infoplane.config import FlowConfig
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


@pytest.mark.parametrize("recipe", ["mnist-lenet5", "cifar10-wrn"])
def test_settings_that_a_run_keeps_are_printed_as_they_are_typed(recipe, monkeypatch):
    given = []
    monkeypatch.setattr("infoplane.commands.flow._run_flow", lambda config, *args, **options: given.append(config) or 0)
    settings = RECIPES[recipe].config.model_dump()
    settings["model"] |= {"mean": (0.2, 1 / 3, 0.4), "std": (0.25,)}  # 0.2 is 51/255, which --model.mean does not take
    settings["attack"] |= {"epsilon": 0.2, "step_size": 0.06}
    changed = FlowConfig.model_validate(settings)
    monkeypatch.setitem(RECIPES, recipe, RECIPES[recipe]._replace(config=changed))
    (sentence,) = kept_settings(FlowConfig.model_validate({**settings, "data": {"name": "digits"}}))
    words = sentence.partition("which may not fit: ")[2].replace(",", "").split()
    assert {word for word in words if word.startswith("--")} == {
        *("--attack.epsilon", "--attack.step-size", "--model.mean", "--model.std"),
        "--training.augment" if changed.training.augment else "--training.no-augment",
    }
    assert main(["flow", "digits-lenet5", *words]) == 0
    assert given[0].attack == changed.attack
    assert given[0].training.augment == changed.training.augment
    assert given[0].model.mean == pytest.approx(changed.model.mean, abs=1e-6)
    assert given[0].model.std == changed.model.std
