"""Any attack is run so that its result is checked and the model stays as it was."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from tests.attacks.test_pgd import batch, network, state
from torch import nn

from infoplane.attacks import L2PGD, LinfPGD, apply_attack


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def attack_by(change, **attributes):
    """Return an attack that changes images by `change(images)`; attributes stand on it."""

    def attack(model, images, labels, *, generator, target=None):
        return change(images)

    for name, value in attributes.items():
        setattr(attack, name, value)
    return attack


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: (x * 255).byte(),
            r"the attack attack must return images of shape .*float32 or float64.*torch.uint8",
        ),
        (lambda x: x.half(), r"must return images .*got \(6, 1, 8, 8\), torch.float16"),
        (lambda x: x[:1], r"must return images of shape \(6, 1, 8, 8\).*got \(1, 1, 8, 8\)"),
        (lambda x: x.flatten(1), r"must return images of shape \(6, 1, 8, 8\)"),
        (lambda x: x + 3, r"must return images in \[0, 1\], found \[3\."),
        (lambda x: (x - 0.5) / 0.2, r"must return images in \[0, 1\], found \[-2"),
        (lambda x: x + 1e-3 * (x == x.max()) + (1 - x.max()), r"must return images in \[0, 1\]"),
        (lambda x: x * float("nan"), "returned NaN or infinite pixels in 6 of 6 images"),
        (lambda x: (x, x), "must return the attacked images alone, got tuple"),
        (lambda x: x.numpy(), "must return the attacked images alone, got ndarray"),
    ],
)
def test_a_result_that_is_no_batch_of_images_is_one_clear_line(change, message, generator):
    with pytest.raises(ValueError, match=message) as caught:
        apply_attack(attack_by(change), network().eval(), *batch(), generator=generator)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("norm", "epsilon", "step", "allowed"),
    [
        ("linf", 0.1, 0.1, True),
        ("linf", 0.1, 0.11, False),
        ("Linf", 0.1, 0.11, False),
        (float("inf"), 0.1, 0.11, False),
        ("l2", 0.8, 0.1, True),  # 64 pixels
        ("l2", 0.7, 0.1, False),
        (2, 0.7, 0.1, False),
        ("l1", 0.1, 0.11, True),  # a ball that is not known is not judged
        (None, 0.1, 0.11, True),
    ],
)
def test_the_ball_that_an_attack_states_is_checked(norm, epsilon, step, allowed, generator):
    images, labels = batch()
    images = images * 0.5
    attack = attack_by(lambda x: x + step, epsilon=epsilon, norm=norm)
    if allowed:
        assert torch.equal(apply_attack(attack, network().eval(), images, labels, generator=generator), images + step)
    else:
        with pytest.raises(ValueError, match="farther than its own epsilon"):
            apply_attack(attack, network().eval(), images, labels, generator=generator)


def test_the_result_is_detached_and_in_the_type_of_the_images(generator):
    images, labels = batch()
    attack = attack_by(lambda x: x.double().requires_grad_() * 0.5)
    attacked = apply_attack(attack, network().eval(), images, labels, generator=generator)
    assert not attacked.requires_grad
    assert torch.equal(attacked, images / 2)


def test_an_attack_may_flatten_images_by_view(generator):
    images = torch.rand(6, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    attacked = apply_attack(
        attack_by(lambda x: x.view(6, -1).flip(1).view(6, 3, 8, 8)),
        model, images, torch.zeros(6, dtype=torch.long), generator=generator,
    )  # fmt: skip
    assert torch.equal(attacked, images.reshape(6, -1).flip(1).reshape(6, 3, 8, 8))


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_rude_attack_moved_is_put_back(fails, generator):
    """As libraries do that end in model.train(), draw from global generators, and call backward()."""
    model, (images, labels) = network().train(), batch()
    model[1].eval()
    model[0].weight.grad = torch.full_like(model[0].weight, 3.0)
    model[5].bias.requires_grad_(False)
    gradient, kept = model[0].weight.grad, images.clone()
    before, modes = state(model), [module.training for module in model.modules()]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002

    def rude(model, images, labels, *, generator, target=None):
        model.train()
        model.requires_grad_(False)
        model[0].weight.requires_grad_(True)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        model(images).sum().backward()
        labels.zero_()
        if fails:
            raise KeyError("mine")
        return images.mul_(0.5)

    attack = partial(apply_attack, rude, model, images, labels, generator=generator)
    if fails:
        with pytest.raises(KeyError, match="mine"):
            attack()
    else:
        attack()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.full_like(gradient, 3.0))
    assert model[5].weight.grad is None
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == ["5.bias"]
    assert torch.equal(images, kept)
    assert labels.any()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_an_attack_that_changes_the_weights_is_refused(generator):
    def training(model, images, labels, *, generator, target=None):
        with torch.no_grad():
            model[0].weight.mul_(2)
        return images

    with pytest.raises(ValueError, match="the attack changed the model's weights"):
        apply_attack(training, network().eval(), *batch(), generator=generator)


def test_draws_from_global_generators_follow_the_generator():
    def noisy(model, images, labels, *, generator, target=None):
        numpy_noise = torch.as_tensor(np.random.rand(*images.shape), dtype=images.dtype)  # noqa: NPY002
        return (images + torch.rand_like(images) + numpy_noise) / 3

    first, again, other = (
        apply_attack(noisy, network().eval(), *batch(), generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_attack_may_take_gradients_where_the_caller_has_them_off(context, generator):
    def one_step(model, images, labels, *, generator, target=None):
        images.requires_grad_()
        model(images).sum().backward()
        return (images + 0.1 * images.grad.sign()).clamp(0, 1)

    model = network().eval()
    with context():
        images, labels = batch()
        attacked = apply_attack(one_step, model, images, labels, generator=generator)
    assert (attacked - images).abs().max() > 0.05


@pytest.mark.parametrize("kind", [LinfPGD, L2PGD])
def test_attacks_of_the_package_draw_and_move_as_when_they_are_called(kind):
    attack, model, (images, labels) = kind(epsilon=0.3, steps=2, random_start=True), network().eval(), batch()
    direct, run = (
        one(model, images, labels, generator=torch.Generator().manual_seed(3))
        for one in (attack, partial(apply_attack, attack))
    )
    assert torch.equal(direct, run)


class WritesOverItsInput(nn.Module):
    """A network whose first step works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.sub_(0.5).div_(0.25).flatten(1))


