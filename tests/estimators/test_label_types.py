"""Labels are names of classes: integers of any type, from 0, from 1, negative or large."""

import pytest
import torch

from infoplane import estimators
from infoplane.measuring.layer_outputs import stratified_groups

POINTS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 3


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def kde(labels):
    found = estimators.kde_information(POINTS, labels, noise_variance=0.1, permutations=2, generator=seeded())
    return found.label_upper_bound


def binning(labels):
    found = estimators.binning_information(POINTS, labels, bin_width=0.5, permutations=2, generator=seeded())
    return found.label


ESTIMATES = {
    "decoded": lambda labels: estimators.decoded_information(POINTS, labels, generator=seeded()).value,
    "ross": lambda labels: estimators.ross_information(POINTS, labels, generator=seeded()).value,
    "kde": kde,
    "noisy": lambda labels: estimators.noisy_information(POINTS, labels, noise_variance=0.1, generator=seeded()).label,
    "binning": binning,
    "clustering": lambda labels: estimators.class_clustering_index(POINTS, labels),
    "groups": lambda labels: stratified_groups(labels, seeded()).tolist(),
}


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_type_and_the_numbering_of_labels_change_nothing(name):
    estimate, expected = ESTIMATES[name], ESTIMATES[name](LABELS)
    for dtype in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64"):
        assert estimate(LABELS.to(getattr(torch, dtype))) == expected, dtype
    for shift in (1, -7, 2**40):
        assert estimate(LABELS + shift) == expected, shift


@pytest.mark.parametrize("name", [name for name in ESTIMATES if name != "groups"])
def test_labels_beyond_int64_are_refused(name):
    beyond = torch.tensor([2**63, 2**64 - 1, 5], dtype=torch.uint64)[LABELS]
    with pytest.raises(ValueError, match=r"labels must lie below 2\*\*63"):
        ESTIMATES[name](beyond)
