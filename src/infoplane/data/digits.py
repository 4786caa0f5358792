"""Scikit-learn's handwritten digits, a small dataset that needs no download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from typing import TYPE_CHECKING

from infoplane.data.spec import DatasetSpec, Wanted

if TYPE_CHECKING:
    from infoplane.data.images import ImageSet

_SIZE = 28


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Return one half of the 1,797 images of 8x8 pixels, as `(n, 1, image_size, image_size)`.

    The halves are stratified and drawn with the seed: 899 images for training, 898 for testing, none in both.
    """
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    from infoplane.data.images import ImageSet, resize_images, stratified_indices
    from infoplane.randomness import seeded_generator

    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) * (255 / 16)  # pixels are stored as 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    generator = seeded_generator(wanted.seed, "digits split")
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[stratified_indices(labels, (len(labels) + 1) // 2, generator=generator)] = True
    half = chosen if wanted.split == "train" else ~chosen
    return ImageSet(
        images=resize_images(images[half], wanted.image_size or _SIZE),
        labels=labels[half],
        class_names=spec.class_names,
        split=wanted.split,
        name=spec.name,
        source="scikit-learn's digits",
    )


DIGITS = DatasetSpec(
    name="digits",
    description="scikit-learn's handwritten digits of 8x8 pixels, enlarged; no download",
    class_names=tuple("0123456789"),
    image_size=_SIZE,
    channels=1,
    read=_read,
    comes_with="scikit-learn",
    seeded=True,
)
