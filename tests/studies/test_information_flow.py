"""Study one keeps its protocol, continues where it stopped, and says what is wrong."""

import shutil

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from infoplane.config import FlowConfig
from infoplane.errors import UserError
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY, FlowRecords
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.parts import load_images
from infoplane.training import DivergedError, Trainer

KEY = [
    "training",
    "epoch",
    "split",
    "samples",
    "examples",
    "layer_index",
    "estimator",
    "quantity",
    "kind",
    "class_index",
]
KEY += ["noise_mode", "noise_ratio"]


def assert_same_records(found: FlowRecords, expected: FlowRecords) -> None:
    """Equal in all columns but times."""
    assert_frame_equal(found.measurements.sort(KEY), expected.measurements.sort(KEY), check_exact=True)
    places = ["training", "epoch", "examples", "layer_index"]
    assert_frame_equal(found.geometry.sort(places), expected.geometry.sort(places), check_exact=True)
    times = ["training", "epoch", "split", "examples"]
    assert_frame_equal(
        found.performance.drop("seconds").sort(times),
        expected.performance.drop("seconds").sort(times),
        check_exact=True,
    )


def changed(config: FlowConfig, **parts) -> FlowConfig:
    """A copy with some settings changed; nested ones by a dict."""
    settings = config.model_dump()
    for name, value in parts.items():
        settings[name] = settings[name] | value if isinstance(value, dict) else value
    return FlowConfig.model_validate(settings)


WITHOUT_DECODERS = {"thorough_epochs": 0}  # where no test looks at them: they take most of the time


class Listener:
    def __init__(self) -> None:
        self.work, self.done = 0.0, 0.0
        self.lines: list[str] = []

    def begin(self, work: float) -> None:
        self.work = work

    def advance(self, work: float) -> None:
        self.done += work

    def doing(self, activity: str) -> None:
        pass

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def small_flow(small_flow) -> FlowConfig:
    """Of two layers: what continues, is repeated or is left out does not depend on how many there are."""
    return changed(small_flow, measurement={"layers": ("conv2", "fc3")})


@pytest.fixture(scope="module")
def unbroken(finished) -> FlowRecords:
    run = finished[0]
    return FlowRecords(run.measurements(), run.geometry(), run.performance())


@pytest.fixture(scope="module")
def finished(small_flow, tmp_path_factory) -> tuple[RunFolder, Listener]:
    """A finished run in a folder, and what was said meanwhile: look, do not write."""
    run, listener = RunFolder(tmp_path_factory.mktemp("finished") / "run"), Listener()
    information_flow(small_flow, run=run, progress=listener)
    return run, listener


def test_every_epoch_training_condition_and_layer_is_measured(unbroken):
    table = unbroken.measurements.filter(
        (pl.col("quantity") == INPUT_INFORMATION)
        & (pl.col("estimator") == "kde-kl")
        & (pl.col("noise_mode") == "fixed")
    )
    found = set(table.select("training", "epoch", "examples", "layer").rows())
    assert found == {
        (training, epoch, examples, layer)
        for training in ("normal", "adversarial")
        for epoch in (0, 1, 2)
        for examples in ("original", "adversarial", *(["random"] if epoch == 2 else []))
        for layer in ("conv2", "fc3", *(["pixels"] if epoch == 2 else []))
    }
    assert table["samples"].unique().to_list() == [60]
    places = set(unbroken.geometry.select("training", "epoch", "examples", "layer").rows())
    assert places == found


def test_all_layers_of_the_network_are_measured_unless_some_are_chosen(small_flow):
    records = information_flow(
        changed(
            small_flow,
            measurement={"layers": (), "examples": 20, "permutations": 1, "noise_sweep": (1.0,), **WITHOUT_DECODERS},
            training={"epochs": 0},
            methods=("normal",),
        )
    )
    for table in (records.measurements, records.geometry):
        assert set(table["layer"]) - {"pixels"} == {"conv1", "conv2", "fc1", "fc2", "fc3"}


