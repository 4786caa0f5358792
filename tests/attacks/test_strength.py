"""On a trained network attacks are as strong as they should be, against each other and against other libraries."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from infoplane.attacks import APGD, BIM, MIFGSM, RFGSM, Attack, LinfPGD, Square, apply_attack
from infoplane.attacks.oracle import counted_evaluations

EPSILON = 0.1
SHOWN = 120  # images


def right(digits, attack: Attack, shown: int = SHOWN) -> Tensor:
    """Which images the network still classifies correctly under an attack."""
    images, labels = digits.images[:shown], digits.labels[:shown]
    attacked = apply_attack(attack, digits.model, images, labels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return digits.model(attacked).argmax(dim=1) == labels


def at_least_as_accurate(more: Tensor, less: Tensor) -> bool:
    """Whether accuracy `more` is not below `less` beyond the paired 95 % interval."""
    difference = more.double() - less.double()
    return difference.mean().item() >= -1.96 * difference.std().item() / math.sqrt(len(difference))


@pytest.fixture(scope="module")
def answers(digits) -> dict[str, Tensor]:
    fgsm = LinfPGD(epsilon=EPSILON, steps=1, step_size=EPSILON)
    return {
        "r+fgsm": right(digits, RFGSM(epsilon=EPSILON)),
        "fgsm": right(digits, fgsm),
        "bim": right(digits, BIM(epsilon=EPSILON, steps=10)),
        "mi-fgsm": right(digits, MIFGSM(epsilon=EPSILON)),
        "pgd": right(digits, LinfPGD(epsilon=EPSILON, steps=15)),
        "pgd-restarts": right(
            digits, LinfPGD(epsilon=EPSILON, steps=15, random_start=True, restarts=2, stop_early=True)
        ),
        "apgd-ce": right(digits, APGD(epsilon=EPSILON, steps=40, stop_early=True)),
        "apgd-dlr": right(digits, APGD(epsilon=EPSILON, loss="dlr", steps=40, stop_early=True)),
        "square": right(digits, Square(epsilon=EPSILON, queries=100)),
    }


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        ("r+fgsm", "fgsm"),
        ("fgsm", "bim"),
        ("fgsm", "mi-fgsm"),
        ("bim", "pgd"),
        ("pgd", "pgd-restarts"),
        ("pgd", "apgd-ce"),
        ("fgsm", "apgd-dlr"),
        ("square", "apgd-ce"),
    ],
)
def test_stronger_attacks_leave_less_accuracy(answers, weaker, stronger):
    assert at_least_as_accurate(answers[weaker], answers[stronger])


def test_each_step_of_the_order_is_seen(answers):
    shares = {name: found.double().mean().item() for name, found in answers.items()}
    assert shares["fgsm"] > shares["pgd"] + 0.02
    assert 0 < shares["apgd-ce"] < 0.9
    assert shares["square"] < 0.95


ATTACKS = {
    "r+fgsm": lambda epsilon: RFGSM(epsilon=epsilon),
    "fgsm": lambda epsilon: LinfPGD(epsilon=epsilon, steps=1, step_size=epsilon),
    "bim": lambda epsilon: BIM(epsilon=epsilon, steps=5),
    "mi-fgsm": lambda epsilon: MIFGSM(epsilon=epsilon, steps=5),
    "pgd": lambda epsilon: LinfPGD(epsilon=epsilon, steps=5, stop_early=True),
    "apgd-ce": lambda epsilon: APGD(epsilon=epsilon, steps=10, stop_early=True),
    "apgd-dlr": lambda epsilon: APGD(epsilon=epsilon, loss="dlr", steps=10, stop_early=True),
    "square": lambda epsilon: Square(epsilon=epsilon, queries=100),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_accuracy_falls_as_epsilon_grows_and_reaches_chance_at_one_half(digits, name):
    found = [right(digits, ATTACKS[name](epsilon), shown=50) for epsilon in (0.02, 0.08, 0.2, 0.5)]
    assert all(at_least_as_accurate(more, less) for more, less in pairwise(found))
    iterated = name not in ("fgsm", "r+fgsm")  # one step may leave an image where the network is right again
    assert found[-1].double().mean() <= (0.0 if iterated else 0.3)


def test_restarts_keep_the_image_with_the_highest_margin(digits):
    images, labels = digits.images[:40], digits.labels[:40]

    def margins(restarts: int) -> Tensor:
        attack = LinfPGD(epsilon=0.05, steps=3, random_start=True, restarts=restarts)
        attacked = attack(digits.model, images, labels, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            logits = digits.model(attacked)
        own = logits.gather(1, labels[:, None]).squeeze(1)
        return logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - own

    one, four = margins(1), margins(4)  # the first start is the same
    assert (four >= one - 1e-4).all()
    assert (four > one + 1e-4).any()
    assert (four < 0).any()  # also where no start reached the goal


@pytest.mark.parametrize(
    "attack",
    [
        LinfPGD(epsilon=EPSILON, steps=5, stop_early=True),
        LinfPGD(epsilon=EPSILON, steps=5, random_start=True, restarts=2, stop_early=True),
        APGD(epsilon=EPSILON, steps=10, restarts=2, stop_early=True),
        Square(epsilon=EPSILON, queries=30),
    ],
    ids=["pgd", "pgd-restarts", "apgd", "square"],
)
def test_images_that_are_misclassified_already_are_left_alone_and_others_do_not_depend_on_them(digits, attack):
    images, labels = digits.images[:12], digits.labels[:12].clone()
    expected = attack(digits.model, images, labels, generator=torch.Generator().manual_seed(0))
    labels[::2] = (labels[::2] + 1) % 10
    found = attack(digits.model, images, labels, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found[::2], images[::2])
    torch.testing.assert_close(found[1::2], expected[1::2])


@pytest.mark.parametrize(
    ("attack", "gradients"),
    [
        (LinfPGD(epsilon=0.5, steps=20, stop_early=True), 20),
        (LinfPGD(epsilon=0.5, steps=10, random_start=True, restarts=3, stop_early=True), 30),
        (APGD(epsilon=0.5, steps=20, restarts=2, stop_early=True), 40),
    ],
    ids=["pgd", "pgd-restarts", "apgd"],
)
def test_images_are_left_alone_once_they_are_misclassified(digits, attack, gradients):
    with counted_evaluations() as counted:
        assert not right(digits, attack, shown=40).any()
    assert attack.gradient_evaluations == gradients
    assert counted.gradient < 40 * gradients / 4


# Other libraries, on the same network and images.


@pytest.mark.parametrize("epsilon", [0.05, 0.1])
def test_robust_accuracy_agrees_with_foolbox(digits, epsilon):
    foolbox = pytest.importorskip("foolbox")
    shown = 200
    images, labels = digits.images[:shown], digits.labels[:shown]
    theirs, size = foolbox.PyTorchModel(digits.model, bounds=(0, 1), device="cpu"), epsilon / 4
    pairs = [
        (LinfPGD(epsilon=epsilon, steps=1, step_size=epsilon), foolbox.attacks.LinfFastGradientAttack()),
        (
            BIM(epsilon=epsilon, steps=10),
            foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=epsilon / 10, steps=10, random_start=False),
        ),
        (
            LinfPGD(epsilon=epsilon, steps=10, step_size=size),
            foolbox.attacks.LinfPGD(abs_stepsize=size, steps=10, random_start=False),
        ),
    ]
    for ours, other in pairs:
        _, _, success = other(theirs, images, labels, epsilons=epsilon)
        assert abs(int(right(digits, ours, shown).sum()) - int((~success).sum())) <= 2


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_apgd_agrees_with_its_authors_code(digits, loss):
    module = pytest.importorskip("pyautoattack.autopgd_base")
    shown, steps = 360, 30
    images, labels = digits.images[:shown], digits.labels[:shown]
    with torch.random.fork_rng():
        theirs = module.APGDAttack(digits.model, eps=EPSILON, loss=loss, n_iter=steps, seed=0, device="cpu")
        found = theirs.perturb(images, labels)
    with torch.no_grad():
        expected = digits.model(found).argmax(dim=1) == labels
    ours = right(digits, APGD(epsilon=EPSILON, loss=loss, steps=steps, stop_early=True), shown)
    assert abs(ours.double().mean() - expected.double().mean()) <= 0.005


def test_square_agrees_with_its_authors_code(digits):
    module = pytest.importorskip("pyautoattack.square")
    shown, queries = 100, 150
    images, labels = digits.images[:shown], digits.labels[:shown]
    with torch.random.fork_rng():
        theirs = module.SquareAttack(
            digits.model, norm="Linf", eps=EPSILON, n_queries=queries, seed=0, device="cpu", resc_schedule=True
        )
        found = theirs.perturb(images, labels)
    with torch.no_grad():
        expected = digits.model(found).argmax(dim=1) == labels
    ours = right(digits, Square(epsilon=EPSILON, queries=queries), shown)
    # Both draw squares of their own: two spreads of a share of 100 images.
    assert abs(ours.double().mean() - expected.double().mean()) <= 0.1
