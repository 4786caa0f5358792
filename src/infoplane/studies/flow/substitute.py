"""The substitute: a network that a run trains beside its own ones, on which examples of transfer attacks are made."""

from collections.abc import Mapping

from torch import Tensor, nn

from infoplane.acceleration import PLAIN, Choices
from infoplane.config import FlowConfig, TrainingConfig
from infoplane.data import ImageSet
from infoplane.errors import UserError
from infoplane.measuring.attacked_versions import need_source
from infoplane.measuring.evaluate import evaluate
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import stable_seed
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.runs.training_state import misfit
from infoplane.studies.flow.normal_networks import normally_trained
from infoplane.studies.parts import Images, build_model, load_images
from infoplane.text import counted

SUBSTITUTE = "transfer-source"  # name of its checkpoint
MOST_EPOCHS = 5  # of its training: enough for an accuracy near that of the run's networks


def substitute_schedule(training: TrainingConfig) -> TrainingConfig:
    """Return the schedule of the substitute: that of the run, with at most `MOST_EPOCHS` epochs."""
    epochs = min(MOST_EPOCHS, training.epochs)
    return training.model_copy(update={"epochs": epochs, "warmup_epochs": min(training.warmup_epochs, epochs / 2)})


def check_substitute(config: FlowConfig) -> None:
    """Refuse transfer attacks in a run that trains nothing.

    Raises:
        UserError: the settings name a transfer attack and no epochs.
    """
    if need_source(config) and not config.training.epochs:
        raise UserError(
            "the attack transfer makes its examples on a network that is trained for the run's --training.epochs, at "
            f"most {MOST_EPOCHS}, and these are 0; set them, or leave the attack out"
        )


class Substitutes:
    """The substitute of each training seed. It has the study's model, other initial weights and other batches.

    Args:
        run: folder that keeps it, so that a continued run and later studies use the same one; or None.
        progress: shows how far its training is, then its accuracy.
        images: images of the study; None reads them where a substitute must be trained.
        choices: acceleration of the network during training.
        device: "cpu" or "cuda", for images that are read.
    """

    def __init__(
        self,
        run: RunFolder | None,
        progress: Progress,
        *,
        images: Images | None = None,
        choices: Choices = PLAIN,
        device: str = "cpu",
    ) -> None:
        self._run, self._progress, self._images = run, progress, images
        self._choices, self._device = choices, device
        self._known: dict[int, Mapping[str, Tensor]] = {}

    def weights(self, config: FlowConfig) -> Mapping[str, Tensor] | None:
        """Return the weights of the substitute, trained now if need be; None if no attack needs it.

        Args:
            config: settings of one seed.

        Raises:
            UserError: nothing can be trained, the data is missing, or the kept substitute is damaged.
        """
        if not need_source(config):
            return None
        check_substitute(config)
        if config.seed not in self._known:
            self._known[config.seed] = self._trained(config)
        return self._known[config.seed]

    def network(self, config: FlowConfig, test: ImageSet) -> nn.Module | None:
        """Return the substitute on the device of the images; None if no attack needs it.

        Raises:
            UserError: as `weights`, or the kept substitute does not fit the model.
        """
        weights = self.weights(config)
        if weights is None:
            return None
        network = build_model(config, test)
        try:
            network.load_state_dict(weights)
        except (RuntimeError, KeyError) as error:
            assert self._run is not None
            raise misfit(self._run, config.seed, SUBSTITUTE, error) from error
        return network

    def _trained(self, config: FlowConfig) -> Mapping[str, Tensor]:
        schedule = substitute_schedule(config.training)
        kept = self._run is not None and schedule.epochs in self._run.checkpoint_epochs(config.seed, SUBSTITUTE)
        if self._images is None and not kept:
            self._images = load_images(config, self._device)
        state = normally_trained(
            config,
            schedule,
            self._images,
            self._run,
            self._progress,
            self._choices,
            seed=stable_seed(config.seed, SUBSTITUTE),
            name=SUBSTITUTE,
            purpose="attack transfer",
        )
        weights: Mapping[str, Tensor] = state["model"]
        if not kept:
            self._tell(config, weights, state["seconds"], state["gradient_evaluations"], schedule.epochs)
        return weights

    def _tell(
        self, config: FlowConfig, weights: Mapping[str, Tensor], seconds: float, gradients: int, epochs: int
    ) -> None:
        """Say what the substitute cost and how accurate it is, and log it."""
        assert self._images is not None
        test = self._images.test
        network = build_model(config, test)
        network.load_state_dict(weights)
        with evaluation_mode(network):
            accuracy = evaluate(network, test.images, test.labels).accuracy
        self._progress.say(
            f"attack transfer, seed {config.seed}: substitute trained normally for {counted(epochs, 'epoch')} in "
            f"{seconds:.1f} s "
            f"({gradients:,} gradients), test accuracy {accuracy:.1%}"
        )
        if self._run is not None:
            facts = {"epochs": epochs, "seconds": seconds, "gradient_evaluations": gradients, "accuracy": accuracy}
            self._run.log("substitute", seed=config.seed, **facts)
