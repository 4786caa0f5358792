"""The process that is copied for each command runs it as a new process would, and survives one that does not end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.warm_process import WarmProcess

SCRIPT = """
import os, sys
print(os.getcwd(), sys.argv[1:], os.environ.get("ASKED"), __name__)
print("said", file=sys.stderr)
if sys.argv[1:] == ["slowly"]:
    import subprocess, time
    child = subprocess.Popen(["sleep", "60"])
    open("pids", "w").write(f"{os.getpid()} {child.pid}")
    time.sleep(60)
sys.exit({"refuse": 2, "fall": "a line"}.get(sys.argv[1], 0))
"""


@pytest.fixture(scope="module")
def warm():
    process = WarmProcess()
    yield process
    process._end()


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


@pytest.mark.parametrize("word", ["work", "refuse", "fall"])
def test_a_command_ends_as_in_a_process_of_its_own(word, warm, script, tmp_path):
    found = warm.run([script, word], tmp_path, environment(ASKED="yes"), timeout=60)
    alone = subprocess.run(
        [sys.executable, script, word],
        cwd=tmp_path,
        env=environment(ASKED="yes"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (alone.returncode, alone.stdout, alone.stderr)
    assert "yes __main__" in found.stdout


def test_an_error_is_a_traceback_and_status_1(warm, tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('planted')")
    done = warm.run([str(path)], tmp_path, environment(), timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "RuntimeError: planted"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_a_command_that_does_not_end_is_ended_with_its_children_and_the_next_one_runs(warm, script, tmp_path):
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run([script, "slowly"], tmp_path, environment(), timeout=3)
    deadline = time.monotonic() + 10
    pids = (tmp_path / "pids").read_text().split()
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)
    assert warm.run([script, "work"], tmp_path, environment(), timeout=60).returncode == 0


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_commands_go_on_beside_each_other_and_hear_signals(warm, script, tmp_path):
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    one, two = (warm.start([script, "slowly"], place, environment(ASKED="yes")) for place in places)
    deadline = time.monotonic() + 30
    while not all((place / "pids").is_file() for place in places) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert one.poll() is None
    assert warm.run([script, "work"], tmp_path, environment(), timeout=60).returncode == 0
    two.send_signal(signal.SIGTERM)
    _, said = two.communicate(timeout=30)
    assert (two.returncode, said) == (-signal.SIGTERM, "said\n")
    assert one.poll() is None
    os.killpg(one.pid, signal.SIGKILL)  # with its child
    one.communicate(timeout=30)
    assert one.returncode == one.poll() == -signal.SIGKILL
    os.killpg(two.pid, signal.SIGKILL)  # its child goes on


def test_what_is_read_while_python_starts_asks_for_a_new_process(warm):
    assert warm.can_run(environment(INFOPLANE_DATA="elsewhere"))
    for name in ("PYTHONPATH", "MPLBACKEND", "OMP_NUM_THREADS"):
        assert not warm.can_run(environment(**{name: "another"}))
