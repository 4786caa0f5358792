"""R+FGSM, BIM, MI-FGSM and Square are what their papers say; averages over draws."""

import pytest
import torch
import torch.nn.functional as F
from tests.attacks.test_pgd import batch, network
from torch import Tensor, nn

from infoplane.attacks import APGD, BIM, L2PGD, MIFGSM, RFGSM, LinfPGD, Square
from infoplane.attacks.oracle import counted_evaluations

EPSILON = 0.1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradient_of_loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    pixels = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(pixels), labels, reduction="sum"), pixels)
    return gradient


def test_r_fgsm_steps_along_a_random_sign_and_then_along_the_gradient_s():
    model, (images, labels) = network().eval(), batch()
    noise = torch.randn(images.shape, generator=seeded())
    start = (images + EPSILON / 2 * noise.sign()).clamp(0, 1)
    expected = (start + EPSILON / 2 * gradient_of_loss(model, start, labels).sign()).clamp(0, 1)
    attacked = RFGSM(epsilon=EPSILON)(model, images, labels, generator=seeded())
    torch.testing.assert_close(attacked, expected)


def test_bim_is_pgd_in_steps_that_just_reach_the_boundary():
    model, (images, labels) = network().eval(), batch()
    attacked = BIM(epsilon=EPSILON, steps=4)(model, images, labels, generator=seeded())
    same = LinfPGD(epsilon=EPSILON, steps=4, step_size=EPSILON / 4)(model, images, labels, generator=seeded())
    assert torch.equal(attacked, same)
    longer = BIM(epsilon=EPSILON, steps=4, step_size=0.05)(model, images, labels, generator=seeded())
    assert not torch.equal(longer, attacked)


def test_mi_fgsm_agrees_with_a_loop_written_out():
    model, (images, labels) = network().eval(), batch()
    attacked, momentum = images.clone(), torch.zeros_like(images)
    for _ in range(5):
        gradient = gradient_of_loss(model, attacked, labels)
        momentum = 0.7 * momentum + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        attacked = (attacked + EPSILON / 5 * momentum.sign()).clamp(images - EPSILON, images + EPSILON).clamp(0, 1)
    found = MIFGSM(epsilon=EPSILON, steps=5, momentum=0.7)(model, images, labels, generator=seeded())
    torch.testing.assert_close(found, attacked)
    assert MIFGSM(epsilon=EPSILON) == MIFGSM(epsilon=EPSILON, steps=10, step_size=EPSILON / 10, momentum=1.0)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_momentum_does_not_depend_on_the_size_of_gradients(scale):
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network().eval()

        def forward(self, images: Tensor) -> Tensor:
            logits = self.network(images)
            return logits.detach() + scale * (logits - logits.detach())

    images, labels = batch()
    plain, scaled = (
        MIFGSM(epsilon=EPSILON, steps=4)(model, images, labels, generator=seeded())
        for model in (network().eval(), Scaled().eval())
    )
    torch.testing.assert_close(plain, scaled)


# Square


