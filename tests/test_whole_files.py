"""What is written goes where it was meant to go: through no symbolic link, into no file that was there."""

import fcntl
import os

import pytest

from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.whole_files import append_whole, clear_leftovers, write_whole


@pytest.fixture
def precious(tmp_path):
    """A file that nobody asked to change."""
    path = tmp_path / "precious"
    path.write_text("mine\n")
    yield path
    assert path.read_text() == "mine\n"


def test_the_lock_is_no_way_into_another_file(tmp_path, precious):
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    (run.path / ".lock").symlink_to(precious)
    with pytest.raises(UserError, match=r"cannot be written to \(its .lock is a symbolic link"), run.locked():
        pass


def test_a_lock_file_keeps_what_it_holds(tmp_path):
    run = RunFolder(tmp_path)
    (tmp_path / ".lock").write_text("a note")
    with run.locked():
        pass
    assert (tmp_path / ".lock").read_text() == "a note"


def test_a_lock_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(UserError, match="it is not a regular file"), RunFolder(tmp_path).locked():
        pass


def test_a_temporary_that_is_there_is_never_written_to(tmp_path, precious, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")
    (tmp_path / ".a.txt.00000000.tmp").symlink_to(precious)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a.txt", b"other")
    assert not (tmp_path / "a.txt").exists()


def test_a_link_in_place_of_a_file_is_replaced(tmp_path, precious):
    (tmp_path / "a.txt").symlink_to(precious)
    write_whole(tmp_path / "a.txt", b"other")
    assert (tmp_path / "a.txt").read_bytes() == b"other"
    assert not (tmp_path / "a.txt").is_symlink()


def test_the_log_is_no_way_into_another_file(tmp_path, precious):
    (tmp_path / "log.jsonl").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        RunFolder(tmp_path).log("begin")
    with pytest.raises(OSError, match="symbolic"):
        append_whole(tmp_path / "log.jsonl", b"line\n")


def test_files_have_the_permissions_that_the_user_gives_to_new_files(tmp_path):
    (tmp_path / "usual").touch()
    write_whole(tmp_path / "a.txt", b"content")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_leftovers_are_ours_alone_and_of_dead_processes(tmp_path, precious):
    ours = tmp_path / "deep" / ".table.parquet.0123abcd.tmp"
    ours.parent.mkdir()
    ours.touch()
    for name in (".notes.tmp", ".swap.1234.tmp"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.0123abcd.tmp").mkdir()
    (tmp_path / ".link.0123abcd.tmp").symlink_to(precious)
    living = tmp_path / ".living.0123abcd.tmp"
    with living.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob(".*.tmp")) == [
        ".folder.0123abcd.tmp", ".link.0123abcd.tmp", ".living.0123abcd.tmp", ".notes.tmp", ".swap.1234.tmp",
    ]  # fmt: skip


def test_a_new_folder_in_which_nothing_was_written_is_removed(tmp_path):
    with pytest.raises(KeyError), RunFolder(tmp_path / "new" / "run").locked():
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_there_or_hold_something_stay(tmp_path):
    (tmp_path / "old").mkdir()
    run = RunFolder(tmp_path / "old" / "run")
    with run.locked():
        (run.path / "kept").write_text("")
    with RunFolder(tmp_path / "old").locked():
        pass
    assert {path.name for path in (tmp_path / "old").rglob("*")} == {"run", "kept", ".lock"}
