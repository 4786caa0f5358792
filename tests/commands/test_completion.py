"""Shell completion, in the shell that is everywhere."""

import os
import shutil
import subprocess

import pytest
from tests.command import assert_one_clear_line, infoplane

from infoplane.commands.cli import COMMANDS
from infoplane.recipes import RECIPES


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")
    away = tmp_path_factory.mktemp("without-torch")
    (away / "torch.py").write_text("raise ImportError('torch was imported')")
    done = infoplane("--completion", "bash", PYTHONPATH=os.pathsep.join([str(away), os.environ.get("PYTHONPATH", "")]))
    assert done.returncode == 0, done.stderr
    path = away / "infoplane.bash"
    path.write_text(done.stdout)
    return path


def completed(script, *words: str) -> list[str]:
    """What bash makes of the last word."""
    line = " ".join(f'"{word}"' for word in ("infoplane", *words))
    asked = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _tyro_infoplane"
    asked += '; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    return [word for word in done.stdout.splitlines() if word]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("dist",), ["distortion"]),
        (("flow", "fash"), ["fashion-lenet5"]),
        (("flow", "mnist-lenet5", "--ep"), ["--epochs"]),
        (("flow", "mnist-lenet5", "--training.ep"), ["--training.epochs"]),
        (("flow", "cifar10-wrn", "--attack.norm", ""), ["linf", "l2"]),
        (("report", "--js"), ["--json"]),
    ],
)
def test_a_word_is_completed(script, words, expected):
    assert completed(script, *words) == expected


def test_every_command_and_recipe_is_offered(script):
    assert set(COMMANDS) <= set(completed(script, ""))
    assert set(RECIPES) <= set(completed(script, "flow", ""))


def test_nothing_but_options_is_offered_where_an_option_begins(script):
    words = completed(script, "flow", "mnist-lenet5", "--")
    assert len(words) > 50
    assert [word for word in words if not word.startswith("--")] == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_script_too(shell):
    done = infoplane("--completion", shell)
    assert done.returncode == 0
    assert "infoplane" in done.stdout


@pytest.mark.parametrize("arguments", [(), ("tcsh",), ("bash", "zsh")])
def test_a_shell_that_is_not_known_is_one_clear_line(arguments):
    assert_one_clear_line(infoplane("--completion", *arguments), "bash, zsh, fish")
