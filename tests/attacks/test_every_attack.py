"""Each attack of the list keeps the contract of attacks, those of libraries included."""

import contextlib
import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.attacks.every_attack import each_attack, each_gradient_attack, quick, settings
from torch import Tensor, nn

from infoplane.attacks import AttackSpec, AttackWarning, apply_attack
from infoplane.errors import UserError

CLASSES = 5
pytestmark = pytest.mark.filterwarnings("ignore::infoplane.attacks.AttackWarning")


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def network(mode: str = "evaluation") -> nn.Sequential:
    """A small network with everything that an attack could disturb: batch statistics, dropout, work in place."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(144, CLASSES),
    ).train(mode != "evaluation")
    model[1].train(mode == "training")  # "frozen": it stays in evaluation mode while the others train
    return model


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Six images. The labels are the network's own answers, but for the last, which is wrong."""
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)
    with torch.no_grad():
        labels = network().to(dtype)(images).argmax(dim=1)
    labels[-1] = (labels[-1] + 1) % CLASSES
    return images, labels


def run(spec: AttackSpec, model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0, **more) -> Tensor:
    with torch.inference_mode(False):
        # the network is the source of a transfer attack
        attack = quick(spec, settings(**more), network().to(images.device))
    return apply_attack(attack, model, images, labels, generator=torch.Generator().manual_seed(seed))


def check_result(spec: AttackSpec, attacked: Tensor, images: Tensor, norm: str = "linf") -> None:
    assert attacked.shape == images.shape
    assert attacked.dtype == images.dtype
    assert attacked.device == images.device
    assert not attacked.requires_grad
    assert attacked.isfinite().all()
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    if spec.in_ball:
        order = float("inf") if norm == "linf" else 2
        lengths = torch.linalg.vector_norm((attacked - images).double().flatten(1), ord=order, dim=1)
        assert lengths.max() <= 0.1 + 1e-7


@each_attack
@pytest.mark.parametrize("mode", ["evaluation", "training", "frozen"])
def test_the_model_is_left_as_found(spec, mode):
    model, (images, labels) = network(mode), batch()
    model[0].weight.grad = torch.full_like(model[0].weight, 3.0)
    model[5].bias.requires_grad_(False)
    gradient, kept, kept_labels = model[0].weight.grad, images.clone(), labels.clone()
    before = copy.deepcopy(model.state_dict())
    modes, seen = [module.training for module in model.modules()], set()
    # A hook of the module, so that it also sees the passes of a copy.
    model[3].register_forward_hook(lambda module, *_: seen.add(module.training))
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    run(spec, model, images, labels)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert seen == ({mode != "evaluation"} if spec.threat != "transfer" else set())  # that asks its source alone
    assert model[0].weight.grad is gradient
    assert torch.equal(gradient, torch.full_like(gradient, 3.0))
    assert all(weight.grad is None for name, weight in model.named_parameters() if name != "0.weight")
    assert [name for name, weight in model.named_parameters() if not weight.requires_grad] == ["5.bias"]
    assert torch.equal(images, kept)
    assert torch.equal(labels, kept_labels)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]


def coloured() -> nn.Sequential:
    """A network in the memory format of the networks of the package."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, CLASSES)).eval()
    return model.to(memory_format=torch.channels_last)


@each_attack
def test_images_in_channels_last_are_attacked(spec):
    """Studies hand such images over. Many attacks of others flatten with `view`, which fails on that format."""
    model = coloured()
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    attack = quick(spec, settings(), coloured())
    attacked = apply_attack(attack, model, images, labels, generator=torch.Generator().manual_seed(0))
    check_result(spec, attacked, images)
    assert not torch.equal(attacked, images)


@each_attack
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(spec, context):
    model = network()
    expected = run(spec, model, *batch())
    with context():
        images, labels = batch()
        attacked = run(spec, model, images, labels)
    check_result(spec, attacked, images)
    assert torch.equal(attacked, expected)
    assert not torch.equal(attacked, images)


@each_attack
def test_the_result_is_inside_the_ball_of_each_norm(spec):
    images, labels = batch()
    for norm in spec.norms:
        check_result(spec, run(spec, network(), images, labels, norm=norm), images, norm)


@each_attack
def test_images_may_be_in_double_precision(spec):
    images, labels = batch(torch.float64)
    check_result(spec, run(spec, network().double(), images, labels), images)


@each_attack
def test_the_ball_holds_under_autocast(spec):
    images, labels = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attacked = run(spec, network(), images, labels)
    check_result(spec, attacked, images)


@each_attack
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images.half(), "images must be float32 or float64, got torch.float16"),
        (lambda images: images.bfloat16(), "images must be float32 or float64, got torch.bfloat16"),
        (lambda images: images * 2 - 1, "put normalisation into the model"),
    ],
)
def test_images_that_no_ball_can_hold_are_refused(spec, change, message):
    images, labels = batch()
    with pytest.raises(ValueError, match=message):
        run(spec, network(), change(images), labels)


@each_attack
@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_the_same_generator_gives_the_same_images(spec, mode):
    model, (images, labels) = network(mode), batch()
    first = run(spec, model, images, labels)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert torch.equal(run(spec, model, images, labels), first)


class Noisy(nn.Module):
    """A network that is random when it is used, as some defences are."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images + 0.1 * torch.randn_like(images))


