"""What is printed while work goes on."""

import io

import pytest
from rich.console import Console

from infoplane.console import PlainProgress, QuietProgress, TerminalProgress, format_seconds, progress_for


def work_through(progress) -> None:
    with progress:
        progress.begin(10.0)
        progress.doing("normal: training epoch 1 of 2")
        progress.advance(5.0)
        progress.say("normal  epoch [1]/2")
        progress.advance(5.0)
        progress.say("done")


def printed(*, terminal: bool, quiet: bool = False) -> str:
    stream = io.StringIO()
    work_through(progress_for(Console(file=stream, force_terminal=terminal, width=100), quiet=quiet))
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


def test_quiet_prints_nothing():
    assert printed(terminal=True, quiet=True) == printed(terminal=False, quiet=True) == ""


def test_where_the_output_goes_decides():
    kinds = [
        type(progress_for(Console(file=io.StringIO(), force_terminal=terminal), quiet=quiet))
        for terminal, quiet in ((True, False), (False, False), (True, True))
    ]
    assert kinds == [TerminalProgress, PlainProgress, QuietProgress]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (100, "2 min"), (5000, "83 min"), (12000, "3 h 20 min")]
)
def test_durations_read_naturally(seconds, text):
    assert format_seconds(seconds) == text
