"""Time training: every method against normal training, and our PGD-7 step against plain loops, in one run.

    python benchmarks/training.py [--quick]

On the CPU, and on a GPU if there is one, for LeNet-5 at 28 pixels and WideResNet-10-1 at 32, batch 128:

1. One adversarial training step (PGD-7 and the update), images per second, and the ratio to the plain loop (float32,
   NCHW, `autograd.grad`, the same number of threads) and, where foolbox is installed, to its PGD in the plain loop;
   then ours with each choice switched: layout, precision, workers, so that it is seen what each gives.
2. The cost of an update of each method, as it is by default, against normal training, beside its gradient evaluations.

Ways are timed in turns; the least time of each counts. Quick takes fewer turns.
"""

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, fastest_choices, usual_candidates
from infoplane.config import METHODS, AttackConfig, FlowConfig
from infoplane.layout import memory_format
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.studies.methods import build_method

BATCH, STEPS = 128, 7
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int], float, float]] = {
    "LeNet-5": (lambda: LeNet5(mean=0.1307), (1, 28), 45 / 255, 8 / 255),
    "WideResNet-10-1": (lambda: WideResNet(), (3, 32), 8 / 255, 2 / 255),
}
WRAPPED = ("adversarial+awp", "trades+awp")

Step = Callable[[], None]


def plain_step(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, size: float) -> Step:
    """Adversarial training as most loops write it."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        model.eval()
        attacked = (images + torch.empty_like(images).uniform_(-epsilon, epsilon)).clamp(0, 1)
        for _ in range(STEPS):
            attacked = attacked.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(attacked), labels), attacked)
            attacked = attacked.detach() + size * gradient.sign()
            attacked = torch.min(torch.max(attacked, images - epsilon), images + epsilon).clamp(0, 1)
        model.train()
        optimiser.zero_grad()
        F.cross_entropy(model(attacked.detach()), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def foolbox_step(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, size: float) -> Step | None:
    """The same loop with foolbox's PGD inside; None where foolbox is not installed."""
    try:
        import foolbox
    except ImportError:
        return None
    attack = foolbox.attacks.LinfPGD(abs_stepsize=size, steps=STEPS, random_start=True)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        model.eval()
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        _, attacked, _ = attack(wrapped, images, labels, epsilons=epsilon)
        model.train()
        optimiser.zero_grad()
        F.cross_entropy(model(attacked), labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return step


def our_step(name: str, model: nn.Module, images: Tensor, labels: Tensor, choices: Choices, config: FlowConfig) -> Step:
    """One update of a method as the loop makes it."""
    working = model if choices == PLAIN else AcceleratedNetwork(model, choices)
    working.train()
    sources = [
        construct(NETWORKS["LeNet-5" if images.shape[1] == 1 else "WideResNet-10-1"][0], seed=9).to(images.device)
    ]
    method = build_method(name, config, [sources[0].eval()])
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    pixels = images.contiguous(memory_format=memory_format(model))
    generator = torch.Generator(device=images.device).manual_seed(0)
    return lambda: (method.step(working, optimiser, pixels, labels, generator=generator), None)[1]


def least_seconds(ways: dict[str, Step], turns: int) -> dict[str, float]:
    """Return the least seconds of each way; ways take turns, so that a busy moment hits all alike."""
    least = dict.fromkeys(ways, float("inf"))
    for turn in range(turns + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            if turn:  # the first warms up
                least[name] = min(least[name], time.perf_counter() - began)
    return least


def compare(name: str, device: torch.device, turns: int) -> None:
    """Print both parts for one network."""
    factory, (channels, size), epsilon, length = NETWORKS[name]
    config = FlowConfig(attack=AttackConfig(epsilon=epsilon, step_size=length, steps=STEPS))
    source = torch.Generator().manual_seed(0)
    images = torch.rand(BATCH, channels, size, size, generator=source).to(device)
    labels = torch.randint(10, (BATCH,), generator=source).to(device)

    def model(layout: torch.memory_format) -> nn.Module:
        return construct(factory, seed=0).to(device).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]

    last, first = torch.channels_last, torch.contiguous_format
    network = model(last)
    chosen = fastest_choices(network.eval(), images.contiguous(memory_format=last), usual_candidates(device))
    ways = {"plain loop": plain_step(model(first), images, labels, epsilon, length)}
    foolbox = foolbox_step(model(first), images, labels, epsilon, length)
    if foolbox is not None:
        ways["foolbox in a plain loop"] = foolbox
    ways["ours, NCHW, float32"] = our_step("adversarial", model(first), images, labels, PLAIN, config)
    ways["ours, channels_last, float32"] = our_step("adversarial", model(last), images, labels, PLAIN, config)
    for choices in usual_candidates(device):
        label = f"ours, channels_last, {choices.precision} bits, workers {choices.workers}".replace("bf16 bits", "bf16")
        ways[label] = our_step("adversarial", model(last), images, labels, choices, config)
    least = least_seconds(ways, turns)
    print(f"\n{name}, {device}, {torch.get_num_threads()} threads, batch {BATCH}: a PGD-{STEPS} training step")
    for way, taken in least.items():
        print(f"  {way:46s} {1e3 * taken:8.1f} ms  {BATCH / taken:8.0f} images/s  {least['plain loop'] / taken:5.2f} x")
    print(f"  chosen by the probe: {chosen}")

    names = (*METHODS, *WRAPPED)
    methods = {one: our_step(one, model(last), images, labels, chosen, config) for one in names}
    least = least_seconds(methods, turns)
    print(f"\n{name}, {device}: an update of each method against normal training, as chosen")
    for one in names:
        trained = model(last)
        record = build_method(one, config, [model(last).eval()]).step(
            trained.train(),
            torch.optim.SGD(trained.parameters(), lr=1e-3),
            images,
            labels,
            generator=torch.Generator(device=device).manual_seed(0),
        )
        replays = config.method.free_replays if one == "free" else 1
        print(
            f"  {one:18s} {1e3 * least[one] / replays:8.1f} ms  {least[one] / replays / least['normal']:6.2f} x  "
            f"{record.gradient_evaluations / BATCH / replays:5.1f} gradient evaluations"
        )


def main() -> None:
    turns = 3 if "--quick" in sys.argv else 10
    print(f"torch {torch.__version__}")
    devices = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    for device in devices:
        for name in NETWORKS:
            compare(name, device, turns)


if __name__ == "__main__":
    main()
