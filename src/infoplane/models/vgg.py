"""VGG networks with BatchNorm, in their form for small images: one linear layer."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from infoplane.checks import check_at_least, check_one_of
from infoplane.models.initial_weights import kaiming_convolutions
from infoplane.models.normalisation import Normalise

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}  # per block, by depth
WIDTHS = (1, 2, 4, 8, 8)  # of the blocks, in widths of the first


class VGG(nn.Module):
    """VGG-11 or VGG-16 with BatchNorm; maps images in [0, 1] to logits, `(batch, classes)`.

    Five blocks of 3x3 convolutions (with bias), each with BatchNorm and ReLU, and a max-pooling in 2x2 at the end of
    each block; then the mean over the map and one linear layer. An odd last row or column is pooled too, so that images
    of 28 pixels keep a map. With three channels and ten classes VGG-11 has 9,231,114 parameters and VGG-16 14,728,266,
    whatever the image size. Weights of convolutions start from N(0, 2 / fan_out), their biases from 0.

    The probed layers are the outputs of the blocks, after pooling, and the logits.

    Args:
        depth: 11 or 16.
        width: channels of the first block, at least 1.
        image_size: height and width in pixels.
        channels: number of image channels.
        classes: number of classes, at least 2.
        mean: mean of the pixels, one number or one per channel; see `Normalise`.
        std: standard deviation of the pixels, one number or one per channel.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.

    Source: Simonyan & Zisserman (2015), arXiv:1409.1556; BatchNorm and the linear layer as in the field's code for
    CIFAR-10.
    """

    probed_layers = ("block1", "block2", "block3", "block4", "block5", "linear")
    first_layer = "block1.0"

    def __init__(
        self,
        depth: int = 16,
        width: int = 64,
        image_size: int = 32,
        channels: int = 3,
        classes: int = 10,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        check_one_of(str(depth), [*map(str, CONVOLUTIONS)], name="depth")
        check_at_least(width, 1, name="width")
        check_at_least(image_size, 1, name="image_size")
        check_at_least(classes, 2, name="classes")
        self.normalise = Normalise(channels, image_size, mean, std)
        widths = [channels, *(width * factor for factor in WIDTHS)]
        blocks = [
            _block(number, before, after)
            for number, (before, after) in zip(CONVOLUTIONS[depth], pairwise(widths), strict=True)
        ]
        self.block1, self.block2, self.block3, self.block4, self.block5 = blocks
        self.linear = nn.Linear(widths[-1], classes)
        self._initialise()

    def _initialise(self) -> None:
        kaiming_convolutions(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, of images `(batch, channels, image_size, image_size)` in [0, 1]."""
        features = self.block3(self.block2(self.block1(self.normalise(images))))
        features = self.block5(self.block4(features))
        logits: Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


def _block(convolutions: int, channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(convolutions):
        layers += [
            nn.Conv2d(channels_out if number else channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))
