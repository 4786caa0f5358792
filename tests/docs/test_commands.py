"""Command lines on the pages are real: each is taken by the real parser, and the quick ones run."""

import functools
import re
import shlex
from itertools import pairwise

import numpy as np
import pytest
from markdown_it import MarkdownIt
from tests.docs.pages import PAGES, REPOSITORY, commands_of

from infoplane.commands import cli
from infoplane.report import html

# What a reader puts in place of a word in capitals; after an option, what fits that option.
PLACEHOLDERS = {
    "RECIPE": "digits-lenet5",
    "RUN": "runs/demo",
    "FILE": "activations.npz",
    "CHECKPOINTS": "checkpoints",
    "SWEEP": "runs/sweep",
    "COMMAND": "report",
    "N": "3",
    "M": "2",
}
NAMES = {
    "data": "digits",
    "models": "lenet5",
    "--data": "digits",
    "--model": "lenet5",
    "--distortions": "low-pass",
    "--methods": "normal",
    "normal": "free",
    "pgd": "fgsm",
    "--estimators": "kde",
}
# These run on a small run that is made once.
RUN_HERE = {"recipes", "models", "estimate", "report", "export", "--help", "--version", "--completion", "COMMAND"}
# These are given to the parser only, because they take too long. Tests of their own run each of them.
PARSED_ONLY = {
    "demo": "trains two networks for a minute and a half",
    "flow": "trains networks",
    "distortion": "measures each level of each distortion for a minute",
    "attacks": "runs ten attacks for minutes",
    "evaluate": "runs a suite of attacks for minutes",
    "bottleneck": "trains and attacks networks for minutes",
    "sweep": "trains many networks",
    "status": "shows a sweep",
    "geometry": "measures sweeps for a minute",
    "limits": "measures vanishing noise for a minute",
    "compression": "trains ten networks for minutes",
    "quantised": "trains ten networks for minutes",
    "calibrate": "repeats estimates for minutes",
    "data": "downloads a dataset",
    "where": "decodes each example at each layer",
    "shape": "decodes both cues at each layer",
    "measure": "measures a folder of checkpoints",
    "compare": "draws a page about several runs",
    "register": "needs a file of claims",
    "watch": "serves a page until it is stopped",
    "--measure": "times every network for a minute",
    "--labels": "needs files of activations",
    "--style": "draws the study's figures for some seconds",
}

NOT_COMPLETED = {"--help", "--help-all", "--version", "--completion"}
OF_EXAMPLES = {"--model.hidden-units", "--method.toy-share"}  # the pages on adding a network and a method


def substituted(words):
    """Return the words with something real in place of placeholders, and of the dots after an option.

    Dots after a value stand for more of the same, and are left out.

    Raises:
        LookupError: a word in capitals is no known placeholder.
    """
    given = []
    for before, word in pairwise(["", *words]):
        if word == "..." and not before.startswith("--"):
            continue
        word = word.replace("...", "NAME")
        for part in re.findall(r"(?<![\w-])[A-Z][A-Z0-9]*(?![\w.:-])", word):
            word = word.replace(part, NAMES[before] if part == "NAME" else PLACEHOLDERS[part])
        given.append(word)
    return given


def is_mentioned_only(words):
    """Whether a text names a command without its arguments, as in "`infoplane report` imports nothing"."""
    return len(words) == 2 and words[1] in cli.COMMANDS


@functools.cache
def command_lines(page):
    return list(commands_of((REPOSITORY / page).read_text("utf-8")))


def quick_commands():
    """Return the distinct command lines of all pages that run here."""
    lines = {}
    for page in PAGES:
        for one in command_lines(page):
            if one.words[0] == "infoplane" and not is_mentioned_only(one.words):
                asks_for_help = {"--help", "--help-all"}.intersection(one.words)
                if asks_for_help or (one.words[1] in RUN_HERE and PARSED_ONLY.keys().isdisjoint(one.words[2:])):
                    words = [re.sub(r"^runs/[\w-]+", "runs/demo", word) for word in substituted(one.words[1:])]
                    lines[shlex.join(words)] = None
    return list(lines)


def status_of(words):
    """Run `infoplane` with these words, and return its exit status."""
    try:
        return cli.main(words)
    except SystemExit as ended:  # after --help
        return ended.code


def check_infoplane(words, monkeypatch, capsys):
    """Fail unless the parser takes these words; no command begins its work."""
    begun = []
    for name, (_, options) in cli.COMMANDS.items():
        monkeypatch.setitem(cli.COMMANDS, name, (lambda options: begun.append(options) or 0, options))
    monkeypatch.setattr(cli, "flow", cli.COMMANDS["flow"][0])
    assert status_of(substituted(words[1:])) == 0, capsys.readouterr().err


