"""Time and strength of every attack that another library has too, side by side in one process.

    python benchmarks/attacks.py [NAME ...] [--images N] [--turns N]

On LeNet-5, trained on scikit-learn's digits at 28x28 without a defence, the first N test images that it classifies
correctly (200), on one thread. Libraries that are not installed are left out: foolbox, ART
(adversarial-robustness-toolbox) and pyautoattack, with the same parameters as ours.

The table has the time of the attack, in seconds of the processor, the least of some turns (3) that alternate between
both, and what it finds: robust accuracy of attacks in the ball (lower is stronger), the median norm of those that seek
the smallest perturbation (images that are not found count as infinitely far). The ratio is the other library's time
over ours: above 1 ours is faster. Ours stop at images that they have misclassified, as evaluation does.

NAME chooses rows by our attack (`pgd`) or by the library (`foolbox`).
"""

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import (
    APGD,
    BIM,
    L2PGD,
    LBFGS,
    MIFGSM,
    Attack,
    CarliniWagner,
    DeepFool,
    LinfPGD,
    Square,
    apply_attack,
)
from infoplane.data import as_floats, load_split
from infoplane.models import LeNet5, construct

EPSILON, EPSILON_L2 = 0.1, 1.5
MODULES = {"foolbox": "foolbox", "ART": "art", "pyautoattack": "pyautoattack"}