class WithoutGradient(nn.Module):
    """A network of which only the answers are known."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network().eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).detach()


def test_square_needs_no_gradient_and_asks_at_most_as_often_as_allowed():
    images, labels = batch()
    with counted_evaluations() as counted:
        attacked = Square(epsilon=0.01, queries=30)(WithoutGradient().eval(), images, labels, generator=seeded())
    assert counted.gradient == 0
    assert 0 < counted.forward <= 30 * len(images)
    assert not torch.equal(attacked, images)


def test_square_changes_each_pixel_by_epsilon():
    images, (_, labels) = 0.3 + 0.4 * batch()[0], batch()
    model = network().eval()
    with torch.no_grad():
        labels = model(images).argmax(dim=1)
    attacked = Square(epsilon=EPSILON, queries=20)(model, images, labels, generator=seeded())
    torch.testing.assert_close((attacked - images).abs(), torch.full_like(images, EPSILON))


def test_the_first_change_is_stripes_and_the_others_are_squares():
    class Recording(nn.Module):
        """All squares are accepted: the margin rises at each query."""

        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Tensor] = []

        def forward(self, images: Tensor) -> Tensor:
            self.seen.append(images.clone())
            margin = -100.0 + len(self.seen)
            return torch.tensor([0.0, margin, -200.0]).expand(len(images), 3)

    model, images = Recording(), torch.full((2, 3, 8, 8), 0.5)
    attack = Square(epsilon=EPSILON, queries=40)
    attack(model, images, torch.zeros(2, dtype=torch.long), generator=seeded())
    clean, stripes, *squares = model.seen
    assert torch.equal(clean, images)
    assert (stripes == stripes[:, :, :1]).all()
    assert torch.allclose((stripes - 0.5).abs(), torch.tensor(EPSILON))
    changed_corner = False
    for query, (before, after) in enumerate(zip([stripes, *squares], squares, strict=False)):
        side = attack.side(query, 8, 8)
        for one in (before != after).any(dim=1):  # images
            rows, columns = one.any(dim=1).nonzero().flatten(), one.any(dim=0).nonzero().flatten()
            assert len(rows) == 0 or rows[-1] - rows[0] < side
            assert len(columns) == 0 or columns[-1] - columns[0] < side
            changed_corner |= bool(len(rows) and rows[-1] == 7)
    assert changed_corner
    assert not all(torch.equal(one[0] - one[1], 0 * one[0]) for one in squares)  # each image has its own


def test_squares_shrink_as_in_the_authors_code():
    attack = Square(epsilon=EPSILON, queries=10_000)
    sides = [attack.side(query, 28, 28) for query in (0, 10, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert sides == [round((0.8 / 2**halved * 784) ** 0.5) for halved in (0, 0, 1, 2, 3, 4, 5, 6, 7, 8)] + [1]
    assert Square(epsilon=EPSILON, queries=1000).side(6, 28, 28) == sides[3]  # 60 of 10,000


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RFGSM(epsilon=8), "did you mean 8 / 255"),
        (lambda: RFGSM(epsilon=0.1, alpha=0.1), "alpha must be less than epsilon"),
        (lambda: RFGSM(epsilon=0.1, alpha=0.0), "alpha must be positive"),
        (lambda: BIM(epsilon=0.1, steps=0), "steps must be at least 1"),
        (lambda: BIM(epsilon=8, steps=3), "did you mean 8 / 255"),
        (lambda: BIM(epsilon=0.1, steps=3, step_size=0.01), "cannot reach epsilon"),
        (lambda: MIFGSM(epsilon=0.1, momentum=-1.0), "momentum must be at least 0"),
        (lambda: MIFGSM(epsilon=0.1, step_size=2.0), "step_size must be at most 1"),
        (lambda: Square(epsilon=0.1, queries=1), "queries must be at least 2"),
        (lambda: Square(epsilon=0.1, share=0.0), r"share must lie in \(0, 1\]"),
        (lambda: LinfPGD(epsilon=0.1, steps=3, restarts=2), "set random_start=True"),
        (lambda: LinfPGD(epsilon=0.1, steps=3, random_start=True, restarts=0), "restarts must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Networks that are random when they are used


class RandomSign(nn.Module):
    """Logits (wx, -wx, -9, -9), of which a third of the passes has the wrong sign, drawn for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 16))

    def forward(self, images: Tensor) -> Tensor:
        value = (images - 0.5).flatten(1) @ self.weight
        value = value * (torch.rand(len(images)) * 1.5 - 0.5).sign()
        return torch.stack([value, -value, torch.full_like(value, -9), torch.full_like(value, -9)], dim=1)


@pytest.mark.parametrize(
    "kind",
    [
        lambda draws: LinfPGD(epsilon=EPSILON, steps=3, draws=draws),
        lambda draws: L2PGD(epsilon=4 * EPSILON, steps=3, draws=draws),
        lambda draws: RFGSM(epsilon=EPSILON, draws=draws),
        lambda draws: BIM(epsilon=EPSILON, steps=3, draws=draws),
        lambda draws: MIFGSM(epsilon=EPSILON, steps=3, draws=draws),
        lambda draws: APGD(epsilon=EPSILON, steps=4, draws=draws),
        lambda draws: APGD(epsilon=EPSILON, steps=4, loss="dlr", draws=draws),
    ],
    ids=["pgd", "pgd-l2", "r+fgsm", "bim", "mi-fgsm", "apgd-ce", "apgd-dlr"],
)
def test_an_average_over_draws_finds_the_gradient_of_a_random_network(kind):
    model, images, labels = RandomSign().eval(), torch.full((60, 1, 4, 4), 0.5), torch.zeros(60, dtype=torch.long)

    def progress(draws: int) -> float:
        """Mean fall of wx, as a share of what the ball allows."""
        with counted_evaluations() as counted:
            attacked = kind(draws)(model, images, labels, generator=seeded())
        assert counted.gradient == kind(draws).gradient_evaluations * len(images)
        falls = ((images - attacked).flatten(1) @ model.weight.detach()).mean().item()
        most = (
            EPSILON * (model.weight.abs().sum() if not isinstance(kind(1), L2PGD) else 4 * model.weight.norm()).item()
        )
        return falls / most

    assert progress(21) > progress(1) + 0.1
