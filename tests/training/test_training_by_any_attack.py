"""Adversarial training attacks by any attack of the list that stays in the ball."""

from dataclasses import replace

import pytest
import torch
from tests.training.networks import batch, network, seeded, sgd
from torch import nn

import infoplane
from infoplane.attacks import ATTACKS, LinfPGD
from infoplane.attacks.oracle import counted_evaluations
from infoplane.config import AttackConfig, FlowConfig, TrainingConfig
from infoplane.errors import UserError
from infoplane.models import construct
from infoplane.studies.flow.trainers import build_method
from infoplane.training import Trainer, adversarial_training, normal_training
from infoplane.training.methods import adversarial
from infoplane.training.methods.adversarial import ADVERSARIAL, training_attacks
from infoplane.training.named import check_methods, named_training

ABLE = sorted(training_attacks())
EPSILON = 0.1


def config(attack: str, **more) -> FlowConfig:
    settings = AttackConfig(**{"epsilon": EPSILON, "step_size": 0.05, "steps": 3, **more})
    return FlowConfig(methods=("adversarial",), attack=settings, method={"adversarial_attack": attack})


def method(attack: str):
    return build_method(named_training("adversarial", config(attack)), config(attack), [])


def test_the_attacks_of_the_ball_train():
    assert {"pgd", "fgsm", "r+fgsm", "bim", "mi-fgsm", "apgd-ce", "apgd-dlr", "square", "random-target"} <= {*ABLE}
    assert not {"deepfool", "cw", "lbfgs", "autoattack", "transfer"} & {*ABLE}


@pytest.mark.parametrize("name", ABLE)
def test_a_step_records_the_passes_that_it_takes(name):
    model, (images, labels) = network(), batch()
    with counted_evaluations() as counted:
        record = method(name).step(model, sgd(model), images, labels, generator=seeded())
    gradient, forward = counted.gradient + len(images), counted.forward + len(images)  # one more for the weights
    if name == "square":  # it ends where all images are misclassified
        assert record.forward_evaluations >= forward
    else:
        assert record.forward_evaluations == forward
    assert record.gradient_evaluations == gradient
    assert record.loss.isfinite()


def test_pgd_is_the_default_and_begins_at_a_random_point():
    (usual, named) = (
        build_method(named_training("adversarial", one), one, []) for one in (config("pgd"), FlowConfig())
    )
    for found in (usual, named):
        start = found.attack.__closure__[0].cell_contents
        assert start.random_start


@pytest.mark.parametrize("name", ["fgsm", "mi-fgsm"])
def test_an_epoch_on_digits_makes_the_network_more_robust(name):
    train = infoplane.data.load_split("digits", "train")
    images, labels = infoplane.data.as_floats(train.images), train.labels
    model = construct(lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)), seed=0)

    def robust_accuracy_after_epochs(method, number: int) -> float:
        settings = TrainingConfig(epochs=number, batch_size=16, learning_rate=0.01, warmup_epochs=0.0)
        trainer = Trainer(model.train(), method, train.images, labels, settings, seed=0, training="adversarial")
        for _ in range(number):
            trainer.train_epoch()
        attacked = LinfPGD(epsilon=EPSILON, steps=5)(model.eval(), images, labels, generator=seeded())
        with torch.no_grad():
            return (model(attacked).argmax(dim=1) == labels).double().mean().item()

    # A network with random weights would stay at chance.
    before = robust_accuracy_after_epochs(normal_training(), 3)
    assert robust_accuracy_after_epochs(method(name), 1) > before + 0.1


@pytest.mark.parametrize(
    ("name", "norm", "message"),
    [
        (
            "fgms",
            "linf",
            r"^--method.adversarial-attack: unknown attack 'fgms', did you mean 'fgsm'\?; attacks",
        ),
        (
            "fgsm",
            "l2",
            r"^--method.adversarial-attack: fgsm is not defined for --attack.norm l2; choose from pgd",
        ),
        ("mine:attack", "linf", "unknown attack 'mine:attack'"),
    ],
)
def test_attacks_that_cannot_train_are_refused_in_one_line(name, norm, message):
    with pytest.raises(UserError, match=message):
        check_methods(config(name, norm=norm))


def test_an_attack_that_compares_more_logits_than_there_are_classes_trains_no_network():
    check_methods(config("apgd-dlr"), classes=3)
    with pytest.raises(
        UserError, match="apgd-dlr compares 3 logits, and the data have 2 classes; choose from pgd, fgsm"
    ):
        check_methods(config("apgd-dlr"), classes=2)


def test_attacks_outside_the_ball_are_refused(monkeypatch):
    far = replace(ATTACKS[1], name="far", in_ball=False)
    monkeypatch.setattr(adversarial, "ATTACKS", [*ATTACKS, far])
    with pytest.raises(UserError, match=r"far does not train a network: .* the ball; choose from pgd, fgsm"):
        check_methods(config("far"))


def test_the_estimate_of_time_follows_the_attack():
    def passes(name: str) -> float:
        return named_training("adversarial", config(name)).passes(pgd)

    pgd = LinfPGD(epsilon=EPSILON, step_size=0.05, steps=3, random_start=True)

    assert passes("pgd") == 4
    assert passes("fgsm") == 2
    assert passes("mi-fgsm") == 4
    assert 101 < passes("apgd-ce") < 102


def test_an_attack_of_unknown_cost_needs_one():
    with pytest.raises(ValueError, match="function does not state its gradient evaluations; give attack_cost"):
        adversarial_training(lambda *_, **__: None)


def test_its_settings_have_a_name_of_their_own():
    assert list(ADVERSARIAL.settings.model_fields) == ["adversarial_attack"]
