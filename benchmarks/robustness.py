"""What fast training costs in robustness, measured on real images.

    INFOPLANE_DATA=... python benchmarks/robustness.py [PART ...] [--seeds N]

- precision-mnist, precision-cifar10: PGD-7 training the plain way (float32) and in the fastest way, from the same
  weights on the same batches, paired over 8 seeds: the difference of PGD-20 accuracy with its 95 % t-interval, and the
  cosine of input gradients. On 20,000 images of MNIST (LeNet-5, three epochs at a learning rate of .03: at the recipe's
  .1 some seeds are still at chance after so few updates, either way) or 5,000 of CIFAR-10 (WideResNet-10-1, six epochs
  of a one-cycle schedule up to .1).
- wall-time: FGSM-RS, Free and YOPO-5-3 for as many seconds as three epochs of PGD-7 take, over 3 seeds, MNIST.
- collapse: FGSM-RS on 20,000 images of MNIST as epsilon grows to .4, there with and without its guard, twelve epochs.

Without a part, all of them. PGD-20 attacks 2,000 test images in float32 from a random start.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from scipy.stats import t
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices
from infoplane.attacks import LinfPGD
from infoplane.config import AttackConfig, FlowConfig
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.measuring.evaluate import attack_images, evaluate
from infoplane.networks.memory_format import as_pixels, memory_format
from infoplane.recipes import RECIPES
from infoplane.studies.flow.choose_acceleration import training_choices
from infoplane.studies.flow.trainers import build_method
from infoplane.studies.parts import Images, build_augmentation, build_model, load_images
from infoplane.training import Trainer
from infoplane.training.named import named_training

TESTED = 2_000  # images
BUDGET_EPOCHS = 3  # of PGD-7: what others get in seconds


def settings(
    recipe: str,
    train_examples: int | None,
    epochs: int,
    rate: float = 0.1,
    schedule: Literal["multi-step", "one-cycle"] = "multi-step",
    **attack: float,
) -> FlowConfig:
    """Return the recipe with fewer images and epochs, another learning rate, and another attack where one is given."""
    config = RECIPES[recipe].config
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"train_examples": train_examples, "test_examples": TESTED}),
            "training": config.training.model_copy(
                update={"epochs": epochs, "learning_rate": rate, "schedule": schedule}
            ),
            "attack": AttackConfig(**{**config.attack.model_dump(), **attack}),
        }
    )


def trainer(config: FlowConfig, images: Images, method: str, choices: Choices) -> Trainer:
    """Return a trainer of this method."""
    assert images.train is not None
    return Trainer(
        build_model(config, images.test),
        build_method(named_training(method, config), config, []),
        images.train.images,
        images.train.labels,
        config.training,
        seed=config.seed,
        training="adversarial",  # the same draws for both ways
        augmentation=build_augmentation(config),
        choices=choices,
    )


def robust_accuracy(model: nn.Module, images: Images, config: FlowConfig) -> tuple[float, float]:
    """Return accuracy on original test images and under PGD-20."""
    model.eval()
    attack = LinfPGD(epsilon=config.attack.epsilon, steps=20, random_start=True)
    pixels, labels = as_pixels(images.test.images), images.test.labels
    attacked = attack_images(model, attack, pixels, labels, generator=torch.Generator().manual_seed(0))
    return evaluate(model, pixels, labels).accuracy, evaluate(model, attacked, labels).accuracy


def cosine_of_gradients(model: nn.Module, choices: Choices, images: Images) -> Tensor:
    """Return the cosine between the input gradients of both ways, per test image, of a trained network."""
    model.eval()
    pixels, labels = as_pixels(images.test.images[:512], memory_format(model)), images.test.labels[:512]

    def gradient(way: Choices) -> Tensor:
        leaf, working = pixels.clone().requires_grad_(), AcceleratedNetwork(model, way)
        with working.frozen_weights():  # as in an attack
            loss = F.cross_entropy(working(leaf), labels, reduction="sum")
            return torch.autograd.grad(loss, leaf)[0].flatten(1).double()

    return F.cosine_similarity(gradient(choices), gradient(PLAIN))


def interval(values: list[float]) -> str:
    """Mean and 95 % t-interval, in points."""
    points = 100 * torch.tensor(values, dtype=torch.double)
    half = float(t.ppf(0.975, len(points) - 1)) * points.std().item() / math.sqrt(len(points))
    return f"{points.mean():+.2f} points [{points.mean() - half:+.2f}, {points.mean() + half:+.2f}]"


def compare_precision(name: str, config: FlowConfig, seeds: int) -> None:
    """Print the paired difference for one dataset."""
    images = load_images(config, "cpu")
    choices = training_choices(config, "cpu", "auto")
    print(f"\n{name}: {len(images.train or ())} images, {config.training.epochs} epochs; chosen: {choices}", flush=True)
    differences, seconds = [], [0.0, 0.0]
    for seed in range(seeds):
        own, found = config.model_copy(update={"seed": seed}), []
        for number, way in enumerate((PLAIN, choices)):
            run = trainer(own, images, "adversarial", way)
            for _ in range(config.training.epochs):
                run.train_epoch()
            seconds[number] += run.seconds
            found.append((*robust_accuracy(run.network, images, config), run.network))
        (plain_clean, plain_robust, _), (clean, robust, model) = found
        differences.append(robust - plain_robust)
        cosines = cosine_of_gradients(model, choices, images)
        print(
            f"  seed {seed}: plain {plain_clean:.1%} / {plain_robust:.1%}, fast {clean:.1%} / {robust:.1%} (original / "
            f"PGD-20); cosine median {cosines.median():.4f}, lowest twentieth {cosines.quantile(0.05):.4f}",
            flush=True,
        )
    faster = seconds[0] / seconds[1]
    print(f"  fast minus plain, PGD-20: {interval(differences)} over {seeds} seeds; {faster:.2f} x as fast")


def compare_at_equal_time(seeds: int) -> None:
    """Print what each method reaches in the seconds of PGD-7."""
    config = settings("mnist-lenet5", None, 200, rate=0.03)
    config = config.model_copy(update={"method": {"yopo_rounds": 5, "yopo_steps": 3}})
    images = load_images(config, "cpu")
    choices = training_choices(config, "cpu", "auto")
    print(f"\nMNIST, equal wall time (that of {BUDGET_EPOCHS} epochs of PGD-7); chosen: {choices}", flush=True)
    robust: dict[str, list[float]] = {}
    for seed in range(seeds):
        own = config.model_copy(update={"seed": seed})
        budget = math.inf
        for method in ("adversarial", "fgsm-rs", "free", "yopo"):
            run = trainer(own, images, method, choices)
            longest = 0.0
            while run.seconds + longest / 2 < budget and not run.stopped:  # to the nearest whole epoch
                before = run.seconds
                run.train_epoch()
                longest = max(longest, run.seconds - before)
                if method == "adversarial" and run.epoch == BUDGET_EPOCHS:
                    budget = run.seconds
                    break
            clean, attacked = robust_accuracy(run.network, images, config)
            robust.setdefault(method, []).append(attacked)
            print(
                f"  seed {seed}: {method:12s} {run.seconds:5.0f} s, {run.epoch:3d} epochs: original {clean:.1%}, "
                f"PGD-20 {attacked:.1%}{f'; {run.stopped}' if run.stopped else ''}",
                flush=True,
            )
    for method in list(robust)[1:]:
        pairs = zip(robust[method], robust["adversarial"], strict=True)
        print(f"  {method} minus PGD-7, PGD-20: {interval([one - other for one, other in pairs])}")


def show_collapse(epochs: int = 12) -> None:
    """Print what FGSM-RS sees and what PGD-20 finds after each epoch, for growing balls, with and without guard."""
    for epsilon, guard in ((0.2, False), (0.3, False), (0.4, False), (0.4, True)):
        config = settings("mnist-lenet5", 20_000, epochs, rate=0.03, epsilon=epsilon, step_size=epsilon / 4)
        config = config.model_copy(update={"method": {"guard": guard}})
        images = load_images(config, "cpu")
        run = trainer(config, images, "fgsm-rs", training_choices(config, "cpu", "auto"))
        seen = []
        while run.epoch < epochs and not run.stopped:
            trained = run.train_epoch().accuracy
            seen.append(f"{trained:.0%}/{robust_accuracy(run.network, images, config)[1]:.0%}")
        print(
            f"  FGSM-RS, epsilon {epsilon}, {'with' if guard else 'without'} guard: own examples/PGD-20 "
            f"{' '.join(seen)}; {run.stopped or 'all epochs'}",
            flush=True,
        )


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", choices=["precision-mnist", "precision-cifar10", "wall-time", "collapse", []], default=[]
    )
    parser.add_argument("--seeds", type=int)
    given = parser.parse_args()
    seeds = given.seeds or 8
    keep_freed_memory()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    parts: dict[str, Callable[[], None]] = {
        "precision-mnist": lambda: compare_precision(
            "MNIST, LeNet-5", settings("mnist-lenet5", 20_000, 3, rate=0.03), seeds
        ),
        "precision-cifar10": lambda: compare_precision(
            "CIFAR-10, WideResNet-10-1", settings("cifar10-wrn", 5_000, 6, schedule="one-cycle"), seeds
        ),
        "wall-time": lambda: compare_at_equal_time(given.seeds or 3),
        "collapse": show_collapse,
    }
    for name in given.parts or parts:
        began = time.perf_counter()
        parts[name]()
        print(f"  ({name}: {time.perf_counter() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
