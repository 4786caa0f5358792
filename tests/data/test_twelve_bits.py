"""The 12-bit task: every vector once, labels by a balanced, symmetric rule of known information."""

import itertools
import math

import numpy as np
import pytest
import torch

from infoplane.data import load_split
from infoplane.data.twelve_bits import all_vectors, input_label_information, label_probabilities
from infoplane.errors import UserError

GOLDEN = (1 + 5**0.5) / 2


def corners():
    """The corners of an icosahedron in the order of the bits."""
    return [
        corner
        for short, long in itertools.product((-1, 1), (-GOLDEN, GOLDEN))
        for corner in ((0, short, long), (short, long, 0), (long, 0, short))
    ]


def permuted_bits(change):
    """Return where a symmetry, a function of a corner, takes each bit."""
    places = {tuple(round(part, 6) for part in corner): bit for bit, corner in enumerate(corners())}
    return [places[tuple(round(part, 6) for part in change(corner))] for corner in corners()]


def test_the_splits_hold_every_vector_once():
    splits = [load_split("twelve-bits", split) for split in ("train", "test")]
    assert [len(split) for split in splits] == [3482, 614]  # 85 % of 4,096
    images = torch.cat([split.images for split in splits])
    assert images.shape == (4096, 1, 1, 12)
    assert images.unique().tolist() == [0, 255]
    assert {tuple(row) for row in images.flatten(1).tolist()} == set(itertools.product((0, 255), repeat=12))


@pytest.mark.parametrize(
    "change",
    [
        lambda corner: (-corner[0], corner[1], corner[2]),  # a reflection
        lambda corner: (corner[1], corner[2], corner[0]),  # a rotation by a third of a turn
    ],
)
def test_symmetries_of_the_icosahedron_do_not_change_the_rule(change):
    order = permuted_bits(change)
    assert sorted(order) == list(range(12)) != order
    vectors = all_vectors()
    moved = torch.empty_like(vectors)
    moved[:, order] = vectors
    rows = moved @ (2 ** torch.arange(11, -1, -1))
    assert torch.equal(label_probabilities()[rows], label_probabilities())


def test_a_flip_of_all_bits_does_not_change_the_rule():
    assert torch.equal(label_probabilities().flip(0), label_probabilities())


def test_an_exchange_of_two_neighbouring_corners_changes_the_rule():
    vectors = all_vectors()[:, [1, 0, *range(2, 12)]]
    rows = vectors @ (2 ** torch.arange(11, -1, -1))
    assert not torch.equal(label_probabilities()[rows], label_probabilities())


def test_the_rule_is_the_squared_field_at_the_corners():
    # so the logit of P(y = 1 | x) is a rising straight line over it
    def rule(spins):
        places = [[part / (1 + GOLDEN**2) ** 0.5 for part in corner] for corner in corners()]
        fields = [
            sum(
                spin * math.exp(1.5 * (sum(a * b for a, b in zip(here, there, strict=True)) - 1))
                for spin, there in zip(spins, places, strict=True)
            )
            for here in places
        ]
        return sum(field**2 for field in fields)

    ones = label_probabilities()
    uncertain = ((ones > 1e-9) & (ones < 1 - 1e-9)).nonzero().flatten()[::12].tolist()
    rules = np.array([rule([2 * bit - 1 for bit in all_vectors()[row].tolist()]) for row in uncertain])
    logits = ones[uncertain].logit().numpy()
    gain, at_zero = np.polyfit(rules, logits, 1)
    assert np.ptp(rules) > 1
    assert gain > 0
    assert logits == pytest.approx(gain * rules + at_zero, abs=1e-5)


def test_both_labels_are_about_equally_frequent():
    assert label_probabilities().mean().item() == pytest.approx(0.5, abs=0.01)


def test_the_information_is_that_of_all_vectors_and_about_099_bits():
    def entropy(share):
        return -sum(part * math.log(part) for part in (share, 1 - share) if part > 0)

    ones = label_probabilities().tolist()
    by_hand = entropy(sum(ones) / 4096) - sum(map(entropy, ones)) / 4096
    assert input_label_information() == pytest.approx(by_hand, abs=1e-12)
    assert input_label_information() / math.log(2) == pytest.approx(0.9886, abs=5e-5)  # docs/compression.md


def test_labels_are_drawn_from_the_probabilities():
    # With s the root of the sum of p (1 - p), the number of labels 1 is normal; four deviations allow one in 16,000.
    ones = label_probabilities()
    drawn = torch.cat([load_split("twelve-bits", split).labels for split in ("train", "test")]).sum().item()
    assert abs(drawn - ones.sum().item()) < 4 * (ones * (1 - ones)).sum().sqrt().item()


def test_certain_labels_never_change_and_uncertain_ones_do():
    certain = {}
    for seed in (0, 1):
        for split in ("train", "test"):
            part = load_split("twelve-bits", split, seed=seed)
            rows = (part.images.flatten(1) > 0).long() @ (2 ** torch.arange(11, -1, -1))
            certain |= {(seed, row): label for row, label in zip(rows.tolist(), part.labels.tolist(), strict=True)}
    ones = label_probabilities()
    differ = [row for row in range(4096) if certain[0, row] != certain[1, row]]
    assert differ
    assert all(1e-6 < ones[row] < 1 - 1e-6 for row in differ)
    assert all(certain[0, row] == (ones[row] > 0.5) for row in range(4096) if not 1e-6 < ones[row] < 1 - 1e-6)


def test_the_seed_decides_the_split():
    first, again, other = (load_split("twelve-bits", "test", seed=seed).images for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_vectors_are_not_resized():
    with pytest.raises(UserError, match=r"12 bits and cannot be resized; leave out --data.image-size"):
        load_split("twelve-bits", "train", image_size=8)
