"""Build the parts of a study from its settings: data, model, layers, attack and augmentation."""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.attacks import attacks_named
from infoplane.config import DataConfig, FlowConfig
from infoplane.data import CropAndFlip, ImageSet, load_split, stratified_indices
from infoplane.errors import UserError
from infoplane.measuring.evaluate import running_layers
from infoplane.measuring.fitted_decoders import DECODABLE
from infoplane.measuring.probes import refusal
from infoplane.models import ImageFacts, chosen_layers, construct, default_layers, model_named
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.networks.wrappers import named_layers
from infoplane.randomness import seeded_generator, stable_seed
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import TRAIN
from infoplane.training.named import check_methods


@with_short_repr
class Images(NamedTuple):
    """Images of a study, on the study's device."""

    train: ImageSet | None  # None if nothing is trained; without the held-out images
    held_out: ImageSet | None  # held-out training images, for choosing the best epoch
    test: ImageSet
    measured: Tensor  # indices into test: the fixed, stratified examples
    measured_train: Tensor | None = None  # indices into train, likewise; None if no training images are measured

    @property
    def number_measured(self) -> int:
        """How many images are measured, of all splits."""
        return len(self.measured) + (0 if self.measured_train is None else len(self.measured_train))


def load_images(config: FlowConfig, device: str) -> Images:
    """Read the data that `config` names, move it to `device`, and choose the measured examples.

    Raises:
        UserError: the data is missing or damaged, there are too few images to measure, too few classes for an attack,
            training images are to be measured and there are none, or each draw would take all test images.
    """
    train = _load(config.data, "train", config.data.train_examples) if config.training.epochs else None
    test, measured = load_test_images(config, device)
    if train is not None:
        _check_fit(train, test)
        check_methods(config, len(test.class_names))
    held_out = None
    if train is not None and config.training.validation_fraction:
        train, held_out = _split(train, config)
    measured_train = None
    if TRAIN in config.measurement.splits:
        if train is None:
            raise UserError(
                "--measurement.splits train: nothing is trained (--epochs 0), so there are no training images to "
                "measure; leave train out"
            )
        generator = seeded_generator(config.data.seed, "measured training examples")
        measured_train = stratified_indices(train.labels, len(measured), generator=generator).to(device)
    if config.measurement.examples_drawn == "each-epoch" and len(measured) == len(test):
        raise UserError(
            f"--measurement.examples-drawn each-epoch: {config.measurement.examples} of {len(test)} test images are "
            "the same in every draw; choose fewer with --measurement.examples"
        )
    train, held_out = (images and _to_device(images, device) for images in (train, held_out))
    return Images(train, held_out, test, measured, measured_train)


def _check_fit(train: ImageSet, test: ImageSet) -> None:
    """Refuse training and test images whose shapes or classes differ."""
    if train.class_names != test.class_names:
        first, second = (f"{len(one.class_names)} ({', '.join(one.class_names)[:60]})" for one in (train, test))
        raise UserError(
            f"{test.source}: the classes of the training images, {first}, and of the test images, {second}, differ; "
            "give the names of all classes with both"
        )
    if train.images.shape[1:] != test.images.shape[1:]:
        first, second = (" x ".join(map(str, one.images.shape[1:])) for one in (train, test))
        raise UserError(
            f"{test.source}: training images are {first} (channels, height, width), test images {second}; choose one "
            "size with --data.image-size, and make all grey or all RGB"
        )


def _split(train: ImageSet, config: FlowConfig) -> tuple[ImageSet, ImageSet]:
    number = round(config.training.validation_fraction * len(train))
    if not 0 < number < len(train):
        raise UserError(
            f"{train.name}: {config.training.validation_fraction:g} of {len(train)} training images holds out "
            f"{number}; choose another --training.validation-fraction"
        )
    if config.training.stop != "accuracy" and number < DECODABLE:
        raise UserError(
            f"{train.name}: {config.training.validation_fraction:g} of {len(train)} training images holds out "
            f"{number}, and --stop {config.training.stop} fits decoders on at least {DECODABLE}; choose a larger "
            "--training.validation-fraction"
        )
    chosen = stratified_indices(train.labels, number, generator=seeded_generator(config.data.seed, "held out"))
    kept = torch.ones(len(train), dtype=torch.bool)
    kept[chosen] = False
    return train.subset(kept.nonzero().flatten()), train.subset(chosen)


def load_test_images(config: FlowConfig, device: str) -> tuple[ImageSet, Tensor]:
    """Return the test images alone, and the indices of the measured ones, as `load_images` does.

    Raises:
        UserError: the data is missing or damaged, there are too few images to measure, or too few classes for an
            attack.
    """
    test = _load(config.data, "test", config.data.test_examples)
    if len(test) < 2:
        raise UserError(f"{test.name}: measuring takes at least two test images, found {len(test)}")
    attacks_named(config.attacks, config.attack.norm, len(test.class_names))
    generator = seeded_generator(config.data.seed, "measured examples")
    measured = stratified_indices(test.labels, config.measurement.examples, generator=generator)
    return _to_device(test, device), measured.to(device)


