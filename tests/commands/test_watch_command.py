import signal
import subprocess
import urllib.request

import pytest
from tests.command import drawing, entry, hear_signals

from infoplane.commands.cli import main


@pytest.fixture
def watching(tmp_path):
    """Start `infoplane watch` on a run that does not exist yet; yields the process and its first two lines."""
    command = [*entry(), "watch", str(tmp_path / "run"), "--port", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=drawing(COLUMNS="120"),
        preexec_fn=hear_signals,
    ) as process:
        yield process, [process.stdout.readline(), process.stdout.readline()]
        process.kill()


def test_watching_prints_an_address_that_answers_and_ends_with_ctrl_c(watching, tmp_path):
    process, (address, waiting) = watching
    assert waiting.strip() == f"{tmp_path / 'run'} holds no run yet: waiting for it"
    url = address.split()[0]
    assert url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"holds no run yet" in answer.read()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=20)
    assert process.returncode == 130
    assert complaint.splitlines() == [
        f"infoplane: interrupted; to begin again: infoplane watch {tmp_path / 'run'} --port 0"
    ]


def test_a_file_is_no_run_to_watch(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["watch", str(tmp_path / "file")]) == 2
    assert "is a file; name the folder of a run" in capsys.readouterr().err


def test_a_port_that_cannot_exist_is_refused(tmp_path, capsys):
    assert main(["watch", str(tmp_path), "--port", "70000"]) == 2
    assert "--port must be less than or equal to 65535, got 70000" in capsys.readouterr().err
