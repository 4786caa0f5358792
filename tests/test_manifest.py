"""Every file of a folder is as infoplane wrote it, or refused."""

import contextlib
import hashlib
import subprocess
from pathlib import Path

import pytest

from infoplane.errors import UserError
from infoplane.runs import whole_files
from infoplane.runs.manifest import NAME, Manifest


def refusal(manifest: Manifest, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        manifest.read(path, "begin anew")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_comes_back_as_it_was_written_also_from_another_manifest_of_the_folder(tmp_path):
    path = tmp_path / "a" / "table"
    Manifest(tmp_path).write(path, b"first")
    assert Manifest(tmp_path).read(path, "") == b"first"


@pytest.mark.parametrize("place", range(5))
def test_every_changed_byte_is_one_line_that_names_the_file(tmp_path, place):
    manifest, path = Manifest(tmp_path), tmp_path / "table"
    manifest.write(path, b"first")
    content = bytearray(b"first")
    content[place] ^= 1
    path.write_bytes(content)
    said = f"{path} was changed after infoplane wrote it: its sha256 is not the one in {NAME}"
    assert refusal(manifest, path) == f"{said}; restore it, or begin anew"


def test_a_file_that_infoplane_did_not_write_is_refused(tmp_path):
    manifest, path = Manifest(tmp_path), tmp_path / "seed-0"
    manifest.write(path, b"whole")
    (tmp_path / "seed-1").write_bytes(b"whole")
    assert "infoplane did not write it there; move it elsewhere" in refusal(manifest, tmp_path / "seed-1")


def test_without_its_manifest_a_folder_says_nothing_about_its_files(tmp_path):
    manifest, path = Manifest(tmp_path), tmp_path / "table"
    manifest.write(path, b"whole")
    (tmp_path / NAME).unlink()
    message = refusal(Manifest(tmp_path), path)
    assert f"{tmp_path / NAME} is missing" in message
    assert "delete" not in message
    done = subprocess.run(["sha256sum", "table"], cwd=tmp_path, capture_output=True, check=True)
    (tmp_path / NAME).write_bytes(done.stdout)  # as the message says
    assert manifest.read(path, "") == b"whole"


def test_the_lines_are_those_of_sha256sum(tmp_path):
    Manifest(tmp_path).write(tmp_path / "b" / "table", b"whole")
    Manifest(tmp_path).write(tmp_path / "b" / "table", b"whole")
    assert (tmp_path / NAME).read_text() == f"{hashlib.sha256(b'whole').hexdigest()}  b/table\n"
    subprocess.run(["sha256sum", "--check", "--strict", NAME], cwd=tmp_path, capture_output=True, check=True)


def test_a_kill_between_line_and_file_leaves_the_earlier_file_whole(tmp_path, monkeypatch):
    def killing(*_):
        raise KeyboardInterrupt

    manifest, path = Manifest(tmp_path), tmp_path / "table"
    manifest.write(path, b"first")
    for content in (b"second", b"third"):
        with monkeypatch.context() as killed:
            killed.setattr("infoplane.runs.manifest.write_whole", killing)
            with pytest.raises(KeyboardInterrupt):
                manifest.write(path, content)
        assert Manifest(tmp_path).read(path, "") == b"first"
    manifest.write(path, b"second")
    assert Manifest(tmp_path).read(path, "") == b"second"


def test_a_line_is_on_the_disk_before_its_file(tmp_path, monkeypatch):
    seen = []
    write = whole_files.write_whole
    monkeypatch.setattr(
        "infoplane.runs.manifest.write_whole",
        lambda path, content: (seen.append((tmp_path / NAME).read_text().split()[1]), write(path, content)),
    )
    Manifest(tmp_path).write(tmp_path / "table", b"first")
    assert seen == ["table"]


@pytest.mark.parametrize("keep", [1, 30, 64, 66, 68])
def test_a_torn_last_line_describes_nothing_and_spoils_no_later_line(tmp_path, keep):
    manifest = Manifest(tmp_path)
    manifest.write(tmp_path / "one", b"1")
    first = (tmp_path / NAME).read_bytes()
    manifest.write(tmp_path / "two", b"2")
    (tmp_path / NAME).write_bytes(first + (tmp_path / NAME).read_bytes()[len(first) :][:keep])
    assert "move it elsewhere" in refusal(Manifest(tmp_path), tmp_path / "two")
    manifest.write(tmp_path / "three", b"3")
    manifest.write(tmp_path / "two", b"2")
    assert [Manifest(tmp_path).read(tmp_path / name, "") for name in ("one", "two", "three")] == [b"1", b"2", b"3"]


def test_every_changed_byte_of_the_manifest_refuses_a_file_or_changes_nothing(tmp_path):
    Manifest(tmp_path).write(tmp_path / "one", b"1")
    Manifest(tmp_path).write(tmp_path / "two", b"2")
    whole = (tmp_path / NAME).read_bytes()
    for place in range(len(whole)):
        for change in (1, 0x20, 0x80):
            damaged = bytearray(whole)
            damaged[place] ^= change
            (tmp_path / NAME).write_bytes(damaged)
            for name, content in (("one", b"1"), ("two", b"2")):
                with contextlib.suppress(UserError):
                    assert Manifest(tmp_path).read(tmp_path / name, "") == content


def test_a_manifest_that_is_a_symbolic_link_is_not_written_through(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("mine\n")
    (tmp_path / "run" / NAME).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic"):
        Manifest(tmp_path / "run").write(tmp_path / "run" / "table", b"1")
    assert (tmp_path / "precious").read_text() == "mine\n"


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    manifest, path = Manifest(tmp_path), tmp_path / "table"
    manifest.write(path, b"whole")

    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    message = refusal(manifest, path)
    assert message.startswith(f"{path} cannot be read (Permission denied)")
    assert "delete" not in message


def test_figures_drawn_again_are_listed_once(tmp_path):
    manifest = Manifest(tmp_path)
    for content in (b"one", b"two", b"two"):
        (tmp_path / "figure.png").write_bytes(content)
        manifest.add([tmp_path / "figure.png"])
    assert len((tmp_path / NAME).read_text().splitlines()) == 2
