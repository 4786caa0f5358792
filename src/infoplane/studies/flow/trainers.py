"""Build a trainer from the settings: method, images, validation, and the networks that ensemble training attacks."""

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from infoplane.acceleration import Choices
from infoplane.attacks import PGD
from infoplane.attacks.pgd import pgd_attack
from infoplane.config import FlowConfig
from infoplane.distributed.team import Team
from infoplane.randomness import stable_seed
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.studies.flow.normal_networks import normally_trained
from infoplane.studies.parts import Images, build_augmentation, build_model
from infoplane.training import Trainer, TrainingMethod, Validation
from infoplane.training.named import NamedTraining


def build_trainer(
    config: FlowConfig,
    training: NamedTraining,
    model: nn.Module,
    images: Images,
    sources: Sequence[Mapping[str, Tensor]],
    choices: Choices,
    team: Team,
) -> Trainer | None:
    """Return a trainer of `model`, or None if nothing is trained.

    Args:
        config: settings of one seed.
        training: method to train with.
        model: has its initial weights.
        images: images of the study.
        sources: networks from `SourceNetworks`.
        choices: acceleration of the networks during training.
        team: processes that train together.
    """
    train = images.train
    if train is None:
        return None
    networks = []
    for weights in sources:
        network = build_model(config, images.test)
        network.load_state_dict(weights)
        networks.append(network.eval())
    return Trainer(
        model,
        _method(training, config, networks, len(train)),
        train.images,
        train.labels,
        config.training,
        seed=config.seed,
        training=training.name,
        augmentation=build_augmentation(config),
        validation=_validation(config, training, images) if not team.rank else None,  # only the leader reports it
        choices=choices,
        team=team,
    )


def build_method(
    training: NamedTraining,
    config: FlowConfig,
    sources: Sequence[nn.Module],
    *,
    warmup_steps: int = 0,
    updates: int = 0,
) -> TrainingMethod:
    """Return a new method of a training.

    Args:
        training: the training.
        config: all settings.
        sources: networks that ensemble training attacks.
        warmup_steps: number of steps over which the radius of the ball grows to that of the settings.
        updates: number of updates of the whole training; 0 if it is not known.
    """

    def attack(share: float) -> PGD:
        scaled = {"epsilon": share * config.attack.epsilon, "step_size": share * config.attack.step_size}
        return pgd_attack(config.attack.model_copy(update=scaled), random_start=True)

    return training.build(attack, sources, warmup_steps=warmup_steps, updates=updates)


def warmup_steps(config: FlowConfig, images: int, replays: int) -> int:
    """Return the number of steps of a method in the warm-up.

    Args:
        config: all settings.
        images: number of training images.
        replays: `TrainingMethod.replays`, updates per step.
    """
    batches = math.ceil(images / config.training.batch_size)
    return round(config.training.warmup_epochs * math.ceil(batches / replays))


def _method(training: NamedTraining, config: FlowConfig, sources: list[nn.Module], images: int) -> TrainingMethod:
    replays = build_method(training, config, sources).replays
    updates = config.training.epochs * math.ceil(images / config.training.batch_size)
    return build_method(training, config, sources, warmup_steps=warmup_steps(config, images, replays), updates=updates)


def _validation(config: FlowConfig, training: NamedTraining, images: Images) -> Validation | None:
    if images.held_out is None:
        return None
    # A network that never met an attack is wrong about all of them: its best epoch goes by original images.
    attack = pgd_attack(config.attack, random_start=False) if training.attacks else None
    return Validation(images.held_out.images, images.held_out.labels, attack)


class SourceNetworks:
    """Other networks that a method attacks. They are trained normally beforehand, by this process alone.

    Args:
        config: settings of one seed.
        training: the training that needs the networks.
        images: images of the study.
        run: folder that stores them, so that a continued run uses the same networks; or None.
        progress: shows how far their training is.
        choices: acceleration of the networks during training.
    """

    def __init__(
        self,
        config: FlowConfig,
        training: NamedTraining,
        images: Images,
        run: RunFolder | None,
        progress: Progress,
        choices: Choices,
    ) -> None:
        self._config, self._training, self._images = config, training, images
        self._run, self._progress, self._choices = run, progress, choices

    def weights(self) -> list[dict[str, Tensor]]:
        """Return the `state_dict` of each network, stored or trained now."""
        return [self._one(number) for number in range(self._training.sources if self._images.train else 0)]

    def _one(self, number: int) -> dict[str, Tensor]:
        name = f"source{number}"
        state = normally_trained(
            self._config,
            self._config.training,
            self._images,
            self._run,
            self._progress,
            self._choices,
            seed=stable_seed(self._config.seed, "ensemble source", number),
            name=name,
            purpose=self._training.name,
        )
        weights: dict[str, Tensor] = state["model"]
        return weights
