"""APGD's losses, checkpoints and step sizes are those of the paper."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import APGD
from infoplane.attacks.climb import checkpoints
from infoplane.attacks.dlr import DLR
from infoplane.attacks.goal import Goal
from infoplane.attacks.strongest import Strongest

LABELS = torch.arange(12) % 6


def logits() -> Tensor:
    return 5 * torch.randn(12, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def paper_loss(z: Tensor, y: Tensor, *, targeted: bool) -> Tensor:
    """The formulas, written out for one image at a time."""
    values = []
    for row, label in zip(z, y, strict=True):
        own, others = row[label], torch.cat([row[:label], row[label + 1 :]]).max()
        top = row.sort(descending=True).values
        lower = (top[2] + top[3]) / 2 if targeted else top[2]
        values.append(((own - others) if targeted else (others - own)) / (top[0] - lower))
    return torch.stack(values)


@pytest.mark.parametrize("targeted", [False, True])
def test_the_dlr_loss_is_its_formula_and_does_not_depend_on_shift_and_scale(targeted):
    dlr, z = DLR(Goal(LABELS, targeted=targeted)), logits()
    torch.testing.assert_close(dlr.value(z), paper_loss(z, LABELS, targeted=targeted))
    torch.testing.assert_close(dlr.value(20 * z + 7), dlr.value(z))


@pytest.mark.parametrize("targeted", [False, True])
def test_the_direction_of_the_dlr_loss_is_its_gradient_but_where_the_loss_is_constant(targeted):
    dlr, z = DLR(Goal(LABELS, targeted=targeted)), logits().requires_grad_()
    (gradient,) = torch.autograd.grad(paper_loss(z, LABELS, targeted=targeted).sum(), z)
    found, third = dlr.direction(z.detach()), z.detach().argsort(dim=1, descending=True)[:, 2] == LABELS
    constant = third & (not targeted)
    assert torch.allclose(F.cosine_similarity(found, gradient, dim=1)[~constant], torch.ones(1, dtype=torch.float64))
    if not targeted:
        assert constant.any()
        assert gradient[constant].abs().max() < 1e-12
        expected = F.one_hot(z.argmax(dim=1), 6) - F.one_hot(LABELS, 6)
        assert torch.equal(found[constant], expected[constant].double())


@pytest.mark.parametrize(("classes", "target", "needed"), [(2, False, 3), (3, True, 4)])
def test_the_dlr_loss_needs_enough_classes(classes, target, needed):
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, classes)), torch.rand(2, 1, 4, 4)
    labels = torch.tensor([0, 1])
    aim = {"target": 1 - labels} if target else {}
    with pytest.raises(
        ValueError, match=f"needs at least {needed} classes, and the model has {classes}; use loss='ce'"
    ):
        APGD(epsilon=0.1, loss="dlr")(model, images, labels, generator=torch.Generator(), **aim)


@pytest.mark.parametrize("targeted", [False, True])
def test_log_odds_order_images_as_the_cross_entropy_does(targeted):
    sure = torch.tensor([[90.0, 1.0, 2.0], [80.0, 1.0, 2.0], [1.0, 1.0, 2.0]])
    goal = Goal(torch.zeros(3, dtype=torch.long), targeted=targeted)
    found, sign = goal.log_odds(sure), -1 if targeted else 1
    assert (sign * found).argsort().tolist() == [0, 1, 2]
    torch.testing.assert_close(F.softplus(sign * found), F.cross_entropy(sure, goal.classes, reduction="none"))


def test_checkpoints_are_those_of_the_paper():
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(100).values()) == [22, 19, 16, 13, 10, 7, 6, 6]
    assert list(checkpoints(3)) == [1, 2, 3]


class Peak(nn.Module):
    """Logits (-|x - c|, 0, -9) of one pixel: the loss of class 1 rises towards c, a step of 2 epsilon jumps over it."""

    def __init__(self, centre: float) -> None:
        super().__init__()
        self.centre = centre
        self.seen: list[float] = []

    def forward(self, images: Tensor) -> Tensor:
        pixel = images.flatten(1)
        self.seen.append(pixel[0].item())
        others = torch.tensor([0.0, -9.0], dtype=pixel.dtype).expand(len(pixel), 2)
        return torch.cat([-(pixel - self.centre).abs(), others + 0 * pixel], dim=1)


def test_halved_steps_end_at_a_maximum_inside_the_ball():
    model, image = Peak(0.53).double(), torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    attack = APGD(epsilon=0.1)
    found = attack(model, image, torch.tensor([1]), generator=torch.Generator().manual_seed(0))
    # Steps of 0.2, halved at each checkpoint but perhaps the first: at most 0.2 / 2^7 from the maximum.
    assert abs(found.item() - 0.53) <= 0.2 / 2**6
    assert len(model.seen) == 101
    assert abs(model.seen[0] - 0.5) == pytest.approx(0.1)  # the start is at the boundary


class InDouble(nn.Module):
    """Computes in float64: in float32 the signs of tiny gradients, and so the points, depend on the processor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.models = [deepcopy(model).double()]  # in a list: no parameters say that images are float64 too

    def forward(self, images: Tensor) -> Tensor:
        return self.models[0](images.double()).float()


