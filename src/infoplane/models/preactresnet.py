"""PreActResNet-18: a residual network whose blocks begin with BatchNorm and ReLU."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.initial_weights import kaiming_convolutions
from infoplane.models.normalisation import Normalise
from infoplane.models.resnet import block_outputs

BLOCKS = (2, 2, 2, 2)  # per stage
SHORTCUTS = ("raw", "activated")


class Block(nn.Module):
    """Two 3x3 convolutions, each after BatchNorm and ReLU, whose result is added to the input or to its projection.

    Two definitions are in use, with the same weights: the projection takes the block's input as it is ("raw"), or
    after the first BatchNorm and ReLU ("activated"). A block without a projection adds its raw input.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.projects_activated = shortcut == "activated"
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        changes = stride != 1 or channels_in != channels_out
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, channels_out, ceil(height / stride), ceil(width / stride))`."""
        activated = F.relu(self.bn1(features))
        residual: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        if self.shortcut is None:
            return residual + features
        projected: Tensor = self.shortcut(activated if self.projects_activated else features)
        return residual + projected


class PreActResNet18(nn.Module):
    """PreActResNet-18 for small images; maps images in [0, 1] to logits, `(batch, classes)`.

    A 3x3 convolution, four stages of two blocks with 1, 2, 4 and 8 times `width` channels and strides 1, 2, 2, 2, the
    mean over the map, and a linear layer. With three channels and ten classes it has 11,171,146 parameters, and
    11,172,170 with a last BatchNorm, whatever the image size. Convolutions have no bias and start from
    N(0, 2 / fan_out).

    The probed layers are the first convolution, the output of each block (a sum, before any ReLU), and the logits.

    Args:
        shortcut: what the projections of blocks that change the shape take: "raw", the input of the block, or
            "activated", the same after BatchNorm and ReLU. Weights trained with one compute something else with the
            other.
        last_norm: whether BatchNorm and ReLU stand before the mean over the map.
        width: channels of the first stage, at least 1.
        image_size: height and width in pixels.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: He et al. (2016), arXiv:1603.05027; stem, widths and shortcuts as in the field's code for CIFAR-10.
    """

    first_layer = "stem"
    probed_layers = ("stem", *block_outputs(BLOCKS), "linear")

    def __init__(
        self,
        shortcut: str = "raw",
        last_norm: bool = False,
        width: int = 64,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_one_of(shortcut, SHORTCUTS, name="shortcut")
        check_at_least(width, 1, name="width")
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.normalise = Normalise(channels, image_size, mean, std)
        self.stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stage1 = _stage(width, width, 1, shortcut)
        self.stage2 = _stage(width, 2 * width, 2, shortcut)
        self.stage3 = _stage(2 * width, 4 * width, 2, shortcut)
        self.stage4 = _stage(4 * width, 8 * width, 2, shortcut)
        self.bn = nn.BatchNorm2d(8 * width) if last_norm else None
        self.linear = nn.Linear(8 * width, classes)
        kaiming_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        features = self.stage2(self.stage1(self.stem(self.normalise(images))))
        features = self.stage4(self.stage3(features))
        if self.bn is not None:
            features = F.relu(self.bn(features))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


def _stage(channels_in: int, channels_out: int, stride: int, shortcut: str) -> nn.Sequential:
    first = Block(channels_in, channels_out, stride, shortcut)
    return nn.Sequential(first, Block(channels_out, channels_out, 1, shortcut))
