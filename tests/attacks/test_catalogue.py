"""Each attack of the list is what its spec says, and names are refused where they mean nothing."""

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tests.attacks.every_attack import build, each_attack, quick
from tests.attacks.test_every_attack import batch, network
from torch import nn

from infoplane.attacks import ATTACKS, L2PGD, AttackSpec, LinfPGD, apply_attack, attacks_named, catalogue
from infoplane.attacks.oracle import counted_evaluations
from infoplane.config import AttackConfig
from infoplane.errors import UserError

OTHER = {"norm": "l2", "epsilon": 0.02, "step_size": 0.09, "steps": 9}  # than the defaults
LISTED = ", ".join(spec.name for spec in ATTACKS)
IN_L2 = ", ".join(spec.name for spec in ATTACKS if "l2" in spec.norms)


def settings(**more) -> AttackConfig:
    return AttackConfig(**{"epsilon": 0.08, "step_size": 0.05, "steps": 3, **more})


def attacked(spec: AttackSpec, given: AttackConfig, model=None, build=build) -> torch.Tensor:
    model = model or network().eval()
    attack, generator = build(spec, given, network()), torch.Generator().manual_seed(0)
    return apply_attack(attack, model, *batch(), generator=generator)


@each_attack
def test_a_description_is_one_short_line(spec):
    assert spec.description == " ".join(spec.description.split())
    assert 0 < len(spec.description) <= 100


@each_attack
def test_an_attack_depends_on_the_settings_that_its_spec_names_and_on_no_other(spec):
    usual = attacked(spec, settings(), build=quick)
    for name, value in OTHER.items():
        if name == "norm" and value not in spec.norms:
            continue
        assert torch.equal(attacked(spec, settings(**{name: value}), build=quick), usual) == (
            name not in spec.settings
        ), name


@each_attack
@pytest.mark.parametrize("steps", [3, 5])
def test_an_attack_takes_at_most_as_many_passes_as_its_spec_says(spec, steps):
    given, images = settings(steps=steps), len(batch()[0])
    with counted_evaluations() as counted:
        attacked(spec, given, build=quick if spec.extra else build)  # those of libraries are slow
    assert counted.gradient <= spec.cost(given) * images
    assert counted.forward <= (spec.cost(given) + spec.queries) * images
    assert counted.forward > 0


@pytest.mark.parametrize(
    "spec", [spec for spec in ATTACKS if spec.in_ball and spec.cost(settings()) and not spec.extra]
)
def test_an_attack_inside_the_ball_takes_all_its_gradients(spec):
    with counted_evaluations() as counted:
        attacked(spec, settings())
    assert counted.gradient == spec.cost(settings()) * len(batch()[0])


@each_attack
def test_an_attack_states_its_source_and_what_the_attacker_sees(spec):
    assert spec.source or spec.threat in ("control", "transfer")
    if spec.threat == "black-box":
        assert spec.cost(settings()) == 0
        assert spec.queries > 0


@each_attack
def test_an_attack_stays_in_the_ball_of_each_norm_that_its_spec_names(spec):
    if not spec.in_ball:
        return
    for norm in spec.norms:
        change = (attacked(spec, settings(norm=norm), build=quick if spec.extra else build) - batch()[0]).flatten(1)
        lengths = torch.linalg.vector_norm(change, ord=float("inf") if norm == "linf" else 2, dim=1)
        assert (0.0 if spec.extra else 0.05) < lengths.max() <= 0.08 + 1e-6


def test_pgd_is_that_of_the_norm():
    pgd = catalogue.attack_named("pgd")
    assert pgd.build(settings()) == LinfPGD(epsilon=0.08, step_size=0.05, steps=3)
    assert pgd.build(settings(norm="l2")) == L2PGD(epsilon=0.08, step_size=0.05, steps=3)


def test_fgsm_goes_one_step_along_the_sign_of_the_gradient():
    model, (images, labels) = network().eval(), batch()
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(pixels), labels), pixels)
    expected = (images + 0.08 * gradient.sign()).clamp(0, 1)
    torch.testing.assert_close(attacked(catalogue.attack_named("fgsm"), settings(), model), expected)


