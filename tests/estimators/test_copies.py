"""Copies of samples depend on each other: folds, permutations and errors go by distinct samples."""

import math

import pytest
import torch

from infoplane.estimators import (
    binning_information,
    decoded_information,
    kde_information,
    label_permutations,
    noisy_information,
    permutation_null,
    standard_error,
)
from infoplane.estimators.distinct_rows import copied, copies
from infoplane.estimators.tasks import labelled_gaussians


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def unrelated(samples, features, classes=10):
    return torch.randn(samples, features, generator=seeded(3)), torch.arange(samples) % classes


def decoded(points, labels, **settings):
    return decoded_information(points, labels, generator=seeded(1), **settings)


@pytest.mark.parametrize("which", ["a tenth", "everything"])
def test_copies_tell_nothing_about_labels_without_a_relation(which):
    points, labels = unrelated(900 if which == "a tenth" else 500, 200)
    again = slice(0, 100) if which == "a tenth" else slice(None)
    found = decoded(torch.cat([points, points[again]]), torch.cat([labels, labels[again]]))
    assert found.low <= 0 <= found.high
    assert abs(found.value) < 0.02  # 0.1 and 1.7 if the copies were in other folds
    for rows in found.held_out:
        assert len(torch.unique(found.groups[rows])) < len(rows)


def test_transfers_of_copies_have_their_error():
    task = labelled_gaussians(200, 10, spread=2.0, generator=seeded())
    twice = task.activations.repeat(2, 1), task.labels.repeat(2)
    found = decoded(*twice)
    assert found.transferred(*twice).error == found.error
    # As many independent samples as without copies. Without groups it would be smaller by the root of 2.
    assert found.error == pytest.approx(decoded(task.activations, task.labels).error, rel=0.15)


def test_the_standard_error_of_pairs_of_copies_is_that_of_one_of_each():
    terms = torch.randn(300, generator=seeded()).double()
    pairs = torch.arange(300).repeat(2)
    assert standard_error(terms.repeat(2), pairs) == pytest.approx(standard_error(terms))
    assert standard_error(terms, torch.arange(300)) == pytest.approx(standard_error(terms))
    assert standard_error(terms[:2], torch.zeros(2)) == 0


def test_the_nulls_of_a_repeated_layer_are_those_of_the_layer():
    points, labels = unrelated(200, 20)
    twice, own = points.repeat(2, 1), labels.repeat(2)
    settings = {"permutations": 20, "generator": seeded(2)}
    kde = kde_information(twice, own, noise_variance=0.1, **settings)
    noisy = noisy_information(twice, own, noise_variance=0.1, **settings)
    binned = binning_information(twice, own, bin_width=0.5, **settings)
    labelled = [one for one in kde.estimates() + noisy.estimates() + binned.estimates() if one.null]
    assert len(labelled) == 6
    for one in labelled:  # 3.32 bits against 3.15 if the null separated the copies
        assert one.null_like
        assert one.null.mean == pytest.approx(one.value, abs=0.02)
    assert binned.label.undersampled  # each row is alone in its cell, but for its copy
    once = noisy_information(points, labels, noise_variance=2.0, generator=seeded(2))
    again = noisy_information(twice, own, noise_variance=2.0, generator=seeded(2))
    assert again.input_shortfall == pytest.approx(once.input_shortfall, abs=0.1)  # 0 if halves shared their copies
    assert again.input_shortfall > 0.1


def test_permutations_keep_the_labels_of_copies_together():
    groups = torch.tensor([0, 1, 1, 2, 3, 3, 4])
    labels = torch.tensor([0, 5, 5, 1, 6, 6, 2])
    permuted = label_permutations(labels, 50, generator=seeded(), groups=groups)
    assert (permuted[:, 1] == permuted[:, 2]).all()
    assert torch.equal(permuted.sort(dim=1).values, labels.sort().values.expand(50, -1))
    assert set(permuted[:, 1].tolist()) == {5, 6}
    assert set(permuted[:, 0].tolist()) == {0, 1, 2}


def test_without_copies_permutations_are_those_of_before():
    order = torch.randperm(9, generator=seeded(5))
    labels = torch.arange(9) + 10
    assert torch.equal(label_permutations(labels, 1, generator=seeded(5))[0], labels[order])


def test_rows_that_repeat_often_are_values_and_no_copies():
    # Dead units: 50 rows are all zero. Ten rows occur twice.
    points = torch.cat([torch.zeros(50, 3), torch.randn(20, 3, generator=seeded())])
    points[60:] = points[50:60]
    identities = torch.unique(points, dim=0, return_inverse=True)[1]
    own = torch.arange(70) % 10
    groups = copies(identities, own)
    assert copied(groups) == 10
    assert torch.equal(groups[60:], groups[50:60])
    # A layer of 50 values, which labels do not depend on: equal rows have different labels.
    values = torch.randint(50, (200,), generator=seeded())
    assert copied(copies(values, torch.randint(4, (200,), generator=seeded(1)))) == 0
    labels = torch.arange(1000) % 4
    assert decoded(torch.eye(4)[labels], labels).value == pytest.approx(math.log(4), abs=0.03)


def test_groups_hold_near_copies_out_together():
    points, labels = unrelated(300, 300, classes=3)
    near = points.repeat(2, 1) + 1e-3 * torch.randn(600, 300, generator=seeded(4))
    frames, own = torch.arange(300).repeat(2), labels.repeat(2)
    assert decoded(near, own).value > 0.3
    assert abs(decoded(near, own, groups=frames).value) < 0.02
    null = permutation_null(
        lambda x, y: decoded(x, y, shortfall=False).value, near, own, permutations=2, generator=seeded(), groups=frames
    )
    assert null.mean > 0.3  # copies stay together, so that an estimate without groups finds as much in permuted labels


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (torch.zeros(39, dtype=torch.long), "groups must have shape"),
        (torch.zeros(40), "groups must be integers"),
        (torch.arange(40) % 9, "distinct samples, with two for each fold, must be at least 10, got 9"),
    ],
)
def test_bad_groups_are_errors(groups, message):
    with pytest.raises(ValueError, match=message):
        decoded(*unrelated(40, 3, classes=2), groups=groups)
