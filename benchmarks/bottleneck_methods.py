"""What NIB and HBaR do on MNIST, in a few minutes of one core.

    INFOPLANE_DATA=... python benchmarks/bottleneck_methods.py [nib] [hbar] [--seeds N]

- nib: `mlp-nib` trained by NIB with five betas, geometric between 0.001 and 2, and normally (beta 0), on 10,000 images
  for 15 epochs by Adam at 0.001, batches of 128. Printed per beta and seed: the noise variance that was learnt, I(X;T)
  of the code at this noise on 5,000 test images (KDE upper bound and Monte Carlo estimate, 95 % intervals), and
  accuracy on 10,000 test images by the mean path and by 12 averaged draws. I(X;T) of 5,000 images is at most ln 5,000 =
  8.52 nats.
- hbar: LeNet-5 trained normally, by HBaR, adversarially and by HBaR with adversarial training (PGD-7, epsilon 0.1), on
  6,000 images for three epochs by Adam at 0.001, batches of 128. Printed per training and seed: accuracy on 1,000 test
  images, and under PGD-20 of two radii.

Without a part, both.
"""

import argparse
import time

import torch
from torch import nn

from infoplane.attacks import LinfPGD
from infoplane.config import AttackConfig, DataConfig, FlowConfig, ModelConfig, TrainingConfig
from infoplane.estimators import Estimate
from infoplane.estimators.own_noise import own_noise_information
from infoplane.measuring.evaluate import attack_images, evaluate
from infoplane.models import model_named
from infoplane.networks.averaged_draws import AveragedDraws
from infoplane.networks.gaussian_layer import recorded_codes
from infoplane.networks.memory_format import as_pixels
from infoplane.randomness import seeded_generator
from infoplane.studies.flow.trainers import build_method
from infoplane.studies.parts import Images, build_model, load_images
from infoplane.training import Trainer
from infoplane.training.named import named_training

BETAS = tuple(1e-3 * 2000 ** (step / 4) for step in range(5))
RADII = (0.1, 45 / 255)


def settings(model: str, *, train_examples: int, test_examples: int, measured: int, epochs: int) -> FlowConfig:
    """Return the settings of one network on MNIST."""
    config = FlowConfig(
        data=DataConfig(name="mnist", train_examples=train_examples, test_examples=test_examples),
        model=ModelConfig(name=model, mean=(0.5,), std=(0.5,), settings=model_named(model).checked({}).model_dump()),
        training=TrainingConfig(
            epochs=epochs, optimiser="adam", learning_rate=1e-3, batch_size=128, milestones=(), warmup_epochs=0
        ),
        attack=AttackConfig(epsilon=RADII[0], step_size=RADII[0] / 4),
    )
    return config.model_copy(update={"measurement": config.measurement.model_copy(update={"examples": measured})})


def trained(config: FlowConfig, images: Images, method: str) -> tuple[nn.Module, float, float]:
    """Train one network; return it in evaluation mode, the loss of its last epoch, and the seconds."""
    assert images.train is not None
    trainer = Trainer(
        build_model(config, images.test),
        build_method(named_training(method, config), config, []),
        images.train.images,
        images.train.labels,
        config.training,
        seed=config.seed,
        training=method,
    )
    records = [trainer.train_epoch() for _ in range(config.training.epochs)]
    return trainer.network.eval(), records[-1].loss, trainer.seconds


def interval(estimate: Estimate) -> str:
    """Return the value with its 95 % interval, in nats, which may allow for bias; and whether it is saturated."""
    ends = "no interval" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return f"{estimate.value:6.3f} ({ends}{', saturated' if estimate.saturated else ''})"


def nib(seeds: int) -> None:
    """Print the information of the code by beta."""
    config = settings("mlp-nib", train_examples=10_000, test_examples=10_000, measured=5_000, epochs=15)
    images = load_images(config, "cpu")
    pixels, labels = as_pixels(images.test.images), images.test.labels
    for seed in range(seeds):
        for beta in (0.0, *BETAS):
            own = config.model_copy(update={"seed": seed, "method": {"nib_beta": beta} if beta else {}})
            model, loss, seconds = trained(own, images, "nib" if beta else "normal")
            with torch.no_grad(), recorded_codes(model) as codes:
                model(pixels[images.measured])
            (code,) = codes.values()
            information = own_noise_information(
                code.mean,
                code.variance.item(),
                labels[images.measured],
                generator=seeded_generator(seed, "noise of the code"),
            )
            accuracy = evaluate(model, pixels, labels).accuracy
            drawn = evaluate(AveragedDraws(model).eval(), pixels, labels, seed=seed).accuracy
            print(
                f"nib beta {beta:.4g} seed {seed}: loss {loss:.3f}, variance {code.variance.item():.3f}, I(X;T) KDE "
                f"{interval(information.input_upper)}, Monte Carlo {interval(information.input)}, I(T;Y) "
                f"{interval(information.label)}; accuracy {accuracy:.2%}, 12 draws {drawn:.2%}; {seconds:.0f} s",
                flush=True,
            )


def hbar(seeds: int) -> None:
    """Print accuracies by training."""
    config = settings("lenet5", train_examples=6_000, test_examples=1_000, measured=1_000, epochs=3)
    images = load_images(config, "cpu")
    pixels, labels = as_pixels(images.test.images), images.test.labels
    for seed in range(seeds):
        for method in ("normal", "hbar", "adversarial", "adversarial-hbar"):
            model, loss, seconds = trained(config.model_copy(update={"seed": seed}), images, method)
            found = [evaluate(model, pixels, labels).accuracy]
            for radius in RADII:
                attack = LinfPGD(epsilon=radius, steps=20, random_start=True)
                attacked = attack_images(model, attack, pixels, labels, generator=seeded_generator(seed, "PGD-20"))
                found.append(evaluate(model, attacked, labels).accuracy)
            print(
                f"hbar {method} seed {seed}: loss {loss:.3f}; accuracy {found[0]:.1%}, PGD-20 at 0.1 {found[1]:.1%}, "
                f"at 45/255 {found[2]:.1%}; {seconds:.0f} s",
                flush=True,
            )


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], "nib", "hbar"], metavar="PART")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    began = time.perf_counter()
    for name, part in (("nib", nib), ("hbar", hbar)):
        if not arguments.parts or name in arguments.parts:
            part(arguments.seeds)
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
