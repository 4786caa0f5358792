"""Convolutions that take whole rows of a map for channels, for narrow ones on a CPU."""

from typing import Any

from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution, input_gradient

MOST_ENTRIES = 2**20  # of the banded matrices: beyond it, their zeros cost more than they save


def can_go_by_rows(layer: nn.Module) -> bool:
    """Whether `ConvolutionByRows` computes what this layer does."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def is_small(layer: nn.Conv2d, features: Tensor) -> bool:
    """Whether the banded matrices for these features, `(batch, channels, height, width)`, are worth a try."""
    _, width_out = map_size(features, layer)
    return width_out * layer.out_channels * layer.kernel_size[0] * features.shape[3] * layer.in_channels <= MOST_ENTRIES


def map_size(features: Tensor, layer: nn.Conv2d) -> tuple[int, int]:
    """Return height and width of what a convolution with `can_go_by_rows` gives."""
    height, width = (
        (size + 2 * around - kernel) // step + 1
        for size, kernel, step, around in zip(features.shape[2:], layer.kernel_size, *steps_of(layer), strict=True)
    )
    return height, width


def steps_of(layer: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return stride and padding, each down and across, of a layer with `can_go_by_rows`."""
    (down, across), padding = layer.stride, layer.padding
    return (down, across), (int(padding[0]), int(padding[1]))


class ConvolutionByRows(Convolution):
    """A convolution that goes back by rows.

    A library's own input gradient pads its result to full vectors of channels, and of 1 to 3 channels most is padding.
    Here a whole row, `width * channels`, is one pixel's channels; the price is a product with the band's zeros. The
    sums are the same, in another order.
    """

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        width, width_out = features.shape[3], gradient.shape[3]
        made = features.dtype, width
        if made not in self._made:
            self._made[made] = banded(self.weights(features.dtype)[2], self.layer, width, width_out)
        found = input_gradient(as_rows(gradient), as_rows(features), self._made[made], *steps_down(self.layer))
        return (from_rows(found, width).to(dtype),)


def steps_down(layer: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return stride and padding of the convolution whose channels are rows."""
    (down, _), (above, _) = steps_of(layer)
    return (down, 1), (above, 0)


def as_rows(features: Tensor) -> Tensor:
    """Return `(batch, channels, height, width)` as `(batch, width * channels, height, 1)`, pixel by pixel."""
    return features.permute(0, 2, 3, 1).flatten(2).unsqueeze(2).permute(0, 3, 1, 2)


def from_rows(rows: Tensor, width: int) -> Tensor:
    """Return what `as_rows` was given."""
    return rows.permute(0, 2, 3, 1).reshape(len(rows), rows.shape[2], width, -1).permute(0, 3, 1, 2)


def banded(weight: Tensor, layer: nn.Conv2d, width: int, width_out: int) -> Tensor:
    """Return the kernel of the convolution whose channels are rows.

    Args:
        weight: `(channels_out, channels, height, kernel)`.
        layer: whose stride and padding count.
        width: of the input, in pixels.
        width_out: of the output.

    Returns:
        `(width_out * channels_out, width * channels, height, 1)`, laid out as channels_last.
    """
    channels_out, channels, height, kernel = weight.shape
    (_, across), (_, beside) = steps_of(layer)
    padded = max(width + 2 * beside, (width_out - 1) * across + kernel)
    matrix = weight.new_zeros(width_out, channels_out, height, padded, channels)
    own = matrix.stride()
    # a step along the output's row is a step of the kernel along the input's: the diagonal of the two axes
    band = matrix.as_strided((width_out, channels_out, height, kernel, channels), (own[0] + across * own[3], *own[1:]))
    band.copy_(weight.permute(0, 2, 3, 1).expand_as(band))
    rows = matrix[:, :, :, beside : beside + width].reshape(width_out * channels_out, height, 1, width * channels)
    return rows.permute(0, 3, 1, 2)
