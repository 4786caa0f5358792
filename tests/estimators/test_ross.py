import math

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif
from torch import Tensor

from infoplane.estimators import Estimate, decoded_information, ross
from infoplane.estimators.ross import ross_information
from infoplane.estimators.tasks import labelled_gaussians


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def information_of(points: Tensor, labels: Tensor, seed: int = 0, **settings) -> Estimate:
    return ross_information(points, labels, generator=seeded(seed), **settings)


def unreduced(points: Tensor, labels: Tensor, **settings) -> float:
    return information_of(points, labels, reduction="none", **settings).value


def permuted(labels: Tensor, seed: int = 9) -> Tensor:
    return labels[torch.randperm(len(labels), generator=seeded(seed))]


def three_classes(samples: int = 300, features: int = 3) -> tuple[Tensor, Tensor]:
    labels = torch.arange(samples) % 3
    points = torch.randn(samples, features, generator=seeded(1), dtype=torch.double)
    return points + 1.5 * labels[:, None], labels


def plain_loop(points: Tensor, labels: Tensor, neighbours: int) -> float:
    """Distance by distance, on samples that share their class; copies count on both sides."""
    shared = torch.bincount(labels)[labels] > 1
    points, labels, terms = points[shared].numpy(), labels[shared].numpy(), []
    for i in range(len(points)):
        distances = np.sqrt(((points - points[i]) ** 2).sum(axis=1))
        own = np.sort(distances[labels == labels[i]])
        radius = own[min(neighbours, max(1, len(own) // 10))]
        itself = 1 if radius > 0 else 0
        inside = (distances <= radius * (1 + 1e-12)).sum() - itself
        of_class = (own <= radius * (1 + 1e-12)).sum() - itself
        terms.append(digamma(len(points)) - digamma(len(own)) + digamma(of_class) - digamma(inside))
    return float(np.mean(terms))


# known truths


@pytest.mark.parametrize(("features", "spread", "shortfall"), [(16, 2.0, 0.05), (16, 4.0, 0.02), (512, 4.0, 0.06)])
def test_the_label_task_agrees_with_the_decoder_and_the_truth(features, spread, shortfall):
    task = labelled_gaussians(5000, features, spread=spread, generator=seeded(0))
    information = information_of(task.activations, task.labels)
    decoded = decoded_information(task.activations, task.labels, generator=seeded(0))
    error = math.hypot(information.error, decoded.error)
    assert information.value == pytest.approx(decoded.value, abs=2 * error)
    assert task.information - shortfall <= information.value <= task.information + 2 * information.error


def test_what_the_decoder_misses_is_missing_here_too():
    # 512 features and 5,000 samples do not suffice to learn ten directions: 1.34 nats are there, some 1.1 are decoded.
    task = labelled_gaussians(5000, 512, spread=2.0, generator=seeded(0))
    information = information_of(task.activations, task.labels)
    decoded = decoded_information(task.activations, task.labels, generator=seeded(0))
    error = math.hypot(information.error, decoded.error)
    assert information.value == pytest.approx(decoded.value, abs=2 * error)
    assert information.value < task.information - 3 * error


@pytest.mark.parametrize("features", [16, 512, 4096])
def test_permuted_labels_tell_nothing_however_many_features_there_are(features):
    task = labelled_gaussians(1000, features, spread=4.0, generator=seeded(0))
    assert abs(information_of(task.activations, permuted(task.labels)).value) < 0.03


def test_labels_that_decoders_fit_but_the_held_out_examples_contradict_tell_nothing():
    # Each fold's decoders are sure of themselves, since the labels of all other folds are right.
    points, labels = three_classes(600)
    fooled = permuted(labels)
    value = ross._average([(points, fooled)], 10, seeded(0))
    assert value.value == pytest.approx(0, abs=3 * value.error)
    assert 0.005 < value.error < 0.05


def test_distance_in_many_features_is_noise_that_the_reduction_removes():
    task = labelled_gaussians(1500, 512, spread=4.0, generator=seeded(0))
    assert unreduced(task.activations, task.labels) < 1.3
    assert information_of(task.activations, task.labels).value > 2.0


@pytest.mark.parametrize("reduction", ["decoder", "none"])
def test_a_constant_layer_and_a_single_class_tell_exactly_nothing(reduction):
    points, labels = three_classes(90)
    for layer, classes in ((torch.full((90, 2), 0.1), labels), (points, torch.full((90,), 4))):
        information = information_of(layer, classes, reduction=reduction)
        assert (information.value, information.error) == (0.0, 0.0)


def test_labels_that_are_a_function_of_the_layer_tell_their_entropy():
    labels = torch.tensor([0, 0, 0, 5]).repeat(250)
    layer = torch.eye(6)[labels]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    # psi(N) - psi(N_y) stands in for ln(N / N_y): up to (classes - 1) / (2 samples of a fold) more.
    assert entropy - 1e-3 < information_of(layer, labels).value < entropy + 1 / 400 + 1e-3
    assert unreduced(layer, labels) == pytest.approx(entropy + 1 / 2000, abs=1e-4)


def test_few_samples_of_each_class_bring_no_large_bias():
    values, decoded = [], []
    for seed in range(3):
        task = labelled_gaussians(500, 16, spread=2.0, generator=seeded(seed))
        values.append(information_of(task.activations, task.labels).value)
        decoded.append(decoded_information(task.activations, task.labels, generator=seeded(0)).value)
    # Over 16 draws it exceeded the decoder's by 0.07, with a spread of 0.07. With all others of the ten samples that
    # a class has in a fold as neighbours it missed by 0.5.
    assert np.mean(values) == pytest.approx(np.mean(decoded), abs=0.07 + 2 * 0.07 / math.sqrt(3))


# agreement with what is defined independently


@pytest.mark.parametrize("k", [3, 8])
def test_one_unit_agrees_with_scikit_learn(k):
    generator = seeded(0)
    labels = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 1000, replacement=True, generator=generator)
    points = torch.randn(1000, 1, generator=generator, dtype=torch.double) + labels[:, None]
    expected = mutual_info_classif(points.numpy(), labels.numpy(), n_neighbors=k, random_state=0)[0]
    assert expected > 0  # scikit-learn never returns less
    assert unreduced(points, labels, neighbours=k) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("neighbours", [1, 4])
def test_values_agree_with_a_plain_loop(ties, neighbours):
    points, labels = three_classes(200)
    labels[:15], labels[7] = 3, 9  # a rare class, and a sample alone in its class
    if ties:
        points = points.round().relu()
    assert unreduced(points, labels, neighbours=neighbours) == pytest.approx(plain_loop(points, labels, neighbours))


def test_blocks_change_nothing(monkeypatch):
    points, labels = three_classes(200)
    labels[:15] = 3  # fewer neighbours in some blocks than in others
    expected = information_of(points, labels, reduction="none")
    monkeypatch.setattr(ross, "_BLOCK_BYTES", 4 * 8 * 200 * 7)
    assert information_of(points, labels, reduction="none") == expected


def test_the_folds_are_those_of_the_decoders_and_weigh_by_their_samples():
    task = labelled_gaussians(503, 12, classes=3, spread=2.0, generator=seeded(0))
    decoded = decoded_information(task.activations, task.labels, generator=seeded(0), folds=4)
    total = 0.0
    for decoder, rows in zip(decoded.decoders, decoded.held_out, strict=True):
        points = (decoder.log_probabilities(task.activations[rows]) / 2).exp()
        total += len(rows) * plain_loop(points, task.labels[rows], 10)
    assert information_of(task.activations, task.labels, folds=4).value == pytest.approx(total / 503)


# properties


def test_products_and_differences_find_the_same_neighbours():
    points, labels = three_classes(300, features=20)
    points[:240] = points[:8].repeat(30, 1)  # copies
    rotation = torch.linalg.qr(torch.randn(60, 60, generator=seeded(2), dtype=torch.double))[0]
    wide = torch.cat([points, torch.zeros(300, 40, dtype=torch.double)], dim=1)
    expected = unreduced(points, labels, neighbours=4)  # of a class each point has ten copies
    assert unreduced(wide @ rotation, labels, neighbours=4) == pytest.approx(expected)
    # Norms take the digits of products: without a centre, rounding would part copies and join neighbours.
    assert unreduced(wide + 1e6, labels, neighbours=4) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reduction", ["decoder", "none"])
def test_scale_place_and_names_of_labels_do_not_matter(reduction):
    points, labels = three_classes()
    expected = information_of(points, labels, reduction=reduction).value
    for other in (
        information_of(1e-3 * points, labels, reduction=reduction),
        information_of(points + 1000, labels, reduction=reduction),
        information_of(points, labels**3 - 7, reduction=reduction),
    ):
        assert other.value == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("reduction", ["decoder", "none"])
@pytest.mark.parametrize(
    ("dtype", "offset", "gap"),
    [(torch.float32, 1.7e9, 128.0), (torch.bfloat16, 100.0, 0.5), (torch.float64, 1e16, 2.0)],
)
def test_a_signal_counts_beside_a_large_offset(reduction, dtype, offset, gap):
    labels = torch.arange(120) % 2
    points = (offset + gap * labels.double())[:, None].to(dtype)
    expected = information_of(labels[:, None].float(), labels, reduction=reduction).value
    assert expected > 0.6
    assert information_of(points, labels, reduction=reduction).value == pytest.approx(expected, abs=1e-6)


def test_equal_distances_stay_equal_beside_a_large_offset():
    # Divided by 1e16 before the shift, gaps of 2 would become gaps of one, two or three times the last digit.
    points = 2.0 * torch.randperm(60, generator=seeded(5)).double()[:, None]
    labels = torch.randint(3, (60,), generator=seeded(6))
    expected = unreduced(points, labels, neighbours=3)
    assert unreduced(points + 1e16, labels, neighbours=3) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-308, 1e-200, 1e200, 1e307])
