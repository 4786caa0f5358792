"""DeepFool, Carlini-Wagner and L-BFGS find the smallest perturbation where a formula gives it."""

from dataclasses import replace

import pytest
import torch
from tests.attacks.linear import distances, linear_case
from tests.attacks.test_pgd import batch, network, state

from infoplane.attacks import (
    LBFGS,
    AttackWarning,
    CarliniWagner,
    DeepFool,
    minimum_norms,
    perturbation_norms,
)
from infoplane.attacks.oracle import counted_evaluations

SHORT = CarliniWagner(searches=5, steps=100, initial_c=None)
each_attack = pytest.mark.parametrize("attack", [DeepFool(), SHORT, LBFGS()], ids=lambda one: type(one).__name__)


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def strongest_rival_is_nearest(model, images, labels):
    logits, weight = model(images).detach(), model.layer.weight.detach()
    rival = logits.scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    here = torch.arange(len(labels))
    to_rival = (logits[here, labels] - logits[here, rival]) / (weight[labels] - weight[rival]).norm(dim=1)
    return to_rival <= distances(model, images, labels) * (1 + 1e-5)


@each_attack
@pytest.mark.parametrize("scale", [1, 20])
@pytest.mark.parametrize("classes", [2, 5])
def test_on_a_linear_classifier_the_norm_is_the_distance_to_the_boundary(attack, classes, scale, generator):
    model, images, labels = linear_case(classes, scale=scale)
    norms = minimum_norms(attack, model, images, labels, generator=generator)
    ratio = norms.l2 / distances(model, images, labels)
    assert norms.found.all()
    assert ratio.min() >= 1 - 1e-4
    if isinstance(attack, CarliniWagner):  # it goes to the class with the largest logit, which need not be the nearest
        ratio = ratio[strongest_rival_is_nearest(model, images, labels)]
        assert len(ratio) > 4
    # DeepFool overshoots by 2 %, and by 1e-5.
    assert ratio.max() <= (1.0201 if isinstance(attack, DeepFool) else 1.01)


@each_attack
def test_towards_the_target_of_two_classes_the_norm_is_the_same_distance(attack, generator):
    model, images, labels = linear_case(2)
    norms = minimum_norms(attack, model, images, labels, generator=generator, target=1 - labels)
    assert norms.found.all()
    torch.testing.assert_close(norms.l2, distances(model, images, labels), rtol=0.021, atol=0)


@each_attack
def test_a_target_is_reached_and_costs_no_less_than_the_nearest_class(attack, generator):
    model, images, labels = linear_case(5)
    target = (labels + 1) % 5
    attacked = attack(model, images, labels, generator=generator, target=target)
    assert torch.equal(model(attacked).argmax(dim=1), target)
    assert (perturbation_norms(images, attacked)[0] >= distances(model, images, labels) * (1 - 1e-4)).all()


@each_attack
def test_images_that_already_are_what_is_wanted_come_back_as_they_are(attack, generator):
    model, images, labels = linear_case(2)
    wrong = labels.clone()
    wrong[::2] = 1 - wrong[::2]
    attacked = attack(model, images, wrong, generator=generator)
    assert torch.equal(attacked[::2], images[::2])
    assert (perturbation_norms(images, attacked)[0][1::2] > 0).all()


@each_attack
def test_originals_come_back_where_nothing_is_found_and_flat_gradients_are_reported(attack, generator):
    model, images, labels = linear_case(2)
    with torch.no_grad():
        model.layer.weight.zero_()
        model.layer.bias.copy_(torch.tensor([2.0, 0.0]))
    labels = torch.zeros_like(labels)
    with pytest.warns(AttackWarning, match="12 of 12 images had all-zero gradients"):
        norms = minimum_norms(attack, model, images, labels, generator=generator)
    assert not norms.found.any()
    assert norms.l2.isinf().all()
    with pytest.warns(AttackWarning):
        assert torch.equal(attack(model, images, labels, generator=generator), images)


