"""The attack transfer: its examples are made on one network that a run trains and keeps."""

import json
import shutil

import polars as pl
import pytest
import torch

from infoplane.attacks import LinfPGD, apply_attack
from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.measuring.evaluate import evaluate
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.flow.substitute import SUBSTITUTE, substitute_schedule
from infoplane.studies.parts import build_model

NO_PLANE = {"layers": ("fc3",), "thorough_epochs": 0, "noise_sweep": (), "permutations": 0, "decoder_permutations": 0}


def transferring(small_flow: FlowConfig, **more) -> FlowConfig:
    settings = small_flow.model_dump() | {"attacks": ("pgd", "transfer"), "seed": 4, **more}
    settings["training"] |= {"learning_rate": 0.05, "batch_size": 8}
    settings["measurement"] |= {"examples": 40, "inputs": 0, **NO_PLANE}
    return FlowConfig.model_validate(settings)


@pytest.fixture(scope="module")
def run(small_flow, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("transfer") / "run")
    config = transferring(small_flow)
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run)
    return run


def performance(run: RunFolder) -> dict[tuple[str, int], float]:
    rows = run.performance().filter(pl.col("examples") == "transfer")
    return {(row["training"], row["epoch"]): row["loss"] for row in rows.to_dicts()}


def test_every_network_is_measured_on_the_examples_of_the_one_substitute(run):
    networks = list(FinishedRun(run))
    source = networks[0].attacks["transfer"].source
    with evaluation_mode(source):
        examples = apply_attack(
            LinfPGD(epsilon=0.1, step_size=0.05, steps=3),
            source,
            networks[0].images,
            networks[0].labels,
            generator=torch.Generator(),
        )
    for network in networks:
        assert torch.equal(network.versions()["transfer"], examples)
        with evaluation_mode(network.model):
            expected = evaluate(network.model, examples, network.labels).loss
        assert performance(run)[network.training, 2] == pytest.approx(expected)


def test_the_substitute_is_another_network_than_those_of_the_run_and_its_cost_is_logged(run):
    (path,) = (run.path / "checkpoints").glob(f"*{SUBSTITUTE}*")
    assert path.name == f"s4-{SUBSTITUTE}-e0002.safetensors"
    assert path.name in (run.path / "manifest.sha256").read_text()
    lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    (line,) = [one for one in lines if one["event"] == "substitute"]
    assert (line["seed"], line["epochs"], line["gradient_evaluations"]) == (4, 2, 240)
    assert 0.1 < line["accuracy"] <= 1
    network = FinishedRun(run).network(4, "normal")
    source, initial = network.attacks["transfer"].source, build_model(network.config, network.test)
    for name, value in source.state_dict().items():
        if name.endswith("weight"):
            assert not torch.equal(value, network.model.state_dict()[name])
            assert not torch.equal(value, initial.state_dict()[name])


def test_a_continued_run_uses_the_same_substitute(run, small_flow, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    again = RunFolder(tmp_path / "run")
    before = (next((again.path / "checkpoints").glob(f"*{SUBSTITUTE}*"))).read_bytes()
    for table in again.path.glob("*/*adversarial-e0002*.parquet"):
        table.unlink()
    information_flow(transferring(small_flow), run=again)
    assert next((again.path / "checkpoints").glob(f"*{SUBSTITUTE}*")).read_bytes() == before
    assert performance(again) == performance(run)


def test_without_a_folder_the_same_numbers_come_out(run, small_flow):
    records = information_flow(transferring(small_flow))
    rows = records.performance.filter(pl.col("examples") == "transfer").to_dicts()
    assert {(row["training"], row["epoch"]): row["loss"] for row in rows} == pytest.approx(performance(run))


def test_the_substitute_takes_few_epochs_of_the_schedule_of_the_run(small_flow):
    schedule = substitute_schedule(small_flow.training.model_copy(update={"epochs": 200, "warmup_epochs": 4}))
    assert (schedule.epochs, schedule.warmup_epochs) == (5, 2.5)


def test_a_run_that_trains_nothing_has_no_substitute(small_flow):
    config = transferring(small_flow)
    config = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 0})})
    with pytest.raises(UserError, match=r"the attack transfer makes its examples on a network that is trained"):
        information_flow(config)


def test_a_finished_run_without_a_substitute_trains_one(flow_run, tmp_path):
    shutil.copytree(flow_run.path, tmp_path / "run")
    own = RunFolder(tmp_path / "run")
    finished = FinishedRun(own, attacks=("transfer",))
    assert list(finished.network(4, "normal").attacks) == ["transfer"]
    assert own.checkpoint_epochs(4, SUBSTITUTE) == [1]
