"""Neural estimators: bounds and estimates of the information between two variables, from trained critics."""

import math
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least
from infoplane.estimators.critics import Critics, fit_critics
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.influence import standard_error
from infoplane.estimators.precision import exact_products
from infoplane.records.short_repr import with_short_repr
from infoplane.records.standing import saturated
from infoplane.records.tables import ESTIMATE, PAIR_INFORMATION, POPULATION

_FEWEST = 200  # least number of samples: each fold of a quarter of them then has 10
_FOLDS = 5
_JUDGING = 0.2  # share of the samples outside a fold that chooses when its critic stops, and its cap
_CHUNKS = (1, 2, 4)  # numbers of pieces that the samples are cut into for the extrapolation
_BLOCK = 1024  # largest number of samples that are shuffled among each other when critics are evaluated
_REFERENCE = 4096  # samples in a partition function
_SMILE_CLIP = 5.0  # Song & Ermon's middle choice


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class NeuralEstimate(Estimate):
    """I(X;Y) in nats: `value`, extrapolated to infinitely many samples, and `held_out`, from held-out samples.

    The ceiling is that of `held_out`; `value` may exceed it.
    """

    held_out: float

    @property
    def saturated(self) -> bool:
        """Whether `held_out` lies above 0.95 of the ceiling."""
        return saturated(self.held_out, self.ceiling)


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class NeuralInformation:
    """Five estimates of I(X;Y) from the same critics."""

    dv: NeuralEstimate  # Donsker & Varadhan, as in MINE
    nwj: NeuralEstimate  # Nguyen, Wainwright & Jordan
    info_nce: NeuralEstimate
    smile: NeuralEstimate  # no bound; too high if the information exceeds about 4 nats
    flo: NeuralEstimate

    def estimates(self) -> tuple[Estimate, ...]:
        """Return all five estimates."""
        return (self.dv, self.nwj, self.info_nce, self.smile, self.flo)


def neural_information(x: Tensor, y: Tensor, *, generator: torch.Generator) -> NeuralInformation:
    """Estimate I(X;Y) with critics, networks that learn to separate matched samples from shuffled ones.

    For each of five folds, a critic learns ln p(x,y) / p(x)p(y) from the other samples, a fifth of which decides when
    to stop. On the fold, `held_out` averages over the matched pairs and all shuffled pairs. In expectation `nwj`,
    `info_nce` and `flo` are then lower bounds of the information; their gap is the imperfection of the critics. `dv`
    is above `nwj`, since the logarithm of a mean over few pairs is biased downwards: by half the variance of that mean,
    and more if the information is near the logarithm of the number of pairs. `smile` is no bound. Units are replaced by
    normal scores of their ranks, so that increasing maps of a unit do not change the results.

    If the family of critics contains the optimum, the gap falls as 1 / samples. So everything is repeated on the two
    halves and on the four quarters of the samples. A straight line through the three means, by least squares with the
    weights 1 / pieces^2, gives `value` at infinitely many samples: an estimate, no bound. Each mean is over all
    samples, so the line hardly amplifies sampling noise. If critics learn more slowly, the value is too low; if
    quarters are too few to learn anything, it can be too high.

    `error` combines two parts in quadrature: the standard error of the extrapolated influence terms, and half of the
    correction, |value - held_out| / 2, for the uncertainty of the straight line. For one and five Gaussian pairs (0.83
    and 0.72 nats, 2,000 to 10,000 samples) the intervals covered the truth in 49 of 50 draws. They do not cover what
    critics cannot learn from the samples. With 2,000 samples, the value for a density with jumps (0.33 nats) was 25 %
    low and never covered the truth; for two Student-t variables of one degree of freedom (0.43 nats) it was 9 % low and
    covered it in 5 or 6 of 10 draws; for 0.025 nats in five pairs it was 40 % low. Critics that find no dependence give
    0, and if all do, the error is 0 too.

    Args:
        x: `(samples, features of x)`, at least 200 samples, finite, float16 to float64, on CPU or CUDA.
        y: `(samples, features of y)`, likewise.
        generator: source of folds, weights and batches.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Poole et al. (2019), arXiv:1905.06922, Section 2 (bounds from one critic); Song & Ermon (2020),
    arXiv:1910.06222 (critics trained on the Jensen-Shannon objective); the line in 1 / samples: Strong et al.
    (1998), Phys. Rev. Lett. 80, 197; Holmes & Nemenman (2019), Phys. Rev. E 100, 022404; for neural estimates
    Abdelaleem, Martini & Nemenman (2025), arXiv:2506.00330, and their library NeuralMI.
    """
    check_activations(x, name="x")
    check_activations(y, name="y")
    if len(x) != len(y):
        raise ValueError(f"x and y must have as many samples, got {len(x)} and {len(y)}")
    check_at_least(len(x), _FEWEST, name="the number of samples")
    with ExitStack() as stack:
        # The critics need gradients, which the caller's inference mode would forbid.
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(exact_products(x.device))
        inputs, outputs = normal_scores(x), normal_scores(y).to(x.device)
        levels = torch.stack([_held_out_influences(inputs, outputs, chunks, generator) for chunks in _CHUNKS])
    weights = intercept_weights(torch.tensor(_CHUNKS, dtype=torch.double))
    extrapolated = torch.einsum("l,les->es", weights, levels)
    ceilings = {"info_nce": _ceiling(len(x))}
    names = ("dv", "nwj", "info_nce", "smile", "flo")
    return NeuralInformation(
        **{
            name: _estimate(name, influences, held_out.mean().item(), ceilings.get(name))
            for name, influences, held_out in zip(names, extrapolated, levels[0], strict=True)
        }
    )


