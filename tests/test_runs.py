import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infoplane.errors import UserError
from infoplane.records.tables import (
    GEOMETRY_SCHEMA,
    MEASUREMENT_SCHEMA,
    PERFORMANCE_SCHEMA,
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs.folder import RunFolder
from infoplane.runs.whole_files import write_whole

FACTS = {"study": "flow", "seed": 0, "training": "normal", "split": "test", "examples": "original"}


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "first")


def measurements(epoch=0, value=1.5):
    return measurement_table(
        [
            Measurement(
                **FACTS,
                epoch=epoch,
                layer_index=0,
                layer="conv1",
                estimator="kde-kl",
                kind="upper",
                quantity="I(X;T)",
                distribution="mixture",
                value_nats=value,
                saturated=False,
                samples=4,
                features=2,
                group_means=[0.25, 0.75],
            )
        ]
    )


def performance(epoch=0):
    return performance_table(
        [
            Performance(
                **FACTS,
                epoch=epoch,
                accuracy=0.5,
                loss=2.3,
                n=4,
                gradient_evaluations=8,
                seconds=0.1,
            )
        ]
    )


def geometry(epoch=0):
    return geometry_table(
        [
            Geometry(
                **FACTS,
                epoch=epoch,
                layer_index=0,
                layer="conv1",
                samples=4,
                features=2,
                activation_norm=1.5,
                mean_unit_variance=0.5,
                class_clustering_index=0.25,
                participation_ratio=2.5,
            )
        ]
    )


def write_epoch(run, epoch=0):
    tables = {"measurements": measurements(epoch), "geometry": geometry(epoch), "performance": performance(epoch)}
    run.write_records("flow", 0, "normal", epoch, **tables)


def message_of(action, *arguments):
    with pytest.raises(UserError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Whole files


def test_a_file_is_written_with_its_folders_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "a" / "b.txt", b"first")
    write_whole(tmp_path / "a" / "b.txt", b"second")
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "a").iterdir()] == [("b.txt", b"second")]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    path = tmp_path / "b.txt"
    write_whole(path, b"first")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("b.txt", b"first")]


def test_a_reader_sees_the_old_file_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "b.txt"
    write_whole(path, b"first")
    seen = []
    fsync = os.fsync

    def look(descriptor):
        fsync(descriptor)
        seen.append((path.read_bytes(), sorted(file.stat().st_size for file in tmp_path.iterdir())))

    monkeypatch.setattr(os, "fsync", look)
    write_whole(path, b"second")
    assert seen == [(b"first", [5, 6])]


# The lock


HOLD = """
import sys
from infoplane.runs.folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(run):
    """Another process that holds the run folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_another_process_holds_is_refused_until_that_process_is_killed(run, holder):
    message = message_of(lambda: run.locked().__enter__())
    assert f"{run.path} is in use by another infoplane process; wait for it" in message
    holder.kill()
    holder.wait()
    with run.locked():
        pass


def test_the_lock_is_free_after_the_block_and_after_an_error(run):
    with run.locked():
        pass
    with pytest.raises(KeyError), run.locked():
        raise KeyError
    with run.locked():
        pass


def test_what_a_killed_write_left_is_cleared_and_nothing_else(run):
    write_epoch(run)
    leftover = run.path / "measurements" / ".flow-s0-normal-e0001.parquet.0123abcd.tmp"
    leftover.write_bytes(b"half")
    kept = sorted(path for path in run.path.rglob("*.parquet"))
    with run.locked():
        assert not leftover.exists()
    assert sorted(path for path in run.path.rglob("*.parquet")) == kept != []


# Records


def test_records_come_back_as_they_were_written(run):
    write_epoch(run, 0)
    write_epoch(run, 1)
    assert_frame_equal(run.measurements(), pl.concat([measurements(0), measurements(1)]))
    assert_frame_equal(run.geometry(), pl.concat([geometry(0), geometry(1)]))
    assert_frame_equal(run.performance(), pl.concat([performance(0), performance(1)]))


