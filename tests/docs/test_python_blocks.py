"""Blocks of Python on the pages work as pasted, and print what the pages say."""

import contextlib
import functools
import importlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from tests.docs.pages import PAGES, REPOSITORY, blocks_of

from infoplane.report import html

PAGES_WITH_PYTHON = [
    page for page in PAGES if any(block.kind == "python" for block in blocks_of((REPOSITORY / page).read_text("utf-8")))
]


def execute(text: str, name: str) -> str:
    """Run the blocks of a page in order, in one namespace and a folder of its own; return what they print.

    Reports are written without their figures, which take longer than all else.
    """
    namespace = {"__name__": name}
    printed = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        mock.patch.object(html, "write_figures", return_value=[]),
    ):
        modules = set(sys.modules)
        sys.path.insert(0, folder)
        try:
            for block in blocks_of(text):
                if block.kind != "python":
                    continue
                exec(compile(block.before, f"{name}, before line {block.line}", "exec"), namespace)
                if block.file:
                    Path(block.file).write_text(block.text)
                    importlib.import_module(Path(block.file).stem)
                else:  # the page's own line numbers, for the traceback
                    exec(compile("\n" * block.line + block.small_text, name, "exec"), namespace)
        finally:
            sys.path.remove(folder)
            for new in set(sys.modules) - modules:
                if Path(getattr(sys.modules[new], "__file__", None) or os.devnull).is_relative_to(folder):
                    del sys.modules[new]
    return printed.getvalue()


@functools.cache
def printed_by(page: str) -> str:
    return execute((REPOSITORY / page).read_text("utf-8"), page)


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_blocks_of_a_page_work_as_pasted_one_after_the_other(page):
    printed_by(page)


def test_the_readme_prints_bounds_in_order():
    label, layer = printed_by("README.md").splitlines()
    assert re.fullmatch(r"I\(T;Y\): at least [\d.]+ \[[\d.]+, [\d.]+\] nats, at most 2\.30", label)
    low, high = map(float, re.fullmatch(r"I\(X;T\) under this noise: ([\d.]+) to ([\d.]+) nats", layer).groups())
    assert 0 < low < high


def test_the_guide_to_estimators_prints_every_quantity_and_a_null_below_the_value():
    decoded, *listed, last = printed_by("docs/estimators.md").splitlines()
    assert float(decoded.split()[0]) > 0.5
    assert [line.split()[:2] for line in listed[:3]] == [
        ["I(X;T)", "lower"],
        ["I(X;T)", "upper"],
        ["I(T;Y)", "estimate"],
    ]
    value, null = float(last.split()[0]), float(last.split()[-1])
    assert null < value


def test_the_attacks_of_the_guide_are_measured_in_one_plane():
    assert re.findall(r"^│ ([\w-]+) +┆ \d", printed_by("docs/attacks.md"), re.MULTILINE) == [
        "original",
        "adversarial",
        "one-step",
        "noise",
    ]


def test_the_attack_of_the_guide_to_own_code_raises_the_loss():
    original, adversarial = (  # the losses, which are printed last
        float(re.findall(rf"{name} *┆ ([\d.]+)", printed_by("docs/own.md"))[-1]) for name in ("original", "adversarial")
    )
    assert original < adversarial


def test_a_block_sees_what_its_comment_and_the_blocks_before_it_left():
    page = "<!-- run: a = 1 -->\n```python\nb = a + 1\n```\n\ntext\n\n```python\nprint(a, b)\n```\n"
    assert execute(page, "page") == "1 2\n"


def test_a_block_imports_the_file_that_the_reader_saved():
    page = "<!-- file: saved_module.py -->\n```python\nx = 3\n```\n\n"
    page += "```python\nfrom saved_module import x\nprint(x)\n```\n"
    assert execute(page, "page") == "3\n"
    assert "saved_module" not in sys.modules


def test_a_block_is_made_smaller_where_its_comment_says_so():
    page = "<!-- small: epochs = 99 => epochs = 1; images => few -->\n"
    page += "```python\nepochs = 99\nprint('images', epochs)\n```\n"
    assert execute(page, "page") == "few 1\n"
    with pytest.raises(ValueError, match="does not hold 'epochs = 99'"):
        execute(page.replace("epochs = 99\n", "epochs = 98\n"), "page")


def test_a_block_that_fails_names_the_line_of_the_page():
    with pytest.raises(NameError) as raised:
        execute("# title\n\n```python\nfirst = 1\nsecond = unknown\n```\n", "page")
    assert raised.traceback[-1].lineno + 1 == 5


def test_scale_moves_the_information_at_fixed_noise_and_not_at_relative_noise():
    lines = printed_by("docs/deterministic.md").splitlines()
    fixed, relative = (
        [line.split()[-2] for line in lines if f"at {kind} noise" in line] for kind in ("fixed", "relative")
    )
    assert float(fixed[0]) < float(fixed[1])
    assert relative[0] == relative[1]


def test_the_information_ends_at_log_n_as_the_noise_vanishes():
    *_, last = (line for line in printed_by("docs/deterministic.md").splitlines() if line.startswith("noise"))
    assert last.split()[-4:] == ["6.21", "to", "6.21", "nats"]  # ln 500
