"""Files of a run on their way to another machine."""

from pathlib import Path

from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.packed import PackedRun


def test_a_checkpoint_that_is_replaced_while_files_are_read_is_not_missing(tmp_path, monkeypatch):
    place = SweepFolder(tmp_path).run_path("one") / "checkpoints"
    place.mkdir(parents=True)
    old, new = place / "e2", place / "e3"
    old.write_bytes(b"two")
    read = Path.read_bytes

    def read_too_late(path):
        if path == old and old.exists():
            new.write_bytes(b"three")
            old.unlink()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_too_late)
    changed = PackedRun(tmp_path, "one").changes()
    assert changed.files == {"runs/one/checkpoints/e3": b"three"}
    assert changed.present == ["runs/one/checkpoints/e3"]
