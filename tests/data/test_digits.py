"""Scikit-learn's digits as two stratified halves."""

import numpy as np
import torch
from sklearn.datasets import load_digits

from infoplane.data import load_split


def rows(image_set):
    pairs = zip(image_set.images, image_set.labels.tolist(), strict=True)
    return [(image.numpy().tobytes(), label) for image, label in pairs]


def test_the_halves_together_are_the_whole_set_with_its_labels():
    halves = [load_split("digits", split, image_size=8) for split in ("train", "test")]
    assert [len(half) for half in halves] == [899, 898]
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    expected = [(image.tobytes(), int(label)) for image, label in zip(pixels, digits.target, strict=True)]
    assert sorted(rows(halves[0]) + rows(halves[1])) == sorted(expected)


def test_each_class_is_halved():
    train, test = (load_split("digits", split).labels.bincount() for split in ("train", "test"))
    assert (train - test).abs().max() <= 2


def test_digits_are_28_pixels_grey_and_use_the_whole_range():
    digits = load_split("digits", "train")
    assert digits.images.shape == (899, 1, 28, 28)
    assert digits.images.min() == 0
    assert digits.images.max() == 255
    assert digits.class_names == tuple("0123456789")


def test_enlarging_is_bilinear_at_exact_pixel_centres():
    # Doubling 8 to 16: pixel (1, 1) lies a quarter pixel from (0, 0) towards (1, 1) of the original.
    small = torch.from_numpy(load_digits().images)
    expected = (small[:, :2, :2] * torch.tensor([[9, 3], [3, 1]]) / 16).sum((1, 2)) * (255 / 16)
    halves = [load_split("digits", split, image_size=16).images[:, 0, 1, 1] for split in ("train", "test")]
    assert (torch.cat(halves).double().sort().values - expected.sort().values).abs().max() <= 0.5 + 1e-4


def test_the_seed_decides_the_halves():
    first, again, other = (rows(load_split("digits", "train", seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