@each_attack
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_lie_in_the_pixel_range_and_are_misclassified(attack, dtype, generator):
    images, labels = batch(dtype=dtype)
    images = images.round()  # at both ends of [0, 1], which Adam leaves slowly in tanh space
    if isinstance(attack, CarliniWagner):
        attack = replace(attack, searches=2, steps=400)
    model = network().eval().to(dtype)
    attacked = attack(model, images, labels, generator=generator)
    assert attacked.dtype == dtype
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert not attacked.requires_grad
    assert (model(attacked).argmax(dim=1) != labels).all()


@each_attack
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_found(attack, training, generator):
    model = network().train(training)
    model[1].eval()
    model[0].weight.grad = torch.full_like(model[0].weight, 3.0)
    model[5].bias.requires_grad_(False)
    images, labels = batch()
    before, modes = state(model), [module.training for module in model.modules()]
    kept, torch_state = images.clone(), torch.get_rng_state()
    with torch.inference_mode():
        attack(model, images, labels, generator=generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model[0].weight.grad, torch.full_like(model[0].weight, 3.0))
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == ["5.bias"]
    assert torch.equal(images, kept)
    assert torch.equal(torch.get_rng_state(), torch_state)


@each_attack
def test_no_image_takes_more_gradients_than_the_attack_says(attack, generator):
    with counted_evaluations() as counted:
        attack(network().eval(), *batch(), generator=generator)
    assert 0 < counted.gradient <= len(batch()[0]) * attack.gradient_evaluations


@each_attack
def test_the_images_of_a_batch_do_not_depend_on_each_other(attack, generator):
    model, (images, labels) = network().eval(), batch()
    together = attack(model, images, labels, generator=generator)
    alone = torch.cat([attack(model, images[i : i + 1], labels[i : i + 1], generator=generator) for i in range(6)])
    # Products of a batch are rounded otherwise than those of one image, and a line search amplifies that.
    torch.testing.assert_close(
        perturbation_norms(images, together)[0], perturbation_norms(images, alone)[0], rtol=5e-3, atol=1e-5
    )


def test_a_margin_that_carlini_wagner_must_reach_is_reached_no_farther_than_needed(generator):
    model, images, labels = linear_case(2)
    attack = CarliniWagner(searches=6, steps=200, initial_c=None, confidence=0.5)
    logits = model(attack(model, images, labels, generator=generator)).detach()
    margin = (logits.gather(1, 1 - labels[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)
    assert margin.min() >= 0.5 - 1e-5
    assert margin.max() <= 0.6


def test_gradients_of_a_random_network_are_averaged(generator):
    class Noisy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.clean = linear_case(2)[0]

        def forward(self, images):
            return self.clean(images + 0.3 * torch.randn_like(images))

    _, images, labels = linear_case(2)
    model = Noisy().train()
    attacked = DeepFool(draws=30)(model, images, labels, generator=generator)
    exact = distances(model.clean, images, labels)
    assert (perturbation_norms(images, attacked)[0] / exact).median() == pytest.approx(1, abs=0.7)
    assert DeepFool(draws=30).gradient_evaluations == 30 * DeepFool().gradient_evaluations


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (DeepFool, {"candidates": 1}, "candidates must be at least 2, got 1"),
        (DeepFool, {"steps": 0}, "steps must be at least 1"),
        (DeepFool, {"overshoot": 0.0}, "overshoot must be positive"),
        (CarliniWagner, {"confidence": -1.0}, "confidence must be finite and at least 0, got -1"),
        (CarliniWagner, {"initial_c": 0.0}, "initial_c must be positive"),
        (CarliniWagner, {"searches": 0}, "searches must be at least 1"),
        (LBFGS, {"steps": 1}, "steps must be at least 2"),
        (LBFGS, {"rivals": 0}, "rivals must be at least 1"),
        (LBFGS, {"draws": 0}, "draws must be at least 1"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)
