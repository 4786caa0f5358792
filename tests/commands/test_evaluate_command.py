"""The command `infoplane evaluate`, on a run of real digits and on weights from elsewhere."""

import hashlib
import json
import re
import shutil
import signal
import sys
import time
from dataclasses import replace

import polars as pl
import pytest
import torch
from tests.command import assert_one_clear_line, infoplane, started

from infoplane.commands.cli import main
from infoplane.measuring.evaluate import evaluate
from infoplane.measuring.intervals import wilson_interval
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.runs.folder import RunFolder

EXAMPLES = 24
QUICK = ["clean", "fgsm", "pgd-20", "transfer", "apgd-ce", "square-500"]
NETWORKS = ["s0-normal-last", "s0-normal-best", "s0-adversarial-last"]


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory):
    """A run of two epochs; the best epoch of normal training is the first."""
    from infoplane.config import AttackConfig, DataConfig, FlowConfig, MeasurementConfig, TrainingConfig
    from infoplane.runs.environment import describe_environment
    from infoplane.studies import STUDY
    from infoplane.studies.flow.information_flow import information_flow

    run = RunFolder(tmp_path_factory.mktemp("flow") / "run")
    config = FlowConfig(
        data=DataConfig(name="digits", train_examples=600, test_examples=80),
        training=TrainingConfig(epochs=2, batch_size=10, learning_rate=0.05),
        attack=AttackConfig(epsilon=0.1, step_size=0.1, steps=1),
        measurement=MeasurementConfig(
            examples=30, layers=("fc3",), permutations=2, thorough_epochs=0, noise_sweep=(), inputs=0
        ),
    )
    run.begin(STUDY, config.model_dump(mode="json"), describe_environment("cpu"))
    information_flow(config, run=run, keep_checkpoints=True)
    run.write_best_checkpoint(0, "normal", *run.read_checkpoint(0, "normal", 1))
    run.write_best_checkpoint(0, "adversarial", *run.read_checkpoint(0, "adversarial", 2))
    return run.path


@pytest.fixture(scope="module")
def evaluated(flow_run, tmp_path_factory):
    """A copy of the run, evaluated with the installed command, and what was printed."""
    path = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(flow_run, path)
    done = infoplane("evaluate", path, "--examples", EXAMPLES, drawn=("evaluation",))
    assert done.returncode == 0, done.stderr
    return path, done.stdout


def content_of(folder):
    return json.loads((folder / "evaluation.json").read_text())


def without_times(content):
    for network in content["networks"]:
        for row in network["attacks"]:
            row["seconds"] = None
    return content


def test_every_network_has_every_attack_with_its_interval(evaluated):
    path, _ = evaluated
    content = content_of(path / "evaluation")
    assert (content["suite"], content["norm"], content["epsilon"], content["examples"]) == (
        "quick",
        "linf",
        0.1,
        EXAMPLES,
    )
    named = [f"s{one['seed']}-{one['training']}-{one['checkpoint']}" for one in content["networks"]]
    assert named == NETWORKS  # the best adversarial epoch is the last, which is evaluated once
    assert [one["epoch"] for one in content["networks"]] == [2, 1, 2]
    for network in content["networks"]:
        assert [row["attack"] for row in network["attacks"]] == QUICK
        for row in [*network["attacks"], network["worst_case"], *network["curve"]]:
            interval = wilson_interval(round(EXAMPLES * row["accuracy"]), EXAMPLES)
            assert (row["low"], row["high"]) == pytest.approx(interval)
        accuracies = {row["attack"]: row["accuracy"] for row in network["attacks"]}
        assert network["worst_case"]["accuracy"] <= min(accuracies.values())
        gradients = {row["attack"]: row["gradient"] for row in network["attacks"]}
        assert gradients["fgsm"] == 1
        assert gradients["square-500"] == 0
        assert [point["epsilon"] for point in network["curve"]][-1] == 0.5
        assert re.fullmatch("[0-9a-f]{64}", network["weights_sha256"])
    hashes = {one["weights_sha256"] for one in content["networks"]}
    assert len(hashes) == 3


