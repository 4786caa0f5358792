import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata
from torch import Tensor

from infoplane.estimators import neural
from infoplane.estimators.neural import (
    NeuralEstimate,
    NeuralInformation,
    donsker_varadhan,
    flo,
    info_nce,
    intercept_weights,
    neural_information,
    nguyen_wainwright_jordan,
    normal_scores,
    smile,
)

NAMES = ("dv", "nwj", "info_nce", "smile", "flo")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian_pairs(samples: int, pairs: int, correlation: float, seed: int) -> tuple[Tensor, Tensor]:
    x, noise = torch.randn(2, samples, pairs, generator=seeded(seed))
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def pairs_information(pairs: int, correlation: float) -> float:
    return -pairs / 2 * math.log(1 - correlation**2)


def log_ratio(x: Tensor, y: Tensor, correlation: float) -> Tensor:
    """ln p(x,y) / p(x)p(y) of Gaussian pairs for all x and y, `(samples of x, samples of y)` float64."""
    x, y, rest = x.double(), y.double(), 1 - correlation**2
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1)
    return (correlation * x @ y.T - correlation**2 * squares / 2) / rest + pairs_information(x.shape[1], correlation)


def best_u(scores: Tensor) -> Tensor:
    """FLO's u for these scores, ln of the mean over other y of e^(f(x,y') - f(x,y))."""
    others = scores.clone().fill_diagonal_(-math.inf)
    return others.logsumexp(dim=1) - math.log(len(scores) - 1) - scores.diagonal()


EVALUATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "dv": donsker_varadhan,
    "nwj": nguyen_wainwright_jordan,
    "info_nce": info_nce,
    "smile": lambda scores: smile(scores, clip=5.0),
    "flo": lambda scores: flo(scores, best_u(scores)),
}


def random_scores(samples: int, seed: int) -> Tensor:
    return torch.randn(samples, samples, generator=seeded(seed), dtype=torch.double)


# values read from scores: closed forms


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("pairs", "correlation"), [(1, 0.9), (3, 0.5), (1, 0.0)])
def test_the_log_density_ratio_gives_the_information(name, pairs, correlation):
    x, y = gaussian_pairs(2000, pairs, correlation, seed=1)
    influences = EVALUATORS[name](log_ratio(x, y, correlation))
    error = influences.std().item() / math.sqrt(2000)
    # InfoNCE and the best u lose half the variance of a mean of the ratio over 2,000, which is below 10.
    assert influences.mean().item() == pytest.approx(pairs_information(pairs, correlation), abs=3 * error + 0.0025)
    # The log density ratio of a pair has the variance correlation^2. A spread of 2,000 is known to 2 %, or 3 % with
    # the tails of this ratio; three of these.
    assert error == pytest.approx(math.sqrt(pairs / 2000) * correlation, rel=0.1, abs=1e-9)


