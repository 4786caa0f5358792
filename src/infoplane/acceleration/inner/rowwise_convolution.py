"""Input gradient of a convolution of few channels, row by row, on a CPU."""

from typing import Any, TypeGuard

from torch import Tensor, nn

from infoplane.acceleration.inner.convolution import Convolution, input_gradient, is_convolution

MOST_ENTRIES = 2**20  # of a banded matrix: larger ones cost more by their zeros than they save


class RowwiseConvolution(Convolution):
    """A convolution whose backward pass treats a whole row of pixels, `width * channels`, as the channels of one pixel.

    The library's own input gradient pads the channels to full vectors; of 1 to 3 channels most of that is padding.
    Here the kernel becomes a banded matrix, with zeros outside the band. The sums are the same, in another order.
    """

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        width, width_out = features.shape[3], gradient.shape[3]
        key = features.dtype, width
        if key not in self._cache:
            self._cache[key] = banded(self.weights(features.dtype)[0], self.layer, width, width_out)
        settings = vertical_settings(self.layer)
        found = input_gradient(as_rows(gradient), as_rows(features), self._cache[key], *settings)
        return (from_rows(found, width).to(dtype),)


def can_be_rowwise(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether `RowwiseConvolution` computes this layer."""
    return is_convolution(layer) and layer.groups == 1 and layer.dilation == (1, 1)


def is_small(layer: nn.Conv2d, features: Tensor) -> bool:
    """Return whether the banded matrix for these features, `(batch, channels, height, width)`, is worth timing."""
    _, width_out = output_size(features, layer)
    return width_out * layer.out_channels * layer.kernel_size[0] * features.shape[3] * layer.in_channels <= MOST_ENTRIES


def output_size(features: Tensor, layer: nn.Conv2d) -> tuple[int, int]:
    """Return height and width of the layer's output."""
    height, width = (
        (size + 2 * padding - kernel) // stride + 1
        for size, kernel, stride, padding in zip(
            features.shape[2:], layer.kernel_size, layer.stride, _padding(layer), strict=True
        )
    )
    return height, width


def vertical_settings(layer: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return stride and padding of the convolution whose channels are rows."""
    return (layer.stride[0], 1), (_padding(layer)[0], 0)


def as_rows(features: Tensor) -> Tensor:
    """Return `(batch, channels, height, width)` as `(batch, width * channels, height, 1)`, pixel by pixel."""
    return features.permute(0, 2, 3, 1).flatten(2).unsqueeze(2).permute(0, 3, 1, 2)


def from_rows(rows: Tensor, width: int) -> Tensor:
    """Return the features from which `as_rows` made these rows."""
    return rows.permute(0, 2, 3, 1).reshape(len(rows), rows.shape[2], width, -1).permute(0, 3, 1, 2)


def banded(weight: Tensor, layer: nn.Conv2d, width: int, width_out: int) -> Tensor:
    """Return the kernel of the convolution whose channels are rows.

    Args:
        weight: `(channels_out, channels, height, kernel)`.
        layer: gives stride and padding.
        width: of the input, in pixels.
        width_out: of the output, in pixels.

    Returns:
        `(width_out * channels_out, width * channels, height, 1)`, in channels_last layout.
    """
    channels_out, channels, height, kernel = weight.shape
    stride, padding = layer.stride[1], _padding(layer)[1]
    padded = max(width + 2 * padding, (width_out - 1) * stride + kernel)
    matrix = weight.new_zeros(width_out, channels_out, height, padded, channels)
    shape, steps = (width_out, channels_out, height, kernel, channels), matrix.stride()
    # one output pixel further, the kernel stands `stride` input pixels further: a diagonal through the two axes
    band = matrix.as_strided(shape, (steps[0] + stride * steps[3], *steps[1:]))
    band.copy_(weight.permute(0, 2, 3, 1).expand_as(band))
    rows = matrix[:, :, :, padding : padding + width].reshape(width_out * channels_out, height, 1, width * channels)
    return rows.permute(0, 3, 1, 2)


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    return int(layer.padding[0]), int(layer.padding[1])