def test_noise_is_swept_and_decoders_are_refitted_to_permuted_labels_at_the_last_epoch(unbroken):
    rows = unbroken.measurements
    swept = rows.filter(pl.col("noise_mode") == "sweep")
    assert set(swept.select("epoch", "noise_ratio").rows()) == {(2, 0.1), (2, 10.0)}
    decoded = rows.filter(pl.col("estimator") == "decoded", pl.col("quantity") == "I(T;Y)")
    assert set(decoded.select("epoch", "permutations").rows()) == {(2, 1)}


def test_estimators_that_cost_more_are_taken_at_the_thorough_epochs(small_flow, unbroken):
    costly = pl.col("estimator").is_in(["noisy", "decoded", "decoded-transfer"])
    always = information_flow(changed(small_flow, measurement={"thorough_epochs": 12}, methods=("normal",)))
    found = always.measurements.filter(costly)
    assert set(found["epoch"]) == {0, 1, 2}
    decoded = found.filter(estimator="decoded", quantity=LABEL_INFORMATION)
    assert set(decoded.select("epoch", "permutations").rows()) == {
        (0, None),
        (1, None),
        (2, 1),
    }
    seldom = FlowRecords(*(table.filter(pl.col("training") == "normal") for table in unbroken))
    kept = always.measurements.filter(~costly | (pl.col("epoch") == 2))
    assert_same_records(always._replace(measurements=kept), seldom)


def test_performance_is_taken_on_train_test_and_attacked_examples(unbroken):
    rows = unbroken.performance.filter(pl.col("epoch") == 2).select("training", "split", "examples", "n").rows()
    assert set(rows) == {
        (training, *row)
        for training in ("normal", "adversarial")
        for row in (
            ("train", "original", 120),
            ("test", "original", 80),
            ("test", "adversarial", 60),
            ("test", "random", 60),
        )
    }


def test_gradient_evaluations_count_attack_steps(unbroken):
    spent = unbroken.performance.group_by("training", "epoch").agg(pl.col("gradient_evaluations").first())
    assert set(spent.rows()) == {
        ("normal", 0, 0),
        ("normal", 1, 120),
        ("normal", 2, 240),
        ("adversarial", 0, 0),
        ("adversarial", 1, 120 * 4),
        ("adversarial", 2, 240 * 4),
    }


def test_trainings_start_from_the_same_network(unbroken):
    start = unbroken.measurements.filter(pl.col("epoch") == 0)
    normal, adversarial = (
        start.filter(pl.col("training") == training).drop("training").sort(KEY[1:])
        for training in ("normal", "adversarial")
    )
    assert_frame_equal(normal, adversarial, check_exact=True)


def test_the_network_learns_and_the_attack_hurts(small_flow):
    config = changed(
        small_flow, training={"epochs": 30, "batch_size": 8}, methods=("normal",), measure_every=30,
        measurement=WITHOUT_DECODERS,
    )  # fmt: skip
    last = information_flow(config).performance.filter(pl.col("epoch") == 30)
    accuracy = {(row["split"], row["examples"]): row["accuracy"] for row in last.to_dicts()}
    assert accuracy["train", "original"] > 0.8
    assert accuracy["test", "adversarial"] < accuracy["test", "original"] - 0.2


def test_measuring_seldom_changes_nothing_else(small_flow, unbroken):
    seldom = information_flow(changed(small_flow, measure_every=2, methods=("adversarial",)))
    wanted = (pl.col("epoch") != 1) & (pl.col("training") == "adversarial")
    assert_same_records(seldom, FlowRecords(*(table.filter(wanted) for table in unbroken)))


def test_one_training_alone_gives_the_records_it_gives_beside_another(small_flow, unbroken):
    alone = information_flow(changed(small_flow, methods=("adversarial",)))
    assert_same_records(alone, FlowRecords(*(table.filter(pl.col("training") == "adversarial") for table in unbroken)))


class Interrupted(BaseException):
    pass


