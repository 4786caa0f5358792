"""From settings to a trainer: method, images, validation, and the networks that ensemble training attacks."""

from torch import nn

from infoplane.acceleration import Choices
from infoplane.config import WRAPPER, FlowConfig
from infoplane.randomness import stable_seed
from infoplane.runs import RunFolder
from infoplane.state import join_state, split_state
from infoplane.studies.methods import build_method
from infoplane.studies.parts import Images, build_attack, build_augmentation, build_model
from infoplane.studies.progress import Progress
from infoplane.training import Trainer, Validation, normal_training


class TrainerBuilder:
    """Makes the trainer of one training.

    Args:
        config: of one seed.
        training: name of the method.
        images: of the study.
        run: where source networks of ensemble training are kept, so that a continued run has the same; or None.
        progress: hears of their training.
        choices: how networks compute while they train.
    """

    def __init__(
        self,
        config: FlowConfig,
        training: str,
        images: Images,
        run: RunFolder | None,
        progress: Progress,
        choices: Choices,
    ) -> None:
        self._config, self._training, self._images = config, training, images
        self._run, self._progress, self._choices = run, progress, choices

    def build(self, model: nn.Module) -> Trainer | None:
        """Return a trainer of `model`, or None where nothing is trained."""
        train, config = self._images.train, self._config
        if train is None:
            return None
        sources = []
        if self._training.removesuffix(WRAPPER) == "ensemble":
            sources = [self._source(number) for number in range(config.method.ensemble_sources)]
        return Trainer(
            model,
            build_method(self._training, config, sources),
            train.images,
            train.labels,
            config.training,
            seed=config.seed,
            training=self._training,
            augmentation=build_augmentation(config),
            validation=self._validation(),
            choices=self._choices,
        )

    def _validation(self) -> Validation | None:
        held_out = self._images.held_out
        if held_out is None:
            return None
        # A network that never met an attack is wrong about all of them: its best epoch goes by original images.
        attack = None if self._training == "normal" else build_attack(self._config.attack, random_start=False)
        return Validation(held_out.images, held_out.labels, attack)

    def _source(self, number: int) -> nn.Module:
        """Return a network that was trained normally from other initial weights, in evaluation mode."""
        train, name = self._images.train, f"source{number}"
        assert train is not None
        seed = stable_seed(self._config.seed, "ensemble source", number)
        config = self._config.model_copy(update={"seed": seed})
        model = build_model(config, self._images.test)
        epochs = config.training.epochs
        if self._run is not None and epochs in self._run.checkpoint_epochs(self._config.seed, name):
            kept = join_state(*self._run.read_checkpoint(self._config.seed, name, epochs))
            model.load_state_dict(kept["model"])
            return model.eval()
        trainer = Trainer(
            model,
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
            self._progress.doing(f"{self._training}: training {name}, epoch {epoch + 1} of {epochs}")
            trainer.train_epoch()
        if self._run is not None:
            self._run.write_checkpoint(self._config.seed, name, epochs, *split_state(trainer.state_dict()))
        return trainer.network.eval()
