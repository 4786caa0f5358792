"""Every training method keeps the contract of `TrainingMethod`."""

import copy
from collections.abc import Callable

import pytest
import torch
from tests.training.networks import Small, backward_network, batch, coded_network, network, seeded, sgd
from torch import Tensor, nn

from infoplane.attacks import L2PGD, LinfPGD
from infoplane.config import TrainingConfig
from infoplane.randomness import isolated_global_generator
from infoplane.runs.state_tensors import join_state, split_state
from infoplane.training import (
    AWPTraining,
    CEBTraining,
    FreeLBTraining,
    FreeTraining,
    StepRecord,
    Trainer,
    TrainingMethod,
    YOPOTraining,
    adversarial_hbar_training,
    adversarial_training,
    ensemble_training,
    fgsm_rs_training,
    fgsm_training,
    hbar_training,
    mart_training,
    nib_training,
    normal_training,
    trades_training,
    vib_training,
)

EPSILON = 0.1
PGD = LinfPGD(epsilon=EPSILON, steps=3, random_start=True)
L2 = L2PGD(epsilon=0.5, steps=3, random_start=True)
# how to make it, forward and gradient evaluations per image, moves of the batch statistics per step
METHODS: dict[str, tuple[Callable[[], TrainingMethod], int, int, int]] = {
    "normal": (normal_training, 1, 1, 1),
    "adversarial": (lambda: adversarial_training(PGD), 4, 4, 1),
    "adversarial-l2": (lambda: adversarial_training(L2), 4, 4, 1),
    "fgsm": (lambda: fgsm_training(EPSILON), 3, 3, 2),
    "fgsm-rs": (lambda: fgsm_rs_training(EPSILON), 2, 2, 1),
    "free": (lambda: FreeTraining(EPSILON, replays=4), 4, 4, 4),
    "yopo": (lambda: YOPOTraining(PGD, rounds=2, steps=3), 2, 2, 2),
    "freelb": (lambda: FreeLBTraining(PGD), 3, 3, 3),
    "freelb-l2": (lambda: FreeLBTraining(L2), 3, 3, 3),
    "trades": (lambda: trades_training(PGD, beta=6), 6, 5, 2),
    "mart": (lambda: mart_training(PGD, weight=5), 5, 5, 2),
    "ensemble": (lambda: ensemble_training([network().eval()], EPSILON), 3, 3, 2),
    "nib": (lambda: nib_training(beta=0.5), 1, 1, 1),
    "hbar": (lambda: hbar_training(input_weight=1, label_weight=2), 1, 1, 1),
    "adversarial-hbar": (lambda: adversarial_hbar_training(PGD, input_weight=1, label_weight=2), 5, 5, 2),
    "vib": (lambda: vib_training(0.5), 1, 1, 1),
    "ceb": (lambda: CEBTraining(1.0, annealing_updates=2), 1, 1, 1),
    "adversarial+awp": (lambda: AWPTraining(adversarial_training(PGD), gamma=0.01), 5, 5, 1),
    "trades+awp": (lambda: AWPTraining(trades_training(PGD, beta=6), gamma=0.01), 8, 7, 2),
    "free+awp": (lambda: AWPTraining(FreeTraining(EPSILON, replays=4), gamma=0.01), 5, 5, 4),
    "yopo+awp": (lambda: AWPTraining(YOPOTraining(PGD, rounds=2, steps=3), gamma=0.01), 4, 4, 2),
    "freelb+awp": (lambda: AWPTraining(FreeLBTraining(PGD), gamma=0.01), 6, 6, 3),
    "nib+awp": (lambda: AWPTraining(nib_training(beta=0.5), gamma=0.01), 2, 2, 1),
    "vib+awp": (lambda: AWPTraining(vib_training(0.5), gamma=0.01), 2, 2, 1),
    "ceb+awp": (lambda: AWPTraining(CEBTraining(1.0), gamma=0.01), 2, 2, 1),
}
BACKWARD = ("ceb", "ceb+awp")  # methods of networks with a mean of the code for each class
CODED = ("nib", "nib+awp", "vib", "vib+awp", *BACKWARD)  # methods of networks with a stochastic layer
ALL = pytest.mark.parametrize("name", METHODS)


def made(name: str) -> TrainingMethod:
    return METHODS[name][0]()


