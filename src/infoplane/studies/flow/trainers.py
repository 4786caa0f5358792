"""From settings to a trainer: method, images, validation, and the networks that ensemble training attacks."""

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
from infoplane.runs.state_tensors import split_state
from infoplane.runs.training_state import read_state
from infoplane.studies.parts import Images, build_augmentation, build_model
from infoplane.training import Trainer, TrainingMethod, Validation, normal_training
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
    """Return a trainer of `model`, or None where nothing is trained.

    Args:
        config: of one seed.
        training: what is trained by.
        model: with its initial weights.
        images: of the study.
        sources: from `SourceNetworks`.
        choices: how networks compute while they train.
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
        validation=_validation(config, training, images) if not team.rank else None,  # what it decides, the leader says
        choices=choices,
        team=team,
    )


def build_method(
    training: NamedTraining, config: FlowConfig, sources: Sequence[nn.Module], *, warmup_steps: int = 0
) -> TrainingMethod:
    """Return the method of a training, fresh.

    Args:
        training: which.
        config: all settings.
        sources: networks that ensemble training attacks.
        warmup_steps: over so many steps the radius of the ball grows to that of the settings.
    """

    def attack(share: float) -> PGD:
        scaled = {"epsilon": share * config.attack.epsilon, "step_size": share * config.attack.step_size}
        return pgd_attack(config.attack.model_copy(update=scaled), random_start=True)

    return training.build(attack, sources, warmup_steps=warmup_steps)


def warmup_steps(config: FlowConfig, images: int, replays: int) -> int:
    """Return how many steps of a method the warm-up takes.

    Args:
        config: all settings.
        images: that are trained on.
        replays: `TrainingMethod.replays`, updates per step.
    """
    batches = math.ceil(images / config.training.batch_size)
    return round(config.training.warmup_epochs * math.ceil(batches / replays))


def _method(training: NamedTraining, config: FlowConfig, sources: list[nn.Module], images: int) -> TrainingMethod:
    replays = build_method(training, config, sources).replays
    return build_method(training, config, sources, warmup_steps=warmup_steps(config, images, replays))


def _validation(config: FlowConfig, training: NamedTraining, images: Images) -> Validation | None:
    if images.held_out is None:
        return None
    # A network that never met an attack is wrong about all of them: its best epoch goes by original images.
    attack = pgd_attack(config.attack, random_start=False) if training.attacks else None
    return Validation(images.held_out.images, images.held_out.labels, attack)


class SourceNetworks:
    """The networks that a method attacks beside its own, trained normally beforehand, by this process alone.

    Args:
        config: of one seed.
        training: whose sources these are.
        images: of the study.
        run: where they are kept, so that a continued run has the same; or None.
        progress: hears of their training.
        choices: how networks compute while they train.
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
        """Return the `state_dict` of each: kept ones, or trained now."""
        return [self._one(number) for number in range(self._training.sources if self._images.train else 0)]

    def _one(self, number: int) -> dict[str, Tensor]:
        train, name = self._images.train, f"source{number}"
        assert train is not None
        seed = stable_seed(self._config.seed, "ensemble source", number)
        config = self._config.model_copy(update={"seed": seed})
        epochs = config.training.epochs
        if self._run is not None and epochs in self._run.checkpoint_epochs(self._config.seed, name):
            kept: dict[str, Tensor] = read_state(self._run, self._config.seed, name, epochs)["model"]
            return kept
        trainer = Trainer(
            build_model(config, self._images.test),
            normal_training(),
            train.images,
            train.labels,
            config.training.model_copy(update={"patience": None}),
            seed=seed,
            training=name,
            augmentation=build_augmentation(config),
            choices=self._choices,
        )
        for epoch in range(epochs):
            self._progress.doing(f"{self._training.name}: training {name}, epoch {epoch + 1} of {epochs}")
            trainer.train_epoch()
        if self._run is not None:
            self._run.write_checkpoint(self._config.seed, name, epochs, *split_state(trainer.state_dict()))
        return dict(trainer.model.state_dict())
