"""Time training: every method against normal training, and our PGD-7 step against plain loops, in one run.

    python benchmarks/training.py [--quick] [--gpu]

On the CPU, and on a GPU if there is one (with `--gpu` there alone), for LeNet-5 on images of MNIST and WideResNet-10-1
on CIFAR-10 (where `infoplane data` puts them, or where INFOPLANE_DATA says), batch 128:

1. One adversarial training step (PGD-7 and the update), images per second, and the ratio to the plain loop (float32,
   NCHW, `autograd.grad`, the same number of threads) and, where foolbox is installed, to its PGD in the plain loop;
   then ours with each choice switched on after the other, so that it is seen what each gives.
2. The share of the device's memory bandwidth that our step takes: the bytes that its operations read and write, against
   those of a copy. On a GPU also the time of an epoch of PGD-7 training on all of CIFAR-10.
3. The cost of an update of each method, as it is by default, against normal training, beside its gradient evaluations.

Each way has a process of its own. They are timed in turns of half a second, and the median of each counts: on a shared
machine the least time is a lucky one. Quick takes fewer turns, and leaves out torch.compile.
"""

import sys
from dataclasses import replace
from importlib.util import find_spec
from shutil import which
from statistics import median
from typing import Any

import torch
from memory_traffic import MovedBytes, bytes_per_second
from torch import nn
from training_loops import BATCH, NETWORKS, STEPS, ElsewhereStep, Step, batch, foolbox_step, plain_step

from infoplane.acceleration import PLAIN, Choices, candidates, wrap
from infoplane.attacks import LinfPGD
from infoplane.config import AttackConfig, FlowConfig
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.models import construct
from infoplane.studies.flow.fastest import fastest
from infoplane.studies.flow.trainers import build_method
from infoplane.studies.parts import load_images
from infoplane.training.catalogue import METHODS
from infoplane.training.named import named_training
from robustness import settings as epoch_settings
from robustness import trainer

WRAPPED = ("adversarial+awp", "trades+awp")
QUICK_TURNS = 3
LAST, FIRST = torch.channels_last, torch.contiguous_format


def settings(name: str) -> FlowConfig:
    """Return the settings of the methods."""
    _, _, epsilon, size = NETWORKS[name]
    return FlowConfig(attack=AttackConfig(epsilon=epsilon, step_size=size, steps=STEPS))


def network(name: str, device: torch.device, layout: torch.memory_format) -> nn.Module:
    """Return the network as built with seed 0."""
    model = construct(NETWORKS[name][0], seed=0).to(device)
    return model.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def our_step(
    method: str, name: str, device: torch.device, layout: torch.memory_format, choices: Choices, compiled: bool = False
) -> Step:
    """One update of a method as the loop makes it; its process keeps freed memory, as the command's does."""
    keep_freed_memory()
    model = network(name, device, layout)
    computing: Any = torch.compile(model) if compiled else model
    working = wrap(computing, choices).train()
    config = settings(name)
    built = build_method(named_training(method, config), config, [network(name, device, layout).eval()])
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images, labels = batch(name, device)
    images = images.contiguous(memory_format=layout)
    generator = torch.Generator(device=device).manual_seed(0)

    def step() -> None:
        built.step(working, optimiser, images, labels, generator=generator)

    return step


def median_seconds(ways: dict[str, ElsewhereStep], turns: int) -> dict[str, float]:
    """Return the median seconds of each way; ways take turns, so that a busy moment hits all alike."""
    for _ in range(2):  # the first warm up
        for way in ways.values():
            way()
    taken = [{name: way() for name, way in ways.items()} for _ in range(turns)]
    for way in ways.values():
        way.close()
    return {name: median(one[name] for one in taken) for name in ways}


def describe(choices: Choices) -> str:
    """Name a way in a line of the table."""
    others = ["traced"] * choices.traced + ["CUDA graphs (experimental)"] * choices.cuda_graphs
    for names, way in ((choices.rowwise, "row by row"), (choices.rowwise_pooled, "row by row with pooling")):
        others += [f"{len(names)} {way}"] * bool(names)
    return (
        f"ours, channels_last, {'float32' if choices.precision == '32' else 'bfloat16'}"
        f"{''.join(f', {other}' for other in others)}"
    )


