"""I(X;T) over a range of noise: interpolation between measured shares, and verdicts that must hold everywhere."""

import numpy as np
import pytest
from tests.findings.constructed import flow, swept

from infoplane.findings.finding import CONTRADICTED, SUPPORTED, UNDECIDED, Judgement
from infoplane.findings.noise_range import SHARES, Profile, holding, read_profiles


def profile(shares, values, saturated=()):
    values = np.array(values, dtype=float)
    full = np.isin(np.arange(len(values)), saturated)
    groups = np.stack([values, 2 * values], axis=1)
    return Profile(epoch=10, shares=np.array(shares), values=values, groups=groups, saturated=full)


def test_values_between_measured_shares_lie_on_a_line_over_the_logarithm():
    one = profile([0.0001, 0.01, 1.0], [6.0, 4.0, 0.0])
    for share, value in ((0.0001, 6.0), (0.001, 5.0), (0.01, 4.0), (0.1, 2.0), (1.0, 0.0)):
        found = one.at(share)
        assert found is not None
        assert found[0] == pytest.approx(value)
        assert found[1] == pytest.approx([value, 2 * value])


def test_a_share_that_was_not_measured_or_is_saturated_has_no_value():
    one = profile([0.001, 0.01, 0.1], [6.0, 4.0, 2.0], saturated=[0])
    assert one.at(0.0005) is None
    assert one.at(0.2) is None
    assert one.at(0.005) is None  # one neighbour is saturated
    assert one.at(0.01) is not None
    assert profile([0.00102, 0.1], [6.0, 4.0]).at(0.001) is None
    rounded = profile([0.001 * (1 + 1e-12), 0.1], [6.0, 4.0]).at(0.001)
    assert rounded is not None
    assert rounded[0] == pytest.approx(6.0)


def test_profiles_are_read_at_the_epoch_of_the_sweep_with_shares_of_the_total_variance():
    table = swept(flow(lambda **_: -0.5, layers=("fc",)), lambda *, share, **_: -np.log(share))
    found = read_profiles(table)
    assert len(found) == 4  # two trainings, two kinds of examples
    one = next(iter(found.values()))
    assert one.epoch == 10
    value = one.at(0.05)
    assert value is not None
    assert value[0] == pytest.approx(-0.5 - np.log(0.05))
    assert read_profiles(flow(lambda **_: -0.5)) == {}


def saying(verdict):
    return lambda _: Judgement(verdict, 0.0, 1.0, f"it is {verdict}")


@pytest.mark.parametrize(
    ("others", "expected", "reason"),
    [
        ([SUPPORTED] * 5, SUPPORTED, "it is supported; the same at noise shares 0.001, 0.003, 0.01, 0.03, 0.1"),
        (
            [CONTRADICTED, UNDECIDED, SUPPORTED, SUPPORTED, SUPPORTED], UNDECIDED,
            "depends on the noise: supported at relative noise, by share of the variance contradicted at 0.001, "
            "undecided at 0.003, supported at 0.01, 0.03, 0.1",
        ),
        ([], UNDECIDED, "missing: no noise sweep in this range, so the verdict may depend on the noise"),
    ],
)  # fmt: skip
def test_a_verdict_must_hold_at_every_noise(others, expected, reason):
    judges = {share: saying(verdict) for share, verdict in zip(SHARES, others, strict=False)}
    assert holding(saying(SUPPORTED), judges)(0.05)[::3] == (expected, reason)
