"""Names as a reader sees them."""

import pytest

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.labels import estimator_label, estimator_order


@pytest.mark.parametrize(
    ("estimator", "quantity", "expected"),
    [
        ("noisy@relative", None, "Monte Carlo, relative noise"),
        ("noisy@relative", INPUT_INFORMATION, "Monte Carlo estimate, relative noise"),
        ("noisy@relative+decoded", None, "Monte Carlo at relative noise against decoded"),
        ("noisy@relative+decoded", INPUT_INFORMATION, "Monte Carlo, relative noise"),
        ("noisy@relative+decoded", LABEL_INFORMATION, "Decoded"),
        ("noisy+decoded", INPUT_INFORMATION, "Monte Carlo"),
        ("kde-bd@relative", INPUT_INFORMATION, "KDE lower bound (BD), relative noise"),
    ],
)
def test_an_estimator_at_relative_noise_says_so(estimator, quantity, expected):
    assert estimator_label(estimator, quantity) == expected


def test_planes_to_trust_come_first_and_relative_noise_last():
    names = ["kde-kl@relative", "kde-kl", "noisy@relative+decoded-transfer", "noisy@relative+decoded", "noisy"]
    expected = ["noisy@relative+decoded", "noisy@relative+decoded-transfer", "noisy", "kde-kl", "kde-kl@relative"]
    assert sorted(names, key=estimator_order) == expected