def compare_loops(name: str, device: torch.device, turns: int) -> tuple[Choices, float]:
    """Print the first part; return the choice and the seconds of that step."""
    model = network(name, device, LAST).eval()
    # noisy, as where an attack begins
    images = (
        LinfPGD(epsilon=NETWORKS[name][2], steps=STEPS)
        .region(batch(name, device)[0])
        .random_point(torch.Generator(device).manual_seed(0))
    )
    images = images.contiguous(memory_format=LAST)
    worth_timing = candidates(model, images)
    chosen = fastest(model, images, worth_timing)
    ways = {"plain loop": ElsewhereStep(plain_step, name, device)}
    if find_spec("foolbox"):
        ways["foolbox in a plain loop"] = ElsewhereStep(foolbox_step, name, device)
    ways["ours, NCHW, float32"] = ElsewhereStep(our_step, "adversarial", name, device, FIRST, PLAIN)
    for choices in worth_timing:
        ways[describe(choices)] = ElsewhereStep(our_step, "adversarial", name, device, LAST, choices)
    if which("g++") and turns > QUICK_TURNS:  # its compiler; compiling takes minutes
        given = ("adversarial", name, device, LAST, Choices(precision="bf16"), True)
        ways["ours, channels_last, bfloat16, torch.compile"] = ElsewhereStep(our_step, *given)
    typical = median_seconds(ways, turns)
    print(f"\n{name}, {device}, {torch.get_num_threads()} threads, batch {BATCH}: a PGD-{STEPS} training step")
    for way, taken in typical.items():
        print(
            f"  {way:62s} {1e3 * taken:8.1f} ms  {BATCH / taken:8.0f} images/s  {typical['plain loop'] / taken:5.2f} x"
        )
    print(f"  chosen: {describe(chosen)}; {chosen}")
    return chosen, typical[describe(chosen)]


def share_bandwidth(name: str, device: torch.device, choices: Choices, taken: float) -> None:
    """Print the second part, for a step that took so many seconds."""
    # a replayed graph shows no operations; the same ones without
    step = our_step("adversarial", name, device, LAST, replace(choices, cuda_graphs=False))
    step()
    with MovedBytes() as moved:
        step()
    most = bytes_per_second(device)
    print(
        f"\n{name}, {device}: a step's operations read and write {moved.total / 2**20:.0f} MiB, "
        f"{moved.total / taken / 1e9:.0f} GB/s, {moved.total / taken / most:.0%} of a copy's {most / 1e9:.0f} GB/s"
    )


def time_epoch(device: torch.device, choices: Choices, examples: int | None = None) -> None:
    """Print the seconds of an epoch of PGD-7 training on CIFAR-10, WideResNet-10-1, after a first."""
    config = epoch_settings("cifar10-wrn", examples, 2)
    run = trainer(config, load_images(config, str(device)), "adversarial", choices)
    run.train_epoch()
    first = run.seconds
    run.train_epoch()
    print(f"\nWideResNet-10-1, {device}: an epoch of PGD-7 training on CIFAR-10 takes {run.seconds - first:.2f} s")


def compare_methods(name: str, device: torch.device, choices: Choices, turns: int) -> None:
    """Print the second part."""
    names, config = (*(spec.name for spec in METHODS), *WRAPPED), settings(name)
    ways = {one: ElsewhereStep(our_step, one, name, device, LAST, choices) for one in names}
    typical = median_seconds(ways, turns)
    images, labels = batch(name, device)
    print(f"\n{name}, {device}: an update of each method against normal training, as chosen")
    for one in names:
        trained = network(name, device, LAST).train()
        method = build_method(named_training(one, config), config, [network(name, device, LAST).eval()])
        record = method.step(
            trained,
            torch.optim.SGD(trained.parameters(), lr=1e-3),
            images,
            labels,
            generator=torch.Generator(device=device).manual_seed(0),
        )
        replays = method.replays
        print(
            f"  {one:18s} {1e3 * typical[one] / replays:8.1f} ms  {typical[one] / replays / typical['normal']:6.2f} x  "
            f"{record.gradient_evaluations / BATCH / replays:5.1f} gradient evaluations"
        )


def main() -> None:
    """Print all tables."""
    turns = QUICK_TURNS if "--quick" in sys.argv else 9
    print(f"torch {torch.__version__}; our processes {'keep' if keep_freed_memory() else 'give back'} freed memory")
    devices = [torch.device("cpu")] * ("--gpu" not in sys.argv) + [torch.device("cuda")] * torch.cuda.is_available()
    for device in devices:
        for name in NETWORKS:
            chosen, taken = compare_loops(name, device, turns)
            share_bandwidth(name, device, chosen, taken)
            if device.type == "cuda" and NETWORKS[name][1] == "cifar10":
                time_epoch(device, chosen)
            compare_methods(name, device, chosen, turns)


if __name__ == "__main__":
    main()
