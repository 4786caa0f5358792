"""What ends a command from outside, and what does not: signals, and a reader of its output that goes away."""

import shlex
import signal
import subprocess
import sys
import time

import pytest
from tests.command import ENTRY, drawing, entry, hear_signals, started

from infoplane.runs.folder import RunFolder

SETTINGS = [
    "flow", "digits-lenet5", "--data.train-examples=60", "--data.test-examples=40", "--measurement.examples=20",
    "--methods", "normal", "--measurement.layers", "fc3", "--measurement.thorough-epochs=0",
    "--measurement.permutations=1", "--measurement.noise-sweep=1", "--measure-every=1", "--deterministic",
    "--device=cpu", "--training.warmup-epochs=0",
]  # fmt: skip


UNDRAWN = entry(drawn=())


def start(*arguments: object, command=(ENTRY,), preexec_fn=hear_signals) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=drawing(()),
        preexec_fn=preexec_fn,
    )


def first_epoch(process):
    """Return the first line about an epoch; the lines before it say what the attacks cost."""
    return next(line for line in iter(process.stdout.readline, "") if not line.startswith("attack "))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_training_that_is_asked_to_end_says_how_to_continue(number, tmp_path):
    command = [*SETTINGS, "--training.epochs=200", "--run", tmp_path / "run"]
    run = RunFolder(tmp_path / "run")
    process = started(*command, drawn=())
    while process.poll() is None and not list(run.path.glob("checkpoints/s0-normal-e0001.*")):
        time.sleep(0.02)
    process.send_signal(number)
    printed, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + number, complaint
    assert "epoch 0/200" in printed
    again = shlex.join(["infoplane", *map(str, command)])
    assert complaint.strip() == f"interrupted; only the epoch under way will be repeated. To continue: {again}"
    assert run.measurements()["epoch"].to_list()
    assert not list(run.path.rglob("*.tmp"))
    with run.locked():
        pass


def test_a_signal_inside_a_library_that_makes_another_exception_of_it_ends_the_command():
    code = """
import os, signal, sys
import infoplane.commands.cli as cli

def library(_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        raise RecursionError("maximum recursion depth exceeded")

cli._dispatch = library
sys.exit(cli.main(sys.argv[1:]))
"""
    process = start("recipes", command=(sys.executable, "-c", code))
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, complaint
    assert complaint == "infoplane: interrupted; to begin again: infoplane recipes\n"


def test_a_command_without_a_run_says_that_it_was_interrupted(tmp_path):
    code = "import os, signal, infoplane.commands.cli as cli, sys; cli._dispatch = lambda _: os.kill(os.getpid(), 15); "
    code += "sys.exit(cli.main(sys.argv[1:]))"
    process = start("recipes", command=(sys.executable, "-c", code))
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (143, "infoplane: interrupted; to begin again: infoplane recipes\n")


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    process = start(
        *[*SETTINGS, "--training.epochs=1", "--run", tmp_path / "run"],
        command=UNDRAWN,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),  # as nohup does
    )
    assert "epoch 0/1" in first_epoch(process)
    process.send_signal(signal.SIGHUP)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (0, "")


def test_a_training_goes_on_when_nobody_reads_its_output(tmp_path):
    with start(*SETTINGS, "--training.epochs=3", "--run", tmp_path / "run", command=UNDRAWN) as process:
        assert "epoch 0/3" in first_epoch(process)
        process.stdout.close()  # as `| head -1` does
        complaint = process.stderr.read()
        assert process.wait(timeout=60) == 0, complaint
    assert complaint == (
        "infoplane: the output pipe was closed; the command continues and saves its results (stop it with Ctrl-C)\n"
    )
    assert set(RunFolder(tmp_path / "run").measurements()["epoch"]) == {0, 1, 2, 3}


def test_a_training_goes_on_when_nobody_reads_its_errors_either(tmp_path):
    command = [*SETTINGS, "--training.epochs=2", "--run", tmp_path / "run"]
    typed = shlex.join(map(str, [*UNDRAWN, *command]))
    line = f"{typed} 2>&1 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=120, check=True, env=drawing(())
    )
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
    assert set(RunFolder(tmp_path / "run").measurements()["epoch"]) == {0, 1, 2}


@pytest.mark.parametrize("command", ["recipes", "--help", "flow --help"])
def test_a_short_output_may_be_cut(command):
    line = f"{shlex.quote(str(ENTRY))} {command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_message_that_nobody_can_read_does_no_harm():
    line = f"{shlex.quote(str(ENTRY))} nonsense 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("2\n", "")
