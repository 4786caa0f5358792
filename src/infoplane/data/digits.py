"""Scikit-learn's handwritten digits: small, and there without any download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

import numpy as np
import torch

from infoplane.data.images import ImageSet, resize_images, stratified_indices
from infoplane.randomness import seeded_generator


def load_digits_split(split: str, *, image_size: int = 28, seed: int = 0) -> ImageSet:
    """Return one half of the 1,797 images of 8x8 pixels, as `(n, 1, image_size, image_size)`.

    The halves are stratified and drawn by `seed`: 899 for training, 898 for testing, none in both.
    """
    from sklearn.datasets import load_digits  # takes a second to import, and only the digits need it

    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) * (255 / 16)  # stored as 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    generator = seeded_generator(seed, "digits split")
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[stratified_indices(labels, (len(labels) + 1) // 2, generator)] = True
    half = chosen if split == "train" else ~chosen
    return ImageSet(
        images=resize_images(images[half], image_size),
        labels=labels[half],
        class_names=tuple(str(name) for name in digits.target_names),
        split=split,
        name="digits",
        source="scikit-learn's digits",
    )
