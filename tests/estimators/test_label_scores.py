import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from infoplane.estimators import principal_axes
from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.hidden_layer import one_hidden_layer
from infoplane.estimators.label_scores import Linear
from infoplane.estimators.principal_axes import Coordinates
from infoplane.estimators.shrunken_means import ShrunkenMeans
from infoplane.estimators.softmax_fits import softmax_fits
from infoplane.estimators.softmax_regression import PENALTIES, SoftmaxRegression
from infoplane.estimators.tasks import labelled_gaussians
from infoplane.estimators.units import row_blocks


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def log_prior_of(labels: Tensor) -> Tensor:
    counts = torch.bincount(labels).float()
    return (counts / counts.sum()).log()


def tasks_of(points: Tensor, *label_sets: Tensor, fitted: int | None = None) -> Tasks:
    """Tasks on the same standardised points, the first of which fit, and the others judge."""
    judging = torch.arange(len(points)).expand(len(label_sets), -1) >= (len(points) if fitted is None else fitted)
    return Tasks(
        points=points,
        labels=torch.stack(label_sets),
        fitting=~judging,
        judging=judging,
        log_prior=torch.stack([log_prior_of(labels) for labels in label_sets]),
        generators=[seeded(task) for task in range(len(label_sets))],
    )


def means_of(points: Tensor, labels: Tensor) -> Linear:
    (scores,) = ShrunkenMeans(tasks_of(points, labels)).refitted(torch.tensor([0]), [0])
    assert isinstance(scores, Linear)
    return scores


@pytest.fixture
def unequal_classes() -> tuple[Tensor, Tensor]:
    """Three classes, the last of them rare, whose means and variances differ from unit to unit."""
    generator = seeded(3)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 300, replacement=True, generator=generator)
    points = torch.randn(300, 5, generator=generator) * torch.linspace(0.3, 2, 5)
    points += torch.randn(3, 5, generator=generator)[labels]
    return points - points.mean(dim=0), labels


# means


def test_shrunken_means_are_those_of_james_and_stein_class_by_class(unequal_classes):
    points, labels = unequal_classes
    found = means_of(points, labels)
    members = [points[labels == label] for label in range(3)]
    within = sum((part - part.mean(dim=0)).square().sum(dim=0) for part in members) / (300 - 3)
    for label, part in enumerate(members):
        mean = part.mean(dim=0)
        length = sum((mean[unit] ** 2 / within[unit]).item() for unit in range(5))
        # The mean of N_c among N centred examples varies by sigma^2 (1 / N_c - 1 / N) in each of five units.
        shrinkage = max(0.0, 1 - 5 * (1 / len(part) - 1 / 300) / length)
        assert found.weight[label].tolist() == pytest.approx((shrinkage * mean / within).tolist(), rel=1e-4)
        assert found.bias[label].item() == pytest.approx(-(shrinkage**2) * length / 2, rel=1e-4)


def test_known_gaussian_classes_are_scored_by_their_likelihood_ratio():
    task = labelled_gaussians(20_000, 10, spread=2.0, generator=seeded(0))
    points = task.activations - 0.2  # the common mean
    found = means_of(points, task.labels)
    fresh = torch.randn(1000, 10, generator=seeded(1))
    scores, ratios = found(fresh - 0.2), 2.0 * fresh
    difference = (scores - scores.mean(dim=1, keepdim=True)) - (ratios - ratios.mean(dim=1, keepdim=True))
    # Errors of means are 1 / sqrt(2000) in each of ten units, and meet points sqrt(10) long.
    assert difference.square().mean().sqrt() < 3 * math.sqrt(10 / 2000)


def test_means_that_are_chance_alone_are_shrunk_to_almost_nothing():
    points, labels = torch.randn(500, 2000, generator=seeded(0)), torch.arange(500) % 10
    points -= points.mean(dim=0)
    found = means_of(points, labels)
    # Chance makes squared lengths of 2000 (1 / 50 - 1 / 500) = 36 +- 1.1, so three spreads leave a tenth of them.
    assert found(torch.randn(100, 2000, generator=seeded(1))).std() < 0.1 * math.sqrt(36)
    for label, weight in enumerate(found.weight):
        assert weight @ points[labels == label].mean(dim=0) >= 0  # a mean shorter than chance counts as none


def test_a_unit_that_is_constant_within_classes_does_not_drown_the_others():
    labels = torch.arange(1000) % 4
    exact = (labels >= 2) * 2.0 - 1.0
    noisy = (labels % 2) * 4.0 - 2.0 + torch.randn(1000, generator=seeded(0))
    points = torch.stack([exact, noisy], dim=1)
    found = means_of(points, labels)
    assert (found(points).argmax(dim=1) == labels).float().mean() > 0.9


# regression


def penalised_loss(log_probabilities: Tensor, labels: Tensor, weight: Tensor, penalty: float) -> float:
    own = log_probabilities.double()[torch.arange(len(labels)), labels]
    return (-own.mean() + penalty / 2 * weight.double().square().sum()).item()


