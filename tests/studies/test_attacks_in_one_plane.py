"""Original examples and those of any named attacks are measured in one plane, each attack under its own name."""

import shutil

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from tests.studies.test_information_flow import KEY, Listener, changed
from tests.toys.attack import TOY

from infoplane.attacks import ATTACKS, AttackWarning, LinfPGD, catalogue
from infoplane.commands.cli import main
from infoplane.config import DistortionConfig, FlowConfig, MeasurementConfig
from infoplane.errors import UserError
from infoplane.models import LeNet5, construct
from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED_TRANSFER,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    ORIGINAL,
    RANDOM,
)
from infoplane.runs.folder import RunFolder
from infoplane.studies import STUDY, FlowRecords, Plane
from infoplane.studies.distortion import distortion_study
from infoplane.studies.flow.information_flow import information_flow
from infoplane.studies.flow.work_estimate import measuring_work

KINDS = (ORIGINAL, ADVERSARIAL, "toy")


@pytest.fixture(scope="module", autouse=True)
def toy_in_the_list():
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(catalogue, "ATTACKS", [*ATTACKS, TOY])
        yield


@pytest.fixture(scope="module")
def config(small_flow) -> FlowConfig:
    return changed(
        small_flow,
        attacks=("pgd", "toy"),
        methods=("normal",),
        training={"epochs": 1, "learning_rate": 0.05, "batch_size": 8},
        measurement={"layers": ("fc2", "fc3"), "permutations": 3},
    )


@pytest.fixture(scope="module")
def measured(config, tmp_path_factory) -> RunFolder:
    """A run with both attacks, and one distortion of its examples: look, do not write."""
    run = RunFolder(tmp_path_factory.mktemp("toy") / "run")
    run.begin(STUDY, config.model_dump(mode="json"), {"device": "cpu"})
    information_flow(config, run=run)
    distortion_study(run, DistortionConfig(distortions=("saturation",), levels={"saturation": (2, 8)}))
    return run


def kinds(table: pl.DataFrame, **values: object) -> set[str]:
    return set(table.filter(**values)["examples"])


def test_each_attack_has_rows_of_its_own_at_every_epoch_and_layer(measured):
    for epoch in (0, 1):
        for layer in ("fc2", "fc3"):
            assert kinds(measured.measurements(), epoch=epoch, layer=layer, study=STUDY) - {RANDOM} == set(KINDS)
            assert kinds(measured.geometry(), epoch=epoch, layer=layer, study=STUDY) - {RANDOM} == set(KINDS)
        assert kinds(measured.performance(), epoch=epoch, split="test", study=STUDY) - {RANDOM} == set(KINDS)


def test_what_compares_with_the_originals_does_so_for_each_attack(measured):
    rows = measured.measurements().filter(study=STUDY, epoch=1)
    assert kinds(rows, estimator=DECODED_TRANSFER, quantity=LABEL_INFORMATION) == {ADVERSARIAL, "toy", RANDOM}
    assert kinds(rows, quantity=MISTAKEN_INFORMATION) <= {*KINDS, RANDOM}
    similarity = measured.geometry().filter(study=STUDY, epoch=1, layer="fc3")
    similarity = dict(similarity.select("examples", "cka_with_original").rows())
    assert similarity[ORIGINAL] is None
    assert len({similarity[name] for name in KINDS}) == 3


def test_a_distortion_study_measures_the_attacks_of_the_run(measured):
    for table in (measured.measurements(), measured.geometry(), measured.performance()):
        assert kinds(table, study="distortion", level=8) == {*KINDS, RANDOM}
    undistorted = pl.col("study") == "distortion", pl.col("level") == 2
    flow = measured.performance().filter(study=STUDY, epoch=1, split="test")
    for name in (ADVERSARIAL, "toy"):
        (before,), (after,) = (
            table.filter(pl.col("examples") == name)["accuracy"]
            for table in (flow, measured.performance().filter(*undistorted))
        )
        assert before == after


@pytest.fixture(scope="module")
def quick(config) -> FlowConfig:
    """Without decoders."""
    return changed(config, training={"epochs": 0}, measurement={"thorough_epochs": 0, "noise_sweep": (0.1,)})


@pytest.fixture(scope="module")
def both(quick) -> FlowRecords:
    return information_flow(quick)


@pytest.mark.parametrize("attacks", [("pgd",), ("toy",), ("toy", "fgsm", "pgd"), ()])
def test_the_numbers_of_an_attack_do_not_depend_on_which_others_are_measured(attacks, quick, both):
    """The toy attack draws at random."""
    alone = information_flow(changed(quick, attacks=attacks))
    names = {"pgd": ADVERSARIAL}
    expected = {ORIGINAL, *(names.get(name, name) for name in attacks)}
    assert kinds(alone.measurements) - {RANDOM} == expected
    assert kinds(alone.performance) - {RANDOM} == expected
    shared = pl.col("examples").is_in(expected & set(KINDS))
    for found, known in ((alone.measurements, both.measurements), (alone.geometry, both.geometry)):
        order = [name for name in KEY if name in found.columns]
        assert_frame_equal(found.filter(shared).sort(order), known.filter(shared).sort(order), check_exact=True)


