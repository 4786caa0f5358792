"""Adversarial training as loops outside infoplane write it, which `training.py` compares with; and steps that run in
processes of their own, so that none helps or hinders another: no memory that another freed, no threads left spinning.
"""

import time
import warnings
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.data import as_floats, load_split
from infoplane.models import LeNet5, WideResNet, construct

BATCH, STEPS = 128, 7
TURN = 0.5  # seconds: updates follow each other, as in training; the first after a pause finds cold caches
# factory, images, epsilon, step size
NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, float, float]] = {
    "LeNet-5": (lambda: LeNet5(mean=0.1307), "mnist", 45 / 255, 8 / 255),
    "WideResNet-10-1": (lambda: WideResNet(), "cifar10", 8 / 255, 2 / 255),
}

Step = Callable[[], None]


def batch(name: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """One batch, the same in every process: of real images, since some operations take longer on noise."""
    split = load_split(NETWORKS[name][1], "test")
    return as_floats(split.images[:BATCH]).to(device), split.labels[:BATCH].to(device)


def plain_step(name: str, device: torch.device) -> Step:
    """PGD and the update: float32, NCHW, `autograd.grad`."""
    (factory, _, epsilon, size), (images, labels) = NETWORKS[name], batch(name, device)
    model = construct(factory, seed=0).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        model.eval()
        attacked = (images + torch.empty_like(images).uniform_(-epsilon, epsilon)).clamp(0, 1)
        for _ in range(STEPS):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(attacked), labels), attacked)
            attacked = attacked.detach() + size * gradient.sign()
            attacked = torch.min(torch.max(attacked, images - epsilon), images + epsilon).clamp(0, 1)
        _update(model, optimiser, attacked, labels)

    return step


def foolbox_step(name: str, device: torch.device) -> Step:
    """The same loop with foolbox's PGD inside."""
    import foolbox

    (factory, _, epsilon, size), (images, labels) = NETWORKS[name], batch(name, device)
    model = construct(factory, seed=0).to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=size, steps=STEPS, random_start=True)

    def step() -> None:
        wrapped = foolbox.PyTorchModel(model.eval(), bounds=(0, 1), device=device)
        _, attacked, _ = attack(wrapped, images, labels, epsilons=epsilon)
        _update(model, optimiser, attacked, labels)

    return step


def _update(model: nn.Module, optimiser: torch.optim.Optimizer, attacked: Tensor, labels: Tensor) -> None:
    model.train()
    optimiser.zero_grad()
    F.cross_entropy(model(attacked.detach()), labels).backward()  # type: ignore[no-untyped-call]
    optimiser.step()


class ElsewhereStep:
    """A step that runs, when called, in a process of its own, once untimed and then again for half a second; the call
    returns the seconds that one took there.

    Args:
        make: makes the step there, as `make(*arguments)`; a function of a module.
        arguments: for it.
    """

    def __init__(self, make: Callable[..., Step], *arguments: Any) -> None:
        context = get_context("spawn")
        self._ours, theirs = context.Pipe()
        given = (theirs, torch.get_num_threads(), make, arguments)
        self._process = context.Process(target=_serve, args=given, daemon=True)
        self._process.start()

    def __call__(self) -> float:
        self._ours.send(True)
        return float(self._ours.recv())

    def close(self) -> None:
        """End the process."""
        self._ours.send(False)
        self._process.join()


def _serve(theirs: Connection, threads: int, make: Callable[..., Step], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # some images have no gradient
    step = make(*arguments)
    while theirs.recv():
        theirs.send(seconds(step))


def seconds(step: Step) -> float:
    """Wall time of a call among others, to the end of what they started on a GPU."""
    step()
    _wait()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < TURN:
        step()
        _wait()
        calls += 1
    return (time.perf_counter() - began) / calls


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
