"""Image sets, floats, sizes and stratified choices."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoplane.data import ImageSet, as_floats, resize_images, stratified_indices
from infoplane.errors import UserError

IMAGES = torch.arange(3 * 2 * 4 * 4, dtype=torch.uint8).view(3, 2, 4, 4)
LABELS = torch.tensor([0, 1, 1])


def image_set(images=IMAGES, labels=LABELS, class_names=("cat", "dog")):
    return ImageSet(images, labels, class_names, "train", "pets", source="pets.bin")


def test_length_is_the_number_of_images():
    assert len(image_set()) == 3


def test_a_subset_keeps_images_with_their_labels_and_everything_else():
    whole = ImageSet(IMAGES, LABELS, ("cat", "dog"), "train", "pets", complete=False, note="part", source="x")
    part = whole.subset(torch.tensor([2, 0]))
    assert torch.equal(part.images, IMAGES[[2, 0]])
    assert part.labels.tolist() == [1, 0]
    assert (part.class_names, part.split, part.name) == (("cat", "dog"), "train", "pets")
    assert (part.complete, part.note, part.source) == (False, "part", "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[0]}, r"pets.bin: images must be \(n, channels, height, width\) in uint8"),
        ({"images": IMAGES.float()}, "in uint8, got .*float32"),
        ({"labels": LABELS.int()}, "pets.bin: labels must be .* int64, got .*int32"),
        ({"labels": LABELS[:, None]}, "labels must be"),
        ({"labels": LABELS[:2]}, "pets.bin: 3 images but 2 labels"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "pets.bin: holds no images"),
        ({"labels": LABELS + 1}, r"pets.bin: labels must lie in 0\.\.1, found 1 to 2"),
        ({"labels": LABELS - 1}, "found -1 to 0"),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_their_source(change, message):
    with pytest.raises(UserError, match=message):
        image_set(**change)


def test_a_set_without_a_source_is_named_by_data_set_and_split():
    with pytest.raises(UserError, match=r"pets \(train\): 3 images but 1 labels"):
        ImageSet(IMAGES, LABELS[:1], ("cat", "dog"), "train", "pets")


def test_bytes_become_floats_from_zero_to_one():
    floats = as_floats(torch.tensor([0, 51, 128, 255], dtype=torch.uint8))
    assert floats.dtype == torch.float32
    assert floats.tolist() == pytest.approx([0, 0.2, 128 / 255, 1], abs=1e-7)
    assert floats[3] == 1


def test_floats_are_not_divided_a_second_time():
    with pytest.raises(ValueError, match=r"images must be uint8, got torch.float32"):
        as_floats(torch.ones(1, 1, 2, 2))


def test_doubling_a_step_gives_the_bilinear_quarters():
    # New pixel centres lie a quarter of an old pixel beside the old ones: weights 3/4 and 1/4.
    step = torch.tensor([[0, 200], [0, 200]], dtype=torch.uint8).view(1, 1, 2, 2)
    assert resize_images(step, 4)[0, 0].tolist() == [[0, 50, 150, 200]] * 4


def test_shrinking_averages_instead_of_skipping_pixels():
    # One column in four is lit. At a quarter of the size, plain bilinear scaling looks between two dark ones only.
    stripes = torch.tensor([0, 0, 0, 240], dtype=torch.uint8).repeat(8).expand(1, 1, 32, 32)
    # Its first and last column see more of one kind, as their window ends at the border.
    assert resize_images(stripes, 8)[..., 1:-1].unique().tolist() == [60]


def test_images_of_the_right_size_are_not_touched():
    assert resize_images(IMAGES, 4) is IMAGES


def test_resizing_in_pieces_gives_every_image_its_own_pixels():
    images = torch.randint(256, (2500, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    resized = resize_images(images, 5)
    for index in (0, 999, 1000, 2499):
        assert torch.equal(resized[index : index + 1], resize_images(images[index : index + 1], 5))


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    number=st.integers(1, 250),
    seed=st.integers(0, 5),
)
def test_a_stratified_choice_is_exact_sorted_without_repeats_and_within_one_of_proportion(counts, number, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    indices = stratified_indices(labels, number, generator=generator)
    assert len(indices) == min(number, len(labels))
    assert indices.dtype == torch.int64
    assert (indices.diff() > 0).all()
    present = sum(count > 0 for count in counts)
    taken = labels[indices].bincount(minlength=len(counts)).tolist()
    # Every class that is lifted to one example costs others one more.
    slack = 1 + sum(number * count < len(labels) for count in counts if count)
    for count, got in zip(counts, taken, strict=True):
        assert got <= count
        assert abs(got - min(number, len(labels)) * count / len(labels)) <= slack
        assert got >= 1 or count == 0 or number < present


def test_shares_are_rounded_by_largest_remainder():
    # 10 of 100: quotas 5.4, 3.3, 1.3; the tenth goes to the largest remainder.
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([54, 33, 13]))
    chosen = stratified_indices(labels, 10, generator=torch.Generator().manual_seed(0))
    assert labels[chosen].bincount().tolist() == [6, 3, 1]


def test_a_rare_class_keeps_one_example():
    labels = torch.tensor([0] * 99 + [1])
    assert stratified_indices(labels, 5, generator=torch.Generator().manual_seed(0))[-1] == 99


def test_ties_between_classes_are_broken_by_lot():
    labels = torch.arange(10).repeat(10)
    sets = {
        tuple(labels[stratified_indices(labels, 5, generator=torch.Generator().manual_seed(s))].tolist())
        for s in range(20)
    }
    assert len({frozenset(chosen) for chosen in sets}) > 10


def test_all_examples_are_taken_where_more_are_asked_for():
    labels = torch.tensor([3, 3, 7])
    assert stratified_indices(labels, 9, generator=torch.Generator()).tolist() == [0, 1, 2]


def test_the_generator_alone_decides_which_examples():
    labels = torch.arange(4).repeat(50)
    state = torch.random.get_rng_state()
    first, again, other = (
        stratified_indices(labels, 40, generator=torch.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_examples_cannot_be_asked_for():
    with pytest.raises(ValueError, match="number must be at least 1, got 0"):
        stratified_indices(LABELS, 0, generator=torch.Generator())