def _estimate(name: str, influences: Tensor, held_out: float, ceiling: float | None) -> NeuralEstimate:
    value = influences.mean().item()
    return NeuralEstimate(
        quantity=PAIR_INFORMATION,
        kind=ESTIMATE,
        distribution=POPULATION,
        estimator=f"neural-{name}",
        value=value,
        error=math.hypot(standard_error(influences), (value - held_out) / 2),
        ceiling=ceiling,
        influences=influences,
        held_out=held_out,
    )


def intercept_weights(chunks: Tensor) -> Tensor:
    """Return the weights, `(levels,)`, of the estimates from 1/`chunks` of the samples in the extrapolated value."""
    design = torch.stack([torch.ones_like(chunks), chunks], dim=1)
    weighted = design.T / chunks.square()
    line: Tensor = torch.linalg.solve(weighted @ design, weighted)
    return line[0]


def normal_scores(points: Tensor) -> Tensor:
    """Map each unit through its ranks to normal quantiles of mean 0 and variance 1, `(samples, units)` float32.

    Ties share their middle rank, and constant units are left out. Ranks are taken among all samples, also held-out
    ones. That adds no dependence, since ranks do not use the pairing of x and y.
    """
    values = points.detach().T.contiguous()
    ascending = values.sort(dim=1).values
    twice_ranks = torch.searchsorted(ascending, values) + torch.searchsorted(ascending, values, right=True) + 1
    varying = ascending[:, 0] != ascending[:, -1]
    scores: Tensor = torch.special.ndtri(twice_ranks[varying].T.cpu().double() / (2 * len(points) + 2))
    scores -= scores.mean(dim=0)
    return (scores / scores.square().mean(dim=0).sqrt()).float().to(points.device)


def _blocks(rows: Tensor) -> tuple[Tensor, ...]:
    return rows.tensor_split(math.ceil(len(rows) / _BLOCK))


def _ceiling(samples: int) -> float:
    """Return the mean, over all samples, of the logarithm of the number of samples they are shuffled among."""
    folds = torch.arange(samples).tensor_split(_FOLDS)
    return sum(len(block) * math.log(len(block)) for fold in folds for block in _blocks(fold)) / samples


def _held_out_influences(x: Tensor, y: Tensor, chunks: int, generator: torch.Generator) -> Tensor:
    """Return influence terms of the five estimates from separate chunks of the samples, `(estimates, samples)`."""
    samples = len(x)
    if 0 in (x.shape[1], y.shape[1]):  # the information of a constant variable is exactly 0
        return torch.zeros((5, samples), dtype=torch.double)
    folds, fitting, judging = [], [], []
    for chunk in _shuffled(torch.arange(samples), generator).tensor_split(chunks):
        parts = chunk.tensor_split(_FOLDS)
        for fold, held_out in enumerate(parts):
            rest = _shuffled(torch.cat(parts[:fold] + parts[fold + 1 :]), generator)
            judges = min(int(_JUDGING * len(rest)), _BLOCK)
            folds.append(held_out)
            judging.append(rest[:judges])
            fitting.append(rest[judges:])
    learned, judged = _stacked(fitting).to(x.device), _stacked(judging).to(x.device)
    critics = fit_critics(x, y, learned, judged, generator=generator)
    influences = torch.empty((5, samples), dtype=torch.double)
    for critic, held_out in enumerate(folds):
        reference = y[learned[critic, :_REFERENCE]]
        for block in _blocks(held_out):
            rows = block.to(x.device)
            influences[:, block] = _influences(critics, critic, x[rows], y[rows], reference).cpu()
    return influences


def _shuffled(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator, device=generator.device).cpu()]