# On all principal axes, fewer than samples or than features; with the leading axes alone, in the features or in the
# span of the samples.
@pytest.mark.parametrize(("samples", "features"), [(300, 5), (400, 2000), (1030, 1040), (1030, 2100)])
def test_regression_minimises_the_penalised_loss_at_each_penalty_also_when_fitted_again(samples, features, monkeypatch):
    monkeypatch.setattr(principal_axes, "_STEPS", 10_000)  # the span pays for one task, too
    generator = seeded(7)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), samples, replacement=True, generator=generator)
    points = torch.randn(samples, features, generator=generator)
    points[:, :5] += torch.randn(3, 5, generator=generator)[labels]
    points[1:4] = points[0]  # so that there are fewer dimensions than rows
    tasks = tasks_of(points, labels, fitted=samples // 2)
    fits, only = SoftmaxRegression(tasks), torch.tensor([0])
    for step, penalty in enumerate(PENALTIES):
        judged = fits.advance(only)[0].T
        (again,) = fits.refitted(only, [step])
        assert isinstance(again, Linear)
        least = least_loss(points, labels, penalty)
        found = penalised_loss((again(points) + tasks.log_prior[0]).log_softmax(dim=1), labels, again.weight, penalty)
        # Ours stops when a step gains less than 1e-5 nats; half the penalty costs 0.007 at 0.1, and 0.001 at 0.01.
        assert found == pytest.approx(least, abs=5e-4)
        if penalty >= 0.1:  # with less, losses this near to the least leave the scores of other examples open
            some = slice(0, samples // 2)
            reference = LogisticRegression(C=2 / (samples * penalty), tol=1e-6, max_iter=1000)
            expected = torch.from_numpy(reference.fit(points[some], labels[some]).predict_proba(points[samples // 2 :]))
            gap = (judged + tasks.log_prior[0]).softmax(dim=1) - expected
            assert gap.abs().mean() < 0.02


def least_loss(points: Tensor, labels: Tensor, penalty: float) -> float:
    reference = LogisticRegression(C=1 / (len(labels) * penalty), tol=1e-6, max_iter=1000).fit(points, labels)
    log_probabilities = torch.from_numpy(reference.predict_log_proba(points))
    return penalised_loss(log_probabilities, labels, torch.from_numpy(reference.coef_), penalty)


@pytest.mark.parametrize(("samples", "features"), [(300, 5), (60, 200), (1030, 2100)])
def test_tasks_that_are_fitted_together_get_what_each_gets_alone(samples, features):
    generator = seeded(2)
    points = torch.randn(samples, features, generator=generator)
    labels = [(points[:, unit] + torch.randn(samples, generator=generator) > 0).long() for unit in range(4)]
    together, weights = tasks_of(points, *labels), []
    for tasks in (together, *(together.some(torch.tensor([task])) for task in range(4))):
        coordinates = Coordinates.of(points, 320)
        start = torch.zeros(len(tasks), 2, coordinates.points.shape[1] + 1)
        found, _ = softmax_fits(coordinates, tasks, torch.full((len(tasks),), 0.1), start)
        weights.append(coordinates.outward(found))
    assert torch.allclose(weights[0], torch.cat(weights[1:]), atol=2e-3)


def test_coordinates_of_the_span_have_the_products_of_the_examples_and_their_weights_give_the_same_scores():
    generator = seeded(4)
    points = torch.randn(1030, 2100, generator=generator) * torch.linspace(0.1, 3, 2100)
    points[1:4] = points[0]  # copies, and a mean of 0: fewer dimensions than rows
    points -= points.mean(dim=0)
    assert Coordinates.of(points, 3).spanned_by is None  # for one fit the products would cost more than they save
    found = Coordinates.of(points, 320)
    assert found.spanned_by is points
    assert found.points.shape == (1030, 1030)
    products = points.double() @ points.double().T
    length = products.diagonal().mean()
    assert (found.points.double() @ found.points.double().T - products).abs().max() < 2e-5 * length
    parameters = torch.randn(2, 3, 1031, generator=generator) / 32
    outward = found.outward(parameters)
    assert torch.equal(outward[..., -1], parameters[..., -1])
    expected = parameters[..., :-1] @ found.points.T
    scores = outward[..., :-1] @ points.T
    # the small term on the diagonal takes a part of what lies along directions without variance
    assert (scores - expected).abs().max() < 0.02 * expected.std()
    lengths = outward[..., :-1].norm(dim=-1) / parameters[..., :-1].norm(dim=-1)
    assert lengths.max() <= 1 + 1e-4


# a hidden layer


def test_a_hidden_layer_learns_what_no_linear_score_can():
    points = torch.randn(1000, 2, generator=seeded(0))
    labels = (points[:, 0] * points[:, 1] > 0).long()
    candidates = list(one_hidden_layer(points, labels, log_prior_of(labels), seeded(1)))
    fresh = torch.randn(1000, 2, generator=seeded(2))
    correct = candidates[-1].scores(fresh).argmax(dim=1) == (fresh[:, 0] * fresh[:, 1] > 0).long()
    assert correct.float().mean() > 0.95


def test_a_hidden_layer_scores_evidence_over_the_prior():
    points, labels = torch.randn(1000, 5, generator=seeded(0)), (torch.arange(1000) % 10 == 0).long()
    *_, last = one_hidden_layer(points, labels, log_prior_of(labels), seeded(1))
    evidence = last.scores(torch.randn(1000, 5, generator=seeded(2))).diff(dim=1)
    assert evidence.mean().abs() < 0.6  # left out, the prior would come back as evidence of ln 9 = 2.2


def test_a_hidden_layer_is_trained_again_for_as_many_epochs(unequal_classes):
    points, labels = unequal_classes
    generator = seeded(5)
    candidates = list(one_hidden_layer(points, labels, log_prior_of(labels), generator))
    for epoch in (0, 3):
        generator.manual_seed(5)
        again = candidates[epoch].refit(points, labels)
        assert torch.equal(again(points), candidates[epoch].scores(points))
    assert not torch.equal(candidates[0].scores(points), candidates[3].scores(points))


# blocks


@pytest.mark.parametrize(("samples", "features"), [(1, 1), (1000, 4096), (3, 2**21)])
def test_blocks_of_rows_cover_all_once(samples, features):
    rows = torch.cat([torch.arange(samples)[block] for block in row_blocks(samples, features, torch.device("cpu"))])
    assert torch.equal(rows, torch.arange(samples))