@pytest.mark.parametrize(("norm", "written"), [("linf", "Linf"), ("l2", "L2")])
@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_points_and_losses_are_those_of_the_authors_code(digits, norm, written, loss):
    module = pytest.importorskip("pyautoattack.autopgd_base")
    model, images, labels, seen = InDouble(digits.model).eval(), digits.images[:40], digits.labels[:40], []
    epsilon, steps = 0.04 if norm == "linf" else 0.5, 40
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    with torch.random.fork_rng():
        theirs = module.APGDAttack(model, norm=written, eps=epsilon, loss=loss, n_iter=steps, seed=0, device="cpu")
        torch.manual_seed(0)  # with `best_loss` it does not seed itself; these are the same draws as ours
        found = theirs.perturb(images, labels, best_loss=True)
    expected, attack = (
        seen[1:],
        APGD(epsilon=epsilon, norm=norm, loss=loss, steps=steps),
    )  # first the images
    seen.clear()
    ours = attack(model, images, labels, generator=torch.Generator().manual_seed(0))
    assert len(seen) == len(expected) == steps + 1
    # Where the truth ranks third, their DLR is constant and its gradient 0; ours goes on with the numerator.
    alike, strayed = torch.ones(len(images), dtype=torch.bool), 0
    for one, other in zip(seen[:9], expected, strict=False):  # up to the first checkpoint, after eight steps
        # The sign of a gradient within rounding of 0 depends on the processor. An image begins to differ in such a
        # pixel, and its later gradients differ with it; all others have the same points.
        differing = ((one - other).abs() >= 1e-4).flatten(start_dim=1).sum(dim=1) * alike
        assert differing.max() <= 2
        strayed += int((differing > 0).sum())
        alike &= differing == 0
        with torch.no_grad():
            above = (logits := model.models[0](other.double())) > logits.gather(1, labels[:, None])
        alike &= above.sum(dim=1) < 2
    assert strayed <= 2
    assert alike.sum() > len(images) / 2
    # There their code compares with a loss of 0 instead of that of the start, so steps may differ afterwards.
    with torch.no_grad():
        losses = [F.cross_entropy(model(one), labels, reduction="none") for one in (ours, found)]
    assert losses[0].mean() == pytest.approx(losses[1].mean().item(), rel=0.05)


def test_the_strongest_version_has_reached_its_goal_or_has_the_highest_loss():
    images, rows = torch.zeros(3, 1, 1, 1), torch.arange(3)
    found = Strongest(images)

    def offer(value: float, reached: list[bool], strength: list[float]) -> None:
        found.offer(rows, torch.full_like(images, value), torch.tensor(reached), torch.tensor(strength))

    offer(0.1, [False, False, True], [-5.0, -5.0, -5.0])
    offer(0.2, [False, True, False], [-6.0, -6.0, 9.0])
    offer(0.3, [False, True, True], [-4.0, -7.0, 1.0])
    assert found.images.flatten().tolist() == pytest.approx([0.3, 0.2, 0.3])
    assert found.unreached.tolist() == [0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epsilon": 8}, "did you mean 8 / 255"),
        ({"epsilon": 0.1, "norm": "l1"}, "norm must be one of linf, l2, got 'l1'"),
        ({"epsilon": 0.1, "loss": "cw"}, "loss must be one of ce, dlr, got 'cw'"),
        ({"epsilon": 0.1, "steps": 0}, "steps must be at least 1"),
        ({"epsilon": 0.1, "restarts": 0}, "restarts must be at least 1"),
        ({"epsilon": 0.1, "draws": 0}, "draws must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        APGD(**arguments)
