import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from infoplane.estimators.geometry import activation_norm, class_clustering_index, linear_cka, mean_unit_variance


def normal(samples: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def rotation(features: int) -> Tensor:
    return torch.linalg.qr(normal(features, features, seed=9)).Q


# linear CKA


def test_orthogonal_patterns_are_unlike_and_shared_ones_alike():
    first, second = torch.tensor([1.0, 1.0, -1.0, -1.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    both = torch.stack([first, second], dim=1)
    assert linear_cka(first[:, None], second[:, None]).linear == 0
    # K = a a^T, L = a a^T + b b^T: <K, L> = |a|^4, |K| = |a|^2, |L| = sqrt(2) |a|^2.
    assert linear_cka(first[:, None], both).linear == pytest.approx(1 / math.sqrt(2))


def test_debiased_value_of_four_samples_by_hand():
    # Off the diagonal, K = a a^T has <K, K> = 16 - 4, rows that sum to -1, and all sum to -4.
    a, b = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None], torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    own = 12 + 16 / 6 - 2 * 4 / 2
    cross = -4 + 16 / 6 - 2 * 4 / 2
    assert linear_cka(a, b).debiased == pytest.approx(cross / own)


def alignment_by_kernels(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Both values from whole kernels: centred by a matrix; unbiased HSIC in the three terms of Song et al."""
    samples = len(x)
    kernels = x @ x.T, y @ y.T
    centring = np.eye(samples) - 1 / samples

    def biased(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
        return float(np.trace(k @ centring @ l @ centring))

    def unbiased(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
        k, l = (part - np.diag(np.diag(part)) for part in (k, l))  # noqa: E741
        terms = np.trace(k @ l), k.sum() * l.sum() / ((samples - 1) * (samples - 2)), (k @ l).sum() * 2 / (samples - 2)
        return float(terms[0] + terms[1] - terms[2])

    def ratio(product) -> float:
        k, l = kernels  # noqa: E741
        return product(k, l) / math.sqrt(product(k, k) * product(l, l))

    return ratio(biased), ratio(unbiased)


@pytest.mark.parametrize(("features", "others"), [(3, 5), (3, 70), (70, 90)])  # by features, and by samples
def test_alignment_agrees_with_whole_kernels(features, others):
    x, y = normal(40, features) + 2, normal(40, others, seed=1)
    y[:, :2] += x[:, :2]
    assert linear_cka(x, y) == pytest.approx(alignment_by_kernels(x.numpy(), y.numpy()), rel=1e-9)


@pytest.mark.parametrize("features", [4, 60])
def test_a_layer_equals_itself_rotated_scaled_and_moved(features):
    x = normal(50, features)
    assert linear_cka(x, x) == pytest.approx((1, 1), abs=1e-9)
    assert linear_cka(x, 7 * x @ rotation(features) - 3) == pytest.approx((1, 1), abs=1e-9)
    y = normal(50, 5, seed=2) + x[:, :1]
    assert linear_cka(100 * x @ rotation(features) + 3, y) == pytest.approx(linear_cka(x, y), abs=1e-9)
    assert linear_cka(y, x) == pytest.approx(linear_cka(x, y), abs=1e-12)
    assert linear_cka(x @ torch.diag(torch.arange(1.0, features + 1).double()), y).linear != pytest.approx(
        linear_cka(x, y).linear, abs=1e-3
    )


def test_unrelated_wide_layers_look_alike_until_debiased():
    draws = [linear_cka(normal(40, 400, seed), normal(40, 400, 1000 + seed)) for seed in range(30)]
    assert min(draw.linear for draw in draws) > 0.85
    # A spread near 0.026 over single draws: three standard errors of the mean of 30.
    assert np.mean([draw.debiased for draw in draws]) == pytest.approx(0, abs=0.015)


@pytest.mark.parametrize("features", [5, 200])
def test_a_large_common_offset_changes_nothing(features):
    x, y = normal(60, features).float(), normal(60, 3, seed=1).float()
    y += x[:, :3]
    moved = (x + 4096).double()  # what float32 keeps of it
    assert linear_cka((x + 4096), y) == pytest.approx(linear_cka(moved - 4096, y), rel=1e-9)


def test_features_pass_by_in_chunks(monkeypatch):
    x, y = normal(30, 50), normal(30, 70, seed=1)
    labels = torch.arange(30) % 3

    def values() -> list[float]:
        return [*linear_cka(x, y), class_clustering_index(x, labels), activation_norm(x), mean_unit_variance(x)]

    whole = values()
    monkeypatch.setattr("infoplane.estimators.features.CHUNK_BYTES", 8 * 30 * 7)
    assert values() == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("features", [3, 50])
def test_alignment_with_a_constant_layer_is_undefined(features):
    constant = torch.full((30, features), 7.3, dtype=torch.double)  # their mean is off by one rounding
    assert all(
        math.isnan(value) for value in (*linear_cka(constant, normal(30, 3)), *linear_cka(normal(30, 3), constant))
    )


# clustering by class


def test_clustering_of_four_known_points():
    points = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
    # W = 4 / (4 - 2), T = 104 / (4 - 1).
    assert class_clustering_index(points, torch.tensor([0, 0, 7, 7])) == pytest.approx(1 - 2 / (104 / 3))
    assert class_clustering_index(points, torch.tensor([0, 0, 0, 0])) == pytest.approx(0)


@pytest.mark.parametrize(("points", "labels"), [(torch.ones(3, 1), [0, 0, 1]), (torch.arange(3.0)[:, None], [0, 1, 2])])
def test_clustering_of_equal_points_or_of_classes_of_one_is_undefined(points, labels):
    assert math.isnan(class_clustering_index(points, torch.tensor(labels)))


def test_collapsed_classes_reach_one_and_classes_of_one_mean_the_minimum():
    labels = torch.arange(60) % 3
    assert class_clustering_index(normal(3, 20)[labels], labels) == pytest.approx(1)
    # The same points in each class: no variance between means.
    assert class_clustering_index(normal(20, 4).repeat_interleave(3, dim=0), labels) == pytest.approx(-2 / 57)


def test_every_permutation_together_averages_to_nothing():
    points, labels = normal(7, 3), [0, 0, 0, 0, 1, 1, 5]
    values = [
        class_clustering_index(points, torch.tensor(permuted)) for permuted in set(itertools.permutations(labels))
    ]
    assert len(values) == 105
    assert np.mean(values) == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), samples=st.integers(8, 30), features=st.integers(1, 6))
def test_clustering_agrees_with_a_loop_and_ignores_offset_scale_and_rotation(seed, samples, features):
    points = normal(samples, features, seed)
    labels = torch.randint(3, (samples,), generator=torch.Generator().manual_seed(seed))
    array, classes = points.numpy(), labels.numpy()
    within = sum(((array[classes == c] - array[classes == c].mean(axis=0)) ** 2).sum() for c in set(classes))
    mean_within = within / (samples - len(set(classes)))
    expected = 1 - mean_within / array.var(axis=0, ddof=1).sum()
    assert class_clustering_index(points, labels) == pytest.approx(expected, abs=1e-9)
    moved = 5 * points @ rotation(features) + 100
    assert class_clustering_index(moved, labels) == pytest.approx(expected, abs=1e-9)


def test_tight_classes_far_apart_keep_their_small_spread():
    labels = torch.arange(400) % 2
    points = 1e6 * labels[:, None].double() + 1e-4 * normal(400, 3)
    spread = 1 - class_clustering_index(points, labels)
    within = sum(points[labels == c].var(dim=0, correction=0).sum().item() * 200 for c in (0, 1)) / 398
    assert spread == pytest.approx(within / points.var(dim=0).sum().item(), rel=1e-3)


def test_clustering_of_equal_samples_is_undefined():
    assert math.isnan(class_clustering_index(torch.full((50, 3), 7.3, dtype=torch.double), torch.arange(50) % 3))


# scale


def test_norm_and_variance_of_known_points():
    points = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert activation_norm(points) == pytest.approx(math.sqrt(25 / 2))
    assert mean_unit_variance(points) == pytest.approx((9 / 4 + 16 / 4) / 2)


def test_variance_ignores_offset_where_the_norm_does_not():
    points = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    assert mean_unit_variance(points) == pytest.approx(points.numpy().astype(float).var(axis=0).mean())
    assert mean_unit_variance((points + 4096).double()) == pytest.approx(
        mean_unit_variance((points + 4096).double() - 4096)
    )
    assert activation_norm(points + 4096) == pytest.approx(2 * 4096, rel=1e-3)
    assert mean_unit_variance(torch.full((50, 3), 7.3, dtype=torch.double)) == 0.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_in_float64(dtype):
    x, labels = (normal(100, 8) + 1).to(dtype), torch.arange(100) % 4
    wide = x.double()
    assert linear_cka(x, x[:, :3]) == linear_cka(wide, wide[:, :3])
    for measure in (activation_norm, mean_unit_variance):
        assert measure(x) == measure(wide)
    assert class_clustering_index(x, labels) == class_clustering_index(wide, labels)


# entrance


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_cka(torch.ones(5), torch.ones(5, 1)), "x must have shape"),
        (lambda: linear_cka(torch.ones(5, 1), torch.tensor([[math.nan]] * 5)), "y must be finite: 5 of 5"),
        (lambda: linear_cka(torch.ones(5, 1), torch.ones(4, 1)), "the same samples, at least 4, got 5 in x and 4 in y"),
        (lambda: linear_cka(torch.ones(3, 1), torch.ones(3, 1)), "at least 4, got 3 in x"),
        (lambda: class_clustering_index(torch.ones(3, 1), torch.ones(3)), "labels must be integers"),
        (lambda: activation_norm(torch.ones(3, 0)), "activations must have shape"),
        (lambda: mean_unit_variance(torch.ones(3, 1).long()), "activations must be of a float type"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_caller_keeps_tensors_and_gradients_as_they_were():
    points, labels = normal(20, 30).requires_grad_(), torch.arange(20) % 2
    before = points.detach().clone()
    values = [*linear_cka(points, points[:, :3]), class_clustering_index(points, labels), activation_norm(points)]
    assert all(isinstance(value, float) for value in [*values, mean_unit_variance(points)])
    assert torch.equal(points, before)
    assert points.grad is None