def network_of(name: str, dropout: float = 0.0, dtype: torch.dtype = torch.float64) -> Small:
    if name in BACKWARD:
        return backward_network(dropout, dtype)
    return (coded_network if name in CODED else network)(dropout, dtype)


def one_step(name: str, model: nn.Module, *, seed: int = 2) -> StepRecord:
    with isolated_global_generator(0, torch.device("cpu")):  # a stochastic layer draws from it, as dropout does
        return made(name).step(model, sgd(model), *batch(), generator=seeded(seed))


@ALL
def test_a_step_moves_all_weights_and_batch_statistics_as_often_as_stated(name):
    model, before = network_of(name), network_of(name)
    one_step(name, model)
    still = {name for name, weights in model.named_parameters() if torch.equal(weights, before.get_parameter(name))}
    assert still <= {"conv.bias"}  # which BatchNorm takes away again
    assert model.norm.num_batches_tracked == METHODS[name][3]
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


@ALL
def test_counters_agree_with_counted_passes(name):
    model = network_of(name)
    forward: list[int] = []
    gradient: list[int] = []

    def count(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        forward.append(len(args[0]))
        if output.requires_grad:
            output.register_hook(lambda slope: gradient.append(len(slope)))

    model.register_forward_hook(count)  # passes that stop behind the first layer never get here
    record = one_step(name, model)
    through_sources = 6 if name == "ensemble" and sum(forward) == 12 else 0  # the source was not the model itself
    assert record.forward_evaluations == sum(forward) + through_sources == 6 * METHODS[name][1]
    from_hidden = 6 if name == "adversarial-hbar" else 0  # a backward pass that begins below the logits
    assert record.gradient_evaluations == sum(gradient) + through_sources + from_hidden == 6 * METHODS[name][2]


@ALL
def test_records_hold_finite_tensors_within_range(name):
    record = one_step(name, network_of(name))
    assert record.loss.isfinite()
    assert not record.loss.requires_grad
    assert 0 <= record.correct <= 6


@ALL
def test_the_same_generator_gives_the_same_weights_and_another_one_others(name):
    first, second, other = (network_of(name) for _ in range(3))
    one_step(name, first)
    one_step(name, second)
    one_step(name, other, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    drawn = name not in ("normal", "fgsm", "free", "free+awp", "ensemble", "hbar", *CODED)
    assert drawn != all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@ALL
def test_a_step_leaves_images_labels_and_the_global_generator_alone(name):
    images, labels = batch()
    kept, known = images.clone(), labels.clone()
    model = network_of(name)
    before = torch.get_rng_state()
    made(name).step(model, sgd(model), images, labels, generator=seeded())
    assert torch.equal(images, kept)
    assert torch.equal(labels, known)
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), before) or name in CODED


@ALL
def test_state_goes_out_and_comes_back(name):
    method, model = made(name), network_of(name)
    method.step(model, sgd(model), *batch(), generator=seeded())
    method.end_epoch(model)
    tensors, skeleton = split_state(method.state_dict())
    other = made(name)
    other.load_state_dict(join_state(tensors, skeleton))
    assert repr(other.state_dict()) == repr(method.state_dict())


@ALL
def test_a_continued_training_gives_the_same_bits_as_an_unbroken_one(name):
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (22, 1, 8, 8), generator=source, dtype=torch.uint8)
    settings = TrainingConfig(epochs=3, batch_size=5, learning_rate=0.005)

    def fresh() -> Trainer:
        model = network_of(name, dropout=0.3, dtype=torch.float32)
        return Trainer(model, made(name), images, torch.arange(22) % 3, settings, seed=0, training=name)

    if name == "ensemble":
        pytest.skip("its sources here are float64")
    unbroken, first, continued = fresh(), fresh(), fresh()
    for _ in range(3):
        unbroken.train_epoch()
    first.train_epoch()
    tensors, skeleton = split_state(copy.deepcopy(first.state_dict()))
    continued.load_state_dict(join_state(tensors, skeleton))
    for _ in range(2):
        continued.train_epoch()
    expected, found = unbroken.model.state_dict(), continued.model.state_dict()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert continued.gradient_evaluations == unbroken.gradient_evaluations


@pytest.mark.parametrize("name", ["normal", "trades", "nib", "hbar"])
def test_a_method_without_state_refuses_one(name):
    with pytest.raises(ValueError, match=r"keeps no state, got \['perturbation'\]"):
        made(name).load_state_dict({"perturbation": torch.zeros(1)})
