"""Steps of one training in study one that all processes of a team do together: train an epoch, measure an epoch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration import Choices
from infoplane.config import FlowConfig
from infoplane.distributed.team import Team
from infoplane.measuring.attacked_versions import measured_attacks, need_source
from infoplane.measuring.cost import MeasuringSeconds
from infoplane.measuring.drawn import drawn_accuracy
from infoplane.measuring.drawn_plane import DrawnPlane
from infoplane.measuring.evaluate import evaluate, prediction_counts
from infoplane.measuring.plane import Plane, PlaneRecords
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.memory_format import as_pixels
from infoplane.records.tables import ORIGINAL, TEST, TRAIN, Performance
from infoplane.studies.flow.drawn_examples import drawn_examples
from infoplane.studies.flow.trainers import build_trainer
from infoplane.studies.parts import Images, build_model, probed_layers
from infoplane.training import EpochRecord, Trainer
from infoplane.training.named import NamedTraining

STUDY = "information-flow"  # name of study one in the records


class FlowWork:
    """Model, trainer and plane of one training. Each method is called on every process, with the same arguments.

    Args:
        config: settings of one seed.
        training: method to train with.
        images: images of the study.
        pixels: the measured images, as floats.
        choices: acceleration of the networks during training.
        team: processes that share the work.
    """

    def __init__(
        self, config: FlowConfig, training: NamedTraining, images: Images, pixels: Tensor, choices: Choices, team: Team
    ) -> None:
        self._config, self._training, self._images = config, training, images
        self._choices, self._team, self._pixels = choices, team, pixels
        self.model = build_model(config, images.test)
        self.trainer: Trainer | None = None  # while it works
        self._given_at_chance = False  # of weights from a file
        probed = probed_layers(config, self.model, pixels)
        self.unused_layers = probed.unused
        self._source = build_model(config, images.test) if need_source(config) else None  # `begin` gives its weights
        self.attacks = measured_attacks(config, self._source)

        self._of_planes: dict[str, Any] = {
            "layers": probed.names,
            # the study has chosen the epochs and the examples
            "settings": config.measurement.model_copy(update={"budget": None, "examples_drawn": "once"}),
            "seed": config.seed,
            "examples_seed": config.data.seed,
            "study": STUDY,
            "team": team,
        }
        further = further_inputs(images, config.measurement.inputs)
        labels = images.test.labels[images.measured]
        self._planes = [Plane(pixels, labels, attack=self.attacks, split=TEST, inputs=further, **self._of_planes)]
        if images.train is not None and images.measured_train is not None:
            own = images.train.subset(images.measured_train)
            pixels = as_pixels(own.images)
            self._planes.append(Plane(pixels, own.labels, attack=self.attacks, split=TRAIN, **self._of_planes))

    @property
    def network(self) -> nn.Module:
        """The measured network."""
        return self.trainer.network if self.trainer else self.model

    def check_method(self) -> None:
        """Check that the method can train the network, if anything is trained.

        Raises:
            UserError: it cannot.
        """
        if self._images.train is not None:
            self._training.method.check_network(self.model, self._pixels[:2])

    def estimate(self) -> MeasuringSeconds:
        """Estimate the seconds of one measurement, of all splits."""
        of_test = self._planes[0].estimate(self.network)
        planes = self._images.number_measured / len(self._images.measured)
        return MeasuringSeconds(*(planes * seconds for seconds in of_test))

    def begin(
        self,
        sources: Sequence[Mapping[str, Tensor]],
        substitute: Mapping[str, Tensor] | None = None,
        given: Mapping[str, Tensor] | None = None,
        at_chance: str | None = None,
    ) -> None:
        """Build the trainer, if anything is trained.

        Args:
            sources: weights of the networks that ensemble training attacks.
            substitute: weights of the network on which examples of transfer attacks are made.
            given: weights of a file, which take the place of the initial ones.
            at_chance: why the network of these weights is at chance, if it is.
        """
        if given is not None:
            self.model.load_state_dict(dict(given))
            self._given_at_chance = at_chance is not None
        if self._source is not None and substitute is not None:
            self._source.load_state_dict(dict(substitute))
        self.trainer = build_trainer(
            self._config, self._training, self.model, self._images, sources, self._choices, self._team
        )

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a state that the trainer's `state_dict` returned.

        Raises:
            ValueError: the state does not fit the network or the method.
        """
        assert self.trainer is not None
        try:
            self.trainer.load_state_dict(dict(state))
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error

    def train_epoch(self, on_batch: Callable[[int], None] | None = None) -> EpochRecord:
        """Train one epoch."""
        assert self.trainer is not None
        return self.trainer.train_epoch(on_batch)

    def measure(self, epoch: int, *, thorough: bool, final: bool) -> PlaneRecords:
        """Measure the examples, and accuracy on whole splits."""
        trainer, together = self.trainer, PlaneRecords([], [], [])
        drawn = self._config.measurement.examples_drawn == "each-epoch"
        for plane in self._drawn_planes(epoch) if drawn else self._planes:
            records = plane.measure(
                self.network,
                epoch=epoch,
                training=self._training.name,
                thorough=thorough,
                final=final,
                gradient_evaluations=trainer.gradient_evaluations if trainer else 0,
                seconds=trainer.seconds if trainer else 0.0,
            )
            together.measurements.extend(records.measurements)
            together.geometry.extend(records.geometry)
            # accuracy on original images is measured on whole splits, so that on the examples is dropped
            attacked = (row for row in records.performance if row.examples != ORIGINAL)
            together.performance.extend(replace(row, at_chance=self._at_chance) for row in attacked)
        together.performance.extend(self.evaluate(epoch).performance)
        return together

    def _drawn_planes(self, epoch: int) -> Iterator[Plane]:
        """Yield a plane for the originals and one for each attack, each with test images of its own for this epoch."""
        settings, test = self._config.measurement, self._images.test
        for examples in (ORIGINAL, *self.attacks):
            draw = drawn_examples(
                test.labels, settings.examples, seed=self._config.data.seed, epoch=epoch, examples=examples
            )
            measured = draw.indices.to(test.labels.device)
            original = examples == ORIGINAL
            images = self._images._replace(measured=measured)
            yield DrawnPlane(
                as_pixels(test.images[measured]),
                test.labels[measured],
                examples=examples,
                attacks=self.attacks,
                groups=draw.groups,
                draw=draw.name,
                inputs=further_inputs(images, settings.inputs) if original else None,
                split=TEST,
                **self._of_planes,
            )

    def evaluate(self, epoch: int) -> PlaneRecords:
        """Measure accuracy and loss on whole splits, without information."""
        trainer, performance = self.trainer, []
        for split, images in ((TRAIN, self._images.train), (TEST, self._images.test)):
            if images is None:
                continue
            with evaluation_mode(self.network):
                whole = evaluate(self.network, images.images, images.labels, self._team)
                drawn = drawn_accuracy(
                    self.network, images.images, images.labels, seed=self._config.seed, team=self._team
                )
            performance.append(
                Performance(
                    study=STUDY,
                    seed=self._config.seed,
                    training=self._training.name,
                    epoch=epoch,
                    split=split,
                    examples=ORIGINAL,
                    accuracy=whole.accuracy,
                    loss=whole.loss,
                    n=len(images),
                    predictions=prediction_counts(images.labels, whole.predicted, whole.confidence),
                    gradient_evaluations=trainer.gradient_evaluations if trainer else 0,
                    seconds=trainer.seconds if trainer else 0.0,
                    at_chance=self._at_chance,
                    **drawn._asdict(),
                )
            )
        return PlaneRecords([], [], performance)

    @property
    def _at_chance(self) -> bool:
        if self.trainer is None:
            return self._given_at_chance
        return self.trainer.at_chance is not None

    def end(self) -> None:
        """Free the memory of the trainer: its optimiser and averages."""
        self.trainer = None


def further_inputs(images: Images, inputs: int) -> Tensor | None:
    """Return images beside the measured ones, to make up `inputs`: other test images, then training images.

    Args:
        images: of the study.
        inputs: how many images there are to be together with the measured ones.

    Returns:
        `(m, channels, height, width)` float32 in [0, 1]; None if there are none.
    """
    wanted = inputs - len(images.measured)
    if wanted <= 0:
        return None
    others = torch.ones(len(images.test), dtype=torch.bool, device=images.measured.device)
    others[images.measured] = False
    found = [images.test.images[others][:wanted]]
    if images.train is not None and (missing := wanted - len(found[0])) > 0:
        found.append(images.train.images[:missing])
    further = torch.cat(found)
    return as_pixels(further) if len(further) else None
