"""BagNets: residual networks that see small patches only, and average what they find in them."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.initial_weights import kaiming_convolutions
from infoplane.models.normalisation import Normalise

BLOCKS = (3, 4, 6, 3)  # per stage, as in ResNet-50
EXPANSION = 4
NORM_MOMENTUM = 0.001  # of BatchNorm's running statistics, as in the paper's networks


class _Stages(NamedTuple):
    kernels: tuple[int, int, int, int]  # of the first block of each stage; all other convolutions are 1x1
    strides: tuple[int, int, int, int]


# By receptive field. The strides of the paper, 2, 2, 2, 1, would leave images of 32 pixels a map of 2x2 at 17, and no
# map at 33; 9 and 17 have a third stride of 1 instead, which changes neither the field nor the weights. 7, 11 and 19
# have the same weights as 9, 17 and 33.
STAGES = {
    7: _Stages((3, 3, 1, 1), (1, 2, 2, 1)),
    9: _Stages((3, 3, 1, 1), (2, 2, 1, 1)),
    11: _Stages((3, 3, 3, 1), (1, 2, 2, 1)),
    17: _Stages((3, 3, 3, 1), (2, 2, 1, 1)),
    19: _Stages((3, 3, 3, 3), (1, 2, 2, 1)),
    33: _Stages((3, 3, 3, 3), (2, 2, 2, 1)),
}


class Block(nn.Module):
    """A bottleneck without padding; the shortcut loses the rows below and the columns to the right."""

    def __init__(self, channels_in: int, channels: int, *, kernel: int, stride: int, norm_momentum: float) -> None:
        super().__init__()
        channels_out = EXPANSION * channels
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels, momentum=norm_momentum)
        self.conv2 = nn.Conv2d(channels, channels, kernel, stride=stride, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, momentum=norm_momentum)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out, momentum=norm_momentum)
        self.shortcut = _projection(channels_in, channels_out, stride, norm_momentum)
        # An unpadded 3x3 convolution gives two pixels less than a 1x1 convolution with stride 1, and one less with 2.
        self.lost = (kernel - 1) // stride

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, 4 * channels, height', width')`, both (size - kernel) // stride + 1."""
        residual = F.relu(self.bn1(self.conv1(features)))
        residual = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(residual)))))
        kept = self.shortcut(features)
        if self.lost:
            kept = kept[:, :, : -self.lost, : -self.lost]
        return F.relu(residual + kept)


def _projection(channels_in: int, channels_out: int, stride: int, norm_momentum: float) -> nn.Module:
    if stride == 1 and channels_in == channels_out:
        return nn.Identity()
    convolution = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out, momentum=norm_momentum))


class BagNet(nn.Module):
    """BagNet of a given receptive field; maps images in [0, 1] to logits, `(batch, classes)`.

    ResNet-50 with 1x1 convolutions in place of nearly all 3x3 ones and without padding, so that each unit of the last
    map sees a patch of `receptive_field` pixels a side. The logits are those of the mean over the map. With three
    channels, ten classes and a width of 64, fields of 7 and 9 pixels take 13,660,234 parameters, 11 and 17 take
    14,184,522, 19 and 33 take 16,281,674. Convolutions have no bias and start from N(0, 2 / fan_out).

    The probed layers are the stem after its ReLU, the outputs of the four stages, and the logits.

    Args:
        receptive_field: height and width of the patches in pixels: 7, 9, 11, 17, 19 or 33.
        width: channels of the stem and of the first stage's inner convolutions, at least 1.
        norm_momentum: share of each batch in BatchNorm's running statistics, above 0 and at most 1. At the paper's
            0.001 a network of a few hundred updates is evaluated with the statistics that it began with.
        image_size: height and width in pixels, at least `receptive_field`.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: Brendel & Bethge (2019), arXiv:1904.00760, for fields of 9, 17 and 33; at 9 and 17 the third stage has
    stride 1 instead of 2, for small images.
    """

    probed_layers = ("stem", "stage1", "stage2", "stage3", "stage4", "linear")
    first_layer = "stem.conv1"

    def __init__(
        self,
        receptive_field: int = 17,
        width: int = 64,
        norm_momentum: float = NORM_MOMENTUM,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_one_of(str(receptive_field), [*map(str, STAGES)], name="receptive_field")
        check_at_least(width, 1, name="width")
        if not 0 < norm_momentum <= 1:
            raise ValueError(f"norm_momentum must be above 0 and at most 1, got {norm_momentum}")
        check_at_least(image_size, receptive_field, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.normalise = Normalise(channels, image_size, mean, std)
        self.stem = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, width, 1, bias=False),
                conv2=nn.Conv2d(width, width, 3, bias=False),
                bn=nn.BatchNorm2d(width, momentum=norm_momentum),
                activation=nn.ReLU(),
            )
        )
        stages, before = [], width
        for number, (blocks, kernel, stride) in enumerate(zip(BLOCKS, *STAGES[receptive_field], strict=True)):
            inner = width * 2**number
            first = Block(before, inner, kernel=kernel, stride=stride, norm_momentum=norm_momentum)
            before = EXPANSION * inner
            others = (Block(before, inner, kernel=1, stride=1, norm_momentum=norm_momentum) for _ in range(blocks - 1))
            stages.append(nn.Sequential(first, *others))
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.linear = nn.Linear(before, classes)
        kaiming_convolutions(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        logits: Tensor = self.linear(self.patches(images).mean(dim=(2, 3)))
        return logits

    def patches(self, images: Tensor) -> Tensor:
        """Return what is found in each patch, `(batch, features, rows, columns)`; the logits are of its mean."""
        features = self.stage2(self.stage1(self.stem(self.normalise(images))))
        found: Tensor = self.stage4(self.stage3(features))
        return found
