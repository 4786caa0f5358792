"""`infoplane attacks`: every network of a run is measured under each attack once, apart from other studies."""

import shutil

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infoplane.attacks import LinfPGD
from infoplane.errors import UserError
from infoplane.findings.attack_losses import Losses
from infoplane.measuring import transfer_matrix
from infoplane.randomness import seeded_generator
from infoplane.records.tables import ORIGINAL
from infoplane.report.attacks_figure import attacks_figure
from infoplane.report.page_attacks import attacks_html
from infoplane.report.style import figure_style
from infoplane.runs.attack_files import AttackFiles
from infoplane.runs.folder import RunFolder
from infoplane.studies import attack_traces as study
from infoplane.studies import transfer_between
from infoplane.studies.attack_traces import attack_traces
from infoplane.studies.finished import FinishedRun

SEED = 4
ATTACKS = ("pgd", "fgsm", "transfer")
KEY = [
    "seed",
    "training",
    "examples",
    "layer_index",
    "estimator",
    "quantity",
    "class_index",
    "noise_mode",
    "value_nats",
]


@pytest.fixture(scope="module")
def whole(flow_run, tmp_path_factory) -> RunFolder:
    path = tmp_path_factory.mktemp("traces") / "run"
    shutil.copytree(flow_run.path, path)
    attack_traces(RunFolder(path), ATTACKS)
    return RunFolder(path)