Found = Callable[[nn.Module, Tensor, Tensor], Tensor]  # attacked images


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row of the table."""

    name: str
    library: str
    ours: Callable[[], Attack]
    theirs: Found
    minimum_norm: bool = False


def foolbox(name: str, epsilon: float | None, **settings: Any) -> Found:
    """Return an attack of foolbox; without epsilon it looks for the smallest perturbation."""

    def attack(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        import foolbox

        one = getattr(foolbox.attacks, name)(**settings)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        found: Tensor = one(wrapped, images, labels, epsilons=epsilon)[1]
        return found

    return attack


def art(name: str, **settings: Any) -> Found:
    """Return an attack of ART."""

    def attack(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        classifier = PyTorchClassifier(
            model, nn.CrossEntropyLoss(), tuple(images.shape[1:]), 10, clip_values=(0, 1), device_type="cpu"
        )
        with contextlib.suppress(TypeError):
            settings.setdefault("batch_size", len(images))
        quiet = {} if name == "FastGradientMethod" else {"verbose": False}
        one = getattr(evasion, name)(classifier, **settings, **quiet)
        return torch.as_tensor(one.generate(images.numpy(), labels.numpy())).to(images.dtype)

    return attack


def autoattack(module: str, name: str, **settings: Any) -> Found:
    """Return a part of AutoAttack by its authors."""

    def attack(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        from importlib import import_module

        one = getattr(import_module(f"pyautoattack.{module}"), name)(model, seed=0, device="cpu", **settings)
        found: Tensor = one.perturb(images.clone(), labels)
        return found

    return attack


def _comparisons() -> list[Comparison]:
    """All rows. A new one is one entry here."""
    stopping = {"stop_early": True}
    pgd = partial(LinfPGD, epsilon=EPSILON, steps=20, step_size=EPSILON / 4, **stopping)
    l2 = partial(L2PGD, epsilon=EPSILON_L2, steps=20, step_size=EPSILON_L2 / 4, **stopping)
    fgsm = partial(LinfPGD, epsilon=EPSILON, steps=1, step_size=EPSILON)
    bim, momentum = partial(BIM, epsilon=EPSILON, steps=10), partial(MIFGSM, epsilon=EPSILON, steps=10)
    apgd = partial(APGD, epsilon=EPSILON, **stopping)
    square = partial(Square, epsilon=EPSILON, queries=1000)
    cw = partial(CarliniWagner, searches=5, steps=200)
    box, ten = {"eps": EPSILON, "eps_step": EPSILON / 10}, {"max_iter": 10}
    rows = [
        ("fgsm", "foolbox", fgsm, foolbox("LinfFastGradientAttack", EPSILON)),
        ("fgsm", "ART", fgsm, art("FastGradientMethod", eps=EPSILON)),
        (
            "bim",
            "foolbox",
            bim,
            foolbox("LinfBasicIterativeAttack", EPSILON, abs_stepsize=EPSILON / 10, steps=10, random_start=False),
        ),
        ("bim", "ART", bim, art("BasicIterativeMethod", **box, **ten)),
        (
            "mi-fgsm",
            "foolbox",
            momentum,
            foolbox("MIFGSM", EPSILON, abs_stepsize=EPSILON / 10, steps=10, random_start=False, momentum=1.0),
        ),
        ("mi-fgsm", "ART", momentum, art("MomentumIterativeMethod", **box, **ten)),
        ("pgd", "foolbox", pgd, foolbox("LinfPGD", EPSILON, abs_stepsize=EPSILON / 4, steps=20, random_start=False)),
        ("pgd", "ART", pgd, art("ProjectedGradientDescentPyTorch", eps=EPSILON, eps_step=EPSILON / 4, max_iter=20)),
        (
            "pgd-l2",
            "foolbox",
            l2,
            foolbox("L2PGD", EPSILON_L2, abs_stepsize=EPSILON_L2 / 4, steps=20, random_start=False),
        ),
        (
            "pgd-l2",
            "ART",
            l2,
            art("ProjectedGradientDescentPyTorch", norm=2, eps=EPSILON_L2, eps_step=EPSILON_L2 / 4, max_iter=20),
        ),
    ]
    for loss, written in (("ce", "cross_entropy"), ("dlr", "difference_logits_ratio")):
        ours = partial(apgd, loss=loss)
        rows += [
            (f"apgd-{loss}", "pyautoattack", ours, autoattack("autopgd_base", "APGDAttack", eps=EPSILON, loss=loss)),
            (
                f"apgd-{loss}",
                "ART",
                ours,
                art(
                    "AutoProjectedGradientDescent",
                    eps=EPSILON,
                    eps_step=2 * EPSILON,
                    max_iter=100,
                    nb_random_init=1,
                    loss_type=written,
                ),
            ),
        ]
    rows += [
        (
            "square",
            "pyautoattack",
            square,
            autoattack("square", "SquareAttack", norm="Linf", eps=EPSILON, n_queries=1000, resc_schedule=True),
        ),
        ("square", "ART", square, art("SquareAttack", eps=EPSILON, max_iter=1000)),
    ]
    smallest = [
        ("deepfool", "foolbox", DeepFool, foolbox("L2DeepFoolAttack", None)),
        ("deepfool", "ART", DeepFool, art("DeepFool", epsilon=0.02, max_iter=50)),
        ("cw", "foolbox", cw, foolbox("L2CarliniWagnerAttack", None, binary_search_steps=5, steps=200)),
        (
            "cw",
            "ART",
            cw,
            art("CarliniL2Method", binary_search_steps=5, max_iter=200, initial_const=1e-3, learning_rate=0.01),
        ),
        # No library has L-BFGS for today's torch: beside the attack that finds the smallest norms.
        ("lbfgs", "foolbox", LBFGS, foolbox("L2CarliniWagnerAttack", None, binary_search_steps=5, steps=200)),
    ]
    return [
        Comparison(name=name, library=library, ours=ours, theirs=theirs, minimum_norm=one is smallest)
        for one in (rows, smallest)
        for name, library, ours, theirs in one
    ]


def trained(images_shown: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return LeNet-5 after five epochs on digits, and test images that it classifies correctly, with their labels."""
    train, test = load_split("digits", "train"), load_split("digits", "test")
    images, labels, size = as_floats(train.images), train.labels.long(), 32
    model, draws = construct(LeNet5, seed=0), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=5 * -(-len(images) // size))
    for _ in range(5):
        for rows in torch.randperm(len(images), generator=draws).split(size):
            optimiser.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    images, labels = as_floats(test.images), test.labels.long()
    with torch.no_grad():
        right = model.eval()(images).argmax(dim=1) == labels
    return model, images[right][:images_shown], labels[right][:images_shown]


def strength(model: nn.Module, attacked: Tensor, images: Tensor, labels: Tensor, *, minimum_norm: bool) -> float:
    """Return robust accuracy, or the median L2 norm of the perturbations that change the network's answer."""
    with torch.no_grad():
        right = model(attacked).argmax(dim=1) == labels
    if not minimum_norm:
        return right.double().mean().item()
    norms = (attacked - images).flatten(start_dim=1).norm(dim=1)
    return norms.masked_fill(right, torch.inf).median().item()


def compare(one: Comparison, model: nn.Module, images: Tensor, labels: Tensor, turns: int) -> str:
    """Return the row of one comparison."""

    def ours(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return apply_attack(one.ours(), model, images, labels, generator=torch.Generator().manual_seed(0))

    seconds, found = [float("inf")] * 2, [0.0] * 2
    for _ in range(turns):
        for place, attack in enumerate((ours, one.theirs)):
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # of other libraries, about other libraries
                began = time.process_time()  # on one thread: other processes do not count
                attacked = attack(model, images, labels)
                seconds[place] = min(seconds[place], time.process_time() - began)
            found[place] = strength(model, attacked, images, labels, minimum_norm=one.minimum_norm)
    shown = [f"{value:.3f}" if one.minimum_norm else f"{value:.1%}" for value in found]
    return (
        f"| {one.name} | {one.library} | {seconds[0]:.2f} | {seconds[1]:.2f} | {seconds[1] / seconds[0]:.1f} | "
        f"{shown[0]} | {shown[1]} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    rows = _comparisons()
    known = {name for one in rows for name in (one.name, one.library)}
    if unknown := set(given.names) - known:
        parser.error(f"unknown {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}")
    torch.set_num_threads(1)
    model, images, labels = trained(given.images)
    print(f"torch {torch.__version__}, 1 thread, {len(images)} images\n")
    print("| attack | library | ours, s | theirs, s | ratio | ours finds | theirs find |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for one in rows:
        chosen = not given.names or {one.name, one.library} & set(given.names)
        if chosen and find_spec(MODULES[one.library]) is not None:
            print(compare(one, model, images, labels, given.turns), flush=True)


if __name__ == "__main__":
    main()
