"""Recipes: the study's settings for each dataset, and a small demo that needs no download."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from infoplane.config import (
    AttackConfig,
    DataConfig,
    FlowConfig,
    MeasurementConfig,
    ModelConfig,
    TrainingConfig,
)
from infoplane.data import catalogue
from infoplane.models.catalogue import model_named
from infoplane.text import one_line, with_field_help

__all__ = ["RECIPES", "Recipe"]


@with_field_help
class Recipe(NamedTuple):
    """A configuration with the words that `infoplane recipes` prints.

    Attributes:
        config: its settings.
        purpose: the experiment, in a few words.
        cost: measured on 2 CPU cores; see docs/results.
    """

    config: FlowConfig
    purpose: str
    cost: str


# Of networks with BatchNorm on 5,000 images: 79 updates an epoch.
_FEW_UPDATES = TrainingConfig(epochs=10, batch_size=64, learning_rate=0.05, schedule="one-cycle", augment=True)


# Settings of the networks with a stochastic layer, as in the papers.
_WIDE = {"hidden": "1024-1024", "code": 256, "decoder": ""}
_NARROW = {"hidden": "128-128", "code": 10, "decoder": "128", "noise": "scalar"}


def _bottleneck(method: str, settings: dict[str, Any], purpose: str, cost: str) -> Recipe:
    """Return the recipe of a perceptron with a stochastic layer, which one method trains on MNIST.

    Source: Alemi et al. (2017), arXiv:1612.00410, Section 4.1, but for the learning rate, which is 1e-4 there, for 200
    epochs.
    """
    config = FlowConfig(
        recipe=f"mnist-{method}",
        data=DataConfig(name="mnist"),
        model=ModelConfig(name=f"mlp-{method}", mean=(0.5,), std=(0.5,), settings=settings),
        methods=(method,),
        training=TrainingConfig(
            epochs=12,
            batch_size=100,
            optimiser="adam",
            learning_rate=1e-3,
            momentum=0.5,
            schedule="cosine",
            warmup_epochs=0,
            average_decay=0.999,
        ),
        attack=AttackConfig(epsilon=45 / 255, step_size=8 / 255),
        measure_every=3,
        measurement=MeasurementConfig(examples=2000, thorough_epochs=3),
    )
    return Recipe(config, purpose, cost)


# By name, as typed behind `infoplane flow`.
RECIPES: dict[str, Recipe] = {
    recipe.config.recipe: recipe
    for recipe in [
        Recipe(
            FlowConfig(
                recipe="digits-lenet5",
                data=DataConfig(name="digits"),
                model=ModelConfig(name="lenet5", mean=(0.3,)),
                # Few, coarse images: a smaller ball than for MNIST. At 45/255 half of the runs stayed at chance.
                # An epoch has 84 updates: a warm-up of one epoch is too short for most seeds (docs/results).
                training=TrainingConfig(epochs=10, learning_rate=0.02, batch_size=16, milestones=(7,), warmup_epochs=3),
                attack=AttackConfig(epsilon=24 / 255, step_size=6 / 255),
                # To keep the demo within a minute: few test images, every other epoch, decoders at the two ends.
                measure_every=2,
                measurement=MeasurementConfig(examples=250, thorough_epochs=2, decoder_permutations=2),
            ),
            purpose="scikit-learn's digits at 28x28: no download, the demo",
            cost="less than a minute",
        ),
        Recipe(
            FlowConfig(
                recipe="mnist-lenet5",
                data=DataConfig(name="mnist"),
                # Centred at the mean of the training images. Without it, one of six seeds lost all its ReLUs in its
                # first epoch at this learning rate; with it, none did (docs/results).
                model=ModelConfig(name="lenet5", mean=(0.1307,)),
                attack=AttackConfig(epsilon=45 / 255, step_size=8 / 255),
            ),
            purpose="the study's MNIST experiment",
            cost="2 h 32 min for 200 epochs with `--jobs 2`",
        ),
        Recipe(
            FlowConfig(
                recipe="mnist-lenet5-as-released",
                data=DataConfig(name="mnist"),
                # As in the study's earlier code, pixels are not centred, and nothing warms up. At a learning rate of
                # 0.1 one of six seeds then lost all its ReLUs in its first epoch (docs/results). Here none of the same
                # six did, as the rate is a quarter of that after 60 batches.
                model=ModelConfig(name="lenet5"),
                training=TrainingConfig(warmup_epochs=0, milestones_in="batches"),
                attack=AttackConfig(epsilon=45 / 255, step_size=8 / 255),
                measurement=MeasurementConfig(examples_drawn="each-epoch"),
            ),
            purpose="that experiment with the slips of its earlier code in schedule and examples",
            cost="as MNIST",
        ),
        _bottleneck(
            "vib",
            {**_WIDE, "noise": "diagonal"},
            "the variational information bottleneck on MNIST: a perceptron with noise",
            "20 s an epoch",
        ),
        _bottleneck("nib", _NARROW, "the nonlinear information bottleneck on MNIST, likewise", "4 s an epoch"),
        _bottleneck(
            "ceb", {**_WIDE, "noise": "unit"}, "the conditional entropy bottleneck on MNIST, likewise", "15 s an epoch"
        ),
        Recipe(
            FlowConfig(
                recipe="fashion-lenet5",
                data=DataConfig(name="fashion-mnist"),
                # MNIST's settings, except for the mean of these training images and the ball of Wong & Kolter (2018),
                # arXiv:1711.00851: clothes of two classes can differ by less than 45/255 in every pixel.
                model=ModelConfig(name="lenet5", mean=(0.2860,)),
                attack=AttackConfig(epsilon=0.1, step_size=0.02),
            ),
            purpose="the MNIST experiment on Fashion-MNIST",
            cost="as MNIST",
        ),
        Recipe(
            FlowConfig(
                recipe="cifar10-wrn",
                data=DataConfig(name="cifar10"),
                model=ModelConfig(name="wideresnet", settings={"depth": 10, "widen_factor": 1, "negative_slope": 0.1}),
                training=TrainingConfig(augment=True),
                attack=AttackConfig(epsilon=8 / 255, step_size=2 / 255),
            ),
            purpose="the study's CIFAR-10 experiment, WideResNet-10-1",
            cost="7 min an epoch; a day for 200 (extrapolated)",
        ),
        Recipe(
            FlowConfig(
                recipe="cifar10-bagnet",
                data=DataConfig(name="cifar10", train_examples=5000),
                # At full width, an image and step of an attack take some 40 GFLOP. A quarter of the width ends on two
                # cores. BatchNorm's usual momentum: at the paper's, these few updates would hardly move its statistics.
                model=ModelConfig(name="bagnet", settings={"receptive_field": 17, "width": 16, "norm_momentum": 0.1}),
                training=_FEW_UPDATES,
                attack=AttackConfig(epsilon=8 / 255, step_size=2 / 255),
                measure_every=5,
                measurement=MeasurementConfig(examples=1000, thorough_epochs=2),
            ),
            purpose="texture against shape: BagNet-17, a quarter of its width, 5,000 images",
            cost="28 min on one core, without attacks and decoders",
        ),
        Recipe(
            FlowConfig(
                recipe="cifar10-resnet18",
                data=DataConfig(name="cifar10", train_examples=5000),
                model=ModelConfig(name="resnet18", settings={"width": 16}),
                training=_FEW_UPDATES,
                attack=AttackConfig(epsilon=8 / 255, step_size=2 / 255),
                measure_every=5,
                measurement=MeasurementConfig(examples=1000, thorough_epochs=2),
            ),
            purpose="texture against shape: ResNet-18, trained as that BagNet",
            cost="40 min on one core, without attacks and decoders",
        ),
        Recipe(
            FlowConfig(
                recipe="stl10-wrn",
                data=DataConfig(name="stl10"),
                model=ModelConfig(name="wideresnet", settings={"depth": 10, "widen_factor": 1, "negative_slope": 0.1}),
                training=TrainingConfig(augment=True, warmup_epochs=5),  # of 40 updates each
                attack=AttackConfig(epsilon=4 / 255, step_size=2 / 255),
            ),
            purpose="the study's STL-10 experiment, WideResNet-10-1 at 96x96",
            cost="half an hour an epoch (extrapolated)",
        ),
    ]
}


def data_name(data: Mapping[str, Any]) -> str:
    """Return the name of the data for readers; for a user's own data, the name of the folder or file."""
    name, place = str(data.get("name", "")), str(data.get("folder") or "")
    own = next((dataset.own for dataset in catalogue.DATASETS if dataset.name == name), None)
    return one_line(own.title(place)) or name if own and place else name