@pytest.mark.parametrize("kind", [LinfPGD, L2PGD])
def test_a_model_that_writes_over_its_input_is_attacked_like_one_that_does_not(kind, generator):
    model, (images, labels) = WritesOverItsInput(), batch()
    kept, attack = images.clone(), kind(epsilon=0.3, steps=3)
    attacked = attack(model, images, labels, generator=generator)
    plain = attack(lambda_network(model), images, labels, generator=generator)
    assert torch.equal(images, kept)
    assert torch.equal(attacked, plain)
    assert not torch.equal(attacked, kept)


def lambda_network(model: WritesOverItsInput) -> nn.Module:
    """The same network, working on a copy."""

    class Plain(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return model.head(images.sub(0.5).div(0.25).flatten(1))

    return Plain()


def made_under_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return network().eval()


def test_a_model_made_under_inference_mode_can_be_attacked_without_gradients(generator):
    def darkened(model, images, labels, *, generator, target=None):
        with torch.no_grad():
            model(images)
        return images / 2

    model, (images, labels) = made_under_inference_mode(), batch()
    assert torch.equal(apply_attack(darkened, model, images, labels, generator=generator), images / 2)


def test_a_changed_weight_made_under_inference_mode_is_noticed(generator):
    def training(model, images, labels, *, generator, target=None):
        with torch.inference_mode():
            model[0].weight.mul_(2)
        return images

    with pytest.raises(ValueError, match="the attack changed the model's weights"):
        apply_attack(training, made_under_inference_mode(), *batch(), generator=generator)


def test_buffers_made_under_inference_mode_are_put_back(generator):
    def moving(model, images, labels, *, generator, target=None):
        with torch.inference_mode():
            model.train()(images)
        return images

    model = made_under_inference_mode()
    before = state(model)
    apply_attack(moving, model, *batch(), generator=generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_attack_by_gradients_refuses_a_model_made_under_inference_mode(generator):
    with pytest.raises(ValueError, match=r"made under torch.inference_mode\(\), so it has no gradients.*deepcopy"):
        apply_attack(LinfPGD(epsilon=0.1, steps=2), made_under_inference_mode(), *batch(), generator=generator)


def test_a_copy_of_a_model_made_under_inference_mode_has_gradients(generator):
    images, labels = batch()
    copied = copy.deepcopy(made_under_inference_mode())
    attacked = apply_attack(LinfPGD(epsilon=0.1, steps=2), copied, images, labels, generator=generator)
    assert not torch.equal(attacked, images)