def test_the_table_of_images_agrees_with_the_networks(evaluated):
    from infoplane.networks.memory_format import as_pixels
    from infoplane.studies.finished import FinishedRun

    path, _ = evaluated
    table, content = pl.read_parquet(path / "evaluation" / "evaluation.parquet"), content_of(path / "evaluation")
    assert len(table) == len(NETWORKS) * len(QUICK) * EXAMPLES
    network = FinishedRun(RunFolder(path)).best_network(0, "normal")
    clean = table.filter(network="s0-normal-best", attack="clean")
    places = clean["index"].to_list()
    with evaluation_mode(network.model):
        found = evaluate(network.model, as_pixels(network.test.images[places]), network.test.labels[places])
    assert clean["predicted"].to_list() == found.predicted.tolist()
    assert clean["label"].to_list() == network.test.labels[places].tolist()
    assert content["networks"][1]["attacks"][0]["accuracy"] == found.accuracy
    for attack in QUICK[1:]:
        own = table.filter(network="s0-normal-best", attack=attack)
        row = next(row for row in content["networks"][1]["attacks"] if row["attack"] == attack)
        assert own["robust"].mean() == row["accuracy"]
        assert own["linf"].max() <= 0.1 + 1e-6
        assert own["fooled"].sum() == row["fooled"]
    worst = table.filter(network="s0-normal-best").group_by("index").agg(pl.col("robust").all())
    assert worst["robust"].mean() == content["networks"][1]["worst_case"]["accuracy"]


def test_table_figure_and_section_of_the_report(evaluated):
    path, printed = evaluated
    assert "normal training, seed 0, best checkpoint (epoch 1): 24 images, L-infinity ball of radius 0.1" in printed
    for name in [*QUICK, "worst case"]:
        assert re.search(rf"^ {name} +", printed, flags=re.MULTILINE), name
    assert f"numbers: {path / 'evaluation' / 'evaluation.json'}" in printed
    assert (path / "figures" / "evaluation.svg").read_bytes()[:4] == b"<svg"
    page = (path / "report.html").read_text()
    assert '<h2 id="evaluation-title">Accuracy under attack</h2>' in page
    assert '<a href="#evaluation">' in page
    assert "normal training, seed 0, best checkpoint (epoch 1): accuracy under attack" in page


def test_the_same_command_again_attacks_nothing(evaluated, capsys, monkeypatch):
    import infoplane.report.html as html

    monkeypatch.setattr(html, "write_figures", lambda *_, **__: [])
    path, _ = evaluated
    before = content_of(path / "evaluation")
    attacked = [line for line in (path / "evaluation" / "log.jsonl").read_text().splitlines() if '"attacked"' in line]
    assert len(attacked) == len(NETWORKS) * (len(QUICK) - 1)
    assert main(["evaluate", str(path), "--examples", str(EXAMPLES)]) == 0
    assert (path / "evaluation" / "log.jsonl").read_text().count('"attacked"') == len(attacked)
    assert content_of(path / "evaluation") == before
    assert "worst case" in capsys.readouterr().out


