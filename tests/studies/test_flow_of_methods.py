"""Study one runs with any method, stops where a training ends by itself, and continues to the same records."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.runs.state_tensors import join_state
from infoplane.studies import STUDY
from infoplane.studies.finished import FinishedRun
from infoplane.studies.flow.information_flow import information_flow
from infoplane.training import GuardedTraining, Validation
from infoplane.training.catalogue import METHODS
from infoplane.training.named import named_trainings

STOCHASTIC = ("nib", "vib", "ceb")  # methods of networks with noise of their own
ALL = (*(spec.name for spec in METHODS if spec.name not in STOCHASTIC), "trades+awp", "free+awp")
KEY = ["training", "epoch", "split", "examples"]


def settings(flow: FlowConfig, **changes) -> FlowConfig:
    chosen = flow.model_dump() | {key: changes.pop(key) for key in list(changes) if key in ("methods", "seed")}
    chosen["training"] |= {"epochs": 2, "batch_size": 20} | changes
    chosen["measurement"] |= {"examples": 30, "layers": ("fc3",), "permutations": 2, "thorough_epochs": 0}
    chosen["method"] |= {"free_replays": 2, "ensemble_sources": 1}
    return FlowConfig.model_validate(chosen)


def begun(config: FlowConfig, path) -> RunFolder:
    run = RunFolder(path)
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    return run


@pytest.fixture(scope="module")
def of_all(small_flow, tmp_path_factory):
    config = settings(small_flow, methods=ALL)
    run = begun(config, tmp_path_factory.mktemp("methods") / "run")
    return config, run, information_flow(config, run=run)


def test_every_method_is_trained_and_measured_at_every_epoch(of_all):
    config, _, records = of_all
    found = set(records.measurements.select("training", "epoch").unique().rows())
    assert found == {(name, epoch) for name in ALL for epoch in range(3)}
    spent = (
        records.performance.filter(pl.col("epoch") == 2).group_by("training").agg(pl.col("gradient_evaluations").max())
    )
    passes = dict(spent.rows())
    images, steps = 2 * 120, config.attack.steps
    expected = {"normal": 1, "adversarial": steps + 1, "fgsm": 3, "fgsm-rs": 2, "free": 1, "yopo": 5, "freelb": steps}
    expected |= {"trades": steps + 2, "mart": steps + 2, "ensemble": 3, "trades+awp": steps + 4, "free+awp": 1.5}
    expected |= {"hbar": 1, "adversarial-hbar": steps + 2}
    assert passes == {name: images * number for name, number in expected.items()}


def test_methods_of_stochastic_networks_are_trained_measured_and_continued(small_flow, tmp_path):
    config = settings(small_flow, methods=STOCHASTIC)
    model = {"name": "mlp-ceb", "settings": {"hidden": "16", "code": 4}}
    measured = config.measurement.model_copy(update={"layers": ("code",)})
    config = FlowConfig.model_validate({**config.model_dump(), "model": model, "measurement": measured.model_dump()})
    whole = information_flow(config)
    assert set(whole.measurements.select("training", "epoch").unique().rows()) == {
        (name, epoch) for name in STOCHASTIC for epoch in range(3)
    }
    run = begun(config, tmp_path / "run")
    information_flow(config, run=run)
    for name in STOCHASTIC:  # as if the run had been killed in its last epoch
        for file in (tmp_path / "run").glob(f"*/*-{name}-e0002.parquet"):
            file.unlink()
    again = information_flow(config, run=run)
    losses = ["training", "epoch", "split", "examples", "accuracy", "loss"]
    assert_frame_equal(again.performance.sort(KEY)[losses], whole.performance.sort(KEY)[losses])


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("nib", "lenet5", "nib trains a network with noise of its own .*; add --model mlp-nib"),
        ("nib", "mlp-vib", "nib needs noise of one variance, and this network's differs by unit; add --model mlp-nib"),
    ],
)
def test_a_network_that_a_method_cannot_train_is_refused_before_training(small_flow, name, model, message):
    chosen = settings(small_flow, methods=("normal", name)).model_dump()
    chosen["measurement"]["layers"] = ()
    config = FlowConfig.model_validate(chosen | {"model": {"name": model}})
    with pytest.raises(UserError, match=message):
        information_flow(config)


def test_all_methods_begin_at_the_same_weights(of_all):
    _, _, records = of_all
    first = records.performance.filter(
        pl.col("epoch") == 0, pl.col("examples") == "original", pl.col("split") == "test"
    )
    assert first["loss"].n_unique() == 1


def test_a_run_of_all_methods_is_complete_and_its_networks_can_be_loaded(of_all):
    config, run, records = of_all
    again = information_flow(config, run=run)
    assert_frame_equal(again.performance.sort(KEY), records.performance.sort(KEY))
    assert [network.training for network in FinishedRun(run)] == list(ALL)


def test_the_sources_of_an_ensemble_are_kept(of_all, monkeypatch):
    _, run, _ = of_all
    assert run.checkpoint_epochs(0, "source0") == [2]
    source = join_state(*run.read_checkpoint(0, "source0", 2))
    assert source["epoch"] == 2


@pytest.fixture
def collapsing(monkeypatch):
    accuracies = iter([0.9, 0.1])
    monkeypatch.setattr(GuardedTraining, "_robust_accuracy", lambda *_: next(accuracies))


def test_a_training_that_ends_by_itself_is_measured_as_the_last_epoch(small_flow, tmp_path, collapsing):
    config = settings(small_flow, methods=("fgsm-rs",), epochs=4)
    config = config.model_copy(update={"measurement": config.measurement.model_copy(update={"thorough_epochs": 2})})
    run = begun(config, tmp_path / "run")
    records = information_flow(config, run=run)
    assert sorted(records.performance["epoch"].unique()) == [0, 1, 2]
    swept = records.measurements.filter(pl.col("noise_mode") == "sweep")["epoch"].unique().to_list()
    assert swept == [2]
    losses = records.performance.filter(split="test", examples="original").sort("epoch")["loss"].to_list()
    assert losses[2] == losses[1] != losses[0]  # the weights before the collapse
    again = information_flow(config, run=run)  # nothing left to do, though four epochs were planned
    assert_frame_equal(again.performance.sort(KEY), records.performance.sort(KEY))
    assert [network.epoch for network in FinishedRun(run)] == [2]


def test_the_best_checkpoint_is_kept_and_held_out_images_are_not_trained_on(small_flow, tmp_path, monkeypatch):
    accuracies = iter([0.3, 0.8, 0.5])
    monkeypatch.setattr(Validation, "accuracy", lambda *_: next(accuracies))
    config = settings(small_flow, methods=("normal",), epochs=3, validation_fraction=0.25, average_decay=0.5)
    run = begun(config, tmp_path / "run")
    records = information_flow(config, run=run)
    assert set(records.performance.filter(split="train")["n"]) == {90}
    assert (tmp_path / "run/checkpoints/s0-normal-best.safetensors").is_file()
    from safetensors import safe_open

    with safe_open(tmp_path / "run/checkpoints/s0-normal-best.safetensors", "pt") as best:
        assert '"epoch", 2]' in best.metadata()["facts"]
    (network,) = FinishedRun(run)
    state = join_state(*run.read_checkpoint(0, "normal", 3))
    assert all(
        (network.model.state_dict()[name] == state["average"][f"module.{name}"]).all() for name in state["model"]
    )


def test_a_split_that_holds_out_nothing_is_refused(small_flow):
    with pytest.raises(Exception, match=r"0.001 of 120 training images holds out 0; choose another"):
        information_flow(settings(small_flow, validation_fraction=0.001))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("normal", "fre")}, r"'fre', did you mean 'free'\?; training methods are normal, .*, NAME\+awp"),
        ({"methods": ("awp",)}, r"unknown training method 'awp'"),
        ({"methods": ("free+apw",)}, r"unknown training method 'free\+apw'"),
        (
            {"methods": ("yopo+awp",), "attack": {"norm": "l2"}},
            r"yopo\+awp is not defined for --attack.norm l2;",
        ),
        ({"method": {"trades_betta": 3}}, "unknown method setting 'trades_betta', did you mean 'trades_beta'"),
        ({"method": {"trades_beta": 0}}, "--method.trades-beta must be greater than 0, got 0"),
        ({"methods": ("a.b:trades",)}, "a.b:trades would be recorded as trades, like a training of infoplane"),
        ({"methods": ("a.b:source0+awp",)}, r"would be recorded as source0"),
    ],
)
def test_methods_that_do_not_exist_or_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        named_trainings(FlowConfig.model_validate(changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": ("../x",)}, "must be names of methods or package.module:function, got '../x'"),
        ({"methods": ("a:f", "b:f")}, "would record two trainings as f; give the functions different names"),
        ({"attack": {"epsilon": 2, "step_size": 1}}, "at most 1, the range of a pixel"),
    ],
)
def test_settings_that_no_run_can_have_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FlowConfig.model_validate(changes)


def test_the_euclidean_ball_serves_training_and_measuring(small_flow):
    chosen = settings(small_flow, methods=("adversarial", "freelb")).model_dump()
    chosen["attack"] = {"norm": "l2", "epsilon": 2.0, "step_size": 1.0, "steps": 3}
    records = information_flow(FlowConfig.model_validate(chosen))
    assert set(records.performance["training"]) == {"adversarial", "freelb"}
