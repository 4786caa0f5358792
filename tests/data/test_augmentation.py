"""Random crop and mirror, against the same draws applied image by image."""

import pytest
import torch

from infoplane.data import CropAndFlip


def crop_one_by_one(images, padding, flip, generator):
    """The slow way: pad, cut and mirror each image by itself, with the draws in the same order."""
    number, channels, height, width = images.shape
    rows, columns = torch.randint(2 * padding + 1, (2, number, 1), generator=generator).squeeze(2).tolist()
    mirrored = torch.randint(2, (number, 1), generator=generator).flatten().tolist() if flip else [0] * number
    crops = []
    for image, row, column, mirror in zip(images, rows, columns, mirrored, strict=True):
        padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=images.dtype)
        padded[:, padding : padding + height, padding : padding + width] = image
        crop = padded[:, row : row + height, column : column + width]
        crops.append(crop[:, :, range(width - 1, -1, -1)] if mirror else crop)
    return torch.stack(crops)


@pytest.mark.parametrize("shape", [(50, 3, 8, 8), (20, 1, 7, 11), (1, 2, 3, 2)])
@pytest.mark.parametrize("padding", [0, 1, 4])
@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_equals_its_images_cropped_one_by_one(shape, padding, flip, generator):
    images = torch.rand(shape, generator=generator)
    augmented = CropAndFlip(padding=padding, flip=flip)(images, torch.Generator().manual_seed(3))
    expected = crop_one_by_one(images, padding, flip, torch.Generator().manual_seed(3))
    assert torch.equal(augmented, expected)


def test_every_place_occurs_mirrored_and_not_equally_often(generator):
    # One lit pixel off the middle of 9x9, padding 2: where it lands tells the draw. 25 places x 2, 10,000 images.
    images = torch.zeros(10_000, 1, 9, 9)
    images[:, 0, 4, 3] = 1
    # Mirrored it lies two columns to the right, so the places of both overlap: count them apart by a second channel.
    marked = torch.cat([images, torch.arange(9.0).expand(10_000, 1, 9, 9)], dim=1)
    augmented = CropAndFlip(padding=2)(marked, generator)
    lit = augmented[:, 0].flatten(1).argmax(1)
    mirrored = augmented[:, 1, 4, 3] > augmented[:, 1, 4, 5]
    counts = (lit + 100 * mirrored).unique(return_counts=True)[1]
    assert len(counts) == 50
    # 200 expected with standard deviation 14; the largest of 50 deviations stays below 4.5 of them.
    assert (counts - 200).abs().max() < 63


def test_images_of_one_batch_move_independently(generator):
    images = torch.rand(1, 1, 16, 16, generator=generator).expand(64, -1, -1, -1)
    augmented = CropAndFlip()(images, generator)
    # 162 equally likely results for 64 images: fewer than 40 different ones never happens.
    assert len(augmented.flatten(1).unique(dim=0)) > 40


def test_pixels_from_outside_are_black(generator):
    augmented = CropAndFlip(flip=False)(torch.ones(200, 1, 8, 8), generator)
    assert set(augmented.unique().tolist()) == {0.0, 1.0}


def test_the_input_stays_as_it_was(generator):
    images = torch.rand(8, 3, 6, 6, generator=generator)
    before = images.clone()
    augmented = CropAndFlip(padding=0, flip=False)(images, generator)
    augmented.zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64, torch.bfloat16])
def test_the_type_of_the_images_is_kept(dtype, generator):
    assert CropAndFlip()(torch.ones(2, 1, 4, 4, dtype=dtype), generator).dtype == dtype


def test_draws_come_from_the_given_generator_alone(generator):
    state = torch.random.get_rng_state()
    CropAndFlip()(torch.ones(2, 1, 4, 4), generator)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_generator_on_the_cpu_gives_the_same_crops_on_the_gpu(generator):
    images = torch.rand(32, 3, 16, 16, generator=generator)
    here = CropAndFlip()(images, torch.Generator().manual_seed(1))
    there = CropAndFlip()(images.cuda(), torch.Generator().manual_seed(1))
    assert there.is_cuda
    assert torch.equal(here, there.cpu())


def test_padding_cannot_be_negative():
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        CropAndFlip(padding=-1)


def test_a_single_image_without_a_batch_is_refused(generator):
    with pytest.raises(ValueError, match=r"images must have shape \(n, channels, height, width\)"):
        CropAndFlip()(torch.ones(1, 8, 8), generator)
