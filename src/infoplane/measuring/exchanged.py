"""Cue conflicts of measured images: which are paired, and what each network is shown."""

import hashlib
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.distortions import HIGH_PASS, PATCHES, conflict_images, exchange_partners
from infoplane.estimators.distinct_rows import first_appearances
from infoplane.measuring.layer_outputs import stratified_groups
from infoplane.measuring.plane import distinct_images
from infoplane.randomness import seeded_generator
from infoplane.records.shape import FOLDER_KIND
from infoplane.records.short_repr import with_short_repr

_SMALL = 32  # pixels; the blur of larger images is as many times as wide


class ConflictKind(NamedTuple):
    """How conflicts are made, and how much of the shape's image is taken away."""

    name: str
    width: float  # of the blur, in pixels of an image of 28 to 63 pixels

    @property
    def title(self) -> str:
        """Name and width for readers."""
        return kind_title(self.name, self.width)


JUDGED = ConflictKind(HIGH_PASS, 2.0)  # on which the claim rests; fixed before any network was measured
PATCHED = ConflictKind(PATCHES, 2.0)
# All kinds; the layers are decoded for the first two.
CONFLICTS = (JUDGED, PATCHED, ConflictKind(HIGH_PASS, 1.0), ConflictKind(HIGH_PASS, 4.0))
DECODED_KINDS = (JUDGED, PATCHED)


def kind_title(name: str, width: float | None) -> str:
    """Return the name of a kind for readers, e.g. "high-pass, 2 px"."""
    return "images of the folder" if name == FOLDER_KIND else f"{name}, {width:g} px"


@with_short_repr
class Exchange(NamedTuple):
    """Images in pairs that exchange their textures. Conflict i has the shape of image i."""

    examples: Tensor  # (n,) indices of the images among those that are measured
    images: Tensor  # (n, channels, height, width) floats
    labels: Tensor  # (n,) on the CPU
    partners: Tensor  # (n,) row of the image that lends the texture, and gets that of image i
    pairs: Tensor  # (n,) integers, equal for the two images of a pair
    groups: Tensor  # (n,) fixed groups of pairs

    @property
    def textures(self) -> Tensor:
        """Class of the texture of each conflict, `(n,)`."""
        return self.labels[self.partners]

    @property
    def fingerprint(self) -> str:
        """Hash of the images, their labels and partners."""
        return fingerprint(self.images, self.labels, self.partners)

    def conflicts(self, kind: ConflictKind, seed: int) -> Tensor:
        """Return the conflicts of a kind, `(n, channels, height, width)` floats in [0, 1].

        Args:
            kind: how they are made.
            seed: of the examples; it decides how patches are shuffled.
        """
        scale = max(1, min(self.images.shape[2:]) // _SMALL)
        return conflict_images(
            self.images,
            self.images[self.partners.to(self.images.device)],
            kind=kind.name,
            width=kind.width * scale,
            generator=seeded_generator(seed, "cue conflicts", kind.name),
        )


def exchange_of(images: Tensor, labels: Tensor, seed: int) -> Exchange:
    """Pair measured images of different classes; copies of an image and images without a partner are left out.

    Args:
        images: `(n, channels, height, width)` floats in [0, 1].
        labels: `(n,)` integers, of two classes at least.
        seed: of the examples.
    """
    distinct = torch.unique(first_appearances(distinct_images(images).cpu()))
    partners = exchange_partners(labels.cpu()[distinct], generator=seeded_generator(seed, "cue conflicts"))
    kept = (partners >= 0).nonzero().flatten()
    row_of = torch.full((len(distinct),), -1)
    row_of[kept] = torch.arange(len(kept))
    examples, partners = distinct[kept], row_of[partners[kept]]
    own = labels.cpu()[examples]
    firsts, pairs = torch.unique(torch.minimum(torch.arange(len(kept)), partners), return_inverse=True)
    groups = stratified_groups(own[firsts], seeded_generator(seed, "groups of cue conflicts"))
    return Exchange(examples, images[examples.to(images.device)], own, partners, pairs, groups[pairs])


def fingerprint(images: Tensor, *classes: Tensor) -> str:
    """Return a hash of images and their classes: equal for networks that saw the same images."""
    content = hashlib.sha256(images.detach().cpu().contiguous().numpy().tobytes())
    for one in classes:
        content.update(one.cpu().long().numpy().tobytes())
    return content.hexdigest()[:16]
