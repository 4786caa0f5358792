"""LinfPGD finds what it should and leaves everything else as it was."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from infoplane.attacks import AttackWarning, LinfPGD
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training.ensemble import ensemble_training
from infoplane.training.fast import fgsm_rs_training, guard_attack
from infoplane.training.fgsm import fgsm_training
from infoplane.training.free import FreeTraining


def network(seed: int = 0) -> nn.Sequential:
    """A small network with everything that an attack could disturb: batch statistics and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )


def batch(size: int = 6, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.rand(size, 1, 8, 8, generator=source, dtype=dtype), torch.arange(size) % 3


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_found(training, random_start, generator):
    model = network().train(training)
    model[1].eval()  # a frozen BatchNorm must stay frozen
    model[0].weight.grad = torch.full_like(model[0].weight, 3.0)
    model[5].bias.requires_grad_(False)
    images, labels = batch()
    before, modes = state(model), [module.training for module in model.modules()]
    kept_images, torch_state, numpy_state = images.clone(), torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    LinfPGD(epsilon=0.1, steps=3, random_start=random_start)(model, images, labels, generator=generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model[0].weight.grad, torch.full_like(model[0].weight, 3.0))
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name != "0.weight")
    assert [name for name, parameter in model.named_parameters() if not parameter.requires_grad] == ["5.bias"]
    assert torch.equal(images, kept_images)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002


def test_batch_statistics_stay_when_all_modules_train(generator):
    model = network().train()
    before = state(model)
    LinfPGD(epsilon=0.1, steps=2)(model, *batch(), generator=generator)
    assert torch.equal(model[1].running_mean, before["1.running_mean"])
    assert model[1].num_batches_tracked == 0


@given(
    epsilon=st.floats(0.004, 0.5),
    steps=st.integers(1, 4),
    random_start=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 100),
)
def test_images_stay_in_the_ball_and_in_the_pixel_range(epsilon, steps, random_start, double, seed):
    images, labels = batch(dtype=torch.float64 if double else torch.float32)
    model = network(seed).eval().to(images.dtype)
    attack = LinfPGD(epsilon=epsilon, steps=steps, random_start=random_start)
    attacked = attack(model, images, labels, generator=torch.Generator().manual_seed(seed))
    assert (attacked - images).abs().max() <= epsilon + 1e-7
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert attacked.dtype == images.dtype
    assert not attacked.requires_grad


def test_on_a_linear_model_one_step_is_the_known_optimum(generator):
    # For logits (w.x, 0) the loss of class 0 falls with w.x: the optimum in the ball is x - epsilon sign(w).
    weight = torch.linspace(-1, 1, 64).where(torch.linspace(-1, 1, 64).abs() > 0.01, 0.5)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        linear[1].weight.copy_(torch.stack([weight, torch.zeros(64)]))
    images = torch.full((2, 1, 8, 8), 0.5)
    attacked = LinfPGD(epsilon=0.1, steps=4)(linear, images, torch.tensor([0, 1]), generator=generator)
    step = 0.1 * weight.sign().reshape(1, 8, 8)
    assert torch.allclose(attacked[0], images[0] - step)
    assert torch.allclose(attacked[1], images[1] + step)


def test_each_step_agrees_with_a_loop_written_out(generator):
    model, (images, labels) = network().eval(), batch()
    expected = images.clone()
    for _ in range(3):
        expected.requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(expected), labels), expected)
        moved = expected.detach() + 0.04 * gradient.sign()
        expected = torch.min(torch.max(moved, images - 0.1), images + 0.1).clamp(0, 1)
    attacked = LinfPGD(epsilon=0.1, steps=3, step_size=0.04)(model, images, labels, generator=generator)
    assert torch.allclose(attacked, expected, atol=1e-6)


def test_an_attack_raises_the_loss_and_a_target_lowers_its_own(generator):
    model, (images, labels) = network().eval(), batch()
    attack = LinfPGD(epsilon=0.1, steps=5)
    target = (labels + 1) % 3
    with torch.no_grad():
        untargeted = attack(model, images, labels, generator=generator)
        targeted = attack(model, images, labels, generator=generator, target=target)
        assert F.cross_entropy(model(untargeted), labels) > F.cross_entropy(model(images), labels)
        assert F.cross_entropy(model(targeted), target) < F.cross_entropy(model(images), target)


def test_the_same_generator_gives_the_same_images():
    model, (images, labels) = network().eval(), batch()
    attack = LinfPGD(epsilon=0.1, steps=2, random_start=True)
    first, again, other = (
        attack(model, images, labels, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(context, generator):
    model = network().eval()
    with context():
        images, labels = batch()
        attacked = LinfPGD(epsilon=0.1, steps=2)(model, images, labels, generator=generator)
    assert (attacked - images).abs().max() > 0.05


def test_the_ball_holds_under_autocast(generator):
    model, (images, labels) = network().eval(), batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = LinfPGD(epsilon=8 / 255, steps=7)(model, images, labels, generator=generator)
    assert attacked.dtype == torch.float32
    assert (attacked - images).abs().max() <= 8 / 255 + 1e-7


def test_an_attack_on_a_training_model_is_wrapped_by_its_caller(generator):
    model = network().train()
    with evaluation_mode(model):
        quiet = LinfPGD(epsilon=0.1, steps=2)(model, *batch(), generator=generator)
    evaluated = LinfPGD(epsilon=0.1, steps=2)(copy.deepcopy(model).eval(), *batch(), generator=generator)
    assert torch.equal(quiet, evaluated)
    assert model.training


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 1, 8, 8).half(), "float32 or float64"),
        (torch.rand(2, 1, 8, 8) * 2 - 1, "put normalisation into the model"),
        (torch.full((2, 1, 8, 8), torch.nan), "must lie in"),
        (torch.rand(2, 8, 8), "must have shape"),
    ],
)
def test_images_that_no_ball_can_hold_are_refused(images, message, generator):
    with pytest.raises(ValueError, match=message):
        LinfPGD(epsilon=0.1, steps=1)(network().eval(), images, torch.zeros(2).long(), generator=generator)


