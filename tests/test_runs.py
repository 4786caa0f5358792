import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.errors import UserError
from infoplane.records import (
    GEOMETRY_SCHEMA,
    MEASUREMENT_SCHEMA,
    PERFORMANCE_SCHEMA,
    SCHEMA_VERSION,
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs import RunFolder
from infoplane.whole_files import write_whole

SETTINGS = {"seed": 3, "data": {"name": "digits", "limits": (1, 2)}, "folder": None}
FACTS = {"study": "flow", "seed": 0, "training": "normal", "split": "test", "examples": "original"}
ENVIRONMENT = {"torch": "2.13.0", "threads": 2}


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


# Settings


def test_a_new_run_keeps_its_settings_and_environment(run):
    assert not run.exists()
    assert run.begin("flow", SETTINGS, ENVIRONMENT) == ENVIRONMENT
    assert run.exists()
    config = run.read_config()
    assert config["study"] == "flow"
    assert config["settings"] == json.loads(json.dumps(SETTINGS))
    assert config["environment"] == ENVIRONMENT


def begun(run):
    """A run that has computed something."""
    run.begin("flow", SETTINGS, ENVIRONMENT)
    run.write_checkpoint(3, "normal", 0, {"weight": torch.zeros(1)}, {})


def test_settings_that_computed_nothing_are_replaced(run):
    run.begin("flow", SETTINGS, ENVIRONMENT)
    run.begin("flow", {**SETTINGS, "seed": 4}, ENVIRONMENT)
    assert run.read_config()["settings"]["seed"] == 4


def test_a_continued_run_keeps_the_environment_it_began_in(run):
    begun(run)
    before = run.config_path.read_bytes()
    assert run.begin("flow", SETTINGS, {"torch": "9", "threads": 64}) == ENVIRONMENT
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "seed": 4}, "seed = 3, but this one asks for 4"),
        ({**SETTINGS, "data": {**SETTINGS["data"], "name": "mnist"}}, "data.name = 'digits', but .* for 'mnist'"),
        ({**SETTINGS, "data": {**SETTINGS["data"], "limits": (1,)}}, r"data.limits = \[1, 2\], but .* for \[1\]"),
        ({**SETTINGS, "folder": "images"}, "folder = None, but this one asks for 'images'"),
        ({**SETTINGS, "new": 1}, "new = None, but this one asks for 1"),
        ({"data": SETTINGS["data"], "folder": None}, "seed = 3, but this one asks for None"),
    ],
)
def test_a_differing_setting_is_an_error_that_names_it(run, settings, message):
    begun(run)
    before = run.config_path.read_bytes()
    with pytest.raises(UserError, match=f"{run.path} holds a run with {message}; continue it .*another folder"):
        run.begin("flow", settings, ENVIRONMENT)
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize("before", [{}, {"seeds": 1}, {"seeds": 2}])
def test_a_number_that_may_grow_is_raised_in_the_settings(run, before):
    run.begin("flow", {**SETTINGS, **before}, ENVIRONMENT)
    run.write_checkpoint(3, "normal", 0, {"weight": torch.zeros(1)}, {})
    more = {**SETTINGS, "seeds": 3}
    assert run.begin("flow", more, {"torch": "9"}, may_grow=("seeds",)) == ENVIRONMENT
    settings = json.loads(json.dumps(more))
    assert run.read_config() == {
        "schema": SCHEMA_VERSION, "study": "flow", "settings": settings, "environment": ENVIRONMENT,
    }  # fmt: skip
    assert run.begin("flow", more, {"torch": "9"}, may_grow=("seeds",)) == ENVIRONMENT


def test_a_run_from_before_a_number_could_grow_has_one(run):
    begun(run)
    before = run.config_path.read_bytes()
    assert run.begin("flow", {**SETTINGS, "seeds": 1}, {}, may_grow=("seeds",)) == ENVIRONMENT
    assert run.config_path.read_bytes() == before


def test_a_run_from_before_a_setting_existed_has_its_default_and_no_other_value(run):
    begun(run)
    defaults = {"training": {"optimiser": "sgd", "milestones": (20, 60)}}
    now = {**SETTINGS, **defaults}
    assert run.begin("flow", now, {}, defaults=defaults) == ENVIRONMENT
    other = {**now, "training": {**defaults["training"], "optimiser": "adamw"}}
    with pytest.raises(UserError, match=r"training.optimiser = 'sgd', but this one asks for 'adamw'"):
        run.begin("flow", other, {}, defaults=defaults)
    with pytest.raises(UserError, match=r"training.optimiser = None"):
        run.begin("flow", now, {})


