"""Residual networks in their form for small images: a 3x3 stem without pooling."""

from collections import OrderedDict
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.initial_weights import kaiming_convolutions
from infoplane.models.normalisation import Normalise

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # per stage, by depth
DEEPEST_OF_BASIC_BLOCKS = 34
MOST_PROBED = 8  # blocks; of more, the last of each stage is probed


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, added to the input or to its projection, then ReLU."""

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = _projection(channels_in, channels, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, channels, ceil(height / stride), ceil(width / stride))`."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(features)))))
        return F.relu(residual + self.shortcut(features))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution with BatchNorm, added to the input or to its projection, then ReLU."""

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        channels_out = self.expansion * channels
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.shortcut = _projection(channels_in, channels_out, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, 4 * channels, ceil(height / stride), ceil(width / stride))`."""
        residual = F.relu(self.bn1(self.conv1(features)))
        residual = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(residual)))))
        return F.relu(residual + self.shortcut(features))


def _projection(channels_in: int, channels_out: int, stride: int) -> nn.Module:
    """Return a 1x1 convolution with BatchNorm where the block changes the shape, else the identity."""
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    convolution = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out))


class ResNet(nn.Module):
    """ResNet-18, -34 or -50 for small images; maps images in [0, 1] to logits, `(batch, classes)`.

    A 3x3 stem without max-pooling, four stages with 1, 2, 4 and 8 times `width` channels and strides 1, 2, 2, 2, the
    mean over the map, and a linear layer. ResNet-50 has bottlenecks, the others two 3x3 convolutions per block. With
    three channels and ten classes they have 11,173,962, 21,282,122 and 23,520,842 parameters, whatever the image size.
    Convolutions have no bias and start from N(0, 2 / fan_out).

    The probed layers are the stem after its ReLU, the outputs of the blocks (of more than eight, those of each stage's
    last block), and the logits.

    Args:
        depth: 18, 34 or 50.
        width: channels of the first stage, at least 1.
        image_size: height and width in pixels.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: He et al. (2016), arXiv:1512.03385; the stem as in the field's code for CIFAR-10.
    """

    first_layer = "stem.conv"

    def __init__(
        self,
        depth: int = 18,
        width: int = 64,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_one_of(str(depth), [*map(str, BLOCKS)], name="depth")
        check_at_least(width, 1, name="width")
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        kind = BasicBlock if depth <= DEEPEST_OF_BASIC_BLOCKS else Bottleneck
        self.normalise = Normalise(channels, image_size, mean, std)
        self.stem = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, width, 3, padding=1, bias=False),
                bn=nn.BatchNorm2d(width),
                activation=nn.ReLU(),
            )
        )
        self.stage1 = _stage(kind, BLOCKS[depth][0], width, width, stride=1)
        self.stage2 = _stage(kind, BLOCKS[depth][1], width * kind.expansion, 2 * width, stride=2)
        self.stage3 = _stage(kind, BLOCKS[depth][2], 2 * width * kind.expansion, 4 * width, stride=2)
        self.stage4 = _stage(kind, BLOCKS[depth][3], 4 * width * kind.expansion, 8 * width, stride=2)
        self.linear = nn.Linear(8 * width * kind.expansion, classes)
        self.probed_layers = ("stem", *block_outputs(BLOCKS[depth]), "linear")
        kaiming_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        features = self.stage2(self.stage1(self.stem(self.normalise(images))))
        features = self.stage4(self.stage3(features))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


def _stage(
    kind: type[BasicBlock] | type[Bottleneck], blocks: int, channels_in: int, channels: int, *, stride: int
) -> nn.Sequential:
    first = kind(channels_in, channels, stride)
    return nn.Sequential(first, *(kind(channels * kind.expansion, channels, 1) for _ in range(blocks - 1)))


def block_outputs(blocks: Sequence[int]) -> list[str]:
    """Return names of the blocks to probe: all, or the last of each stage where there are more than eight.

    Args:
        blocks: number of blocks of each stage; the stages are called stage1, stage2 ...
    """
    every = [(stage, place) for stage, number in enumerate(blocks, start=1) for place in range(number)]
    last = [(stage, number - 1) for stage, number in enumerate(blocks, start=1)]
    return [f"stage{stage}.{place}" for stage, place in (every if len(every) <= MOST_PROBED else last)]