def _stacked(rows: list[Tensor]) -> Tensor:
    """Stack rows whose lengths differ by at most two; the longer ones are cut."""
    shortest = min(len(part) for part in rows)
    return torch.stack([part[:shortest] for part in rows])


def _influences(critics: Critics, critic: int, x: Tensor, y: Tensor, reference: Tensor) -> Tensor:
    """Return influence terms of the five estimates, `(estimates, samples)`, for samples held out from the critic."""
    scores = critics.scores(critic, x, y)
    # FLO's optimal u for this critic, from samples of the fit and the sample's own partner. The partner keeps the
    # partition function of a rare x from vanishing.
    candidates = torch.cat([critics.scores(critic, x, reference), scores.diagonal()[:, None]], dim=1)
    log_partition = candidates.logsumexp(dim=1) - math.log(candidates.shape[1])
    return torch.stack(
        [
            donsker_varadhan(scores),
            nguyen_wainwright_jordan(scores),
            info_nce(scores),
            smile(scores, clip=_SMILE_CLIP),
            flo(scores, log_partition - scores.diagonal()),
        ]
    )


# Each estimate below takes the scores f(x_i, y_j) of a critic, `(samples, samples)`, matched pairs on the diagonal.
# It returns influence terms, `(samples,)` float64, whose mean is the value. A sample's term is its effect as a matched
# pair and, to first order, its effect in all shuffled pairs as an x and as a y.


def donsker_varadhan(scores: Tensor) -> Tensor:
    """Donsker & Varadhan's bound E_p f - ln E_q e^f, p matched and q shuffled pairs.

    Source: Donsker & Varadhan (1983), Comm. Pure Appl. Math. 36, 183; Belghazi et al. (2018), arXiv:1801.04062 (MINE).
    """
    return _log_mean_influences(scores.double(), scores.double())


def smile(scores: Tensor, *, clip: float) -> Tensor:
    """E_p f - ln E_q e^f with f in the second mean clipped to [-clip, clip]. It has less variance, but is no bound.

    Source: Song & Ermon (2020), arXiv:1910.06222, the SMILE estimator.
    """
    return _log_mean_influences(scores.double(), scores.double().clamp(-clip, clip))


def _log_mean_influences(scores: Tensor, exponents: Tensor) -> Tensor:
    pairs = len(scores) * (len(scores) - 1)
    shuffled = _without_matched(exponents)
    log_mean = shuffled.logsumexp(dim=(0, 1)) - math.log(pairs)
    as_x, as_y = _shares((shuffled - log_mean).exp())
    return scores.diagonal() - log_mean - (as_x - 1) - (as_y - 1)


def nguyen_wainwright_jordan(scores: Tensor) -> Tensor:
    """Nguyen, Wainwright & Jordan's bound 1 + E_p f - E_q e^f, their critic being f + 1.

    Source: Nguyen, Wainwright & Jordan (2010), arXiv:0809.0853; Poole et al. (2019), arXiv:1905.06922, Section 2.2.
    """
    as_x, as_y = _shares(_without_matched(scores.double()).exp())
    return 1 + scores.double().diagonal() - as_x - (as_y - as_y.mean())


def info_nce(scores: Tensor) -> Tensor:
    """InfoNCE, mean_i ln [e^f(x_i,y_i) / mean_j e^f(x_i,y_j)], j = i included: at most ln(samples).

    Source: van den Oord et al. (2018), arXiv:1807.03748, Section 2.3.
    """
    highest = scores.double().amax(dim=1, keepdim=True)
    ratios = (scores - highest).exp()
    means = ratios.mean(dim=1, keepdim=True)  # the mean is taken first, so that constant scores give exactly 0
    return (scores.diagonal() - highest[:, 0] - means[:, 0].log()) - ((ratios / means).mean(dim=0) - 1)


def flo(scores: Tensor, u: Tensor) -> Tensor:
    """Fenchel-Legendre bound 1 - E_p [u(x,y) + e^-u(x,y) E_y' e^(f(x,y') - f(x,y))], `u` `(samples,)` of matched pairs.

    It is largest at u = ln E_y' e^(f(x,y') - f(x,y)). With u = -f it equals `nguyen_wainwright_jordan`.

    Source: Guo et al. (2022), arXiv:2107.01131, the FLO bound.
    """
    exponents = _without_matched(scores.double()) - (scores.double().diagonal() + u)[:, None]
    as_x, as_y = _shares(exponents.exp())
    return 1 - u.double() - as_x - (as_y - as_y.mean())


def _without_matched(scores: Tensor) -> Tensor:
    return scores.clone().fill_diagonal_(-math.inf)


def _shares(ratios: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means over the shuffled pairs of each x and of each y, both `(samples,)`."""
    others = len(ratios) - 1
    return ratios.sum(dim=1) / others, ratios.sum(dim=0) / others