def test_a_number_that_may_grow_never_shrinks_and_excuses_no_other_setting(run):
    run.begin("flow", {**SETTINGS, "seeds": 3}, ENVIRONMENT)
    run.write_checkpoint(3, "normal", 0, {"weight": torch.zeros(1)}, {})
    before = run.config_path.read_bytes()
    for settings, words in (
        ({"seeds": 2}, "seeds = 3, but this one asks for 2"),
        ({"seed": 9, "seeds": 4}, "seed = 3"),
        ({"seeds": 1, "folder": "images"}, "folder = None"),
    ):
        with pytest.raises(UserError, match=words):
            run.begin("flow", {**SETTINGS, **settings}, ENVIRONMENT, may_grow=("seeds",))
    with pytest.raises(UserError, match="seeds = 3, but this one asks for 4"):
        run.begin("flow", {**SETTINGS, "seeds": 4}, ENVIRONMENT)
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize("computed", [False, True])
def test_another_study_is_refused_even_where_it_computed_nothing_yet(run, computed):
    run.begin("flow", SETTINGS, ENVIRONMENT)
    if computed:
        write_epoch(run)
    before = run.config_path.read_bytes()
    message = message_of(run.begin, "distortion", SETTINGS, ENVIRONMENT)
    assert message == f"{run.path} holds the study 'flow'; choose another folder with --run"
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize("name", ["records.parquet", "cells/one.json", "performance/one.parquet"])
def test_results_of_which_nothing_says_what_they_are_are_not_mixed_with_others(run, name):
    write_whole(run.path / name, b"something")
    message = message_of(run.begin, "flow", SETTINGS, ENVIRONMENT)
    wanted = "holds the study 'calibration'" if name.startswith("cells") else "holds results but no config.json"
    assert message.startswith(f"{run.path} {wanted}")
    assert not run.exists()


def test_a_folder_without_a_run_is_named(run):
    assert f"{run.path} is no run folder" in message_of(run.read_config)


def config_with(**parts):
    whole = {"schema": SCHEMA_VERSION, "study": "flow", "settings": {}, "environment": {}, **parts}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe", "is not valid JSON"),
        (b"[]", "all of it must be a valid dictionary"),
        (b"3", "all of it must be a valid dictionary"),
        (b'{"schema": 1}', "study is missing"),
        (config_with(study=None), "study must be a valid string, got None"),
        (config_with(settings=None), "settings must be a valid dictionary, got None"),
        (config_with(environment=[]), "environment must be a valid dictionary, got []"),
        (config_with(environment={"threads": "x"}), "environment.threads must be a valid integer, got 'x'"),
        (config_with(environment={"threads": 0}), "environment.threads must be greater than or equal to 1, got 0"),
        (config_with(environment={"device": "tpu"}), "environment.device must be 'cpu' or 'cuda', got 'tpu'"),
        (config_with(environment={"threads": None}), "environment.threads must be a valid integer, got None"),
        (config_with(environment={"threads": 2**70}), "environment.threads must be less than or equal to 1024, got"),
        (config_with(environment={"threads": 10**9}), "environment.threads must be less than or equal to 1024, got"),
        (config_with(environment={"threads": True}), "environment.threads must be a valid integer, got True"),
        (config_with(environment={"processes": 0}), "environment.processes must be greater than or equal to 1, got 0"),
        (config_with(environment={"training": None}), "environment.training must be a valid dictionary"),
        (config_with(environment={"training": {}}), "environment.training.precision is missing"),
        (config_with(environment={"training": {"precision": "8"}}), "training.precision must be '32' or 'bf16', got"),
        (b"[" * 100_000, "is not valid JSON"),
    ],
)
def test_damaged_settings_are_named_with_what_to_do(run, content, words):
    run.write_file(run.config_path, content)
    message = message_of(run.read_config)
    assert message.startswith(str(run.config_path))
    assert words in message
    assert "restore it or start a new run" in message
    assert message_of(run.begin, "flow", SETTINGS, ENVIRONMENT) == message


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_folder_should_be_is_named(tmp_path, below):
    (tmp_path / "taken").write_text("")
    run = RunFolder(tmp_path / "taken" / below)
    for action in (lambda: run.begin("flow", SETTINGS, ENVIRONMENT), lambda: run.locked().__enter__()):
        message = message_of(action)
        assert str(run.path) in message
        assert "cannot be a folder" in message
    assert f"{run.path} is no run folder" in message_of(run.read_config)
    other = RunFolder(run.path, option="--output")
    assert message_of(lambda: other.locked().__enter__()).endswith("choose another with --output")


def test_settings_and_locks_that_cannot_be_opened_are_named(run):
    run.config_path.mkdir(parents=True)
    assert f"{run.config_path} cannot be read" in message_of(run.read_config)
    (run.path / ".lock").mkdir()
    assert f"{run.path} cannot be written to" in message_of(lambda: run.locked().__enter__())


# The lock


HOLD = """
import sys
from infoplane.runs import RunFolder
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
