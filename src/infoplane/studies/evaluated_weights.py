"""A network whose weights are in a file from elsewhere, as the subject of an evaluation."""

from pathlib import Path

from torch import nn

from infoplane.config import FlowConfig
from infoplane.data import ImageSet
from infoplane.models.weights_file import WeightsFile
from infoplane.studies.file_weights import network_of_file
from infoplane.studies.network_evaluation import Subject


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
    network = network_of_file(config, test, path, file)

    def load() -> nn.Module:
        return network.model

    return Subject(
        key="weights",
        name=f"{config.model.name} with {path.name}",
        load=load,
        checkpoint="file",
        notes=network.notes,
    )
