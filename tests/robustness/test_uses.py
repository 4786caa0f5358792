"""Networks with random parts are attacked on every path, and what hides behind the noise is found."""

import functools

import polars as pl
import pytest
import torch
from tests.robustness.networks import BALL, Noisy, digits, trained
from torch import nn

from infoplane.data import load_split
from infoplane.networks.gaussian_layer import GaussianLayer
from infoplane.networks.random_passes import SameDraws
from infoplane.records.evaluation import AVERAGED_DRAWS, DRAWS, MEAN_PATH
from infoplane.robustness.suites import (
    APGD_CE,
    AUTOATTACK,
    AUTOATTACK_RAND,
    CW_5X200,
    FGSM,
    PGD_20,
    TRANSFER,
    against_random,
    along_one_draw,
    honest_attacks,
)
from infoplane.robustness.uses import note_on, uses_of
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Silence
from infoplane.studies.evaluation import chosen_images
from infoplane.studies.network_evaluation import NetworkStudy, Subject
from infoplane.studies.path_evaluation import Setting

IMAGES = 40


class ByNoise(nn.Module):
    """One network on the mean path, another one where the layer draws. The noise moves no logit by more than 0.1."""

    def __init__(self, mean, drawn):
        super().__init__()
        self.mean, self.drawn, self.code = mean, drawn, GaussianLayer()

    def forward(self, images):
        switch = self.code(torch.zeros(len(images), 1), torch.ones(()))
        logits = (
            self.drawn(images)
            if len(switch) == len(images)
            else self.drawn(images).repeat(len(switch) // len(images), 1)
        )
        mean = self.mean(images).repeat(len(switch) // len(images), 1)
        return torch.where(switch == 0, mean, logits + 0.1 * switch.tanh())


class Shielded(nn.Module):
    """The gradient of the logits is zero."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).detach() + 0 * images.sum()


@functools.cache
def plain():
    return trained(adversarially=False)


@functools.cache
def robust():
    return trained(adversarially=True)


def evaluated(model, tmp_path, attacks=(FGSM, TRANSFER, APGD_CE), *, with_curve=False, source=None):
    """Evaluate a network on 40 digits; its source for transfer is another normally trained network."""
    other = source or trained(adversarially=False, seed=1)
    folder = RunFolder(tmp_path / "evaluation")
    folder.begin("evaluation", {}, {})
    images = chosen_images(load_split("digits", "test"), IMAGES, 0)
    setting = Setting(
        attacks=attacks, ball=BALL, images=images, folder=folder, progress=Silence(), with_curve=with_curve
    )
    subject = Subject(
        key="net",
        name="a network",
        load=lambda: model.eval(),
        checkpoint="file",
        source=Subject(key="other", name="another", load=lambda: other, checkpoint="file"),
    )
    return NetworkStudy(subject, setting).go()


def rows_of(found):
    return {(row.path, row.attack): row for row in found.attacks}


def test_a_network_without_random_parts_has_one_use_without_a_name(tmp_path):
    (use,) = uses_of(plain(), digits()[0], 0)
    assert (use.path, use.draws, use.attacked) == ("", 1, plain())
    assert note_on([use]) is None
    found, _ = evaluated(plain(), tmp_path)
    assert found.paths == [""]
    assert found.worst_of_paths == {}


def test_a_stochastic_layer_gives_two_uses():
    model = ByNoise(plain(), plain()).eval()
    mean, drawn = uses_of(model, digits()[0], 0)
    assert (mean.path, drawn.path) == (MEAN_PATH, AVERAGED_DRAWS)
    images = digits()[0]
    assert torch.equal(mean.verified(images), plain()(images))
    assert not torch.equal(drawn.attacked(images), drawn.attacked(images))  # attacks meet new draws at each step
    assert torch.equal(drawn.verified(images), drawn.verified(images))  # the originals and the attacked images do not
    assert f"the mean of {DRAWS} draws" in note_on([mean, drawn])


class Around(nn.Module):
    """A connection leads around the stochastic layer, so rows cannot be repeated from there on."""

    def __init__(self, network):
        super().__init__()
        self.network, self.code = network, GaussianLayer()

    def forward(self, images):
        logits = self.network(images)
        return logits + self.code(logits, torch.tensor(0.01))


def test_a_network_that_cannot_repeat_rows_is_passed_several_times():
    model = Around(plain()).eval()
    mean, drawn = uses_of(model, digits()[0], 0)
    assert (mean.path, mean.draws) == (MEAN_PATH, 1)
    assert (drawn.path, drawn.draws) == (AVERAGED_DRAWS, DRAWS)
    assert not torch.equal(drawn.attacked(digits()[0]), drawn.attacked(digits()[0]))
    assert len(drawn.verified(digits()[0])) == len(digits()[0])


def test_a_gradient_that_is_hidden_on_the_draws_raises_alarms(tmp_path):
    """The network is the plain one on both paths, but no gradient reaches the images through the draws."""
    found, _ = evaluated(ByNoise(plain(), Shielded(plain())), tmp_path)
    raised = {(alarm.name, alarm.text.partition(":")[0]) for alarm in found.alarms}
    assert raised == {("gradient-free attack wins", AVERAGED_DRAWS), ("zero gradients", AVERAGED_DRAWS)}
    texts = " ".join(alarm.text for alarm in found.alarms)
    assert "apgd-ce-on-mean, made on the mean path" in texts
    assert "transfer, made on another network" in texts
    rows = rows_of(found)
    assert rows[AVERAGED_DRAWS, "apgd-ce"].accuracy > 0.9  # it looks robust
    assert rows[AVERAGED_DRAWS, "apgd-ce-on-mean"].accuracy < 0.3
    assert found.worst_of_paths[AVERAGED_DRAWS].accuracy < 0.3


def test_the_same_network_with_its_gradient_raises_none(tmp_path):
    found, _ = evaluated(ByNoise(plain(), plain()), tmp_path)
    assert found.alarms == []


def test_a_weak_mean_path_counts_although_the_draws_are_strong(tmp_path):
    found, table = evaluated(ByNoise(plain(), robust()), tmp_path)
    mean, drawn = (found.worst_of_paths[path].accuracy for path in (MEAN_PATH, AVERAGED_DRAWS))
    assert mean + 0.2 < drawn
    assert found.worst_case.accuracy <= mean
    right = table.group_by("index").agg(pl.col("robust").all())
    assert right["robust"].mean() == pytest.approx(found.worst_case.accuracy)
    assert set(table["path"]) == {MEAN_PATH, AVERAGED_DRAWS}


def test_a_network_that_draws_in_its_own_way_is_attacked_through_20_draws(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        (use,) = uses_of(Noisy(plain()), digits()[0], 0)
        assert (use.path, use.draws) == (AVERAGED_DRAWS, DRAWS)
        found, _ = evaluated(Noisy(plain()), tmp_path)
    assert "random outputs" not in [alarm.name for alarm in found.alarms]
    rows = rows_of(found)
    assert rows[AVERAGED_DRAWS, "fgsm"].gradient == DRAWS
    assert rows[AVERAGED_DRAWS, "apgd-ce"].accuracy < 0.3 < rows[AVERAGED_DRAWS, "clean"].accuracy
    assert any("average 20 passes" in note for note in found.notes)


def test_results_of_both_paths_are_used_again(tmp_path):
    model = ByNoise(plain(), plain())
    first, table = evaluated(model, tmp_path)
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "evaluation" / "attacked").iterdir()}
    again, same = evaluated(model, tmp_path)
    assert again == first
    assert same.equals(table)
    assert files == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "evaluation" / "attacked").iterdir()}
    (tmp_path / "evaluation" / "attacked" / "net-20-draws-fgsm-on-mean.safetensors").unlink()
    assert [row.accuracy for row in evaluated(model, tmp_path)[0].attacks] == [row.accuracy for row in first.attacks]


def test_the_curve_is_measured_on_each_path(tmp_path):
    found, _ = evaluated(ByNoise(plain(), robust()), tmp_path, (FGSM,), with_curve=True)
    curves = {path: [one.accuracy for one in found.curve if one.path == path] for path in found.paths}
    assert {path: len(points) for path, points in curves.items()} == {MEAN_PATH: 8, AVERAGED_DRAWS: 8}
    assert curves[MEAN_PATH][4] < curves[AVERAGED_DRAWS][4]  # at epsilon 1/8


def test_every_attack_of_a_suite_averages_or_says_that_it_cannot():
    for one in (FGSM, PGD_20, CW_5X200, TRANSFER):
        averaged = against_random(one, 20)
        assert averaged.build(BALL).draws == 20
        assert averaged.gradients == 20 * one.gradients
        assert "averaged over 20 draws" in averaged.description
    assert against_random(AUTOATTACK, 20) is AUTOATTACK_RAND
    assert AUTOATTACK_RAND.build(BALL).version == "rand"


def test_weak_attacks_follow_a_single_draw():
    names = [one.name for one in honest_attacks(50)]
    assert names == ["fgsm-one-draw", "pgd-20-one-draw", "pgd-20", "transfer", "apgd-ce", "apgd-dlr", "square-50"]
    mean, drawn = uses_of(ByNoise(plain(), plain()).eval(), digits()[0], 0)
    assert [one.name for one in mean.attacks([along_one_draw(FGSM), APGD_CE])[0]] == ["apgd-ce"]
    assert [one.name for one in drawn.attacks([along_one_draw(FGSM), APGD_CE])[0]] == ["fgsm-one-draw", "apgd-ce"]
    (only,) = uses_of(plain(), digits()[0], 0)
    assert only.single is plain()  # without random parts, a single draw is the network


def test_same_draws_classify_an_unchanged_image_as_before():
    noisy = SameDraws(Noisy(plain()), seed=0)
    images = digits()[0]
    changed = images.clone()
    changed[1] = 0
    assert torch.equal(noisy(images)[2:], noisy(changed)[2:])