def test_values_of_two_samples_are_those_written_by_hand():
    a, b, c, d = 1.0, -0.5, 0.25, 2.0
    scores = torch.tensor([[a, b], [c, d]])
    mean = (math.exp(b) + math.exp(c)) / 2
    assert donsker_varadhan(scores).mean().item() == pytest.approx((a + d) / 2 - math.log(mean))
    assert nguyen_wainwright_jordan(scores).mean().item() == pytest.approx(1 + (a + d) / 2 - mean)
    first, second = a - math.log(math.exp(a) + math.exp(b)), d - math.log(math.exp(c) + math.exp(d))
    assert info_nce(scores).mean().item() == pytest.approx(math.log(2) + (first + second) / 2)
    clipped = (math.exp(-0.4) + math.exp(0.25)) / 2
    assert smile(scores, clip=0.4).mean().item() == pytest.approx((a + d) / 2 - math.log(clipped))
    u, v = -0.3, 0.6
    terms = u + math.exp(-u + b - a), v + math.exp(-v + c - d)
    assert flo(scores, torch.tensor([u, v])).mean().item() == pytest.approx(1 - sum(terms) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_values_agree_with_loops_over_pairs(seed):
    n, f, u = 7, (scores := random_scores(7, seed)).tolist(), random_scores(7, seed + 10)[0]
    others = [(i, j) for i in range(n) for j in range(n) if i != j]
    matched = sum(f[i][i] for i in range(n)) / n
    mean = sum(math.exp(f[i][j]) for i, j in others) / len(others)
    clipped = sum(math.exp(min(max(f[i][j], -0.5), 0.5)) for i, j in others) / len(others)
    rows = [sum(math.exp(f[i][j]) for j in range(n)) for i in range(n)]
    ratios = sum(math.exp(-u[i].item() + f[i][j] - f[i][i]) for i, j in others) / len(others)
    expected = {
        "dv": matched - math.log(mean),
        "nwj": 1 + matched - mean,
        "info_nce": math.log(n) + sum(f[i][i] - math.log(rows[i]) for i in range(n)) / n,
        "smile": matched - math.log(clipped),
        "flo": 1 - u.mean().item() - ratios,
    }
    found = {**EVALUATORS, "smile": lambda s: smile(s, clip=0.5), "flo": lambda s: flo(s, u)}
    assert {name: found[name](scores).mean().item() for name in NAMES} == pytest.approx(expected)


# values read from scores: identities


@pytest.mark.parametrize("seed", range(5))
def test_bounds_of_one_critic_stand_in_their_known_relations(seed):
    scores = 2 * random_scores(30, seed)
    dv, nwj, nce = (EVALUATORS[name](scores).mean().item() for name in NAMES[:3])
    assert nwj <= dv
    normalised = scores - (scores.diagonal().mean() - dv)  # E_q e^f = 1
    assert nguyen_wainwright_jordan(normalised).mean().item() == pytest.approx(dv)
    assert donsker_varadhan(scores + 3).mean().item() == pytest.approx(dv)
    assert info_nce(scores + random_scores(30, 9)[:, :1]).mean().item() == pytest.approx(nce)
    assert smile(scores, clip=1e3).mean().item() == pytest.approx(dv)
    assert flo(scores, -scores.diagonal()).mean().item() == pytest.approx(nwj)


@pytest.mark.parametrize("seed", range(5))
def test_flo_is_largest_where_u_is_the_log_partition(seed):
    scores = 2 * random_scores(30, seed)
    u = best_u(scores)
    best = flo(scores, u).mean().item()
    assert best == pytest.approx(-u.mean().item())
    for trial in range(5):
        assert flo(scores, u + 0.1 * random_scores(30, trial)[0]).mean().item() < best


def test_info_nce_reaches_and_never_exceeds_the_log_of_its_samples():
    assert info_nce(100 * torch.eye(50)).mean().item() == pytest.approx(math.log(50))
    for seed in range(5):
        assert info_nce(30 * random_scores(50, seed) + 20 * torch.eye(50)).mean().item() <= math.log(50) + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_scores_that_say_nothing_give_nothing(name):
    influences = EVALUATORS[name](torch.full((21, 21), -0.3 if name in ("dv", "info_nce") else 0.0))
    assert influences.dtype == torch.double
    # Exactly, where critics stay silent: with an error of 0, rounding would exclude 0 from the interval.
    assert influences.tolist() == [0.0] * 21


@pytest.mark.parametrize("name", NAMES[:4])
def test_influence_terms_agree_with_leaving_samples_out(name):
    x, y = gaussian_pairs(300, 2, 0.6, seed=4)
    scores = 1.3 * log_ratio(x, y, 0.6) + 0.2 * x[:, :1]  # imperfect, so shuffled pairs matter
    influences = EVALUATORS[name](scores)
    whole, keep = influences.mean().item(), torch.ones(300, dtype=torch.bool)
    pseudo_values = []
    for left_out in range(300):
        keep[left_out] = False
        part = EVALUATORS[name](scores[keep][:, keep]).mean().item() - math.log(299 if name == "info_nce" else 1)
        pseudo_values.append(300 * (whole - math.log(300 if name == "info_nce" else 1)) - 299 * part)
        keep[left_out] = True
    # Jackknife pseudo-values have the influence terms as their first order, around a mean of their own. The next
    # order, 1/300 of squares of ratios, is heavy-tailed: the bulk is compared.
    found = torch.tensor(pseudo_values) - np.mean(pseudo_values)
    gaps = (found - (influences - whole)).abs() / influences.std()
    assert gaps.quantile(0.95) < 0.05


def test_influence_terms_of_flo_match_its_spread_over_draws():
    values, errors = [], []
    for seed in range(200):
        x, y = gaussian_pairs(200, 2, 0.6, seed=seed)
        scores = 1.2 * log_ratio(x, y, 0.6) + 0.3 * y[:, 0]
        influences = flo(scores, 0.2 * x[:, 0] - scores.diagonal())
        values.append(influences.mean().item())
        errors.append(influences.std().item() / math.sqrt(200))
    # A spread over 200 draws is known to 1 / sqrt(2 * 199) = 5 %; three of these.
    assert np.mean(errors) == pytest.approx(np.std(values, ddof=1), rel=0.15)


# the line and the ranks


@pytest.mark.parametrize("chunks", [(1.0, 2.0, 4.0), (1.0, 2.0, 3.0, 5.0)])
def test_intercepts_are_those_of_weighted_least_squares(chunks):
    weights = intercept_weights(torch.tensor(chunks, dtype=torch.double))
    assert weights @ (2.5 - 0.75 * torch.tensor(chunks, dtype=torch.double)) == pytest.approx(2.5)
    values = np.random.default_rng(0).normal(size=len(chunks))
    # numpy's weights multiply residuals before they are squared.
    expected = np.polynomial.polynomial.polyfit(chunks, values, 1, w=1 / np.array(chunks))[0]
    assert (weights.numpy() @ values) == pytest.approx(expected)


def test_normal_scores_are_standardised_quantiles_of_ranks():
    points = torch.randn(60, 4, generator=seeded(0), dtype=torch.double)
    points[:, 1] = points[:, 1].relu()  # ties
    points[:, 2] = 7.3
    quantiles = norm.ppf(rankdata(points.numpy(), axis=0)[:, [0, 1, 3]] / 61)
    expected = (quantiles - quantiles.mean(axis=0)) / quantiles.std(axis=0)
    found = normal_scores(points)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


# the protocol, with critics that need no training


class KnownCritics:
    """The log density ratio of Gaussian pairs in place of trained critics, and a record of who sees what."""

    def __init__(self, correlation: float) -> None:
        self.correlation = correlation
        self.levels: list[tuple[Tensor, Tensor, Tensor]] = []  # samples, rows for fitting and judging
        self.read: list[tuple[int, int, Tensor]] = []  # level, critic, samples of y

    def fit(self, _x: Tensor, y: Tensor, fitting: Tensor, judging: Tensor, **_: torch.Generator):
        self.levels.append((y, fitting, judging))
        return self

    def scores(self, critic: int, x: Tensor, y: Tensor) -> Tensor:
        self.read.append((len(self.levels) - 1, critic, y))
        return log_ratio(x, y, self.correlation)


def known_information(
    monkeypatch, samples: int, correlation: float, seed: int = 0
) -> tuple[NeuralInformation, KnownCritics]:
    critics = KnownCritics(correlation)
    monkeypatch.setattr(neural, "fit_critics", critics.fit)
    x, y = gaussian_pairs(samples, 1, correlation, seed)
    return neural_information(x, y, generator=seeded(seed)), critics


@pytest.mark.parametrize("samples", [200, 203, 7000])
def test_each_sample_is_held_out_once_from_a_critic_that_saw_the_others(monkeypatch, samples):
    _, critics = known_information(monkeypatch, samples, 0.5)
    assert [len(fitting) for _, fitting, _ in critics.levels] == [5, 10, 20]
    for level, (everyone, fitting, judging) in enumerate(critics.levels):
        rows = {value: row for row, value in enumerate(everyone[:, 0].tolist())}
        seen = []
        for critic in range(len(fitting)):
            own, reference = set(), set()
            for call, (at, number, y) in enumerate(critics.read):
                if (at, number) == (level, critic):  # by turns the samples themselves and those of the partition
                    (reference if call % 2 else own).update(rows[value] for value in y[:, 0].tolist())
            learned, judged = set(fitting[critic].tolist()), set(judging[critic].tolist())
            assert not own & learned
            assert not own & judged
            assert not learned & judged
            assert reference <= learned
            whole = samples / (1, 2, 4)[level]
            assert len(own) == pytest.approx(whole / 5, abs=1)
            assert len(learned) + len(judged) == pytest.approx(0.8 * whole, abs=4)
            assert len(judged) == pytest.approx(min(0.16 * whole, 1024), abs=1)
            seen += own
        assert sorted(seen) == list(range(samples))


def test_the_ceiling_is_the_log_of_how_many_are_shuffled_together(monkeypatch):
    small, _ = known_information(monkeypatch, 1000, 0.5)
    assert small.info_nce.ceiling == pytest.approx(math.log(200))
    large, critics = known_information(monkeypatch, 7000, 0.5)
    assert large.info_nce.ceiling == pytest.approx(math.log(700))  # folds of 1,400 in two blocks
    assert max(len(y) for _, _, y in critics.read[::2]) <= 1024
    assert [getattr(large, name).ceiling for name in NAMES if name != "info_nce"] == [None] * 4


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_with_the_best_critic_all_five_are_right(monkeypatch, correlation):
    information, _ = known_information(monkeypatch, 3000, correlation, seed=3)
    for name in NAMES:
        estimate = getattr(information, name)
        truth = pairs_information(1, correlation)
        assert estimate.value == pytest.approx(truth, abs=3 * estimate.error), name
        # Blocks of 50 samples in the quarters bend InfoNCE at most by the variance of the ratio over 2 x 50.
        assert estimate.held_out == pytest.approx(estimate.value, abs=0.02), name


def test_intervals_cover_the_truth_as_often_as_they_say(monkeypatch):
    covered, values, errors = [], [], []
    for seed in range(100):
        information, _ = known_information(monkeypatch, 300, 0.7, seed)
        estimates = [getattr(information, name) for name in NAMES]
        values.append([estimate.value for estimate in estimates])
        errors.append([estimate.error for estimate in estimates])
        covered.append([estimate.low <= pairs_information(1, 0.7) <= estimate.high for estimate in estimates])
    # 95 of 100 with a spread of 2.2, three of these; the spread itself is known to 7 %, three of these.
    assert min(np.sum(covered, axis=0)) >= 88
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(values, axis=0, ddof=1), rtol=0.21)


