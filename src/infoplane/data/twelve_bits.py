"""The 12-bit task of the literature on tanh networks: all 4,096 binary vectors of length 12, made by code.

The published file of labels is not to be had, so the labels follow a rule of the kind that the paper describes. The
bits of a vector are the spins, -1 or 1, of the 12 corners of an icosahedron. Each spin spreads over the sphere, and the
rule is the sum of the squared fields at the corners,

    f(x) = sum_i g_i^2        g_i = sum_j s_j exp(1.5 (u_i . u_j - 1))

with u_i the unit vectors of the corners. The 120 rotations and reflections of the icosahedron do not change f, nor does
a flip of all spins. P(y = 1 | x) is a sigmoid of f, centred between two values of f so that both labels are about
equally frequent.

Source: Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, Section 3.1.
"""

from typing import TYPE_CHECKING

from infoplane.data.spec import DatasetSpec, Wanted
from infoplane.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from infoplane.data.images import ImageSet

BITS = 12
INPUTS = 2**BITS
TRAIN_SHARE = 0.85
_CONCENTRATION = 1.5  # of the field of a spin
_GAIN = 80.0  # of the sigmoid, per deviation of f: nearly a step, as in the paper, where I(X;Y) is about 0.99 bits


def all_vectors() -> "Tensor":
    """Return all vectors, `(4096, 12)` int64 of 0 and 1; the number of a vector, in binary, is its row."""
    import torch

    return (torch.arange(INPUTS)[:, None] >> torch.arange(BITS - 1, -1, -1)) & 1


def label_probabilities() -> "Tensor":
    """Return P(y = 1 | x) of all vectors, `(4096,)` float64, in the order of `all_vectors`."""
    import torch

    spins = 2 * all_vectors().double() - 1
    fields = spins @ torch.exp(_CONCENTRATION * (_corners() @ _corners().T - 1))
    rule = fields.square().sum(dim=1).round(decimals=9)  # sums that a symmetry makes equal differ by rounding
    values, counts = torch.unique(rule, return_counts=True)
    last_of_zero = int((counts.cumsum(0) - INPUTS / 2).abs().argmin())  # the most balanced threshold
    centre = values[last_of_zero : last_of_zero + 2].mean()
    probabilities: Tensor = torch.sigmoid(_GAIN * (rule - centre) / rule.std())
    return probabilities


def input_label_information() -> float:
    """Return I(X;Y) in nats, exactly: H(Y) - H(Y|X) with all vectors equally likely."""
    import torch

    ones = label_probabilities()

    def entropy(share: "Tensor") -> "Tensor":
        return -torch.xlogy(share, share) - torch.xlogy(1 - share, 1 - share)

    return float(entropy(ones.mean()) - entropy(ones).mean())


def _corners() -> "Tensor":
    """Return the unit vectors of the corners of an icosahedron, `(12, 3)` float64."""
    import torch

    golden = (1 + 5**0.5) / 2
    corners = [
        corner
        for short in (-1.0, 1.0)
        for long in (-golden, golden)
        for corner in ((0.0, short, long), (short, long, 0.0), (long, 0.0, short))
    ]
    unit: Tensor = torch.tensor(corners, dtype=torch.double) / (1 + golden**2) ** 0.5
    return unit


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Return a part of the vectors as images of one row, `(n, 1, 1, 12)`, bit 1 as 255.

    Labels are drawn from P(y|x), and 85 % of the vectors, stratified, are for training: both with the seed. The vectors
    of a split are in the order of `all_vectors`.

    Raises:
        UserError: an image size is asked for.
    """
    import torch

    from infoplane.data.images import ImageSet, stratified_indices
    from infoplane.randomness import seeded_generator

    if wanted.image_size is not None:
        raise UserError(f"{spec.name}: the vectors have {BITS} bits and cannot be resized; leave out --data.image-size")
    drawn = torch.rand(INPUTS, generator=seeded_generator(wanted.seed, "twelve-bits labels"), dtype=torch.double)
    labels = (drawn < label_probabilities()).long()
    chosen = torch.zeros(INPUTS, dtype=torch.bool)
    generator = seeded_generator(wanted.seed, "twelve-bits split")
    chosen[stratified_indices(labels, round(TRAIN_SHARE * INPUTS), generator=generator)] = True
    part = chosen if wanted.split == "train" else ~chosen
    return ImageSet(
        images=(255 * all_vectors()[part]).to(torch.uint8)[:, None, None, :],
        labels=labels[part],
        class_names=spec.class_names,
        split=wanted.split,
        name=spec.name,
        source="the 12-bit task",
    )


TWELVE_BITS = DatasetSpec(
    name="twelve-bits",
    description="all 4,096 vectors of 12 bits as images of one row, with labels by a symmetric rule; no download",
    class_names=("0", "1"),
    channels=1,
    read=_read,
    seeded=True,
)
