"""LeNet-5, as the study uses it: with ReLU and max-pooling, without padding."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least
from infoplane.models.normalisation import Normalise

# Two 5x5 convolutions and two poolings leave 1 pixel of 16, and none of 15.
SMALLEST_IMAGE = 16


class LeNet5(nn.Module):
    """Two convolutions and three linear layers; maps images in [0, 1] to logits, `(batch, classes)`.

    It has 44,426 parameters for images of 28 pixels, one channel and ten classes. Only `fc1` depends on the image size.
    Initial weights are torch's defaults.

    Args:
        image_size: height and width in pixels, at least 16.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: LeCun et al. (1998), Proc. IEEE 86(11), with the activation and pooling of Zhang et al. (2022),
    arXiv:2207.05756.
    """

    probed_layers = ("conv1", "conv2", "fc1", "fc2", "fc3")  # each is the output before its ReLU
    first_layer = "conv1"

    def __init__(
        self,
        image_size: int = 28,
        channels: int = 1,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_at_least(image_size, SMALLEST_IMAGE, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.normalise = Normalise(channels, image_size, mean, std)
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        map_size = ((image_size - 4) // 2 - 4) // 2
        self.fc1 = nn.Linear(16 * map_size**2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        # Pooling before ReLU gives the same result, and ReLU then runs on a quarter of the units.
        features = F.relu(F.max_pool2d(self.conv1(self.normalise(images)), 2))
        features = F.relu(F.max_pool2d(self.conv2(features), 2))
        features = F.relu(self.fc1(features.flatten(start_dim=1)))
        logits: Tensor = self.fc3(F.relu(self.fc2(features)))
        return logits