def test_a_bias_that_falls_with_samples_is_taken_off_and_half_of_it_is_doubted(monkeypatch):
    def biased(x: Tensor, y: Tensor, chunks: int, generator: torch.Generator) -> Tensor:
        terms = torch.linspace(-1, 1, len(x), dtype=torch.double)
        return 0.7 - 0.05 * chunks + torch.arange(1, 6)[:, None] * terms

    monkeypatch.setattr(neural, "_held_out_influences", biased)
    information = neural_information(torch.randn(400, 1), torch.randn(400, 1), generator=seeded(0))
    spread = torch.linspace(-1, 1, 400, dtype=torch.double).std().item() / 20
    for place, name in enumerate(NAMES):
        estimate = getattr(information, name)
        assert estimate.value == pytest.approx(0.7)
        assert estimate.held_out == pytest.approx(0.65)
        assert estimate.error == pytest.approx(math.hypot((place + 1) * spread, 0.025))
        assert estimate.high - estimate.value == pytest.approx(norm.ppf(0.975) * estimate.error, rel=1e-5)
        assert estimate.value - estimate.low == pytest.approx(norm.ppf(0.975) * estimate.error, rel=1e-5)


# trained critics


@pytest.fixture(scope="module")
def trained() -> NeuralInformation:
    return neural_information(*gaussian_pairs(400, 2, 0.8, seed=1), generator=seeded(0))