def is_own_data(settings: Mapping[str, Any]) -> bool:
    """Return whether a run is on a user's own data: a folder, a file, a function, or images of their own loop.

    Args:
        settings: settings of a run.
    """
    data = settings.get("data")
    name = data.get("name") if isinstance(data, Mapping) else None
    return settings.get("loop") is not None or any(
        dataset.name == name for dataset in catalogue.DATASETS if dataset.own is not None
    )


def subject(settings: Mapping[str, Any]) -> str:
    """Return the title of a run: the recipe's name if data and model are the recipe's, else "MODEL on DATA".

    Args:
        settings: settings of a run; missing ones are those of the recipe.
    """
    name = str(settings.get("recipe") or "")
    recipe = RECIPES.get(name)
    data, model = settings.get("data"), settings.get("model")
    if recipe is None or not isinstance(data, Mapping) or not isinstance(model, Mapping):
        return name
    own = (data.get("name"), model.get("name")) == (recipe.config.data.name, recipe.config.model.name)
    return name if own else f"{one_line(str(model.get('name', '')))} on {data_name(data)}"


def kept_settings(config: FlowConfig) -> list[str]:
    """Say in sentences which settings of the recipe a run keeps although its data or model is another."""
    recipe = RECIPES[config.recipe].config
    normalises = model_named(config.model.name).normalises
    sentences = []
    if config.data.name != recipe.data.name:
        pairs: dict[str, tuple[Any, Any]] = {
            "--attack.epsilon": (config.attack.epsilon, recipe.attack.epsilon),
            "--attack.step-size": (config.attack.step_size, recipe.attack.step_size),
            "--training.augment": (config.training.augment, recipe.training.augment),
        }
        if normalises:
            pairs["--model.mean"] = (config.model.mean, recipe.model.mean)
            pairs["--model.std"] = (config.model.std, recipe.model.std)
        kept = [_typed(name, value) for name, (value, before) in pairs.items() if value == before]
        if kept:
            words = ", ".join(kept)
            sentences.append(f"the data are not those of {config.recipe}; kept from it, which may not fit: {words}")
    if config.model.name != recipe.model.name:
        sentences.append(
            f"your model is trained with settings of {config.recipe}, which may not suit it: --training.learning-rate "
            f"{config.training.learning_rate:g}, --training.batch-size {config.training.batch_size}"
            + ("" if normalises else "; normalisation of pixels is left to the model")
        )
    return sentences


def _typed(name: str, value: float | tuple[float, ...]) -> str:
    """Return an option as typed on the command line."""
    if isinstance(value, bool):
        group, _, switch = name.rpartition(".")
        return name if value else f"{group}.no-{switch}"
    numbers = value if isinstance(value, tuple) else (value,)
    return " ".join([name, *(_pixels(number) if name.startswith("--attack.") else f"{number:g}" for number in numbers)])


def _pixels(value: float) -> str:
    """Return a distance between pixels, written as n/255 if n is a whole number."""
    steps = round(value * 255)
    return f"{steps}/255" if steps and steps / 255 == value else f"{value:g}"
