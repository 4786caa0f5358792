"""Wide residual networks with pre-activation and LeakyReLU, for any image size."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.checks import check_at_least
from infoplane.models.initial_weights import kaiming_convolutions
from infoplane.models.normalisation import Normalise

STEM_CHANNELS = 16
NEGATIVE_SLOPE = 0.1  # of the study's networks; published ones have ReLU
LARGEST_POOL = 8  # the final map of a 32-pixel image; larger images keep a grid of pooled features


class Block(nn.Module):
    """Two 3x3 convolutions, each after BatchNorm and an activation, whose result is added to the block's input.

    If the width changes, the shortcut is a 1x1 convolution of the *activated* input, which both branches share.
    Otherwise the shortcut is the raw input.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, negative_slope: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.activation1 = _activation(negative_slope)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.activation2 = _activation(negative_slope)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.shortcut = (
            None if channels_in == channels_out else nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return `(batch, channels_out, ceil(height / stride), ceil(width / stride))`."""
        activated = self.activation1(self.bn1(features))
        residual: Tensor = self.conv2(self.activation2(self.bn2(self.conv1(activated))))
        return residual + (features if self.shortcut is None else self.shortcut(activated))


class WideResNet(nn.Module):
    """WideResNet-`depth`-`widen_factor`; maps images in [0, 1] to logits, `(batch, classes)`.

    A 3x3 stem with 16 channels, three groups of (depth - 4) / 6 blocks with 16, 32 and 64 times `widen_factor`
    channels and strides 1, 2, 2, then BatchNorm, LeakyReLU, average pooling and a linear layer on the flattened
    result. WRN-10-1 with three channels and ten classes has 77,850 parameters at 32 pixels, 79,770 at 64 and 82,970
    at 96. Convolutions have no bias and start from N(0, 2 / fan_out), BatchNorm from (1, 0), the linear bias from 0.

    The probed layer of a group is the first LeakyReLU of its first block, so it has the width of the group before.

    Args:
        depth: 6n + 4 with n at least 1.
        widen_factor: at least 1.
        negative_slope: of LeakyReLU below 0, at least 0 and below 1; 0 is ReLU, which released networks have.
        image_size: height and width in pixels.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: Zagoruyko & Komodakis (2016), arXiv:1605.07146, initial weights as in their released code.
    """

    probed_layers = ("stem", "group1.0.activation1", "group2.0.activation1", "group3.0.activation1", "linear")
    first_layer = "stem"

    def __init__(
        self,
        depth: int = 10,
        widen_factor: int = 1,
        negative_slope: float = NEGATIVE_SLOPE,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        blocks, remainder = divmod(depth - 4, 6)
        if remainder or blocks < 1:
            raise ValueError(f"depth must be 6n + 4, that is one of 10, 16, 22, 28, 34, 40 ..., got {depth}")
        check_at_least(widen_factor, 1, name="widen_factor")
        if not 0 <= negative_slope < 1:
            raise ValueError(f"negative_slope must be at least 0 and below 1, got {negative_slope}")
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        widths = [STEM_CHANNELS, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.normalise = Normalise(channels, image_size, mean, std)
        self.stem = nn.Conv2d(channels, STEM_CHANNELS, 3, padding=1, bias=False)
        self.group1 = _group(blocks, widths[0], widths[1], stride=1, slope=negative_slope)
        self.group2 = _group(blocks, widths[1], widths[2], stride=2, slope=negative_slope)
        self.group3 = _group(blocks, widths[2], widths[3], stride=2, slope=negative_slope)
        self.bn = nn.BatchNorm2d(widths[3])
        self.activation = _activation(negative_slope)
        map_size = (image_size + 3) // 4  # two strides of 2, each rounding up
        self.pool_size = min(LARGEST_POOL, map_size)
        self.linear = nn.Linear(widths[3] * (map_size // self.pool_size) ** 2, classes)
        kaiming_convolutions(self)  # with the gain of ReLU, as in the released code, whatever the slope
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        features = self.group3(self.group2(self.group1(self.stem(self.normalise(images)))))
        pooled = F.avg_pool2d(self.activation(self.bn(features)), self.pool_size)
        logits: Tensor = self.linear(pooled.flatten(start_dim=1))
        return logits


def _group(blocks: int, channels_in: int, channels_out: int, *, stride: int, slope: float) -> nn.Sequential:
    first = Block(channels_in, channels_out, stride, slope)
    return nn.Sequential(first, *(Block(channels_out, channels_out, 1, slope) for _ in range(blocks - 1)))


def _activation(negative_slope: float) -> nn.Module:
    return nn.LeakyReLU(negative_slope) if negative_slope else nn.ReLU()