def test_trained_critics_find_the_information_of_gaussian_pairs(trained):
    truth = pairs_information(2, 0.8)
    for name in NAMES:
        estimate = getattr(trained, name)
        assert estimate.low <= truth <= estimate.high, name
        assert estimate.error < 0.15
        # The spread of the log density ratio over 400 samples, three times.
        assert estimate.held_out < truth + 3 * math.sqrt(2 * 0.8**2 / 400), name
        assert estimate.held_out > 0.8 * truth, name


def test_increasing_maps_constant_units_precision_and_inference_mode_change_nothing(trained):
    x, y = gaussian_pairs(400, 2, 0.8, seed=1)
    before = torch.random.get_rng_state()
    with torch.inference_mode():
        moved = torch.cat([x.double() ** 3 + 5, torch.full((400, 1), 2.5)], dim=1)
        again = neural_information(moved, (3 * y.double()).exp(), generator=seeded(0))
    assert again == trained
    assert torch.equal(torch.random.get_rng_state(), before)


def test_independent_variables_have_no_information_in_many_dimensions():
    x, y = torch.randn(2, 600, 40, generator=seeded(2))
    information = neural_information(x, y, generator=seeded(0))
    for name in NAMES:
        estimate = getattr(information, name)
        assert estimate.low <= 0 <= estimate.high, name
        assert abs(estimate.value) < 0.03
        assert estimate.held_out < 0.01, name  # no positive bias: a bound, on samples that the critics did not see


