import math

import pytest
import torch

from infoplane.checks import (
    check_activations,
    check_at_least,
    check_images,
    check_labels,
    check_positive,
)


@pytest.mark.parametrize("value", [1e-300, 1, 0.1, 1e300])
def test_positive_numbers_pass(value):
    check_positive(value, name="epsilon")


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_positive_and_finite_is_named_with_its_value(value):
    with pytest.raises(ValueError, match=f"^epsilon must be positive and finite, got {value}$"):
        check_positive(value, name="epsilon")


def test_an_integer_must_reach_the_minimum():
    check_at_least(3, 3, name="steps")
    with pytest.raises(ValueError, match=r"^steps must be at least 3, got 2$"):
        check_at_least(2, 3, name="steps")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_activations_of_any_float_type_pass(dtype):
    check_activations(torch.ones(1, 1, dtype=dtype))
    check_activations(torch.tensor([[-1.0, 0.0], [2.0, 3.0]], dtype=dtype))


@pytest.mark.parametrize("shape", [(3,), (), (2, 3, 4), (0, 3), (3, 0)])
def test_activations_must_be_samples_by_features(shape):
    with pytest.raises(ValueError, match=r"activations must have shape \(samples, features\) .*, got \("):
        check_activations(torch.ones(shape))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_activations_must_be_of_a_float_type(dtype):
    with pytest.raises(ValueError, match="hidden must be of a float type of 16 to 64 bits, got torch"):
        check_activations(torch.ones(2, 2).to(dtype), name="hidden")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_broken_samples_are_counted(value):
    activations = torch.ones(5, 3)
    activations[1, :2] = value
    activations[4, 0] = value
    with pytest.raises(ValueError, match=r"^activations must be finite: 2 of 5 samples hold NaN or infinity$"):
        check_activations(activations)


def test_infinities_that_cancel_are_found():
    with pytest.raises(ValueError, match="1 of 1 samples"):
        check_activations(torch.tensor([[math.inf, -math.inf]]))


def test_finite_activations_whose_sum_overflows_pass():
    check_activations(torch.full((4, 4), 1e308, dtype=torch.double))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_one_integer_per_sample_passes_as_labels(dtype):
    check_labels(torch.tensor([0, 1, 1], dtype=dtype), 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.complex64])
def test_labels_must_be_integers(dtype):
    with pytest.raises(ValueError, match=r"^labels must be integers, got torch"):
        check_labels(torch.zeros(3, dtype=dtype), 3)


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()])
def test_labels_must_be_one_per_sample(shape):
    with pytest.raises(ValueError, match=r"^targets must have shape \(3,\), one per sample, got \("):
        check_labels(torch.zeros(shape, dtype=torch.long), 3, name="targets")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_may_reach_both_ends_of_their_range(dtype):
    check_images(torch.tensor([0.0, 0.5, 1.0, 1.0], dtype=dtype).view(1, 1, 2, 2))


@pytest.mark.parametrize("shape", [(3, 4, 4), (0, 1, 4, 4), (2, 0, 4, 4), (1, 1, 1, 1, 1)])
def test_images_must_have_four_dimensions_and_not_be_empty(shape):
    with pytest.raises(ValueError, match=r"images must have shape \(batch, channels, height, width\), got \("):
        check_images(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16])
def test_images_must_be_float32_or_float64(dtype):
    with pytest.raises(ValueError, match="pixels must be float32 or float64, got torch"):
        check_images(torch.zeros(1, 1, 2, 2, dtype=dtype), name="pixels")


@pytest.mark.parametrize("value", [-0.001, 1.001, math.nan, math.inf])
def test_a_pixel_outside_the_range_is_an_error_that_says_what_to_do(value):
    images = torch.full((1, 1, 2, 2), 0.5)
    images[0, 0, 1, 1] = value
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], found \[.*put normalisation into the model"):
        check_images(images)
