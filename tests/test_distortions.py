"""Each distortion does what its definition says, destroys nothing else, and changes nothing at its identity level."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from infoplane.distortions import (
    DISTORTIONS,
    add_noise,
    distortion_named,
    exchange_texture,
    high_pass,
    low_pass,
    nearest_divisors,
    remove_colour,
    saturate,
    shuffle_patches,
    texture_donors,
)

ODD = (0.0, 1.0, 0.5, 0.5 + 2**-24, 0.5 - 2**-25, 1e-9, 1 - 2**-24, 0.25)


def pictures(number=6, channels=3, height=28, width=28, *, seed=0, dtype=torch.float32):
    source = torch.Generator().manual_seed(seed)
    images = torch.rand(number, channels, height, width, generator=source, dtype=dtype)
    images.view(-1)[: len(ODD)] = torch.tensor(ODD, dtype=dtype)
    return images


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def labels_of(number=6):
    return torch.arange(number) % 3


# saturation


@pytest.mark.parametrize("level", [2, 3, 8, 16, 64, 1024])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 5e-7), (torch.float64, 1e-14)])
def test_saturation_agrees_with_a_loop_over_pixels(level, dtype, tolerance):
    images = pictures(2, 3, 9, 7, dtype=dtype)
    expected = torch.empty_like(images)
    for place in np.ndindex(*images.shape):
        offset = 2 * images[place].item() - 1
        expected[place] = 0.5 + 0.5 * math.copysign(abs(offset) ** (2 / level), offset) if offset else 0.5
    torch.testing.assert_close(saturate(images, level), expected, rtol=0, atol=tolerance)


def test_a_pixel_beside_one_half_is_pushed_far_and_one_half_stays():
    pixels = torch.tensor([0.5, 0.5 + 2**-24, 0.5 - 2**-25]).view(1, 1, 1, 3)
    middle, above, below = saturate(pixels, 1024).flatten().tolist()
    assert middle == 0.5
    assert above == pytest.approx(0.5 + 0.5 * 2 ** (-23 / 512), abs=1e-6)
    assert below == pytest.approx(0.5 - 0.5 * 2 ** (-24 / 512), abs=1e-6)


@pytest.mark.parametrize("level", [1.999, 0, -2, math.nan, math.inf])
def test_saturation_starts_at_level_2(level):
    with pytest.raises(ValueError, match="level must be finite and at least 2"):
        saturate(pictures(), level)


# shuffling


@pytest.mark.parametrize("pieces", [1, 2, 4, 7, 14, 28])
def test_shuffling_agrees_with_a_loop_over_images_and_patches(pieces):
    images, source = pictures(5, 3, 28, 56), seeded(3)
    expected = torch.empty_like(images)
    height, width = 28 // pieces, 56 // pieces
    for image, target in zip(images, expected, strict=True):
        order = torch.rand(pieces**2, generator=source, dtype=torch.double).argsort().tolist()
        for place, origin in enumerate(order):
            row, column = divmod(place, pieces)
            from_row, from_column = divmod(origin, pieces)
            target[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = image[
                :, from_row * height : (from_row + 1) * height, from_column * width : (from_column + 1) * width
            ]
    assert torch.equal(shuffle_patches(images, pieces, generator=seeded(3)), expected)


@pytest.mark.parametrize("pieces", [2, 4, 7, 28])
def test_shuffling_keeps_the_pixels_of_each_image_and_channel(pieces):
    images = pictures()
    shuffled = shuffle_patches(images, pieces, generator=seeded())
    assert torch.equal(shuffled.flatten(2).sort().values, images.flatten(2).sort().values)
    pixels = shuffled.permute(0, 2, 3, 1).flatten(1, 2).double() @ torch.tensor([1.0, 1e3, 1e6], dtype=torch.double)
    before = images.permute(0, 2, 3, 1).flatten(1, 2).double() @ torch.tensor([1.0, 1e3, 1e6], dtype=torch.double)
    assert torch.equal(pixels.sort().values, before.sort().values)  # a pixel's channels stay together


def test_every_image_has_its_own_permutation_and_all_are_as_likely():
    images = torch.arange(4.0).view(1, 1, 2, 2).expand(4800, 1, 2, 2) / 4
    shuffled = (shuffle_patches(images, 2, generator=seeded()) * 4).flatten(1) @ torch.tensor([64.0, 16, 4, 1])
    _, counts = shuffled.unique(return_counts=True)
    assert len(counts) == 24
    # chi-squared with 23 degrees of freedom: 49.7 is exceeded once in a thousand seeds
    assert ((counts - 200.0) ** 2 / 200).sum() < 49.7


def test_images_keep_their_permutations_however_they_are_batched():
    images, source = pictures(50), seeded(5)
    together = shuffle_patches(images, 7, generator=seeded(5))
    parts = [shuffle_patches(part, 7, generator=source) for part in images.split((1, 17, 32))]
    assert torch.equal(torch.cat(parts), together)


def test_pieces_that_do_not_divide_are_refused_with_those_that_do():
    with pytest.raises(ValueError, match=r"divide 28 x 28 pixels evenly, got 8; these do: 1, 2, 4, 7, 14, 28"):
        shuffle_patches(pictures(), 8, generator=seeded())
    with pytest.raises(ValueError, match=r"divide 12 x 8 pixels evenly, got 3; these do: 1, 2, 4$"):
        shuffle_patches(pictures(height=12, width=8), 3, generator=seeded())
    with pytest.raises(ValueError, match="pieces must be at least 1, got 0"):
        shuffle_patches(pictures(), 0, generator=seeded())


@pytest.mark.parametrize(
    ("size", "expected"), [(28, (1, 2, 4, 7)), (32, (1, 2, 4, 8)), (96, (1, 2, 4, 8)), (27, (1, 3, 9)), (31, (1,))]
)
def test_numbers_of_pieces_follow_the_image_size(size, expected):
    assert nearest_divisors((1, 2, 4, 8), size, size) == expected


# filters


@pytest.mark.parametrize("width", [0.5, 1, 2, 4])
def test_low_pass_is_the_gaussian_of_scipy(width):
    images = pictures(2, 3, 16, 21, dtype=torch.float64)
    found = low_pass(images, width)
    for place in np.ndindex(2, 3):
        spectrum = scipy.ndimage.fourier_gaussian(np.fft.fft2(images[place].numpy()), width)
        assert found[place].numpy() == pytest.approx(np.fft.ifft2(spectrum).real, abs=1e-12)


def test_low_pass_damps_a_wave_by_its_frequency_and_high_pass_keeps_the_rest():
    across = torch.arange(32, dtype=torch.double)
    wave = torch.cos(2 * math.pi * 3 * across / 32).expand(1, 1, 32, 32)
    kept = math.exp(-2 * (math.pi * 1.5 * 3 / 32) ** 2)
    torch.testing.assert_close(low_pass(0.5 + 0.4 * wave, 1.5), 0.5 + 0.4 * kept * wave)
    torch.testing.assert_close(high_pass(0.5 + 0.4 * wave, 1.5), 0.5 + 0.4 * (1 - kept) * wave)


@pytest.mark.parametrize("width", [0.5, 3])
def test_filters_keep_the_mean_of_each_channel_and_share_the_rest(width):
    images = 0.25 + 0.5 * pictures(dtype=torch.float64)  # so that nothing is clipped
    means = images.mean(dim=(2, 3), keepdim=True)
    low, high = low_pass(images, width), high_pass(images, width)
    torch.testing.assert_close(low + high, images + means)
    torch.testing.assert_close(low.mean(dim=(2, 3), keepdim=True), means)


def test_high_pass_is_clipped():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    high = high_pass(edge, 8)
    assert (high.min(), high.max()) == (0, 1)


def test_filters_need_a_width():
    for width in (-1, math.nan, math.inf):
        with pytest.raises(ValueError, match="width must be finite and at least 0"):
            low_pass(pictures(), width)
    for width in (0, -1, math.nan):
        with pytest.raises(ValueError, match="width must be positive, or infinite"):
            high_pass(pictures(), width)


# colour, noise


def luminance(images):
    return 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]


def test_without_colour_all_channels_are_the_luminance():
    images = pictures()
    for share in (0.3, 1):
        torch.testing.assert_close(luminance(remove_colour(images, share)), luminance(images))
    grey = remove_colour(images)
    torch.testing.assert_close(grey, luminance(images)[:, None].expand_as(images))
    torch.testing.assert_close(remove_colour(images, 0.3), 0.7 * images + 0.3 * grey)


def test_colour_can_only_be_taken_from_three_channels():
    with pytest.raises(ValueError, match="three channels to lose their colour, got 1"):
        remove_colour(pictures(channels=1))
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"share must lie in \[0, 1\]"):
            remove_colour(pictures(), share)


def test_noise_has_its_deviation_where_nothing_is_clipped():
    images = torch.full((40, 1, 28, 28), 0.5)
    noise = add_noise(images, 0.1, generator=seeded()) - images
    # 31,360 draws: three spreads of mean and deviation are 3 / sqrt(31360) and that over sqrt(2)
    assert noise.mean().item() == pytest.approx(0, abs=0.1 * 0.017)
    assert noise.std().item() == pytest.approx(0.1, rel=0.012)
    assert (noise[0] - noise[1]).abs().max() > 0.1  # each image has its own


def test_noise_is_clipped():
    noisy = add_noise(torch.zeros(1, 1, 28, 28), 1, generator=seeded())
    assert (noisy == 0).float().mean().item() == pytest.approx(0.5, abs=0.06)
    assert noisy.max() == 1
    for deviation in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="deviation must be finite and at least 0"):
            add_noise(noisy, deviation, generator=seeded())


# exchange of texture


def test_the_exchange_agrees_with_a_loop_over_images():
    images, labels, width = pictures(9), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2]), 1.5
    source = seeded(8)
    donors = texture_donors(labels, generator=source)
    expected = torch.empty_like(images)
    for place, donor in enumerate(donors.tolist()):
        texture = images[[donor]] - low_pass(images[[donor]], width)
        order = torch.rand(16, generator=source, dtype=torch.double).argsort().tolist()
        blocks = [texture[0, :, 7 * (o // 4) : 7 * (o // 4) + 7, 7 * (o % 4) : 7 * (o % 4) + 7] for o in order]
        rows = [torch.cat(blocks[row * 4 : row * 4 + 4], dim=2) for row in range(4)]
        expected[place] = (low_pass(images[[place]], width)[0] + torch.cat(rows, dim=1)).clamp(0, 1)
    found = exchange_texture(images, labels, width, generator=seeded(8))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_texture_comes_from_any_example_of_another_class():
    labels = torch.tensor([4, 1, 4, 4, 1, 7, 7])
    drawn = torch.stack([texture_donors(labels, generator=seeded(seed)) for seed in range(600)])
    for place, label in enumerate(labels.tolist()):
        others = (labels != label).nonzero().flatten().tolist()
        found, counts = drawn[:, place].unique(return_counts=True)
        assert found.tolist() == others
        expected = 600 / len(others)
        # four spreads of a binomial count
        assert (counts - expected).abs().max() < 4 * math.sqrt(expected * (1 - 1 / len(others)))


def test_texture_needs_two_classes():
    with pytest.raises(ValueError, match="at least two classes"):
        exchange_texture(pictures(), torch.zeros(6, dtype=torch.long), 1, generator=seeded())
    with pytest.raises(ValueError, match=r"labels must have shape \(6,\)"):
        exchange_texture(pictures(), labels_of(5), 1, generator=seeded())


# all of them


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda one: one.name)
def test_the_identity_level_changes_no_bit_and_is_the_first(distortion):
    images = pictures()
    assert distortion.levels[0] == distortion.identity
    found = distortion.apply(images, labels_of(), distortion.identity, seeded())
    assert torch.equal(found, images)
    assert found.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_level_gives_other_images_in_range_and_leaves_its_input(distortion, dtype):
    images = pictures(height=32, width=32, dtype=dtype)
    before, seen = images.clone(), [images]
    for level in distortion.levels[1:]:
        found = distortion.apply(images, labels_of(), level, seeded(1))
        assert torch.equal(found, distortion.apply(images, labels_of(), level, seeded(1)))
        strided = images.contiguous(memory_format=torch.channels_last)
        assert torch.equal(distortion.apply(strided, labels_of(), level, seeded(1)), found)
        assert (found.shape, found.dtype) == (images.shape, dtype)
        assert found.min() >= 0
        assert found.max() <= 1
        assert not any(torch.equal(found, other) for other in seen)
        seen.append(found)
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["shuffling", "noise", "texture-exchange"])
def test_another_seed_draws_otherwise(name):
    distortion, images = distortion_named(name), pictures(height=32, width=32)
    one, other = (distortion.apply(images, labels_of(), distortion.levels[2], seeded(seed)) for seed in (0, 1))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("broken", [math.nan, -0.1, 1.1])
def test_images_outside_their_range_are_refused(distortion, broken):
    images = pictures()
    images[3, 0, 2, 2] = broken
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        distortion.apply(images, labels_of(), distortion.levels[1], seeded())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda one: one.name)
def test_a_gpu_agrees(distortion):
    images = pictures(height=32, width=32)
    for level in distortion.levels:
        expected = distortion.apply(images, labels_of(), level, seeded())
        found = distortion.apply(images.cuda(), labels_of().cuda(), level, seeded())
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-5)