def test_a_random_target_is_the_label_of_another_image_and_no_function_of_the_own_one():
    model, (images, labels) = network().eval(), batch()
    spec, seen = catalogue.attack_named("random-target"), []

    def recording(model, images, labels, *, generator, target):
        seen.append(target)
        return images

    attack = replace(spec.build(settings()), attack=recording)
    attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], labels[order])
    attack(model, images, labels, generator=torch.Generator(), target=labels)
    assert torch.equal(seen[1], labels)
    found = attacked(spec, settings(), model)
    lower = F.cross_entropy(model(found), labels[order]), F.cross_entropy(model(images), labels[order])
    assert lower[0] < lower[1]


def test_all_attacks_together_have_names_of_their_own():
    names = [spec.name for spec in ATTACKS if "linf" in spec.norms]
    chosen = attacks_named(names, "linf")
    assert [spec.name for spec in chosen.values()] == names
    assert list(chosen)[:2] == ["adversarial", "fgsm"]
    assert len({spec.name for spec in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize(
    ("names", "norm", "message"),
    [
        (
            ["fgms"],
            "linf",
            rf"^unknown attack 'fgms', did you mean 'fgsm'\?; attacks are {re.escape(LISTED)}, package.module:func",
        ),
        (["zzz"], "linf", rf"^unknown attack 'zzz'; attacks are {re.escape(LISTED)}, package.module:function$"),
        (
            ["pgd", "fgsm"],
            "l2",
            rf"^the attack fgsm is defined for the norm linf, not for l2; choose from {re.escape(IN_L2)}$",
        ),
        (["pgd", "pgd"], "linf", "records would call its examples 'adversarial', as those of the attack pgd"),
        (
            ["a:f", "b:f"],
            "linf",
            "^the attack b:f: the records would call its examples 'f', as those of the attack a:f",
        ),
        (["a:fgsm"], "linf", "the records would call its examples 'fgsm', as those of the attack fgsm"),
        (["a:adversarial"], "linf", "the records would call its examples 'adversarial'"),
        (["a:original"], "linf", "'original', as examples without an attack"),
    ],
)
def test_names_that_cannot_be_measured_are_one_line(names, norm, message):
    with pytest.raises(UserError, match=message):
        attacks_named(names, norm)


def test_an_attack_of_the_list_cannot_be_called_original(monkeypatch):
    monkeypatch.setattr(catalogue, "ATTACKS", [*ATTACKS, replace(catalogue.attack_named("fgsm"), name="original")])
    with pytest.raises(UserError, match="'original', as examples without an attack"):
        attacks_named(["original"], "linf")


@pytest.mark.parametrize(("name", "classes"), [("apgd-dlr", 2), ("autoattack", 3), ("autoattack-rand", 2)])
def test_an_attack_that_compares_more_logits_than_there_are_classes_is_refused(name, classes):
    attacks_named([name], "linf", classes + 1)
    with pytest.raises(
        UserError, match=f"^the attack {name} compares {classes + 1} logits, and the data have {classes}"
    ):
        attacks_named([name], "linf", classes)


@pytest.mark.parametrize("spec", [spec for spec in ATTACKS if spec.fewest_classes > 2], ids=lambda spec: spec.name)
def test_a_spec_says_how_many_classes_its_attack_needs(spec):
    images, labels = torch.full((2, 1, 2, 2), 0.5), torch.zeros(2, dtype=torch.long)
    attack = spec.build(settings())
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, spec.fewest_classes - 1))
    with torch.no_grad():  # it classifies both images correctly, so that the attack runs on them
        model[1].weight.zero_()
        model[1].bias.copy_(torch.arange(spec.fewest_classes - 1).flip(0).float())
    with pytest.raises((ValueError, UserError), match="needs"):
        attack(model, images, labels, generator=torch.Generator())
