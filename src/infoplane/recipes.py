"""Named configurations: the study's settings per dataset, and a small one that needs no download."""

from typing import NamedTuple

from infoplane.config import (
    AttackConfig,
    DataConfig,
    FlowConfig,
    MeasurementConfig,
    ModelConfig,
    TrainingConfig,
)


class Recipe(NamedTuple):
    """A configuration with the words that `infoplane recipes` prints."""

    config: FlowConfig
    purpose: str
    cost: str  # measured on 2 CPU cores; see docs/results


RECIPES: dict[str, Recipe] = {
    recipe.config.recipe: recipe
    for recipe in [
        Recipe(
            FlowConfig(
                recipe="digits-lenet5",
                data=DataConfig(name="digits"),
                model=ModelConfig(name="lenet5", mean=(0.3,)),
                # Few and coarse images: a smaller ball than MNIST's, for at 45/255 half the runs stayed at chance.
                training=TrainingConfig(epochs=12, learning_rate=0.02, batch_size=16, milestones=(8,)),
                attack=AttackConfig(epsilon=24 / 255, step_size=6 / 255),
                # So that a demonstration takes a minute: half of the test images, every other epoch.
                measure_every=2,
                measurement=MeasurementConfig(examples=450, thorough_epochs=4, decoder_permutations=2),
            ),
            purpose="scikit-learn's digits at 28x28: no download, the demo",
            cost="about a minute and a half",
        ),
        Recipe(
            FlowConfig(
                recipe="mnist-lenet5",
                data=DataConfig(name="mnist"),
                # Centred at their mean over the training images: without, one seed of six lost all its ReLUs in its
                # first epoch at this learning rate, with it none of six (docs/results).
                model=ModelConfig(name="lenet5", mean=(0.1307,)),
                attack=AttackConfig(epsilon=45 / 255, step_size=8 / 255),
            ),
            purpose="the study's MNIST experiment",
            cost="75 s an epoch, both trainings; 4 h for 200 (extrapolated)",
        ),
        Recipe(
            FlowConfig(
                recipe="fashion-lenet5",
                data=DataConfig(name="fashion-mnist"),
                # MNIST's settings, but for the mean of these training images and the ball of Wong & Kolter (2018),
                # arXiv:1711.00851: clothes of two classes can differ by less than 45/255 in every pixel.
                model=ModelConfig(name="lenet5", mean=(0.2860,)),
                attack=AttackConfig(epsilon=0.1, step_size=0.02),
            ),
            purpose="the MNIST experiment on Fashion-MNIST",
            cost="75 s an epoch, both trainings; 4 h for 200 (as MNIST)",
        ),
        Recipe(
            FlowConfig(
                recipe="cifar10-wrn",
                data=DataConfig(name="cifar10"),
                model=ModelConfig(name="wideresnet"),
                training=TrainingConfig(augment=True),
                attack=AttackConfig(epsilon=8 / 255, step_size=2 / 255),
            ),
            purpose="the study's CIFAR-10 experiment, WideResNet-10-1",
            cost="7 min an epoch, both trainings; a day for 200 (extrapolated)",
        ),
        Recipe(
            FlowConfig(
                recipe="stl10-wrn",
                data=DataConfig(name="stl10"),
                model=ModelConfig(name="wideresnet"),
                training=TrainingConfig(augment=True),
                attack=AttackConfig(epsilon=4 / 255, step_size=2 / 255),
            ),
            purpose="the study's STL-10 experiment, WideResNet-10-1 at 96x96",
            cost="half an hour an epoch, both trainings (extrapolated)",
        ),
    ]
}
