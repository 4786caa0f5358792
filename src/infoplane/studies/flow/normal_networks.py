"""Networks that are trained normally beside those that a study compares, and kept in the folder of the run."""

from typing import Any

from torch import nn

from infoplane.acceleration import Choices
from infoplane.config import FlowConfig, TrainingConfig
from infoplane.runs.folder import RunFolder
from infoplane.runs.progress import Progress
from infoplane.runs.state_tensors import split_state
from infoplane.runs.training_state import read_state
from infoplane.studies.parts import Images, build_augmentation, build_model
from infoplane.training import Trainer, normal_training


def normally_trained(
    config: FlowConfig,
    schedule: TrainingConfig,
    images: Images | None,
    run: RunFolder | None,
    progress: Progress,
    choices: Choices,
    *,
    seed: int,
    name: str,
    purpose: str,
) -> dict[str, Any]:
    """Train a network of the study's model normally, or read the one that the run keeps.

    Args:
        config: settings of one seed of the study.
        schedule: of this training; patience is ignored.
        images: images of the study, with training images; None if the run keeps the network.
        run: folder that stores the network, so that a continued run uses the same one; or None.
        progress: shows how far the training is.
        choices: acceleration of the network during training.
        seed: of its weights and batches.
        name: of its checkpoint.
        purpose: for whom it is trained, for progress lines.

    Returns:
        The state of its trainer after the last epoch: "model", "seconds", "gradient_evaluations" and more.

    Raises:
        UserError: the checkpoint is damaged.
    """
    epochs = schedule.epochs
    if run is not None and epochs in run.checkpoint_epochs(config.seed, name):
        return read_state(run, config.seed, name, epochs)
    assert images is not None
    assert images.train is not None
    own = config.model_copy(update={"seed": seed})
    model: nn.Module = build_model(own, images.test)
    trainer = Trainer(
        model,
        normal_training(),
        images.train.images,
        images.train.labels,
        schedule.model_copy(update={"patience": None}),
        seed=seed,
        training=name,
        augmentation=build_augmentation(config),
        choices=choices,
    )
    for epoch in range(epochs):
        progress.doing(f"{purpose}: training {name}, epoch {epoch + 1} of {epochs}")
        trainer.train_epoch()
    state = trainer.state_dict()
    if run is not None:
        run.write_checkpoint(config.seed, name, epochs, *split_state(state))
    return state
