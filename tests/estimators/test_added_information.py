"""What a second version of a layer adds about the label, where that is known."""

import math

import pytest
import torch

from infoplane.estimators import added_information
from infoplane.estimators.tasks.labels import labelled_gaussian_information


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def views(samples, spread, *, second="independent", features=4):
    """Labels, a Gaussian view of them, and another view of the same size."""
    source = seeded()
    labels = torch.arange(samples) % 4
    places = spread * torch.eye(4, features)[labels]
    first = places + torch.randn(samples, features, generator=source)
    noise = torch.randn(samples, features, generator=source)
    return first, {"independent": places + noise, "noisier": first + noise, "leak": noise + 8 * places}[second], labels


def test_an_independent_view_adds_what_doubles_the_signal():
    # Two independent views of spread a are one of spread a sqrt(2).
    first, second, labels = views(3000, 1.5)
    one, both = (labelled_gaussian_information(1.5 * scale, 4) for scale in (1, math.sqrt(2)))
    found = added_information(first, second, labels, generator=seeded(1))
    for estimate in (found.added, found.removed):
        assert estimate.low < both - one < estimate.high
        assert estimate.value > 0.15
    assert found.shared.low < 2 * one - both < found.shared.high
    assert (found.added.quantity, found.removed.quantity) == ("I(T';Y|T)", "I(T;Y|T')")


def test_a_noisier_version_adds_nothing_and_lacks_what_the_noise_hides():
    first, second, labels = views(3000, 2.0, second="noisier")
    lost = labelled_gaussian_information(2.0, 4) - labelled_gaussian_information(2 / math.sqrt(2), 4)
    found = added_information(first, second, labels, generator=seeded(1))
    assert found.added.low <= 0 <= found.added.high
    assert abs(found.added.value) < 0.02
    assert found.removed.low < lost < found.removed.high


def test_a_leak_adds_all_that_is_missing():
    first, second, labels = views(1000, 0.5, second="leak")
    missing = math.log(4) - labelled_gaussian_information(0.5, 4)
    found = added_information(first, second, labels, generator=seeded(1))
    assert found.added.value == pytest.approx(missing, abs=0.05)
    assert abs(found.removed.value) < 0.02


def test_the_parts_add_up_and_are_paired():
    first, second, labels = views(400, 1.5)
    found = added_information(first, second, labels, generator=seeded(1))
    again = added_information(first, second, labels, generator=seeded(1))
    assert torch.equal(found.added.influences, again.added.influences)
    total = found.added.influences + found.removed.influences + found.shared.influences
    # H(Y) - H(Y|T,T'): what both tell
    assert total.mean() < math.log(4)
    same = added_information(first, first, labels, generator=seeded(1))
    assert abs(same.added.value) < 0.05
    assert same.shared.value == pytest.approx(labelled_gaussian_information(1.5, 4), abs=0.1)