@pytest.fixture
def own_whole(whole, tmp_path) -> RunFolder:
    shutil.copytree(whole.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def own_run(flow_run, tmp_path) -> RunFolder:
    shutil.copytree(flow_run.path, tmp_path / "own")
    return RunFolder(tmp_path / "own")


def assert_same(found: RunFolder, expected: RunFolder) -> None:
    one, other = AttackFiles(found).read_all(), AttackFiles(expected).read_all()
    assert_frame_equal(one[0].select(KEY), other[0].select(KEY), check_row_order=False)
    assert_frame_equal(one[1].drop("seconds"), other[1].drop("seconds"), check_row_order=False)
    assert_frame_equal(AttackFiles(found).read_matrix(), AttackFiles(expected).read_matrix())


def test_strength_and_cost_of_each_attack_are_recorded(whole, flow_run):
    outcomes = AttackFiles(whole).read_all().outcomes
    assert outcomes.select("training", "attack").rows() == [
        (training, attack) for training in ("normal", "adversarial") for attack in ATTACKS
    ]
    recorded = flow_run.performance().filter(pl.col("epoch") == 1, pl.col("examples") == "adversarial")
    for row in outcomes.filter(attack="pgd").to_dicts():  # all 40 examples of study one
        assert row["accuracy"] == recorded.filter(training=row["training"])["accuracy"][0]
        assert (row["n"], row["gradients"], row["queries"]) == (40, 3, 0)
        assert row["median_linf"] is None or row["median_linf"] == pytest.approx(0.1, abs=1e-6)
    assert set(outcomes["threat"]) == {"white-box", "transfer"}


def test_information_on_attacked_examples_is_that_of_study_one(whole, flow_run):
    chosen = pl.col("estimator").is_in(["decoded", "decoded-transfer", "kde-bd"]), pl.col("noise_mode") != "sweep"
    found = AttackFiles(whole).read_all().measurements.filter(*chosen, pl.col("examples") == "adversarial")
    recorded = flow_run.measurements().filter(*chosen, pl.col("epoch") == 1, pl.col("study") == "information-flow")
    both = found.join(recorded, on=[*KEY[:-1], "layer"], suffix="_of_study_one", nulls_equal=True)
    assert len(both) >= 8
    assert both["value_nats"].to_list() == pytest.approx(both["value_nats_of_study_one"].to_list(), abs=1e-5)


def test_other_studies_do_not_see_these_records(whole, flow_run):
    assert_frame_equal(whole.measurements(), flow_run.measurements())
    assert_frame_equal(whole.performance(), flow_run.performance())
    listed = (whole.path / "manifest.sha256").read_text()
    assert all(f"attacks/{name.name}" in listed for name in (whole.path / "attacks").iterdir())


def test_a_complete_run_is_not_measured_again(own_whole, monkeypatch):
    monkeypatch.setattr(study._Sitting, "_measured", None)
    monkeypatch.setattr(transfer_between, "transfer_between", None)
    first = attack_traces(own_whole, ATTACKS)
    assert_frame_equal(attack_traces(own_whole, ATTACKS[:1]).measurements, first.measurements)


def test_a_killed_study_continues_with_the_network_under_way(own_run, whole, monkeypatch):
    measured, original = [], study._Sitting._measured

    def killed_at_the_second(sitting, network, versions, labels):
        measured.append(network.training)
        if measured == ["normal", "adversarial"]:
            raise KeyboardInterrupt
        return original(sitting, network, versions, labels)

    monkeypatch.setattr(study._Sitting, "_measured", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        attack_traces(own_run, ATTACKS)
    assert AttackFiles(own_run).read_all().outcomes["training"].unique().to_list() == ["normal"]
    attack_traces(own_run, ATTACKS)
    assert measured == ["normal", "adversarial", "adversarial"]
    assert_same(own_run, whole)


def test_further_attacks_are_added_to_those_with_records(own_run, whole):
    attack_traces(own_run, ATTACKS[1:])
    before = AttackFiles(own_run).read_all().outcomes
    found = attack_traces(own_run, ATTACKS[:1])
    assert set(found.outcomes["attack"]) == set(ATTACKS)
    kept = found.outcomes.filter(pl.col("attack") != "pgd")
    assert_frame_equal(kept, before, check_row_order=False)  # seconds too: not attacked again
    assert_same(own_run, whole)


def test_another_number_of_examples_begins_anew(own_whole):
    found = attack_traces(own_whole, ATTACKS[1:2], examples=20)
    assert set(found.outcomes["n"]) == {20}
    assert set(found.outcomes["attack"]) == {"fgsm"}
    assert set(AttackFiles(own_whole).read_matrix()["n"]) == {20}


def test_the_matrix_is_between_the_networks_of_the_run(whole):
    finished = FinishedRun(whole, attacks=())
    models = {training: finished.network(SEED, training).model for training in ("normal", "adversarial")}
    expected = transfer_matrix(
        models,
        LinfPGD(epsilon=0.1, step_size=0.05, steps=3),
        finished.images,
        finished.labels,
        generator=seeded_generator(finished.config.data.seed, "transfer matrix"),
    )
    found = AttackFiles(whole).read_matrix()
    assert found.select("source", "target", "n_both").rows() == expected.select("source", "target", "n_both").rows()
    assert sorted(found["accuracy"]) == sorted(expected["accuracy"])
    diagonal = found.filter(pl.col("source") == pl.col("target"))
    outcomes = AttackFiles(whole).read_all().outcomes.filter(attack="pgd")
    assert dict(diagonal.select("source", "accuracy").rows()) == dict(outcomes.select("training", "accuracy").rows())


def test_epochs_that_a_run_kept_are_in_the_matrix(own_whole, monkeypatch):
    finished = FinishedRun(own_whole, attacks=())
    monkeypatch.setattr(RunFolder, "checkpoint_epochs", lambda *_: [0, 1, 2, 3, 4, 8, 16])
    names = transfer_between.networks_between(finished, own_whole)
    assert names["normal, epoch 16"] == (SEED, "normal", 16)
    assert [epoch for _, training, epoch in names.values() if training == "normal"] == [2, 4, 8, 16]


def test_figure_and_page_show_every_attack(whole):
    found, matrix = AttackFiles(whole).read_all(), AttackFiles(whole).read_matrix()
    with figure_style():
        figure = attacks_figure(found, "Traces")
    assert len(figure.axes) == 6
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["original", *ATTACKS]
    page = attacks_html(found, matrix, "")
    assert all(f'<th scope="row">{name}</th>' in page for name in ATTACKS)
    assert attacks_html(None, None, "") == ""
    assert set(found.measurements["examples"]) == {ORIGINAL, "adversarial", "fgsm", "transfer"}
    assert len(Losses(found.measurements).table()) == 2 * 3 * 2 * 3


def test_a_run_that_is_not_finished_is_one_line(own_run):
    shutil.rmtree(own_run.path / "checkpoints")
    with pytest.raises(UserError, match="has not finished"):
        attack_traces(own_run, ATTACKS)
