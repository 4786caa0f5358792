"""The help of `infoplane flow`: a screen of what most runs need, and all of it where it is asked for."""

import contextlib

import pytest

from infoplane.commands.cli import main
from infoplane.commands.flow import flow_options, with_recipe
from infoplane.commands.flow_help import flow_help
from infoplane.commands.option_names import option_names


def printed(arguments, capsys) -> str:
    with contextlib.suppress(SystemExit):  # by which the parser ends after its own help
        assert main(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [("--help",), ("-h",), ("mnist-lenet5", "--help"), ("cifar10-wrn", "--seeds", "3", "-h")]
)
def test_the_help_of_flow_fits_a_screen(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = printed(("flow", *words), capsys).splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    for name in ("--run", "--data", "--model", "--epochs", "--seeds", "--methods", "--examples", "--help-all"):
        assert any(name in line for line in lines), name


def test_the_help_of_a_recipe_gives_its_own_defaults(capsys):
    assert "Passes over the training images (default 10)" in printed(("flow", "digits-lenet5", "--help"), capsys)
    assert "Passes over the training images (default 200)" in printed(("flow", "mnist-lenet5", "--help"), capsys)


def test_without_a_recipe_no_default_is_named(capsys):
    assert "(default" not in printed(("flow", "--help"), capsys)


@pytest.mark.parametrize("words", [("--help-all",), ("mnist-lenet5", "--help-all")])
def test_help_all_has_every_option(words, capsys):
    text = printed(("flow", *words), capsys)
    assert [name for name in option_names(flow_options()) if name not in text] == []


def test_every_option_on_the_screen_is_one_that_can_be_typed():
    from infoplane.commands.flow_help import _MOST_USED

    assert set(_MOST_USED) <= set(option_names(flow_options()))
    shown = flow_help(with_recipe(flow_options(), "mnist-lenet5"), "mnist-lenet5")
    assert all(f"  {text}  " in shown for text in _MOST_USED.values())


def test_help_all_is_taken_by_every_command(capsys):
    assert "--json" in printed(("report", "--help-all"), capsys)


@pytest.mark.parametrize(
    ("short", "whole"),
    [(("--epochs", "3"), ("training", "epochs")), (("--examples", "50"), ("measurement", "examples"))],
)
def test_short_names_set_what_the_whole_names_set(short, whole, monkeypatch):
    given = []
    monkeypatch.setattr("infoplane.commands.flow._run_flow", lambda config, *args, **options: given.append(config) or 0)
    assert main(("flow", "mnist-lenet5", *short)) == 0
    part, name = whole
    assert getattr(getattr(given[0], part), name) == int(short[1])
