"""The results of all estimators read alike."""

import math

import pytest
import torch

from infoplane import estimators
from infoplane.estimators import Estimate, Null
from infoplane.records.tables import BINNED, ESTIMATE, LOWER, MIXTURE, POPULATION, UPPER

LABELS = torch.arange(200) % 4
POINTS = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)) + LABELS[:, None]


def seeded():
    return torch.Generator().manual_seed(1)


RESULTS = {
    "kde": lambda: estimators.kde_information(POINTS, LABELS, noise_variance=0.5, permutations=3, generator=seeded()),
    "binning": lambda: estimators.binning_information(POINTS, LABELS, bin_width=1.0),
    "noisy": lambda: estimators.noisy_information(POINTS, LABELS, noise_variance=0.5, generator=seeded()),
    "decoded": lambda: estimators.decoded_information(POINTS, LABELS, generator=seeded()),
    "ross": lambda: estimators.ross_information(POINTS, LABELS, generator=seeded()),
    "ksg": lambda: estimators.ksg_information(POINTS[:, :1], POINTS[:, 1:2], generator=seeded()),
    "mixed-ksg": lambda: estimators.mixed_ksg_information(POINTS[:, :1], POINTS[:, 1:2], generator=seeded()),
    "copula": lambda: estimators.copula_information(POINTS[:, :1], POINTS[:, 1:]),
    "cca": lambda: estimators.cca_information(POINTS[:, :1], POINTS[:, 1:], generator=seeded()),
    "neural": lambda: estimators.neural_information(POINTS[:, :1], POINTS[:, 1:2] * 0 + 1, generator=seeded()),
    "matrix": lambda: estimators.matrix_entropy_information(POINTS, LABELS),
}


def of(value=1.0, **changes):
    facts = {"quantity": "I(T;Y)", "kind": ESTIMATE, "distribution": MIXTURE, "estimator": "toy"}
    return Estimate(**{**facts, "value": value, **changes})


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_lists_its_quantities_with_the_same_fields(name):
    result = RESULTS[name]()
    found = result.estimates()
    assert found
    if isinstance(result, Estimate):
        assert found == (result,)
    else:  # every attribute that is an estimate is listed, under its name or in its class
        assert [one for one in vars(result).values() if isinstance(one, Estimate)] == [
            one for one in found if one.class_index is None
        ]
    for one in found:
        assert one.kind in (LOWER, UPPER, ESTIMATE)
        assert one.distribution in (MIXTURE, BINNED, POPULATION)
        assert one.quantity
        assert one.estimator
        assert float(one) == one.value
        if one.error is not None:
            reach = 1.959964 * one.error
            # A Monte Carlo interval is longer on the side of the bias that two halves of the samples show.
            bias = 2 * getattr(one, "missing", 0.0)
            assert (one.low, one.high) == pytest.approx(
                (one.value - reach + min(bias, 0), one.value + reach + max(bias, 0))
            )
        if one.influences is not None:
            assert one.influences.mean().item() == pytest.approx(one.value, abs=1e-12)
            assert one.influences.shape == ((200,) if one.rows is None else (len(one.rows),))
        for old in ("label_error", "information", "lower", "upper", "label_ceiling", "joint_information"):
            assert not hasattr(one, old)


def test_an_estimate_without_an_error_has_no_interval():
    assert (of().error, of().low, of().high) == (None, None, None)


def test_infinite_information_has_no_upper_end():
    assert of(math.inf, error=math.nan).high == math.inf
    assert math.isnan(of(math.inf, error=math.nan).low)


def test_above_095_of_its_ceiling_a_value_is_saturated_unless_it_is_held_out():
    assert of(0.96, ceiling=1.0).saturated
    assert not of(0.94, ceiling=1.0).saturated
    assert not of(0.96).saturated
    held_out = estimators.HeldOutInformation(**{**vars(of(0.96, ceiling=1.0)), "estimator": "decoded", "accuracy": 1.0})
    assert not held_out.saturated


def test_a_value_within_its_null_is_null_like():
    null = Null(mean=0.1, quantile95=0.2, values=(0.1, 0.2))
    assert of(0.2, null=null).null_like is True
    assert of(0.3, null=null).null_like is False
    assert of(0.3).null_like is None