def _to_device(images: ImageSet, device: str) -> ImageSet:
    return replace(images, images=images.images.to(device), labels=images.labels.to(device))


def _load(data: DataConfig, split: str, limit: int | None) -> ImageSet:
    images = load_split(data.name, split, folder=data.folder or None, image_size=data.image_size, seed=data.seed)
    if limit is None or limit >= len(images):
        return images
    return images.subset(
        stratified_indices(images.labels, limit, generator=seeded_generator(data.seed, "subset", split))
    )


def build_model(config: FlowConfig, images: ImageSet) -> nn.Module:
    """Return the network with its initial weights, which are the same for every training of a seed.

    Raises:
        UserError: the images are not square and the network takes only squares, or it cannot be built for them.
    """
    height, width = images.images.shape[2:]
    spec = model_named(config.model.name)
    if height != width and not spec.any_shape:
        raise UserError(
            f"{images.name}: the model {spec.name} takes square images, found {height} x {width}; use --data.image-size"
        )
    return build_network(config, images)


def build_network(config: FlowConfig, images: ImageSet) -> nn.Module:
    """Return the network for images that need not be square; a network that asks for their size gets their height."""
    channels, height, width = images.images.shape[1:]
    spec = model_named(config.model.name)
    mean, std = (numbers if len(numbers) > 1 else numbers[0] for numbers in (config.model.mean, config.model.std))
    facts = ImageFacts(height, channels, len(images.class_names), mean, std, None if height == width else width)
    settings = spec.checked(config.model.settings)
    try:
        # Tried inside the block, because a lazy layer draws its weights in the first pass.
        model = construct(
            lambda: _made_usual(spec.build(facts, settings), spec.name, facts),
            seed=stable_seed(config.seed, "initial weights"),
        )
    except ValueError as error:
        raise UserError(f"model {spec.name}: {error}") from error
    model = model.to(images.images.device)
    if spec.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _made_usual(model: nn.Module, name: str, facts: ImageFacts) -> nn.Module:
    """Check that a model maps images to logits; wrap it if it returns them in a field or writes over its input."""
    shape, classes = (1, *facts.shape), facts.classes
    image = torch.zeros(shape)
    unwritten = image._version
    try:
        with torch.no_grad(), evaluation_mode(model):
            output = model(image)
    except Exception as error:
        raise UserError(f"the model {name}: {refusal(model, torch.zeros(shape), error)}") from error
    try:
        logits = logits_of(output)
    except ValueError as error:
        raise UserError(f"the model {name}: {error}") from error
    if logits.shape != (1, classes):
        found = tuple(logits.shape)
        raise UserError(f"the model {name} must return logits of shape (batch, {classes}), got {found} for one image")
    if image._version != unwritten:  # a batch is used again after a pass, e.g. by the attack
        model.register_forward_pre_hook(_copy_of_input)
    if not isinstance(output, Tensor):
        model.register_forward_hook(_bare_logits)
    return model


def _copy_of_input(_model: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].clone(), *args[1:])


def _bare_logits(_model: nn.Module, _args: object, output: object) -> Tensor:
    return logits_of(output)


class ProbedLayers(NamedTuple):
    """The probed layers."""

    names: tuple[str, ...]
    unused: tuple[str, ...]  # layers with weights that do not run in a forward pass and are left out


def probed_layers(config: FlowConfig, model: nn.Module, images: Tensor) -> ProbedLayers:
    """Return the layers that the settings name, else the model's own choice, else all layers with weights that run.

    Args:
        config: settings of the study.
        model: in any mode.
        images: `(n, channels, height, width)`; the first one is passed through the model.
    """
    named = config.measurement.layers or chosen_layers(model)
    layers = named or default_layers(model)
    names = named_layers(model)
    if len(set(layers)) < len(layers):
        raise UserError(f"--measurement.layers names a layer twice: {' '.join(layers)}")
    if unknown := [layer for layer in layers if layer not in names]:
        known = ", ".join(names)
        raise UserError(f"--measurement.layers: the model has no {', '.join(unknown)}; it has {known}")
    if named:
        return ProbedLayers(tuple(layers), ())
    with evaluation_mode(model):
        running = running_layers(model, images, layers)
    if not running:
        raise UserError("no convolution or linear layer runs when the model classifies; name --measurement.layers")
    return ProbedLayers(running, tuple(layer for layer in layers if layer not in running))


def build_augmentation(config: FlowConfig) -> CropAndFlip | None:
    """Return the augmentation of training images, or None."""
    return CropAndFlip() if config.training.augment else None