def interrupt_training(patch: pytest.MonkeyPatch, call: int) -> None:
    """Stop with `Interrupted` instead of training for the `call`-th time."""
    original, count = Trainer.train_epoch, [0]

    def stopped(self, *arguments):
        count[0] += 1
        if count[0] == call:
            raise Interrupted
        return original(self, *arguments)

    patch.setattr(Trainer, "train_epoch", stopped)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_run_stopped_in_training_continues_to_the_same_records(calls, small_flow, unbroken, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    # Two calls train the first method, and the third one begins the second.
    config = changed(small_flow, methods=("normal",)) if calls < 3 else small_flow
    with monkeypatch.context() as patch:
        interrupt_training(patch, call=calls)
        with pytest.raises(Interrupted):
            information_flow(config, run=run)
    torch.rand(3)
    expected = FlowRecords(*(table.filter(pl.col("training").is_in(config.methods)) for table in unbroken))
    assert_same_records(information_flow(config, run=run), expected)


@pytest.fixture
def own_finished(finished, tmp_path) -> RunFolder:
    """A copy."""
    shutil.copytree(finished[0].path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_a_finished_run_does_nothing_more(small_flow, unbroken, own_finished, monkeypatch):
    run, listener = own_finished, Listener()
    monkeypatch.setattr(Trainer, "train_epoch", None)
    assert_same_records(information_flow(small_flow, run=run, progress=listener), unbroken)
    assert listener.lines == ["normal: complete", "adversarial: complete"]


def test_records_lost_from_the_middle_are_made_again(small_flow, unbroken, own_finished):
    run = own_finished
    (run.path / "measurements" / f"{STUDY}-s0-normal-e0001.parquet").unlink()
    assert_same_records(information_flow(small_flow, run=run), unbroken)


@pytest.mark.parametrize(("keep", "epochs"), [(False, [2]), (True, [0, 1, 2])])
def test_checkpoints_are_kept_as_asked(keep, epochs, small_flow, tmp_path):
    run = RunFolder(tmp_path)
    config = changed(small_flow, methods=("normal",), measurement=WITHOUT_DECODERS)
    information_flow(config, run=run, keep_checkpoints=keep)
    assert run.checkpoint_epochs(0, "normal") == epochs


def test_the_work_announced_is_the_work_done(finished):
    _, listener = finished
    assert listener.done == pytest.approx(listener.work)
    assert len([line for line in listener.lines if "measured in" in line]) == 6


def test_zero_epochs_measure_the_random_network_without_training_images(small_flow, tmp_path):
    from PIL import Image

    for split in ("test",):
        for name in ("dark", "light"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("L", (28, 28), 40 * number + 100 * (name == "light")).save(folder / f"{number}.png")
    config = changed(
        small_flow,
        data={"name": "folder", "folder": str(tmp_path / "data"), "test_examples": None},
        training={"epochs": 0},
        methods=("normal",),
        measurement=WITHOUT_DECODERS,
    )
    records = information_flow(config, run=RunFolder(tmp_path / "run"))
    assert records.performance["split"].unique().to_list() == ["test"]
    assert records.measurements["epoch"].unique().to_list() == [0]
    assert RunFolder(tmp_path / "run").checkpoint_epochs(0, "normal") == [0]


def test_a_layer_that_is_not_there_is_named(small_flow):
    with pytest.raises(UserError, match=r"the model has no fc9; it has .*fc3"):
        information_flow(changed(small_flow, measurement={"layers": ("fc9",)}))


def test_a_model_that_does_not_exist_is_named(small_flow):
    known = r"unknown model 'alexnet', did you mean 'lenet5'\?; models are lenet5, wideresnet, "
    with pytest.raises(UserError, match=known):
        information_flow(changed(small_flow, model={"name": "alexnet"}))


def test_a_function_named_with_a_dot_is_told_of_the_colon(small_flow):
    with pytest.raises(UserError, match=r"unknown model 'mynet.make'; .* is named with a colon: mynet:make"):
        information_flow(changed(small_flow, model={"name": "mynet.make"}))


def test_a_diverging_run_says_so(small_flow):
    with pytest.raises(DivergedError, match="normal training diverged in epoch"):
        information_flow(changed(small_flow, training={"learning_rate": 1e20}))


def test_images_of_another_size_reach_the_network_resized(small_flow):
    config = changed(
        small_flow,
        data={"image_size": 32},
        training={"epochs": 0},
        methods=("normal",),
        measurement={"layers": ("conv1",), **WITHOUT_DECODERS},
    )
    conv1 = information_flow(config).measurements.filter(pl.col("layer") == "conv1")
    assert conv1["features"].unique().to_list() == [6 * 28 * 28]


def test_a_leftover_of_a_killed_write_is_swept_away(tmp_path, small_flow):
    run = RunFolder(tmp_path)
    (tmp_path / "measurements").mkdir()
    (tmp_path / "measurements" / ".x.parquet.0123abcd.tmp").write_text("half")
    with run.locked():
        assert not list(tmp_path.rglob("*.tmp"))
    shutil.rmtree(tmp_path / "measurements")


def test_making_lost_records_again_keeps_the_finished_network(small_flow, tmp_path, monkeypatch):
    run, listener = RunFolder(tmp_path), Listener()
    config = changed(small_flow, methods=("normal",), measurement=WITHOUT_DECODERS)
    information_flow(config, run=run)
    (tmp_path / "measurements" / f"{STUDY}-s0-normal-e0001.parquet").unlink()
    interrupt_training(monkeypatch, call=2)
    with pytest.raises(Interrupted):
        information_flow(config, run=run, progress=listener)
    assert run.checkpoint_epochs(0, "normal") == [1, 2]
    assert "normal: the records of epoch 1 are missing; training again from epoch 0" in listener.lines


def test_training_seeds_share_the_measured_examples(small_flow):
    first, second = (load_images(changed(small_flow, seed=seed), "cpu") for seed in (0, 1))
    assert torch.equal(first.measured, second.measured)
    assert torch.equal(first.test.images, second.test.images)


def one_seed(records: FlowRecords, seed: int) -> FlowRecords:
    return FlowRecords(*(table.filter(pl.col("seed") == seed) for table in records))


def test_each_of_several_seeds_has_records_of_its_own_which_are_those_that_it_has_alone(small_flow, unbroken, tmp_path):
    run, listener = RunFolder(tmp_path), Listener()
    several = changed(small_flow, seeds=2, methods=("adversarial",))
    both = information_flow(several, run=run, progress=listener)
    assert set(both.measurements["seed"]) == set(both.geometry["seed"]) == set(both.performance["seed"]) == {0, 1}
    first = FlowRecords(*(table.filter(pl.col("training") == "adversarial") for table in unbroken))
    assert_same_records(one_seed(both, 0), first)
    assert_same_records(one_seed(both, 1), information_flow(changed(small_flow, seed=1, methods=("adversarial",))))
    for epoch in (0, 2):
        one, other = (one_seed(both, seed).measurements.filter(epoch=epoch).sort(KEY) for seed in (0, 1))
        assert one.select(KEY).equals(other.select(KEY))
        assert not one["value_nats"].equals(other["value_nats"])
    assert listener.done == pytest.approx(listener.work)
    assert any(line.startswith("adversarial, seed 1  epoch 2/2") for line in listener.lines)
    assert run.checkpoint_epochs(0, "adversarial") == run.checkpoint_epochs(1, "adversarial") == [2]


def test_a_run_that_is_given_more_seeds_trains_only_those(small_flow, unbroken, tmp_path, monkeypatch):
    run, listener = RunFolder(tmp_path), Listener()
    config = changed(small_flow, methods=("normal",))
    information_flow(config, run=run)
    trained = []
    original = Trainer.train_epoch

    def counted(self, *arguments):
        trained.append(self._seed)
        return original(self, *arguments)

    monkeypatch.setattr(Trainer, "train_epoch", counted)
    both = information_flow(changed(small_flow, methods=("normal",), seeds=2), run=run, progress=listener)
    assert trained == [1, 1]
    assert set(both.measurements["seed"]) == {0, 1}
    assert "normal, seed 0: complete" in listener.lines[:2]  # the first line says what the attack costs
    normal = FlowRecords(*(table.filter(pl.col("training") == "normal") for table in unbroken))
    assert_same_records(one_seed(both, 0), normal)


def test_a_layer_named_twice_is_refused(small_flow):
    with pytest.raises(UserError, match="names a layer twice: fc1 fc1"):
        information_flow(changed(small_flow, measurement={"layers": ("fc1", "fc1")}))
