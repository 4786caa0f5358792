"""A network whose weights are in a file from elsewhere, as the subject of an evaluation."""

from pathlib import Path

from torch import nn

from infoplane.config import FlowConfig
from infoplane.data import ImageSet
from infoplane.models.load_weights import load_weights
from infoplane.models.weights_file import WeightsFile
from infoplane.studies.network_evaluation import Subject
from infoplane.studies.parts import build_model


def subject_of_weights(config: FlowConfig, test: ImageSet, path: Path, file: WeightsFile) -> Subject:
    """Build the network of the settings and load the weights into it.

    Args:
        config: names the model and its settings.
        test: images for which it is built.
        path: of the file, for names and messages.
        file: its content.

    Raises:
        UserError: the network cannot be built, or the weights do not fit it.
    """
    model = build_model(config, test)
    load_weights(model, file.weights, of=f"--weights {path}", named=config.model.name)

    def load() -> nn.Module:
        return model

    return Subject(key="weights", name=f"{config.model.name} with {path.name}", load=load, checkpoint="file")