def test_labels_must_fit_the_images(generator):
    with pytest.raises(ValueError, match=r"labels must have shape \(6,\)"):
        LinfPGD(epsilon=0.1, steps=1)(network().eval(), batch()[0], torch.zeros(2).long(), generator=generator)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 0.0, "steps": 1}, "epsilon must be positive"),
        ({"epsilon": 0.1, "steps": 0}, "steps must be at least 1"),
        ({"epsilon": 0.1, "steps": 2, "step_size": 0.01}, "cannot reach epsilon"),
        ({"epsilon": 0.1, "steps": 2, "step_size": -0.01}, "step_size must be positive"),
        ({"epsilon": 0.1, "steps": 2, "step_size": 0.0}, "step_size must be positive"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinfPGD(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 8, "steps": 7}, "epsilon must be at most 1, the range of a pixel, got 8; did you mean 8 / 255?"),
        ({"epsilon": 0.1, "steps": 7, "step_size": 2}, "step_size must be at most 1, the range of a pixel, got 2"),
    ],
)
def test_a_radius_or_a_step_beyond_the_range_of_a_pixel_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinfPGD(**arguments)


@pytest.mark.parametrize(
    "make",
    [
        fgsm_training,
        fgsm_rs_training,
        guard_attack,
        lambda epsilon: FreeTraining(epsilon, replays=2),
        lambda epsilon: ensemble_training([nn.Linear(1, 1)], epsilon),
    ],
    ids=["fgsm", "fgsm-rs", "guard", "free", "ensemble"],
)
def test_single_steps_take_a_radius_of_pixels_too(make):
    make(1.0)
    make(0.9)
    with pytest.raises(ValueError, match="epsilon must be at most 1, the range of a pixel, got 8"):
        make(8)


def test_the_default_step_may_be_longer_than_the_range_of_a_pixel():
    assert LinfPGD(epsilon=0.9, steps=1).step_size == pytest.approx(2.25)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.uint16, torch.uint64])
def test_labels_and_targets_may_be_integers_of_any_type(dtype, generator):
    model, (images, labels) = network().eval(), batch()
    attack = LinfPGD(epsilon=0.1, steps=2)
    for target in (None, (labels + 1) % 3):
        expected = attack(model, images, labels, generator=generator, target=target)
        others = [None if one is None else one.to(dtype) for one in (labels, target)]
        found = attack(model, images, others[0], generator=generator, target=others[1])
        assert torch.equal(found, expected)


@pytest.mark.parametrize("labels", [[1, 2, 3, 1, 2, 3], [-1, 0, 1, 0, 0, 0], [-100, 0, 1, 0, 0, 0]])
def test_labels_that_are_no_places_of_logits_are_refused(labels, generator):
    with pytest.raises(ValueError, match="labels must be indices of the model's 3 logits, 0 to 2; found"):
        LinfPGD(epsilon=0.1, steps=2)(network().eval(), batch()[0], torch.tensor(labels), generator=generator)


def test_a_model_without_a_gradient_is_refused(generator):
    class Detached(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.detach().flatten(1)[:, :3]

    with pytest.raises(ValueError, match="the model's logits carry no gradient to the images"):
        LinfPGD(epsilon=0.1, steps=2)(Detached(), *batch(), generator=generator)


def test_infinite_gradients_are_reported(generator):
    class Steep(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images - images.detach()).flatten(1)[:, :3] * 1e30 * 1e30

    with pytest.warns(AttackWarning, match="6 of 6 images had NaN or infinite gradients"):
        LinfPGD(epsilon=0.1, steps=1)(Steep(), *batch(), generator=generator)


def test_the_step_size_scales_by_default():
    assert LinfPGD(epsilon=0.1, steps=10).step_size == pytest.approx(0.025)


class Zero(nn.Module):
    """Logits that do not depend on the image."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :3] * 0


def test_gradients_that_are_all_zero_are_reported(generator):
    with pytest.warns(AttackWarning, match="6 of 6 images had all-zero gradients"):
        LinfPGD(epsilon=0.1, steps=2)(Zero(), *batch(), generator=generator)


def test_gradients_that_are_not_numbers_are_reported_and_do_not_spoil_the_image(generator):
    class Broken(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images.flatten(1)[:, :3] - 5).sqrt()

    with pytest.warns(AttackWarning, match="6 of 6 images had NaN or infinite gradients"):
        attacked = LinfPGD(epsilon=0.1, steps=2)(Broken(), *batch(), generator=generator)
    assert attacked.isfinite().all()


def test_a_model_that_ends_in_softmax_is_reported(generator):
    model = nn.Sequential(network(), nn.Softmax(dim=1)).eval()
    with pytest.warns(AttackWarning, match="end in softmax"):
        LinfPGD(epsilon=0.1, steps=1)(model, *batch(), generator=generator)
