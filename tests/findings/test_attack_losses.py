"""Losses under attack: a planted loss is named where it is, and no loss is found where there is none."""

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

from infoplane.config import MeasurementConfig
from infoplane.findings.attack_contrasts import contrasts, kinds_of
from infoplane.findings.attack_losses import (
    CARRIED,
    INPUT,
    LOSS_SCHEMA,
    READABLE,
    Losses,
    Place,
    at_least_nothing,
    less,
    lost_at,
    part,
)
from infoplane.findings.evidence import Evidence, Paired
from infoplane.measuring import Plane
from infoplane.records.attacks import AttackOutcome, attack_outcome_table
from infoplane.report.attack_answers import answers

EXAMPLES = 200
LAYERS = ("one", "two", "gate", "out")
SETTINGS = MeasurementConfig(examples=EXAMPLES, permutations=0, noise_sweep=())


class Gated(nn.Module):
    """Two pixels: the first has the label, the second shuts a gate behind the second layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.shut, self.out = (nn.Linear(*sizes) for sizes in ((2, 2), (2, 2), (2, 1), (1, 2)))
        self.gate = nn.ReLU()
        with torch.no_grad():
            for layer in (self.one, self.two):
                layer.weight.copy_(torch.eye(2))
                layer.bias.zero_()
            self.shut.weight.copy_(torch.tensor([[1.0, -10.0]]))
            self.shut.bias.zero_()
            self.out.weight.copy_(torch.tensor([[-1.0], [1.0]]))
            self.out.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.gate(self.shut(self.two(self.one(images.flatten(1))))))


def examples(*, permuted: bool = False) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    labels = torch.arange(EXAMPLES) % 2
    first = 0.2 + 0.6 * labels + 0.1 * torch.rand(EXAMPLES, generator=source)
    images = torch.stack([first, 0.02 * torch.rand(EXAMPLES, generator=source)], dim=1).view(EXAMPLES, 1, 1, 2)
    return images, labels[torch.randperm(EXAMPLES, generator=source)] if permuted else labels


def shuts(model, images, labels, *, generator) -> Tensor:
    shut = images.clone()
    shut[..., 1] = 0.12
    return shut


def shuts_few(model, images, labels, *, generator) -> Tensor:
    shut = shuts(model, images, labels, generator=generator)
    shut[20:] = images[20:]
    return shut


def changes_nothing(model, images, labels, *, generator) -> Tensor:
    return images.clone()


def loses_all(model, images, labels, *, generator) -> Tensor:
    return torch.full_like(images, 0.5)


def losses(*, permuted: bool = False) -> Losses:
    plane = Plane(
        *examples(permuted=permuted),
        layers=LAYERS,
        attack={"adversarial": shuts, "few": shuts_few, "nothing": changes_nothing, "all": loses_all},
        settings=SETTINGS,
    )
    plane.measure(Gated(), epoch=1)
    return Losses(plane.measurements)


@pytest.fixture(scope="module")
def found() -> Losses:
    return losses()


def test_a_label_that_an_attack_destroys_at_one_layer_is_lost_there(found):
    lost = lost_at(found, "normal", "adversarial")
    assert lost.layer == (2, "gate")
    assert lost.value == pytest.approx(np.log(2), abs=0.05)  # all of it: one bit
    assert lost_at(found, "normal", "all").layer == (0, "one")


def test_a_label_of_which_most_is_left_is_lost_nowhere(found):
    last = Place("normal", "few", (3, "out"), CARRIED)
    original, attacked = found.values[last]
    assert found.paired[last].evidence().interval().low > 0  # something is lost
    assert original / 2 < attacked < 0.95 * original
    assert lost_at(found, "normal", "few").layer is None


def test_a_layer_whose_decoders_are_misled_has_not_lost_what_later_layers_carry(found, monkeypatch):
    misled = {(0, "one"): 0.6, (1, "two"): 0.0, (2, "gate"): 0.4, (3, "out"): 0.69}
    real = Losses.loss

    def loss(self, training, examples, layer, *reading):
        if examples != "adversarial":
            return real(self, training, examples, layer)
        value = misled[layer]
        return Evidence(values=np.array([value]), over_examples=lambda _level: (value - 0.01, value + 0.01))

    monkeypatch.setattr(Losses, "loss", loss)
    assert lost_at(found, "normal", "adversarial").layer == (2, "gate")


def test_layers_before_the_loss_lose_nothing(found):
    for layer in ((0, "one"), (1, "two")):
        loss = found.loss("normal", "adversarial", layer)
        assert abs(loss.value) < 0.1
        assert found.values[Place("normal", "adversarial", layer, READABLE)][1] > 0.6


def test_what_changes_nothing_loses_nothing(found):
    assert lost_at(found, "normal", "nothing").layer is None
    for place, paired in found.paired.items():
        if place.examples == "nothing":
            assert paired.values == pytest.approx([0])
            low, high, _ = paired.evidence().interval()
            assert (low, high) == pytest.approx((0, 0))


def test_permuted_labels_cannot_be_lost():
    assert lost_at(losses(permuted=True), "normal", "adversarial").layer is None


def test_misled_decoders_carry_nothing_and_not_less(found):
    place = Place("normal", "adversarial", (2, "gate"), CARRIED)
    original, attacked = found.values[place]
    assert attacked < 0
    assert found.paired[place].values == pytest.approx([original])


def test_the_table_compares_each_attack_with_the_originals_and_with_pgd(found):
    table = found.table()
    assert dict(table.schema) == LOSS_SCHEMA
    assert set(table["reading"]) == {CARRIED, READABLE, INPUT}
    row = table.filter(examples="nothing", layer="gate", reading=CARRIED).row(0, named=True)
    pgd = table.filter(examples="adversarial", layer="gate", reading=CARRIED).row(0, named=True)
    assert row["beyond_pgd_nats"] == pytest.approx(row["lost_nats"] - pgd["lost_nats"])
    assert row["beyond_pgd_low"] <= row["beyond_pgd_nats"] <= row["beyond_pgd_high"] < 0
    assert pgd["beyond_pgd_nats"] is None
    assert pgd["lost_nats"] == pytest.approx(pgd["original_nats"])
    assert pgd["lost_low"] <= pgd["lost_nats"] <= pgd["lost_high"]


def outcome(examples: str, **more) -> AttackOutcome:
    given = {"threat": "white-box", "in_ball": True, "gradients": 7.0, **more}
    return AttackOutcome(
        seed=0, training="normal", epoch=1, attack=examples, examples=examples, queries=0, seconds=0, n=EXAMPLES,
        accuracy=0.5, original_accuracy=1, **given,
    )  # fmt: skip


def test_kinds_of_attacks_go_by_what_an_attack_may_do():
    rows = [
        outcome("adversarial"),
        outcome("fgsm", gradients=1.0),
        outcome("cw", in_ball=False, gradients=1000.0),
        outcome("square", threat="black-box", gradients=0.0),
        outcome("transfer", threat="transfer"),
        outcome("random-target", threat="control"),
    ]
    assert kinds_of(attack_outcome_table(rows)) == {
        "weak": ("fgsm",),
        "strong": ("adversarial",),
        "black-box": ("square", "transfer"),
        "white-box": ("adversarial",),
        "small-norm": ("cw",),
        "fixed-ball": ("adversarial",),
    }


def test_kinds_that_differ_at_one_layer_are_said_to_and_equal_ones_are_not(found):
    weak = attack_outcome_table([outcome("adversarial"), outcome("nothing", gradients=1.0)])
    (contrast,) = contrasts(found, weak)
    clear = {difference.layer[1]: difference.value for difference in contrast.differences if difference.is_clear}
    assert set(clear) == {"gate", "out"}
    assert clear["gate"] == pytest.approx(-np.log(2), abs=0.05)
    said = answers(found, weak)
    assert "where the label is lost: gate: adversarial; nowhere: few, nothing" in said[0]
    assert "they differ at gate, out; most at" in said[1]
    same = attack_outcome_table([outcome("nothing"), outcome("nothing", gradients=1.0)])
    assert "no layer differs beyond its interval" in answers(found, same)[-1]


def test_a_loss_has_a_value_per_seed():
    def rows(seed: int) -> pl.DataFrame:
        plane = Plane(*examples(), layers=("gate",), attack=shuts, settings=SETTINGS, seed=seed)
        plane.measure(Gated(), epoch=1)
        return plane.measurements

    both = Losses(pl.concat([rows(0), rows(1)]))
    (layer,) = both.layers("normal")
    assert both.paired[Place("normal", "adversarial", layer, CARRIED)].values.shape == (2,)
    assert set(both.table()["seeds"]) == {2}


@pytest.mark.parametrize(("attacked", "error", "certain"), [(-0.05, 0.8, False), (-3.0, 0.8, True), (0.1, 0.02, True)])
def test_a_value_below_0_is_nothing_for_certain_only_if_its_interval_is_below_0(attacked, error, certain):
    spread = np.sqrt(20) * np.array([-1.0, 1.0] * 10) * np.sqrt(19 / 20)  # 20 groups: a standard error of 1
    original = Paired(values=np.array([0.9]), groups=(0.9 + 0.02 * spread)[None])
    left = at_least_nothing(Paired(values=np.array([attacked]), groups=(attacked + error * spread)[None]))
    gone = less(part(original, 0.5), left).evidence()
    assert gone.value == pytest.approx(0.45 - max(attacked, 0.0))
    assert (gone.interval().low > 0) == certain
