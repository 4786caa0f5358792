"""A run keeps its settings, and what is not a run of these settings and this version is refused."""

import json
from pathlib import Path

import pytest
import torch

from infoplane.errors import UserError
from infoplane.records.tables import SCHEMA_VERSION
from infoplane.runs.folder import RunFolder
from infoplane.runs.whole_files import write_whole

SETTINGS = {"seed": 3, "data": {"name": "digits", "limits": (1, 2)}, "folder": None}
ENVIRONMENT = {"torch": "2.13.0", "threads": 2}


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "first")


def message_of(action, *arguments):
    with pytest.raises(UserError) as caught:
        action(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
        begun(run)
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
        (b'{"schema": %d}' % SCHEMA_VERSION, "study is missing"),
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
        (
            config_with(environment={"training": {"precision": "32", "by_groups": ["conv1"]}}),
            "environment.training.by_groups is not a setting of this version",
        ),
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


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"environment": {"infoplane": "0.0.3"}}, "was written by infoplane 0.0.3 with no schema"),
        ({"study": "flow", "settings": {}, "environment": {}}, "was written by another version with no schema"),
        ({"schema": 7, "environment": {"infoplane": "9.1"}}, "was written by infoplane 9.1 with schema 7"),
        ({"schema": None, "environment": None}, "was written by another version with schema None"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_a_run_of_another_version_says_what_to_do(run, config, words, listed):
    (run.write_file if listed else write_whole)(run.config_path, json.dumps(config).encode())
    message = message_of(run.read_config)
    assert f"{run.config_path} {words}, and this version reads schema {SCHEMA_VERSION}" in message
    assert "use the version that wrote it, or begin anew in another folder" in message
    assert message_of(run.begin, "flow", SETTINGS, ENVIRONMENT) == message


def test_settings_that_were_changed_by_hand_are_refused(run):
    begun(run)
    content = run.config_path.read_text()
    run.config_path.write_text(content.replace('"seed": 3', '"seed": 4'))
    message = message_of(run.read_config)
    assert f"{run.config_path} was changed after infoplane wrote it" in message
    assert "restore it, or start a new run" in message


def test_the_manifest_of_a_long_run_is_parsed_once(run, monkeypatch):
    begun(run)
    read, opened = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or read(path))
    for _ in range(5):
        run.read_config()
    assert opened.count("config.json") == 5
    assert opened.count("manifest.sha256") <= 1