def check_make(words):
    targets = re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert set(words[1:]) <= set(targets)


def check_pip(words):
    assert words[1] == "install"
    settings = (REPOSITORY / "pyproject.toml").read_text()
    for package in words[2:]:
        named = re.fullmatch(r"(?:infoplane|\.)(?:\[([\w,]+)\])?", package)
        assert named, package
        for extra in (named[1] or "").split(","):
            assert not extra or re.search(rf"^{extra} = \[", settings, re.MULTILINE), extra


def check_python(words):
    """Fail unless the file is in the repository, and mentions each option and word that it is given."""
    source = (REPOSITORY / words[1]).read_text("utf-8")
    for word in words[2:]:
        assert re.match(r"[A-Z]", word) or word in source, word


@pytest.mark.parametrize("page", PAGES)
def test_every_command_line_of_a_page_is_real(page, monkeypatch, capsys):
    for one in command_lines(page):
        if is_mentioned_only(one.words):
            continue
        try:
            if one.words[0] == "infoplane":
                check_infoplane(one.words, monkeypatch, capsys)
            else:
                {"make": check_make, "pip": check_pip, "python": check_python}[one.words[0]](one.words)
        except (AssertionError, LookupError, OSError) as error:
            pytest.fail(f"{page}, line {one.line}: {one}: {error!r}")


def test_every_command_on_a_page_runs_here_or_has_a_reason_not_to():
    used = {one.words[1] for page in PAGES for one in command_lines(page) if one.words[0] == "infoplane"}
    assert used - RUN_HERE - set(PARSED_ONLY) == set()
    assert RUN_HERE.isdisjoint(PARSED_ONLY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a small run and a file of activations, in which no figures are drawn."""
    folder = tmp_path_factory.mktemp("reader")
    np.savez(
        folder / "activations.npz",
        activations=np.random.default_rng(0).normal(size=(200, 3)),
        labels=np.arange(200) % 2,
    )
    small = ["--epochs", "1", "--examples", "40", "--data.train-examples", "100", "--methods", "normal"]
    small += ["--measurement.permutations", "2", "--measurement.decoder-permutations", "1"]
    small += ["--measurement.layers", "fc2", "fc3"]
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(html, "write_figures", lambda *_, **__: [])  # they take longer than all else
        assert status_of(["flow", "digits-lenet5", *small, "--run", "runs/demo"]) == 0
        yield folder


@pytest.mark.parametrize("line", quick_commands())
def test_quick_commands_of_the_pages_run(line, folder, capsys):
    assert status_of(shlex.split(line)) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


def test_every_option_that_the_prose_names_exists(capsys):
    assert status_of(["--completion", "bash"]) == 0
    completed = set(re.findall(r"--[a-z][\w.-]*\w", capsys.readouterr().out))  # with --no-deterministic and its like
    groups = {option.rpartition(".")[0] for option in completed}  # such as --training, for all of its settings
    known = {*completed, *groups, *NOT_COMPLETED, *OF_EXAMPLES}
    unknown = []
    for page in PAGES:
        for token in MarkdownIt("commonmark").enable("table").parse((REPOSITORY / page).read_text("utf-8")):
            code = [child.content for child in token.children or () if child.type == "code_inline"]
            named = [found[0] for content in code if (found := re.match(r"--[a-z][\w.-]*\w", content))]
            unknown += [(page, option) for option in named if option not in known]
    assert unknown == []


@pytest.mark.parametrize(
    "line",
    ["infoplane report RUN --invented", "infoplane invented", "infoplane flow RECIPE --training.invented 3"],
)
def test_an_invented_option_is_no_command_line(line, monkeypatch, capsys):
    with pytest.raises(AssertionError, match="invented"):
        check_infoplane(shlex.split(line), monkeypatch, capsys)


@pytest.mark.parametrize(
    ("check", "line"),
    [
        (check_make, "make invented"),
        (check_pip, "pip install 'infoplane[invented]'"),
        (check_python, "python benchmarks/verdicts.py RESULTS.jsonl --invented"),
    ],
)
def test_an_invented_target_extra_or_argument_is_found(check, line):
    with pytest.raises(AssertionError):
        check(shlex.split(line))


def test_an_unknown_placeholder_is_found():
    with pytest.raises(LookupError):
        substituted(["infoplane", "report", "SOMETHING"])
    assert substituted(["report", "RUN/sweeps"]) == ["report", "runs/demo/sweeps"]