def test_other_settings_are_refused_in_one_line(evaluated, capsys):
    path, _ = evaluated
    for options, message in (
        (["--examples", "30"], "examples = 24, but this one asks for 30"),
        (["--examples", "24", "--attack.epsilon", "0.2"], "epsilon = 0.1, but this one asks for 0.2"),
    ):
        assert main(["evaluate", str(path), *options, "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
        assert "choose another folder with --output" in line


def test_a_killed_evaluation_loses_one_attack_at_most(evaluated, flow_run, tmp_path):
    whole, _ = evaluated
    path = tmp_path / "run"
    shutil.copytree(flow_run, path)
    process = started("evaluate", path, "--examples", EXAMPLES, drawn=())
    files = path / "evaluation" / "attacked"
    while len(list(files.glob("*.safetensors"))) < 7 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    kept = {file.name: file.stat().st_mtime_ns for file in files.glob("*.safetensors")}
    assert 7 <= len(kept) < 18
    assert not (path / "evaluation" / "evaluation.json").exists()
    done = infoplane("evaluate", path, "--examples", EXAMPLES, drawn=())
    assert done.returncode == 0, done.stderr
    assert {name: (files / name).stat().st_mtime_ns for name in kept} == kept
    assert without_times(content_of(path / "evaluation")) == without_times(content_of(whole / "evaluation"))


def test_an_attack_on_other_weights_is_made_again(evaluated, tmp_path, monkeypatch):
    """A run that was continued has other weights under the same name."""
    import infoplane.report.html as html

    monkeypatch.setattr(html, "write_figures", lambda *_, **__: [])
    path = tmp_path / "run"
    shutil.copytree(evaluated[0], path)
    run = RunFolder(path)
    tensors, facts = run.read_checkpoint(0, "normal", 1)
    tensors = {name: value + 0.01 if name == ".model.conv1.bias" else value for name, value in tensors.items()}
    run.write_best_checkpoint(0, "normal", tensors, facts)
    monkeypatch.setattr("infoplane.studies.finished.check_network", lambda *_: None)
    before = (path / "evaluation" / "log.jsonl").read_text().count('"attacked"')
    assert main(["evaluate", str(path), "--examples", str(EXAMPLES), "--quiet"]) == 0
    made = (path / "evaluation" / "log.jsonl").read_text().splitlines()[before:]
    assert {json.loads(line)["network"] for line in made} == {"s0-normal-best"}
    assert len(made) == len(QUICK) - 1


def test_another_place_and_another_ball(flow_run, tmp_path, capsys):
    options = ["--examples", "20", "--output", str(tmp_path / "out"), "--attack.norm", "l2", "--attack.epsilon", "1.5"]
    assert main(["evaluate", str(flow_run), *options]) == 0
    printed = capsys.readouterr().out
    assert "left out: square-500: it is defined for the norm linf, not for l2" in printed
    content = content_of(tmp_path / "out")
    assert (content["norm"], content["epsilon"]) == ("l2", 1.5)
    assert content["left_out"] == ["square-500: it is defined for the norm linf, not for l2"]
    assert (tmp_path / "out" / "figures" / "evaluation.png").is_file()
    assert not (flow_run / "evaluation").exists()
    assert not (flow_run / "report.html").exists()


# weights from elsewhere


@pytest.fixture
def weights(flow_run, tmp_path):
    """Weights of the finished network, with the prefix of DataParallel."""
    tensors, _ = RunFolder(flow_run).read_checkpoint(0, "normal", 2)
    found = {name.removeprefix(".model."): value for name, value in tensors.items() if name.startswith(".model.")}
    path = tmp_path / "net.pt"
    torch.save({"state_dict": {f"module.{name}": value for name, value in found.items()}, "epoch": 2}, path)
    return path


def options_for(weights, output, *more):
    return [
        "evaluate", "--weights", str(weights), "--model", "lenet5", "--data", "digits", "--output", str(output),
        "--examples", "30", "--attack.epsilon", "0.1", *more,
    ]  # fmt: skip


def test_weights_from_elsewhere(weights, tmp_path, capsys):
    assert main(options_for(weights, tmp_path / "out")) == 0
    content = content_of(tmp_path / "out")
    assert content["weights_file_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert content["subject"] == "lenet5 with net.pt on digits"
    (network,) = content["networks"]
    assert (network["checkpoint"], network["seed"], network["training"]) == ("file", None, None)
    assert network["attacks"][0]["accuracy"] > 0.5
    assert network["notes"] == []
    assert content["left_out"] == ["transfer: there is no other network to make its examples on"]
    assert "lenet5 with net.pt: 30 images" in capsys.readouterr().out
    torch.save({name: value + 1 for name, value in torch.load(weights)["state_dict"].items()}, weights)
    assert main(options_for(weights, tmp_path / "out", "--quiet")) == 2
    assert "weights_file_sha256 = " in capsys.readouterr().err


def test_accuracy_at_chance_is_a_warning(weights, tmp_path, capsys):
    found = torch.load(weights)["state_dict"]
    torch.save({name: value * (0 if "fc3" in name else 1) for name, value in found.items()}, weights)
    assert main(options_for(weights, tmp_path / "out")) == 0
    assert "no better than a constant answer" in " ".join(capsys.readouterr().out.split())


def test_a_model_of_ones_own(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_net_of_evaluation.py").write_text(
        "from torch import nn\ndef net(classes): return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    torch.save(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)).state_dict(), "w.pth")
    line = ["evaluate", "--weights", "w.pth", "--model", "own_net_of_evaluation:net", "--data", "digits"]
    assert main([*line, "--examples", "20", "--quiet"]) == 0
    assert content_of(tmp_path / "runs" / "evaluation-w")["weights_file"] == "w.pth"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ([], ["name a run, or --weights FILE with --model and --data"]),
        (["RUN", "--weights", "w.pt"], ["not both"]),
        (["RUN", "--model.mean", "0.5"], ["--model.mean is for --weights"]),
        (["RUN", "--data.image-size", "32"], ["--data.image-size is for --weights"]),
        (["RUN", "--attack.norm", "l2"], ["type --attack.epsilon too"]),
        (["RUN", "--attack.epsilon", "8"], ["--attack.epsilon", "at most 1", "got 8"]),
        (["RUN", "--suite", "huge"], ["--suite", "quick", "standard", "full"]),
        (["RUN", "--examples", "1"], ["--examples must be greater than or equal to 2, got 1"]),
        (["nowhere"], ["is no run folder"]),
        (["--weights", "w.pt", "--data", "digits"], ["--weights needs --model"]),
        (["--weights", "w.pt", "--model", "lenet5"], ["--weights needs --data"]),
        (["--weights", "w.pt", "--model", "lenet5", "--data", "digits"], ["w.pt cannot be read"]),
        (["--weights", "EMPTY", "--model", "lenet5", "--data", "digits"], ["is empty"]),
        (["--weights", "OTHER", "--model", "lenet5", "--data", "digits"], ["does not fit the model lenet5: missing"]),
        (["--weights", "OTHER", "--model", "lenet6", "--data", "digits"], ["unknown model 'lenet6'"]),
    ],
)
def test_mistakes_are_one_line(flow_run, tmp_path, monkeypatch, capsys, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pt").touch()
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pt")
    places = {"RUN": str(flow_run), "EMPTY": "empty.pt", "OTHER": "other.pt"}
    assert main(["evaluate", *(places.get(word, word) for word in line), "--quiet"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in said, said
    assert not (tmp_path / "runs").exists()


def test_an_interruption_says_how_to_continue(flow_run, tmp_path, monkeypatch, capsys):
    import infoplane.studies.evaluation as study

    def stop(*arguments, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "evaluate_networks", stop)
    assert main(["evaluate", str(flow_run), "--output", str(tmp_path / "out")]) == 130
    assert "only the attack under way will be repeated. To continue: infoplane evaluate" in capsys.readouterr().err


def test_help_lists_the_suites(capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"quick: {', '.join(QUICK[1:])}" in text
    assert "--suite {quick,standard,full}" in text


def test_a_missing_package_is_one_line_with_what_to_install(flow_run, monkeypatch, capsys):
    from infoplane.attacks import extras
    from infoplane.robustness import suites

    needy = replace(suites.FGSM, name="other", extra="autoattack")
    monkeypatch.setitem(suites.SUITES, "quick", (needy,))
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert main(["evaluate", str(flow_run)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "the attack other needs pyautoattack: pip install 'infoplane[autoattack]'" in said


def test_a_refused_weights_file_through_the_installed_command(tmp_path):
    (tmp_path / "w.pt").write_text("<!DOCTYPE html><title>Sign in</title>")
    done = infoplane("evaluate", "--weights", "w.pt", "--model", "lenet5", "--data", "digits", cwd=tmp_path)
    assert_one_clear_line(done, "w.pt is a web page, not weights")