@each_attack
def test_a_network_that_draws_in_evaluation_mode_draws_by_the_generator(spec):
    if spec.name in ("boundary", "hopskipjump"):
        pytest.skip("where such a network no longer misclassifies the start, ART draws another without a seed")
    model, (images, labels), before = Noisy(), batch(), torch.get_rng_state()
    first = run(spec, model, images, labels)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(run(spec, model, images, labels), first)
    check_result(spec, first, images)


class Broken(torch.autograd.Function):
    """The identity, with gradients that are not numbers."""

    @staticmethod
    def forward(_context, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        return gradient * torch.nan


class WithBrokenGradient(nn.Module):
    """The network, with gradients that are not numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(Broken.apply(images))


@pytest.mark.filterwarnings("default::infoplane.attacks.AttackWarning")
@each_gradient_attack
def test_gradients_that_are_not_numbers_are_reported(spec):
    images, labels = batch()
    attacked = images
    with (
        pytest.warns(AttackWarning, match="had NaN or infinite gradients"),
        # A library may pass such gradients on to the images; they are then refused.
        contextlib.suppress(ValueError) if spec.extra else contextlib.nullcontext(),
    ):
        attacked = run(spec, WithBrokenGradient(), images, labels)
    check_result(spec, attacked, images)


@pytest.mark.filterwarnings("default::infoplane.attacks.AttackWarning")
@each_attack
def test_a_model_that_ends_in_softmax_is_reported(spec):
    if spec.threat == "transfer":
        return  # the model is not asked
    with pytest.warns(AttackWarning, match="end in softmax"):
        run(spec, nn.Sequential(network(), nn.Softmax(dim=1)).eval(), *batch())


class Scaled(nn.Module):
    """A network that classifies the same, but is more confident."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.network, self.scale = network(), scale

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images) * self.scale


@each_attack
def test_as_many_images_leave_their_class_where_the_network_is_confident(spec):
    images, labels = batch()

    def left(scale: float) -> int:
        model = Scaled(scale).eval()
        with torch.no_grad():
            return int((model(run(spec, model, images, labels)).argmax(dim=1) != labels).sum())

    assert left(20.0) >= left(1.0) - 1
    assert left(1000.0) >= left(1.0) - 1


@each_attack
def test_a_target_is_aimed_at_or_refused_in_one_line(spec):
    model, (images, labels) = network(), batch()
    target = (labels + 2) % CLASSES
    generator = torch.Generator().manual_seed(0)
    refusal = ""
    try:
        attacked = apply_attack(
            quick(spec, settings(), network()), model, images, labels, generator=generator, target=target
        )
    except (ValueError, UserError) as error:
        refusal = str(error)
    if refusal:
        assert "target" in refusal
        assert "\n" not in refusal
        return
    check_result(spec, attacked, images)
    with torch.no_grad():
        assert F.cross_entropy(model(attacked), target) < F.cross_entropy(model(images), target)


def rude(model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
    """An attack of a user that keeps nothing of the contract, but for the pixels."""
    pixels = images.requires_grad_()
    loss = F.cross_entropy(model.train()(pixels), labels)
    loss.backward()
    return (pixels + 0.1 * torch.rand_like(pixels) * pixels.grad.sign()).clamp(0, 1)


@pytest.mark.filterwarnings("default::infoplane.attacks.AttackWarning")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (WithBrokenGradient(), "6 of 6 images had NaN or infinite gradients"),
        (nn.Sequential(network(), nn.Softmax(dim=1)), "end in softmax"),
    ],
)
def test_an_attack_of_a_user_is_observed_too(model, message):
    with pytest.warns(AttackWarning, match=message):
        apply_attack(rude, model.eval(), *batch(), generator=torch.Generator())
