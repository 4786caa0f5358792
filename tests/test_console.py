"""What is printed while work goes on."""

import builtins
import io
import re
import sys
import types

import pytest
from rich.console import Console
from tests.command import on_a_terminal

from infoplane.commands.console import PlainProgress, QuietProgress, TerminalProgress, format_seconds, progress_for
from infoplane.data import download_bar


def work_through(progress) -> None:
    with progress:
        progress.begin(10.0)
        progress.doing("normal: training epoch 1 of 2")
        progress.advance(5.0)
        progress.say("normal  epoch [1]/2")
        progress.advance(5.0)
        progress.say("done")


class Screen(io.StringIO):
    """A terminal to write on."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch):
    """These tests may run in one."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("JPY_PARENT_PID", "PAGER", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def printed(*, terminal: bool, quiet: bool = False) -> str:
    stream = Screen() if terminal else io.StringIO()
    work_through(progress_for(Console(file=stream, width=100), quiet=quiet))
    return stream.getvalue()


def test_a_terminal_gets_a_bar_with_the_time_left():
    text = printed(terminal=True)
    assert "normal: training epoch 1 of 2" in text
    assert "left" in text
    assert "normal  epoch [1]/2" in text  # square brackets are no markup


def test_elsewhere_plain_lines_without_control_characters():
    text = printed(terminal=False)
    assert "\x1b" not in text
    assert text.splitlines() == ["normal  epoch [1]/2  about 0 s left", "done"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JPY_PARENT_PID", "1"),
        ("PAGER", "cat"),
        ("TERM", "dumb"),
    ],
)
def test_what_a_notebooks_cell_starts_prints_plain_lines_also_on_its_terminal(name, value, monkeypatch):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert printed(terminal=True).splitlines() == ["normal  epoch [1]/2  about 0 s left", "done"]


def test_colours_that_are_asked_for_make_no_terminal_of_a_pipe(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert printed(terminal=False).splitlines() == ["normal  epoch [1]/2  about 0 s left", "done"]


SHORT_WORK = """
from infoplane.commands.common import open_console
from infoplane.commands.console import progress_for
from infoplane.data import download_bar
with progress_for(open_console(), quiet=False) as progress:
    progress.begin(2.0)
    progress.say("epoch 1")
with download_bar() as bar:
    bar("train.gz", 10, 10)
"""


def test_a_command_on_the_terminal_of_a_notebook_moves_no_cursor():
    status, seen = on_a_terminal("-c", SHORT_WORK, JPY_PARENT_PID="1", FORCE_COLOR="1")
    assert (status, seen.splitlines()[0]) == (0, "epoch 1")
    assert "train.gz" in seen
    assert re.search(r"\x1b\[[0-9;?]*[A-HJKSTfhl]", seen) is None  # colours end in m


def test_the_same_command_on_a_persons_terminal_draws_bars(monkeypatch):
    status, seen = on_a_terminal("-c", SHORT_WORK)
    assert status == 0
    assert "\x1b[2K" in seen


def test_inside_a_notebook_lines_are_displayed_and_no_widget_is_asked_for(monkeypatch):
    displayed = []
    shell = type("ZMQInteractiveShell", (), {})
    display = types.SimpleNamespace(display=lambda shown: displayed.append(shown._repr_mimebundle_((), ())))
    monkeypatch.setattr(builtins, "get_ipython", shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)  # would warn that it is missing
    work_through(progress_for(Console(), quiet=False))
    assert [bundle["text/plain"].strip() for bundle in displayed] == ["normal  epoch [1]/2  about 0 s left", "done"]
    with download_bar() as bar:
        bar("train.gz", 10, 10)
    assert len(displayed) == 2


def test_quiet_prints_nothing():
    assert printed(terminal=True, quiet=True) == printed(terminal=False, quiet=True) == ""


def test_where_the_output_goes_decides():
    kinds = [
        type(progress_for(Console(file=stream), quiet=quiet))
        for stream, quiet in ((Screen(), False), (io.StringIO(), False), (Screen(), True))
    ]
    assert kinds == [TerminalProgress, PlainProgress, QuietProgress]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (100, "2 min"), (5000, "83 min"), (12000, "3 h 20 min")]
)
def test_durations_read_naturally(seconds, text):
    assert format_seconds(seconds) == text