def test_dependence_without_correlation_is_found():
    distance, sign, noise = torch.rand(3, 600, 1, generator=seeded(3))
    x = distance * torch.where(sign < 0.5, -1.0, 1.0)
    y = distance + 0.75 * (2 * noise - 1)
    information = neural_information(x, y, generator=seeded(0))
    for name in NAMES:
        estimate = getattr(information, name)
        # x tells of y what its size tells: 1/3 nats, jumps in whose density a smooth critic finds hard.
        assert 0.15 < estimate.value < 1 / 3 + 3 * estimate.error, name


@pytest.mark.parametrize("constant", ["x", "y"])
def test_a_variable_that_does_not_vary_tells_exactly_nothing(constant):
    variables = {"x": torch.randn(200, 2, generator=seeded(0)), "y": torch.randn(200, 2, generator=seeded(1))}
    variables[constant] = torch.full((200, 2), 1.5)
    information = neural_information(**variables, generator=seeded(0))
    for name in NAMES:
        one = getattr(information, name)
        assert (one.value, one.error, one.low, one.high, one.held_out) == (0.0,) * 5
    assert isinstance(information.dv, NeuralEstimate)


# entrance


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.ones(300), torch.ones(300, 1), "x must have shape"),
        (torch.ones(300, 1), torch.ones(300, 1, dtype=torch.int64), "y must be of a float type"),
        (torch.full((300, 1), math.nan), torch.ones(300, 1), "x must be finite"),
        (torch.ones(300, 1), torch.ones(299, 1), "x and y must have as many samples, got 300 and 299"),
        (torch.ones(199, 1), torch.ones(199, 1), "the number of samples must be at least 200, got 199"),
    ],
)
def test_bad_arguments_are_named(x, y, message):
    with pytest.raises(ValueError, match=message):
        neural_information(x, y, generator=seeded(0))


def test_the_caller_keeps_tensors_and_gradients_as_they_were(monkeypatch):
    monkeypatch.setattr(neural, "fit_critics", KnownCritics(0.5).fit)
    x, y = gaussian_pairs(200, 1, 0.5, seed=0)
    before = x.requires_grad_().detach().clone()
    neural_information(x, y, generator=seeded(0))
    assert torch.equal(x, before)
    assert x.grad is None