def test_squares_of_distances_stay_in_range(scale):
    points, labels = three_classes()
    assert unreduced(scale * points.double(), labels) == pytest.approx(unreduced(points, labels))


def test_where_halves_hold_no_two_of_a_class_there_is_no_error():
    information = information_of(torch.arange(4.0)[:, None], torch.tensor([0, 0, 1, 1]), reduction="none")
    assert math.isfinite(information.value)
    assert (information.error, information.low, information.high) == (math.inf, -math.inf, math.inf)


def test_the_order_of_samples_does_not_matter_without_folds():
    points, labels = three_classes()
    order = torch.randperm(300, generator=seeded(3))
    assert unreduced(points[order], labels[order]) == pytest.approx(unreduced(points, labels))


def test_a_lone_sample_of_its_class_is_left_out():
    points, labels = three_classes(60)
    alone = torch.cat([points, torch.zeros(1, 3)]), torch.cat([labels, torch.tensor([5])])
    assert unreduced(*alone) == pytest.approx(unreduced(points, labels))


@pytest.mark.parametrize("reduction", ["decoder", "none"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read(dtype, reduction):
    points, labels = three_classes(150)
    low = points.to(dtype)
    # The decoder works in float32.
    expected = information_of(low.double(), labels, reduction=reduction).value
    assert information_of(low, labels, reduction=reduction).value == pytest.approx(expected, abs=0.01)


def test_equally_seeded_generators_give_equal_results_and_leave_the_global_one_alone():
    points, labels = three_classes(150)
    before = torch.random.get_rng_state()
    generator = seeded(4)
    first, second = (ross_information(points, labels, generator=generator) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert information_of(points, labels, seed=4) == first
    assert first.value != second.value


def test_the_caller_keeps_tensors_and_gradients_as_they_were():
    points, labels = three_classes(100)
    points.requires_grad_()
    before = points.detach().clone()
    for reduction in ("decoder", "none"):
        information_of(points, labels, reduction=reduction)
    assert torch.equal(points, before)
    assert points.grad is None


# errors


@pytest.mark.parametrize(("reduction", "samples"), [("decoder", 600), ("none", 300)])
def test_errors_match_the_spread_over_fresh_draws(reduction, samples):
    draws = []
    for seed in range(30):
        task = labelled_gaussians(samples, 3, classes=3, spread=1.5, generator=seeded(seed))
        draws.append(information_of(task.activations, task.labels, seed, reduction=reduction))
    values = np.array([draw.value for draw in draws])
    # A spread over 30 draws is known to 1 / sqrt(2 * 29) = 13 %; three of these.
    assert np.mean([draw.error for draw in draws]) == pytest.approx(values.std(ddof=1), rel=0.39)
    covered = sum(draw.low <= values.mean() <= draw.high for draw in draws)
    assert covered >= 25  # Binomial(30, 0.95): fewer in 0.3 % of cases


def test_the_interval_is_1_96_errors_to_each_side():
    information = information_of(*three_classes(150))
    assert information.error > 0
    assert information.high - information.value == pytest.approx(1.959964 * information.error)
    assert information.value - information.low == pytest.approx(1.959964 * information.error)


# entrance


@pytest.mark.parametrize(
    ("points", "labels", "settings", "message"),
    [
        (torch.ones(30), [0, 1] * 15, {}, "activations must have shape"),
        (torch.full((30, 1), math.nan), [0, 1] * 15, {}, "activations must be finite: 30 of 30"),
        (torch.ones(30, 1), [0.0, 1.0] * 15, {}, "labels must be integers"),
        (torch.ones(30, 1), [0, 1], {}, r"labels must have shape \(30,\)"),
        (torch.ones(30, 1), [0, 1] * 15, {"neighbours": 0}, "neighbours must be at least 1, got 0"),
        (torch.ones(30, 1), [0, 1] * 15, {"folds": 1}, "folds must be at least 2, got 1"),
        (torch.ones(30, 1), [0, 1] * 15, {"reduction": "pca"}, r"reduction must be one of .*, got 'pca'"),
        (torch.ones(30, 1), list(range(30)), {}, "labels must repeat: no class has two samples"),
        (torch.ones(30, 1), list(range(30)), {"reduction": "none"}, "labels must repeat: no class has two samples"),
    ],
)
def test_bad_arguments_are_named(points, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        information_of(points, torch.tensor(labels), **settings)


def test_a_fold_without_two_samples_of_a_class_is_left_out():
    # The class of two has both samples in one fold or in two; the folds that share no class tell nothing.
    labels = torch.cat([torch.arange(18), torch.tensor([0, 0])])
    points = torch.randn(20, 2, generator=seeded(0))
    information = information_of(points, labels, folds=2)
    assert (information.value, information.error) == (0.0, math.inf)
