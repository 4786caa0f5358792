"""Choose the decoder of each task among candidates, and calibrate it, on examples that did not fit it."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.hidden_layer import EPOCHS, one_hidden_layer
from infoplane.estimators.label_scores import Family, Linear, OneByOne, Scores
from infoplane.estimators.shrunken_means import ShrunkenMeans
from infoplane.estimators.softmax_regression import PENALTIES, SoftmaxRegression

LINEAR = (
    Family(ShrunkenMeans, steps=1, patience=1),
    Family(SoftmaxRegression, steps=len(PENALTIES), patience=1),
)
MLP = (*LINEAR, Family(partial(OneByOne, one_hidden_layer), steps=EPOCHS, patience=4))

_EVIDENCE = 4.0  # least gain over the prior, in nats over all judged examples; by chance in about 1 of 400 cases
_PROGRESS = 0.003  # nats that a more flexible candidate must gain before the next one is tried
_LARGEST = 2**24  # numbers in a table of the calibration


class Calibration(NamedTuple):
    """q = (1 - ignorance) softmax(sharpness x scores + log prior) + ignorance x prior."""

    sharpness: float  # one over the temperature
    ignorance: float


class Choice(NamedTuple):
    """The decoder of one task."""

    scores: Scores  # fitted to all examples of the task
    calibration: Calibration


def chosen_decoders(tasks: Tasks, families: Sequence[Family]) -> list[Choice]:
    """For each task, choose the candidate with the largest gain on the examples that judge, and fit it to all."""
    samples, features = tasks.judging.sum(dim=1), tasks.points.shape[1]
    silent = Linear(tasks.points.new_zeros(tasks.classes, features), tasks.points.new_zeros(tasks.classes))
    choices = [Choice(silent, Calibration(sharpness=0.0, ignorance=1.0))] * len(tasks)
    # Without enough evidence the prior is kept: the best of several candidates always gains a little by chance.
    best_gain = _EVIDENCE / samples.double()
    best = [(-1, -1)] * len(tasks)  # family and step
    begun = [family.begin(tasks) for family in families]
    for number, (family, fits) in enumerate(zip(families, begun, strict=True)):
        standing, failures = torch.full_like(best_gain, -torch.inf), torch.zeros_like(samples)
        for step in range(family.steps):
            going = (failures < family.patience).nonzero().squeeze(1)
            if not len(going):
                break
            gains, calibrations = calibrated(fits.advance(going), tasks.some(going))
            for task, gain, found in zip(going.tolist(), gains.tolist(), calibrations, strict=True):
                if gain > best_gain[task]:
                    best_gain[task], best[task] = gain, (number, step)
                    choices[task] = Choice(silent, found)
            # Each step gains less than the one before, so after a small gain the rest cannot reach the best.
            needed = ((best_gain[going] - gains) / max(1, family.steps - step - 1)).clamp(min=_PROGRESS)
            progress = gains > standing[going] + needed
            standing[going] = torch.where(progress, gains, standing[going])
            failures[going] = torch.where(progress, 0, failures[going] + 1)
    for number, fits in enumerate(begun):
        own = [task for task, (family, _) in enumerate(best) if family == number]
        if own:
            where = torch.tensor(own, device=tasks.points.device)
            for task, scores in zip(own, fits.refitted(where, [best[task][1] for task in own]), strict=True):
                choices[task] = choices[task]._replace(scores=scores)
    return choices


def calibrated(scores: Tensor, tasks: Tasks) -> tuple[Tensor, list[Calibration]]:
    """Return the largest gain of each task over its prior, in nats, with its temperature and share of the prior.

    Args:
        scores: `(tasks, classes, most)` of the examples that judge.
        tasks: the tasks.

    Returns:
        `(tasks,)` float64 gains, and the calibrations.
    """
    judges, real = tasks.judges
    weights = (real / real.sum(dim=1, keepdim=True)).double()
    labels = tasks.labels.gather(1, judges)[:, None]
    scores, log_prior = scores.double(), tasks.log_prior.double()[..., None]
    own = scores.gather(1, labels).squeeze(1)
    # After n examples without an error, at least one error in n + 1 is assumed, so that a later error stays finite.
    least = -(real.sum(dim=1).double() + 1).log10()
    shares = 10 ** (least[:, None] * torch.linspace(1, 0, 13, dtype=torch.double, device=scores.device))

    def gains(exponents: Tensor) -> Tensor:
        """Return gains `(tasks, exponents, shares)` for exponents of the sharpness, `(tasks, exponents)`."""
        found = []
        for some in torch.split(2**exponents, max(1, _LARGEST // scores.numel()), dim=1):
            evidence = (some[:, :, None, None] * scores[:, None] + log_prior[:, None]).logsumexp(dim=2)
            ratios = (some[..., None] * own[:, None] - evidence).exp()[:, :, None]
            terms = ((1 - shares[:, None, :, None]) * ratios + shares[:, None, :, None]).log()
            found.append((terms * weights[:, None, None]).sum(dim=3))
        return torch.cat(found, dim=1)

    coarse = torch.arange(-8, 6.5, dtype=torch.double, device=scores.device).expand(len(tasks), -1)
    table = gains(coarse)
    middle = coarse[:, :1] + table.amax(dim=2).argmax(dim=1, keepdim=True)
    near = middle + torch.tensor([-0.75, -0.5, -0.25, 0.25, 0.5, 0.75], dtype=torch.double, device=scores.device)
    exponents, table = torch.cat([coarse, near], dim=1), torch.cat([table, gains(near)], dim=1).flatten(start_dim=1)
    best, place = table.max(dim=1)
    sharpness = 2 ** exponents.gather(1, (place // shares.shape[1])[:, None]).squeeze(1)
    ignorance = shares.gather(1, (place % shares.shape[1])[:, None]).squeeze(1)
    calibrations = [
        Calibration(sharp, ignorant) if gain > 0 else Calibration(sharpness=0.0, ignorance=1.0)
        for gain, sharp, ignorant in zip(best.tolist(), sharpness.tolist(), ignorance.tolist(), strict=True)
    ]
    return best.clamp(min=0), calibrations
