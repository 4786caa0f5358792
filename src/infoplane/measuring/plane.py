"""Information plane: measure all layers of a model on one fixed set of examples, original and attacked."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.checks import check_images, check_labels
from infoplane.config import MeasurementConfig
from infoplane.distributed.team import ALONE, Team, together
from infoplane.estimators.convolution import MapShape
from infoplane.estimators.distinct_rows import distinct_rows
from infoplane.measuring.attacked_versions import attacks_by_name, randomly_perturbed, versions_of
from infoplane.measuring.budget import Budget
from infoplane.measuring.cost import FEW, LONG_SECONDS, MeasuringSeconds, estimated_seconds, in_words, seems_long
from infoplane.measuring.decoders import BEST
from infoplane.measuring.drawn import drawn_accuracy
from infoplane.measuring.evaluate import (
    check_classifies,
    evaluate,
    layer_activations,
    map_shapes,
    own_noises,
    prediction_counts,
    recorded_names,
    running_layers,
)
from infoplane.measuring.layer import LayerFacts, LayerRecords, measure_layer
from infoplane.measuring.layer_outputs import LayerOutputs, Undistorted, due, stratified_groups
from infoplane.measuring.more_inputs import input_rows, relative_noises
from infoplane.models import chosen_layers, default_layers
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import (
    PIXELS,
    PIXELS_INDEX,
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class PlaneRecords(NamedTuple):
    """What one measurement found.

    Attributes:
        measurements: of information, by layer and examples.
        geometry: where the outputs of each layer lie.
        performance: accuracy and loss on each kind of examples.
    """

    measurements: list[Measurement]
    geometry: list[Geometry]
    performance: list[Performance]


@with_short_repr
class Distorted(NamedTuple):
    """Distorted versions of the examples. If there was an attack, the distortion was applied after it."""

    distortion: str  # name in the records
    level: float
    versions: Mapping[str, Tensor]  # by name, "original" first: each like the images of the plane
    undistorted: Mapping[str, Undistorted]  # by layer
    mistaken_for: Mapping[str, Tensor] = {}  # by version, `(n,)` classes predicted without the distortion
    every_mistake: bool = False  # refit decoders of those classes at every layer, not only at the last
    textures: Tensor | None = None  # (n,) classes of the images that lent their texture, where one was exchanged


class Plane:
    """Measures models repeatedly on the same examples with the same permutations, so that results are paired.

    Call `measure` at each epoch of your training loop. `measurements`, `geometry` and `performance` hold all rows so
    far. If an epoch is measured again, e.g. by running a notebook cell twice, the new rows replace the old ones. Copies
    of an image share folds and permutations; the column `copies` says how many there are.

    Args:
        images: `(n, channels, height, width)` float32 in [0, 1]. All are measured; they are not modified.
        labels: `(n,)` integers of any type, the indices of the classes among the model's logits.
        layers: names of the modules to probe; by default `model.probed_layers`, or every convolution and linear layer
            that runs when the model classifies an image.
        attack: makes the adversarial examples: any callable like `attacks.Attack`, e.g. `LinfPGD`. A dict of several,
            e.g. `{"adversarial": LinfPGD(...), "mine": my_attack}`, is measured in one plane, each attack under its
            name in the column `examples`. `attacks.apply_attack` checks what an attack returns and restores what it
            changes in the model. None measures original examples only.
        inputs: further images, `(m, channels, height, width)` float32 in [0, 1], without labels. At the last epoch,
            I(X;T) is also measured on all images together.
        settings: noise, bins and permutations.
        seed: seed of the training, for the records and the attack's draws.
        examples_seed: seed of permutations and groups. Use the same one for all training seeds, so that results are
            paired.
        study: name of the study in the records.
        split: name of the images' split in the records.
        team: processes that measure together, each with the same arguments. They share batches and layers, and all get
            the same records.
        budget: largest share of the time of training, say 0.25, that measuring may take; by default that of the
            settings, or no limit. The time between calls of `measure` counts as training. The first call measures, and
            so does one with `final`; others leave out decoders and the Monte Carlo estimate, or the whole epoch, where
            they would take more. A warning says so once, and `left_out` lists these epochs.

    Raises:
        ValueError: images, labels, `attack` or `budget` are not as described.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        layers: Sequence[str] = (),
        attack: Attack | Mapping[str, Attack] | None = None,
        inputs: Tensor | None = None,
        settings: MeasurementConfig | None = None,
        seed: int = 0,
        examples_seed: int = 0,
        study: str = "information-flow",
        split: str = "test",
        team: Team = ALONE,
        budget: float | None = None,
    ) -> None:
        check_images(images)
        check_labels(labels, len(images))
        if inputs is not None:
            check_images(inputs)
        self._images, self._labels, self._inputs = images, labels.long(), inputs
        self._layers, self._attacks = tuple(layers), attacks_by_name(attack)
        self._settings = settings or MeasurementConfig()
        self._seed, self._study, self._split = seed, study, split
        self._examples_seed, self._team = examples_seed, team
        self._copies = distinct_images(images)
        self._groups = stratified_groups(self._labels, seeded_generator(examples_seed, "groups"))
        self._records: dict[tuple[str, int, str, float], PlaneRecords] = {}  # of each epoch, and of each distortion
        self._budget = Budget(budget if budget is not None else self._settings.budget)
        self._cost: MeasuringSeconds | None = None
        self._draw: str | None = None  # name of the draw of these images; a subclass may have one
        self._only_compared: frozenset[str] = frozenset()  # versions without rows, with which others are compared

    def __repr__(self) -> str:
        rows = sum(len(records.measurements) for records in self._records.values())
        return (
            f"{type(self).__name__}({len(self._images):,} examples, seed {self._seed}, "
            f"measured {len(self._records)} times: {rows:,} measurements)"
        )

    @property
    def left_out(self) -> list[int]:
        """Epochs that were not measured, to keep the budget."""
        return self._budget.left_out

    def estimate(self, model: nn.Module) -> MeasuringSeconds:
        """Estimate the seconds of one measurement of the model, from short measurements of its first layer.

        Raises:
            ValueError: as `measure`.
        """
        if self._cost is None:
            with evaluation_mode(model), torch.autocast(self._images.device.type, enabled=False):
                check_classifies(model, self._images, self._labels)
                layers = self._layers or self._running_layers(model)
                self._cost = estimated_seconds(model, self._images, self._labels, layers, self._attacks, self._settings)
        return self._cost

    @property
    def measurements(self) -> pl.DataFrame:
        """All measurements so far, one row each (`records.MEASUREMENT_SCHEMA`). See `infoplane.flat` for CSV files."""
        return measurement_table(row for records in self._records.values() for row in records.measurements)

    @property
    def geometry(self) -> pl.DataFrame:
        """Geometry of the layers' outputs so far, one row per measured layer (`records.GEOMETRY_SCHEMA`)."""
        return geometry_table(row for records in self._records.values() for row in records.geometry)

    @property
    def performance(self) -> pl.DataFrame:
        """Accuracy and loss on the measured examples so far (`records.PERFORMANCE_SCHEMA`)."""
        return performance_table(row for records in self._records.values() for row in records.performance)

    def measure(
        self,
        model: nn.Module,
        *,
        epoch: int,
        training: str = "normal",
        thorough: bool = True,
        final: bool = False,
        distorted: Distorted | None = None,
        versions: Mapping[str, Tensor] | None = None,
        gradient_evaluations: int = 0,
        seconds: float = 0.0,
    ) -> PlaneRecords:
        """Measure every layer of `model`, in evaluation mode and float32. The model is not changed.

        Args:
            model: maps float32 images to logits, on the device of the images. The logits may be the field `logits` of
                a dict, a named tuple or a `ModelOutput`.
            epoch: completed epochs, for the records. Rows that this epoch of this training already has are replaced.
            training: name of the training, for the records.
            thorough: also fit decoders and take the Monte Carlo value between the KDE bounds, at several times the
                cost. For distorted examples this is done at the last layer only; decoders of undistorted originals
                are applied at every layer.
            final: the last epoch: also sweep the noise, refit the decoders to permuted labels, and decode the classes
                that attacked examples are misclassified as. Controls of the attack are then measured too: examples
                under a random perturbation of its size, and the classes that these and the originals are
                misclassified as. The raw pixels are measured as a layer, "pixels", a baseline of all layers.
            distorted: measured in place of the original and attacked examples.
            versions: the examples by name, "original" first, each like the images of the plane: measured in place of
                those that the plane's attacks would make now.
            gradient_evaluations: used by training so far, for the records.
            seconds: used by training so far, for the records.

        Raises:
            ValueError: the model cannot take the images, or has no logit for a label; a layer does not exist, is not
                called equally often for all images, or has an output that is not finite. The message names the layer.
        """
        records = PlaneRecords([], [], [])
        decided = self._budget.decide(
            epoch, thorough=thorough, needed=final or distorted is not None, estimate=lambda: self.estimate(model)
        )
        if self._budget.share is not None:
            decided = self._team.tell(decided)
        if decided is None:
            return records
        thorough = decided
        self._warn_of_a_long_measurement(model, thorough=thorough)
        with evaluation_mode(model), torch.autocast(self._images.device.type, enabled=False):
            check_classifies(model, self._images, self._labels)
            layers = self._layers or self._running_layers(model)
            recorded_names(model, [self._images], layers)  # raises an error that names the layer
            given = distorted.versions if distorted else versions
            versions = given if given is not None else self._versions(model, training, epoch, final=final)
            mistaken_for = dict(distorted.mistaken_for) if distorted else {}
            for examples, images in versions.items():
                if examples in self._only_compared:
                    continue
                found = evaluate(model, images, self._labels, self._team)
                drawn = drawn_accuracy(model, images, self._labels, seed=self._seed, team=self._team)
                if final and not distorted and self._attacks:
                    mistaken_for[examples] = found.predicted
                records.performance.append(
                    Performance(
                        study=self._study,
                        seed=self._seed,
                        training=training,
                        epoch=epoch,
                        split=self._split,
                        examples=examples,
                        example_draw=self._draw,
                        distortion=distorted.distortion if distorted else None,
                        level=distorted.level if distorted else None,
                        accuracy=found.accuracy,
                        loss=found.loss,
                        n=len(images),
                        texture_accuracy=_share(found.predicted, distorted.textures if distorted else None),
                        predictions=prediction_counts(self._labels, found.predicted, found.confidence),
                        gradient_evaluations=gradient_evaluations,
                        seconds=seconds,
                        **drawn._asdict(),
                    )
                )
            # Each layer for all versions together: transferred decoders and CKA compare versions with the originals.
            names = recorded_names(model, versions.values(), layers)
            baseline = [PIXELS] if final and not distorted and PIXELS not in names else []
            shapes = self._map_shapes(model, layers)
            places = {name: place for place, name in enumerate(names)} | dict.fromkeys(baseline, PIXELS_INDEX)
            own = self._team.deal([*baseline, *layers])
            passes = [_outputs(model, images, own, baseline) for images in versions.values()]
            inputs = {examples: distinct_images(images) for examples, images in versions.items()}
            probed = [layer for layer in own if layer not in baseline]
            noises = {examples: own_noises(model, images, probed) for examples, images in versions.items()}

            def measured(recorded: Sequence[tuple[str, Tensor]]) -> tuple[int, LayerRecords]:
                layer = recorded[0][0]
                index = places[layer]
                facts = LayerFacts(
                    study=self._study,
                    seed=self._seed,
                    training=training,
                    epoch=epoch,
                    split=self._split,
                    example_draw=self._draw,
                    layer_index=index,
                    layer=layer,
                )
                if distorted:
                    facts |= {"distortion": distorted.distortion, "level": distorted.level}
                outputs = LayerOutputs(
                    versions={name: activations for name, (_, activations) in zip(versions, recorded, strict=True)},
                    labels=self._labels,
                    groups=self._groups,
                    settings=self._settings,
                    due=due(thorough=thorough and (distorted is None or layer == layers[-1]), final=final),
                    examples_seed=self._examples_seed,
                    inputs=inputs,
                    copies=self._copies,
                    only_compared=self._only_compared,
                    predicted=mistaken_for,
                    undistorted=distorted.undistorted[layer] if distorted else None,
                    every_mistake=distorted is not None and distorted.every_mistake,
                    map_shape=shapes.get(layer),
                    own_noise={name: found[layer] for name, found in noises.items() if layer in found},
                )
                return index, measure_layer(outputs, facts)

            for _, found_in_layer in together(map(measured, zip(*passes, strict=True)), self._team):
                records.measurements.extend(found_in_layer.measurements)
                records.geometry.extend(found_in_layer.geometry)
            relative = relative_noises(records.measurements) if final and not distorted else {}
            if relative and self._inputs is not None:
                shared = {"study": self._study, "seed": self._seed, "training": training, "epoch": epoch}
                shared |= {"example_draw": self._draw}
                outputs = _outputs(model, torch.cat([self._images, self._inputs]), self._team.deal(layers))
                rows = input_rows(outputs, relative, places, shared, examples_seed=self._examples_seed)
                records.measurements.extend(row for _, row in together(rows, self._team))
        self._records[training, epoch, *((distorted.distortion, distorted.level) if distorted else ("", 0.0))] = records
        self._budget.measured(thorough=thorough)
        if distorted is None:
            self._keep(model, training, epoch, layers)
        return records

    def _keep(self, model: nn.Module, training: str, epoch: int, layers: Sequence[str]) -> None:
        """Do nothing after a measurement of undistorted examples; a subclass may keep what it needs of the model."""

    def _warn_of_a_long_measurement(self, model: nn.Module, *, thorough: bool) -> None:
        """Warn before the first measurement if it takes minutes and no time was asked for or limited."""
        asked = self._cost is not None or self._budget.share is not None
        if self._records or asked or self._team.size > 1 or len(self._images) < FEW:
            return
        with evaluation_mode(model), torch.no_grad(), torch.autocast(self._images.device.type, enabled=False):
            check_classifies(model, self._images, self._labels)
            layers = self._layers or self._running_layers(model)
            if not seems_long(model, self._images, layers, versions=1 + len(self._attacks)):
                return
        expected = self.estimate(model)
        if (expected.thorough if thorough else expected.ordinary) >= LONG_SECONDS:
            warnings.warn(
                f"one measurement of {len(self._images):,} examples and {len(layers)} layers takes about "
                f"{in_words(expected.ordinary)}, with decoders and the Monte Carlo estimate about "
                f"{in_words(expected.thorough)}; fewer examples or layers, or budget=0.25, take less",
                stacklevel=3,
            )

    def _running_layers(self, model: nn.Module) -> tuple[str, ...]:
        """Return the layers that the model names, or else the layers with weights that run; warn of the others."""
        if own := chosen_layers(model):
            return own
        layers = default_layers(model)
        running = running_layers(model, self._images, layers)
        if unused := [layer for layer in layers if layer not in running]:
            warnings.warn(f"layers {', '.join(unused)} do not run and are left out", stacklevel=3)
        if not running:
            raise ValueError(f"none of the layers {', '.join(layers)} runs when the model classifies; name the layers")
        return running

    def _map_shapes(self, model: nn.Module, layers: Sequence[str]) -> dict[str, MapShape]:
        """Return the shapes of feature maps, and of the images, where a decoder uses them."""
        if BEST not in self._settings.decoders:
            return {}
        channels, height, width = self._images.shape[1:]
        return {**map_shapes(model, self._images, layers), PIXELS: (channels, height, width)}

    def _versions(self, model: nn.Module, training: str, epoch: int, *, final: bool) -> dict[str, Tensor]:
        """Return the examples by name: the originals, those attacked in this state of the model, and the control."""
        versions = self._attacked(model, self._attacks, training, epoch)
        return versions | (self._control() if final else {})

    def _attacked(
        self, model: nn.Module, attacks: Mapping[str, Attack], training: str, epoch: int
    ) -> dict[str, Tensor]:
        images, labels, seed, team = self._images, self._labels, self._seed, self._team
        return versions_of(images, labels, model, attacks, seed=seed, training=training, epoch=epoch, team=team)

    def _control(self) -> dict[str, Tensor]:
        return randomly_perturbed(self._images, self._attacks, examples_seed=self._examples_seed)


def _outputs(
    model: nn.Module, images: Tensor, names: Sequence[str], baseline: Sequence[str] = ()
) -> Iterator[tuple[str, Tensor]]:
    """Yield name and outputs of each layer, `(n, features)`; those of a baseline are the pixels themselves."""
    yield from ((name, images.flatten(start_dim=1)) for name in names if name in baseline)
    if layers := [name for name in names if name not in baseline]:  # a process of a large team may have none
        yield from layer_activations(model, images, layers)


def _share(predicted: Tensor, classes: Tensor | None) -> float | None:
    return None if classes is None else (predicted == classes.cpu()).double().mean().item()


def distinct_images(images: Tensor) -> Tensor:
    """Return one integer per image, `(n,)`, equal exactly where the images are equal."""
    return distinct_rows(images.flatten(start_dim=1), torch.zeros(len(images), dtype=torch.long))
