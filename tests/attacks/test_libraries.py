"""Attacks of other libraries keep the contract of attacks at our boundary, and find what formulas say."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.attacks.linear import distances, linear_case
from tests.attacks.test_pgd import state
from torch import nn

from infoplane.attacks import (
    ATTACKS,
    AutoAttack,
    UniversalPerturbation,
    apply_attack,
    attacks_named,
    extras,
    minimum_norms,
    perturbation_norms,
    universal_perturbation,
)
from infoplane.attacks.art_specs import ZOO, Boundary, HopSkipJump, OnePixel
from infoplane.attacks.catalogue import attack_named
from infoplane.attacks.oracle import counted_evaluations
from infoplane.config import AttackConfig
from infoplane.errors import UserError

pytest.importorskip("art")
pytest.importorskip("pyautoattack")

BALL = AttackConfig(norm="l2", epsilon=0.5, step_size=0.2, steps=3)
SHORT = {
    "one-pixel": OnePixel(generations=1),
    "zoo": ZOO(iterations=20),
    "boundary": Boundary(iterations=3),
    "hopskipjump": HopSkipJump(iterations=2),
    "universal": UniversalPerturbation(norm="l2", epsilon=0.5, passes=1),
    "autoattack-rand": AutoAttack(name="autoattack-rand", norm="linf", epsilon=0.02, version="rand", iterations=4),
}

each_library_attack = pytest.mark.parametrize("attack", SHORT.values(), ids=SHORT)
each_targeted_attack = pytest.mark.parametrize("name", ["zoo", "boundary", "hopskipjump"])


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(144, 4))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images with the labels that the network gives them, but for the last image."""
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = network().eval()(images).argmax(dim=1)
    return images, torch.cat([labels[:-1], (labels[-1:] + 1) % 4])


class Confident(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, images):
        return 20 * self.inner(images)