def test_a_run_with_a_new_attack_is_continued_with_it(config, measured, tmp_path):
    shutil.copytree(measured.path, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    for folder in ("measurements", "geometry", "performance"):
        for path in (run.path / folder).glob("information-flow-*e0001*"):
            path.unlink()
    before = run.measurements()
    assert kinds(before, study=STUDY, epoch=1) == set()
    information_flow(config, run=run)
    order = [*KEY, "study", "level"]
    assert_frame_equal(run.measurements().sort(order), measured.measurements().sort(order), check_exact=True)


def test_its_accuracy_is_said_under_its_name(quick):
    heard = Listener()
    information_flow(quick, progress=heard)
    assert heard.done == pytest.approx(heard.work)
    (line,) = [line for line in heard.lines if "epoch 0/0" in line]
    assert "test " in line
    assert "%, attacked " in line
    assert "%, toy " in line


def test_the_estimated_work_counts_every_attack(small_flow):
    def work(*attacks: str) -> float:
        return measuring_work(changed(small_flow, attacks=attacks), thorough=True, final=True)

    alone, pgd, toy, both = work(), work("pgd"), work("toy"), work("pgd", "toy")
    assert 0 < alone < toy
    assert pgd - toy == small_flow.attack.steps
    one_more = work("pgd", "toy", "fgsm") - both - 1  # less its own gradient
    assert both - pgd == pytest.approx(one_more)
    assert toy - alone > one_more  # the first attack brings the random control


def test_help_names_a_new_attack_and_what_it_does(capsys):
    with pytest.raises(SystemExit):
        main(["flow", "digits-lenet5", "--help-all"])
    assert TOY.description in " ".join(capsys.readouterr().out.split())


def test_an_unknown_attack_is_refused_before_anything_is_read(small_flow):
    with pytest.raises(UserError, match=r"unknown attack 'tay', did you mean 'toy'\?; attacks are pgd, fgsm, .*, toy"):
        information_flow(changed(small_flow, attacks=("tay",)))


# The plane of a training loop of one's own.

IMAGES, LABELS = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 10
PGD = LinfPGD(epsilon=0.1, steps=2)


def darker(model, images, labels, *, generator, target=None):
    return images / 2


def noisy(model, images, labels, *, generator, target=None):
    return (images + 0.1 * torch.rand(images.shape, generator=generator)).clamp(0, 1)


def plane_of(attack, **more) -> Plane:
    settings = MeasurementConfig(permutations=2)
    return Plane(IMAGES, LABELS, layers=["fc3"], attack=attack, settings=settings, **more)


def measure(attack) -> pl.DataFrame:
    plane = plane_of(attack)
    plane.measure(construct(LeNet5, seed=0), epoch=0, thorough=False)
    return plane.measurements


def test_a_plane_takes_attacks_by_name():
    rows = measure({"adversarial": PGD, "darker": darker, "noise-0.1": noisy})
    assert rows["examples"].unique(maintain_order=True).to_list() == [ORIGINAL, ADVERSARIAL, "darker", "noise-0.1"]
    alone = measure({"noise-0.1": noisy})
    assert_frame_equal(rows.filter(examples="noise-0.1"), alone.filter(examples="noise-0.1"), check_exact=True)
    assert_frame_equal(rows.filter(examples=ADVERSARIAL), measure(PGD).filter(examples=ADVERSARIAL), check_exact=True)


def test_two_names_of_one_attack_have_draws_of_their_own():
    rows = measure({"one": noisy, "other": noisy}).filter(quantity="I(X;T)", estimator="kde-kl", noise_mode="fixed")
    first, second = (rows.filter(examples=name)["value_nats"].to_list() for name in ("one", "other"))
    assert first != second


def test_a_plane_without_attacks_measures_originals():
    assert kinds(measure({})) == kinds(measure(None)) == {ORIGINAL}


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ({"original": darker}, "an attack cannot be called 'original'"),
        ({"": darker}, "an attack's name must consist of letters, digits and . _ \\+ -, got ''"),
        ({"my attack": darker}, "got 'my attack'"),
        ({"a/b": darker}, "got 'a/b'"),
        ({"a\n": darker}, r"got 'a\\n'"),
        ({3: darker}, "got 3"),
        ({"pgd": 0.1}, "the attack pgd must be a function like attacks.Attack, .*got float"),
        (0.1, "the attack adversarial must be a function like attacks.Attack, .*got float"),
    ],
)
def test_attacks_that_a_plane_cannot_take_are_one_line(attack, message):
    with pytest.raises(ValueError, match=message):
        plane_of(attack)


def test_what_an_attack_warns_of_names_it():
    model = construct(LeNet5, seed=0)
    with torch.no_grad():
        model.fc3.weight.zero_()  # no gradient reaches the images
    with pytest.warns(AttackWarning) as caught:
        plane_of({"adversarial": PGD, "mine": PGD}).measure(model, epoch=0, thorough=False)
    assert [str(one.message).endswith("(attack: mine)") for one in caught] == [False, True]


def test_a_batch_has_the_same_draws_whatever_is_attacked_before_it(monkeypatch):
    """So that they do not depend on the process that attacks it."""
    from infoplane.measuring import evaluate

    class SecondOfTwo:
        def deal(self, parts):
            return list(parts)[1::2]

        def add_(self, tensor):
            return tensor

    monkeypatch.setattr(evaluate, "BATCH", 10)
    model = construct(LeNet5, seed=0).eval()
    whole, second = (
        evaluate.attack_images(model, noisy, IMAGES, LABELS, generator=torch.Generator().manual_seed(0), **team)
        for team in ({}, {"team": SecondOfTwo()})
    )
    assert torch.equal(second[10:20], whole[10:20])
    assert torch.equal(second[30:], whole[30:])
    assert not torch.equal(whole[:10] - IMAGES[:10], whole[10:20] - IMAGES[10:20])
    assert not second[:10].any()
