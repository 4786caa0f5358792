"""Processes that carry out pieces of work side by side."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from infoplane.distributed.side_processes import SideProcesses
from infoplane.errors import UserError

PRELOAD = "infoplane.errors"


def tell_twice(number, tell):
    tell((number, "begun", os.getpid()))
    tell((number, "done", os.getpid()))


def wait_for(path, tell):
    """Return when another piece of work, which only another process can carry out, has made the file."""
    tell(str(path))
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def make(path, tell):
    path.touch()


def refuse(tell):
    raise UserError("no such layer")


def fail(tell):
    raise ZeroDivisionError("a fault of the code")


def end(tell):
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(path: Path, tell):
    tell(os.getpid())
    time.sleep(300)
    path.touch()


def test_all_work_is_done_and_what_each_tells_is_heard_in_order():
    heard = []
    with SideProcesses(2, preload=PRELOAD) as processes:
        processes.carry_out([partial(tell_twice, number) for number in range(5)], heard.append)
        processes.carry_out([partial(tell_twice, 5)], heard.append)  # the same processes
    assert len(processes) == 2
    for number in range(6):
        assert [what for which, what, _ in heard if which == number] == ["begun", "done"]
    assert os.getpid() not in {process for *_, process in heard}
    assert len({process for *_, process in heard}) <= 2


def test_work_is_done_side_by_side(tmp_path):
    with SideProcesses(2, preload=PRELOAD) as processes:
        processes.carry_out([partial(wait_for, tmp_path / "made"), partial(make, tmp_path / "made")], str)
    assert (tmp_path / "made").exists()


def has_imported(module, told, tell):
    tell((told, module in sys.modules))


def test_a_process_that_waits_for_others_imports_what_is_needed_later(tmp_path):
    module, heard = "colorsys", []
    with SideProcesses(2, preload=PRELOAD, later=module) as processes:
        works = [partial(wait_for, tmp_path / "made"), partial(make, tmp_path / "made")]
        processes.carry_out([partial(has_imported, module, "before"), *works], heard.append)
        processes.carry_out([partial(has_imported, module, "after") for _ in range(8)], heard.append)
    assert ("before", False) in heard
    assert ("after", True) in heard


def test_a_refusal_is_raised_here():
    with SideProcesses(1, preload=PRELOAD) as processes, pytest.raises(UserError, match=r"^no such layer$"):
        processes.carry_out([refuse], str)


def test_an_error_of_the_system_is_raised_here_as_it_is(tmp_path):
    missing = tmp_path / "no" / "file"
    with SideProcesses(1, preload=PRELOAD) as processes, pytest.raises(FileNotFoundError) as raised:
        processes.carry_out([partial(make, missing)], str)
    assert raised.value.filename == str(missing)


def test_a_process_that_cannot_start_is_told_from_one_that_ended(capfd):
    with SideProcesses(1, preload="infoplane.no_such_module") as processes, pytest.raises(UserError, match="started"):
        processes.carry_out([partial(tell_twice, 0)], str)
    assert "No module named 'infoplane.no_such_module'" in capfd.readouterr().err


def test_ctrl_c_does_not_reach_the_processes():
    heard = []
    with SideProcesses(1, preload=PRELOAD) as processes:
        for process in processes._processes:
            os.kill(process.pid, signal.SIGINT)  # before it has begun
        processes.carry_out([partial(tell_twice, 0)], heard.append)
        os.kill(heard[0][2], signal.SIGINT)
        processes.carry_out([partial(tell_twice, 1)], heard.append)
    assert len(heard) == 4
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_another_error_is_raised_here_with_its_traceback():
    with (
        SideProcesses(1, preload=PRELOAD) as processes,
        pytest.raises(RuntimeError, match=r"in fail\n.*\n.*a fault"),
    ):
        processes.carry_out([fail], str)


def test_a_process_that_ends_is_noticed():
    with SideProcesses(2, preload=PRELOAD) as processes, pytest.raises(UserError, match="has ended before its work"):
        processes.carry_out([end, partial(tell_twice, 0)], str)


def test_the_end_of_the_block_ends_the_processes_whatever_they_do(tmp_path):
    class EnoughError(Exception):
        pass

    found = []

    def heard(said):
        found.append(said)
        raise EnoughError

    with pytest.raises(EnoughError), SideProcesses(1, preload=PRELOAD) as processes:
        processes.carry_out([partial(sleep, tmp_path / "late")], heard)
    with pytest.raises(ProcessLookupError):
        os.kill(found[0], 0)
    assert not (tmp_path / "late").exists()