@each_library_attack
@pytest.mark.parametrize("confident", [False, True])
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_everything_is_left_as_found(attack, context, confident, generator):
    whole = Confident() if confident else network()
    model = whole.train()
    layers = model.inner if confident else model
    layers[1].eval()
    layers[0].weight.grad = torch.full_like(layers[0].weight, 3.0)
    layers[5].bias.requires_grad_(False)
    images, labels = batch()
    before, modes = state(model), [module.training for module in model.modules()]
    kept, torch_state, numpy_state = images.clone(), torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    level, tracing = logging.getLogger("art").level, sys.gettrace()
    with context():
        attacked = attack(model, images, labels, generator=generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(layers[0].weight.grad, torch.full_like(layers[0].weight, 3.0))
    assert layers[5].weight.grad is None
    assert not layers[5].bias.requires_grad
    assert layers[5].weight.requires_grad
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert (logging.getLogger("art").level, sys.gettrace()) == (level, tracing)
    assert not attacked.requires_grad
    assert attacked.dtype == torch.float32


@each_library_attack
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_are_in_range_and_misclassified_or_the_originals(attack, dtype, generator, capfd, caplog):
    model, (images, labels) = network().eval().to(dtype), batch()
    images = images.to(dtype)
    attacked = apply_attack(attack, model, images, labels, generator=generator)
    assert attacked.dtype == dtype
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    same = (attacked == images).flatten(start_dim=1).all(dim=1)
    if attack.name == "universal":
        assert perturbation_norms(images, attacked)[0].max() <= 0.5 + 1e-6
    else:
        assert torch.equal(model(attacked).argmax(dim=1) == labels, same & (model(images).argmax(dim=1) == labels))
        assert same[-1]  # misclassified without an attack
    assert attack.name == "one-pixel" or not same.all()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@each_library_attack
def test_all_draws_follow_the_generator(attack):
    model, (images, labels) = network().eval(), batch()
    first, again = (attack(model, images, labels, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1))
    assert torch.equal(first, again)


class Noisy(nn.Module):
    """A network that is random when it is used, as some defences are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, images):
        return self.inner(images + 0.1 * torch.randn_like(images))


@pytest.mark.parametrize("name", ["zoo", "boundary", "hopskipjump", "one-pixel"])
def test_attacks_on_a_network_that_draws_follow_the_generator_too(name):
    """ART would begin at images that it draws without a seed, and HopSkipJump would never end."""
    model, (images, labels) = Noisy().eval(), batch()
    first, again = (SHORT[name](model, images, labels, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


@each_library_attack
def test_passes_are_counted_and_no_more_than_the_attack_says(attack, generator):
    with counted_evaluations() as counted:
        attack(network().eval(), *batch(), generator=generator)
    assert counted.forward > 0
    if hasattr(attack, "most_queries"):
        assert counted.gradient == 0
        # Starts and checks of the results come on top.
        assert counted.forward <= 4 * (attack.most_queries + 110)
    else:
        assert counted.gradient > 0


@each_targeted_attack
def test_targets_are_reached(name, generator):
    model, images, labels = linear_case(3)
    target = (labels + 1) % 3
    attacked = SHORT[name](model, images[:3], labels[:3], generator=generator, target=target[:3])
    reached = model(attacked).argmax(dim=1) == target[:3]
    moved = (attacked != images[:3]).flatten(start_dim=1).any(dim=1)
    assert torch.equal(reached, moved)
    assert reached.any()


@pytest.mark.parametrize("name", ["universal", "autoattack-rand"])
def test_attacks_without_targets_say_so(name, generator):
    with pytest.raises(UserError, match=f"^the attack {name} knows no targets; leave out target$"):
        SHORT[name](network().eval(), *batch(), generator=generator, target=torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_hopskipjump_comes_near_the_boundary_of_a_linear_classifier(norm, generator):
    model, images, labels = linear_case(2)
    attack = HopSkipJump(norm=norm, iterations=15)
    norms = minimum_norms(attack, model, images[:4], labels[:4], generator=generator)
    exact = distances(model, images[:4], labels[:4], dual=2 if norm == "l2" else 1)
    found = norms.l2 if norm == "l2" else norms.linf
    assert norms.found.all()
    assert (found / exact).min() >= 1 - 1e-4
    assert (found / exact).max() <= 1.25


@pytest.mark.parametrize(("norm", "dual"), [("L2", 2), ("Linf", 1)])
@pytest.mark.parametrize("classes", [2, 5])
def test_fab_finds_the_distance_to_the_boundary_of_a_linear_classifier(classes, norm, dual):
    from pyautoattack.fab_pt import FABAttack_PT

    model, images, labels = linear_case(classes)
    found = FABAttack_PT(model, norm=norm, n_iter=30, eps=10.0, device="cpu").perturb(images, labels)
    l2, linf = perturbation_norms(images, found)
    ratio = (l2 if norm == "L2" else linf) / distances(model, images, labels, dual=dual)
    assert ratio.min() >= 1 - 1e-3
    assert ratio.max() <= 1.01


@pytest.mark.parametrize(("version", "norm", "dual"), [("standard", "linf", 1), ("rand", "l2", 2)])
def test_autoattack_breaks_those_images_whose_boundary_lies_in_the_ball(version, norm, dual, generator):
    model, images, labels = linear_case(4)
    exact = distances(model, images, labels, dual=dual)
    epsilon = float(exact.sort().values[4:6].mean())
    assert (exact / epsilon - 1).abs().min() > 1e-3
    attack = AutoAttack(name="autoattack", norm=norm, epsilon=epsilon, version=version)
    attacked = attack(model, images, labels, generator=generator)
    assert torch.equal(model(attacked).argmax(dim=1) != labels, exact < epsilon)
    assert torch.equal(attacked[exact > epsilon], images[exact > epsilon])
    assert perturbation_norms(images, attacked)[0 if norm == "l2" else 1].max() <= epsilon + 1e-6


@pytest.mark.parametrize("version", ["standard", "rand"])
def test_autoattack_takes_robust_images_in_channels_last(version, generator):
    """Its targeted attacks, which only images see that nothing has broken yet, flatten gradients with `view`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    images = torch.rand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    labels = model(images).argmax(dim=1)
    attack = AutoAttack(name=version, norm="linf", epsilon=1e-6, version=version, iterations=2, queries=4)
    assert torch.equal(apply_attack(attack, model, images, labels, generator=generator), images)


@pytest.mark.parametrize(("version", "classes", "fewest"), [("standard", 3, 4), ("standard", 2, 4), ("rand", 2, 3)])
def test_autoattack_says_how_many_classes_it_needs(version, classes, fewest, generator):
    model, images, labels = linear_case(classes)
    attack = AutoAttack(name="autoattack", norm="linf", epsilon=0.1, version=version)
    with pytest.raises(UserError, match=f"needs a network of at least {fewest} classes.*; this one has {classes}"):
        attack(model, images, labels, generator=generator)


def test_a_universal_perturbation_is_the_same_for_all_images(generator):
    model, images, labels = linear_case(4)
    attack = UniversalPerturbation(norm="linf", epsilon=0.2, passes=1)
    attacked = attack(model, images, labels, generator=torch.Generator().manual_seed(5))
    noise = universal_perturbation(attack, model, images, labels, generator=torch.Generator().manual_seed(5))
    assert noise.shape == (1, *images.shape[1:])
    assert 0 < noise.abs().max() <= 0.2 + 1e-6
    torch.testing.assert_close(attacked, (images + noise).clamp(0, 1), atol=1e-6, rtol=0)
    assert (model(attacked).argmax(dim=1) != labels).any()


def test_a_missing_library_is_one_line_before_any_work(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    message = r"^the attack zoo needs Adversarial Robustness Toolbox: pip install 'infoplane\[attacks\]'$"
    with pytest.raises(UserError, match=message):
        attacks_named(["pgd", "zoo"], "linf")
    with pytest.raises(UserError, match=message):
        attack_named("zoo").build(BALL)
    with pytest.raises(UserError, match=r"^the attack autoattack needs pyautoattack: pip install 'infoplane"):
        attacks_named(["autoattack"], "linf")
    assert list(attacks_named(["deepfool"], "linf")) == ["deepfool"]


def test_the_list_of_attacks_imports_no_library():
    code = (
        "import sys, infoplane.attacks.catalogue; sys.exit(bool({'art', 'pyautoattack', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_library_attack_names_its_extra_and_is_built_without_importing_it():
    by_extra = {spec.name: spec.extra for spec in ATTACKS if spec.extra}
    assert set(by_extra.values()) == set(extras.LIBRARIES)
    for name in by_extra:
        assert attack_named(name).build(BALL).name == name
