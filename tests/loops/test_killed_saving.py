"""A process that is killed while it saves leaves whole files, and never the tables of two measurements of one epoch."""

import shutil

import pytest
from polars.testing import assert_frame_equal
from tests.loops.own_loops import plane, small

import infoplane
from infoplane.errors import UserError
from infoplane.runs import manifest
from infoplane.runs.folder import RunFolder


class Killed(BaseException):
    """Ends a save as a signal does."""


@pytest.fixture(scope="module")
def twice():
    """A plane with two epochs, and the same plane after its first epoch was measured again."""
    first, second = plane(attack=None), plane(attack=None)
    for own in (first, second):
        own.measure(small(0), epoch=0, thorough=False)
        own.measure(small(1), epoch=1, thorough=False)
    second.measure(small(5), epoch=0, thorough=False)
    return first, second


def killed_after(writes, monkeypatch):
    """Let the process end before it has written one file more."""
    left, original = [writes], manifest.write_whole

    def write(path, content):
        if not left[0]:
            raise Killed
        left[0] -= 1
        original(path, content)

    monkeypatch.setattr(manifest, "write_whole", write)


def losses(folder):
    return infoplane.load_run(folder).performance.sort("epoch")["loss"].to_list()


@pytest.mark.parametrize("writes", range(9))
def test_a_new_folder_can_be_saved_to_again_whenever_the_first_save_was_killed(writes, twice, tmp_path, monkeypatch):
    first, _ = twice
    first._saved.clear()
    with monkeypatch.context() as patched:
        killed_after(writes, patched)
        with pytest.raises(Killed):
            first.save(tmp_path / "run")
    if (tmp_path / "run" / "config.json").exists():
        found = infoplane.load_run(tmp_path / "run")
        assert len(found.measurements) <= len(first.measurements)
    else:
        with pytest.raises(UserError, match="is no run folder"):
            infoplane.load_run(tmp_path / "run")
    first.save(tmp_path / "run")
    assert losses(tmp_path / "run") == first.performance.sort("epoch")["loss"].to_list()


@pytest.mark.parametrize("writes", range(8))
def test_an_epoch_never_has_tables_of_two_measurements(writes, twice, tmp_path, monkeypatch):
    first, second = twice
    first._saved.clear(), second._saved.clear()
    folder = first.save(tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    with monkeypatch.context() as patched:
        killed_after(writes, patched)
        with pytest.raises(Killed):
            second.save(folder)
    found = RunFolder(folder).read_records("information-flow", 0, "normal", 0)
    keys = {
        "measurements": "value_nats",
        "geometry": "activation_norm",
        "performance": "loss",
    }
    of = {
        own: {name: getattr(own, name).filter(epoch=0)[column].to_list() for name, column in keys.items()}
        for own in (first, second)
    }
    there = {name: found[name][column].to_list() for name, column in keys.items() if len(found[name])}
    assert any(there.items() <= tables.items() for tables in of.values())
    second.save(folder)
    keys = ["epoch", "layer_index", "estimator", "quantity", "kind", "noise_mode"]
    again = infoplane.load_run(folder).measurements
    assert_frame_equal(again.sort(*keys, "class_index"), second.measurements.sort(*keys, "class_index"))