def test_writing_an_epoch_again_replaces_it(run):
    write_epoch(run)
    tables = {"measurements": measurements(value=2.5), "geometry": geometry(), "performance": performance()}
    run.write_records("flow", 0, "normal", 0, **tables)
    assert run.measurements()["value_nats"].to_list() == [2.5]


def test_a_run_without_records_has_empty_tables_of_the_right_columns(run):
    assert_frame_equal(run.measurements(), pl.DataFrame(schema=MEASUREMENT_SCHEMA))
    assert_frame_equal(run.geometry(), pl.DataFrame(schema=GEOMETRY_SCHEMA))
    assert_frame_equal(run.performance(), pl.DataFrame(schema=PERFORMANCE_SCHEMA))


@pytest.mark.parametrize("lost", ["measurements", "geometry", "performance"])
def test_an_epoch_counts_as_recorded_only_with_all_tables(run, lost):
    assert not run.has_records("flow", 0, "normal", 0)
    write_epoch(run)
    assert run.has_records("flow", 0, "normal", 0)
    for other in [("flow", 1, "normal", 0), ("flow", 0, "adversarial", 0), ("distortion", 0, "normal", 0)]:
        assert not run.has_records(*other)
    next((run.path / lost).iterdir()).unlink()
    assert not run.has_records("flow", 0, "normal", 0)


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_torn_table_is_named_with_what_to_do(run, keep):
    write_epoch(run)
    path = next((run.path / "measurements").iterdir())
    path.write_bytes(path.read_bytes()[:keep])
    message = message_of(run.measurements)
    assert message.startswith(f"{path} was changed after infoplane wrote it")
    assert "restore it, or delete it and continue the run" in message
    assert len(run.performance()) == 1


def test_a_table_that_makes_the_reader_panic_is_named_too(run, monkeypatch):
    # Some contents end in a panic of the Parquet reader, which is no Exception.
    write_epoch(run)

    def panic(_content):
        raise pl.exceptions.PanicException("called `Result::unwrap()`\non an `Err` value")

    monkeypatch.setattr(pl, "read_parquet", panic)
    assert "cannot be read as a table of this version (called `Result::unwrap()` on an `Err`" in message_of(
        run.measurements
    )


def test_a_table_of_other_columns_is_named_and_nobody_is_told_to_delete_it(run):
    write_epoch(run)
    path = next((run.path / "measurements").iterdir())
    run.write_table(path, measurements().drop("value_nats"))
    message = message_of(run.measurements)
    assert f"{path} cannot be read" in message
    assert "use the versions of infoplane and polars that wrote it" in message
    assert "delete" not in message


@pytest.mark.parametrize(
    ("folder", "name", "value", "words"),
    [
        ("measurements", "seed", None, "seed is null in 1 of 1 rows"),
        ("performance", "epoch", None, "epoch is null in 1 of 1 rows"),
        ("geometry", "layer", None, "layer is null in 1 of 1 rows"),
        ("measurements", "value_nats", None, "value_nats is null in 1 of 1 rows"),
        ("measurements", "seed", -1, "seed must be greater than or equal to 0, got -1"),
        ("geometry", "epoch", -3, "epoch must be greater than or equal to 0, got -3"),
        ("performance", "n", 0, "n must be greater than or equal to 1, got 0"),
    ],
)
def test_rows_that_do_not_say_where_they_stand_are_named(run, folder, name, value, words):
    write_epoch(run)
    path = next((run.path / folder).iterdir())
    table = getattr(run, folder)()
    run.write_table(path, table.with_columns(pl.lit(value, table.schema[name]).alias(name)))
    message = message_of(getattr(run, folder))
    assert message.startswith(f"{path} is damaged ({words}")


# The log


def test_the_log_grows_by_one_line_per_event(run):
    run.path.mkdir(parents=True)
    run.log("begin", seed=3)
    run.log("end", note="two\nlines")
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line.get("seed"), line.get("note")) for line in lines] == [
        ("begin", 3, None),
        ("end", None, "two\nlines"),
    ]
