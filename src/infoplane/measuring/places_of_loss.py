"""At which layer each example loses its label: the layer from which on no layer encodes it.

A layer encodes the label of an example if the decoder that was fitted to other originals makes the label likelier than
its class frequency, so if the pointwise information is above 0. A layer before the last one may fail to encode a label
that later layers encode; nothing is lost there, since later layers compute from it. Some examples are below 0 at every
layer without any attack: their label was never encoded by what these decoders read, so they lose nothing.
"""

import numpy as np
from numpy.typing import NDArray

NEVER_PLACE = -1  # of labels that were never encoded; that of kept labels is the number of layers


def places_of_loss(encoded: NDArray[np.bool_], originals: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where each example loses its label.

    Args:
        encoded: `(layers, examples)`, layers from input to output: which layer encodes the label of which example.
        originals: the same of the same examples without an attack.

    Returns:
        `(examples,)`: the index of the first layer from which on no layer encodes the label; the number of layers where
        the last layer encodes it; `NEVER_PLACE` where no layer encodes it, of the originals neither.

    Raises:
        ValueError: the two have different shapes, or there is no layer.
    """
    if encoded.ndim != 2 or not len(encoded) or encoded.shape != originals.shape:
        raise ValueError(
            f"both must be (layers, examples) of one layer at least, got {encoded.shape}, {originals.shape}"
        )
    after = np.logical_or.accumulate(encoded[::-1])[::-1]  # whether this layer or a later one encodes it
    places = after.sum(axis=0)
    return np.where((places == 0) & ~originals.any(axis=0), NEVER_PLACE, places)
