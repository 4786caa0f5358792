"""Test images drawn anew for each epoch and each kind of examples, as in the study's earlier code."""

from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.data import stratified_indices
from infoplane.measuring.layer_outputs import stratified_groups
from infoplane.randomness import seeded_generator


class Draw(NamedTuple):
    """One draw of examples.

    Attributes:
        name: in the records.
        indices: `(n,)` integers, ascending: which test images.
        groups: `(n,)` integers, the group of each. It belongs to the image: the same in every draw.
    """

    name: str
    indices: Tensor
    groups: Tensor


def drawn_examples(labels: Tensor, number: int, *, seed: int, epoch: int, examples: str) -> Draw:
    """Draw examples in proportion to their classes; all trainings and training seeds get the same ones.

    Intervals of differences use means over groups. Two draws share some images. Those are in the same group in both,
    and every group has about equally many images of each class. So the spread of the differences over the groups
    contains what the draws share, and what they do not share.

    Args:
        labels: `(images,)` integers, of all test images.
        number: how many to draw.
        seed: of the data.
        epoch: completed epochs.
        examples: name of the kind of examples.
    """
    labels = labels.cpu()
    groups = stratified_groups(labels, seeded_generator(seed, "groups of all test images"))
    generator = seeded_generator(seed, "examples of an epoch", epoch, examples)
    shares = labels[stratified_indices(labels, number, generator=generator)].bincount()
    drawn = []
    for label in shares.nonzero().flatten():
        members = (labels == label).nonzero().flatten()
        drawn.append(members[stratified_indices(groups[members], int(shares[label]), generator=generator)])
    indices = torch.cat(drawn).sort().values
    return Draw(f"{examples}-e{epoch:04d}", indices, groups[indices])
