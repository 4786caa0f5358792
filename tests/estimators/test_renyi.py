import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigvalsh
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from infoplane.estimators.renyi import MatrixEntropy, matrix_entropy_information


def numbers(result: MatrixEntropy) -> list[float]:
    entropies = [result.value, result.entropy_x, result.entropy_y, result.joint_entropy]
    return [*entropies, result.ceiling, result.order, result.x_width, result.y_width]


def normal(samples: int, features: int, seed: int = 0) -> Tensor:
    return torch.randn(samples, features, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def clusters(counts: list[int], features: int = 6) -> tuple[Tensor, Tensor]:
    """Far clusters, each one point, and their numbers."""
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return 1000 * torch.eye(features, dtype=torch.double)[labels] + 5000, labels


# closed forms


@pytest.mark.parametrize("order", [0.5, 1, 1.01, 2])
def test_equal_points_have_no_entropy_and_far_points_log_n(order):
    equal, far = torch.full((8, 20), 7.3), 1000 * torch.eye(8, 20)
    values = matrix_entropy_information(equal, far, order=order, x_width=1.0, y_width=1.0)
    assert values.entropy_x == pytest.approx(0, abs=1e-12)
    assert values.entropy_y == values.joint_entropy == pytest.approx(math.log(8))
    assert values.value == values.ceiling == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("order", [0.5, 1, 1.01, 2])
def test_far_clusters_have_the_renyi_entropy_of_their_sizes(order):
    points, labels = clusters([6, 3, 2, 1])
    shares = np.array([6, 3, 2, 1]) / 12
    expected = -(shares * np.log(shares)).sum() if order == 1 else math.log((shares**order).sum()) / (1 - order)
    for y, widths in ((points, {"y_width": 2.0}), (labels, {}), (labels * 7 - 3, {})):
        values = matrix_entropy_information(points, y, order=order, x_width=1.0, **widths)
        assert numbers(values)[:5] == pytest.approx([expected] * 5)
    equal, labels = clusters([4] * 5)
    assert matrix_entropy_information(equal, labels, order=order, x_width=1.0).value == pytest.approx(math.log(5))


def test_two_points_have_the_entropy_of_two_known_eigenvalues():
    distance, width = 1.5, 0.8
    kernel = math.exp(-(distance**2) / (2 * width**2))
    points = torch.tensor([[0.0], [distance]]) + 3
    values = matrix_entropy_information(points, torch.tensor([4, 9]), order=2, x_width=width)
    assert values.entropy_x == pytest.approx(-math.log(((1 + kernel) / 2) ** 2 + ((1 - kernel) / 2) ** 2))
    assert values.entropy_y == values.joint_entropy == pytest.approx(math.log(2))
    assert (values.x_width, values.x_rule, values.y_rule) == (width, "given", "labels")
    assert math.isnan(values.y_width)


def test_products_of_crossed_clusters_add_their_entropies():
    points, _ = clusters([5] * 4)
    others = 1000 * torch.eye(5, dtype=torch.double)[torch.arange(20) % 5]
    values = matrix_entropy_information(points, others, x_width=1.0, y_width=1.0)
    assert values.joint_entropy == pytest.approx(math.log(20))
    assert values.value == pytest.approx(0, abs=1e-9)


# properties and independent implementations


def by_definition(x: np.ndarray, y: np.ndarray, order: float, widths: tuple[float, float]) -> list[float]:
    """Entropies from scipy's distances and eigenvalues; for a `(samples,)` y, the kernel compares labels."""
    kernels = [np.exp(-cdist(part, part, "sqeuclidean") / (2 * w**2)) for part, w in ((x, widths[0]),)]
    kernels.append(
        np.equal.outer(y, y).astype(float) if y.ndim == 1 else np.exp(-(cdist(y, y) ** 2) / (2 * widths[1] ** 2))
    )

    def entropy(kernel: np.ndarray) -> float:
        values = np.clip(eigvalsh(kernel / np.trace(kernel)), 0, None)
        return math.log((values**order).sum()) / (1 - order)

    return [entropy(part) for part in (*kernels, kernels[0] * kernels[1])]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    features=st.sampled_from([1, 5, 90]),
    order=st.sampled_from([0.5, 1.01, 2.0]),
    width=st.sampled_from([0.3, 1.0, 10.0]),
    labelled=st.booleans(),
)
def test_entropies_agree_with_their_definition(seed, features, order, width, labelled):
    x, other = normal(40, features, seed) + 3, normal(40, 3, seed + 1)
    y = torch.randint(4, (40,), generator=torch.Generator().manual_seed(seed)) if labelled else other
    given_widths = {"x_width": width} if labelled else {"x_width": width, "y_width": 0.7}
    values = matrix_entropy_information(x, y, order=order, **given_widths)
    expected = by_definition(x.numpy(), y.numpy(), order, (width, 0.7))
    assert numbers(values)[1:4] == pytest.approx(expected, abs=1e-6)
    assert values.value == pytest.approx(expected[0] + expected[1] - expected[2], abs=1e-6)
    # Giraldo et al., Proposition 4.1: the joint entropy lies between the larger of two entropies and their sum.
    assert -1e-9 <= values.value <= values.ceiling + 1e-9
    assert values.ceiling == min(values.entropy_x, values.entropy_y)


def test_order_one_is_the_limit_of_its_neighbours():
    x, y = normal(60, 4), normal(60, 2, seed=1)
    below, at, above = (matrix_entropy_information(x, y, order=order) for order in (1 - 1e-5, 1, 1 + 1e-5))
    assert above.entropy_x < at.entropy_x < below.entropy_x
    between = [(low + high) / 2 for low, high in zip(numbers(below)[:4], numbers(above)[:4], strict=True)]
    assert numbers(at)[:4] == pytest.approx(between, abs=1e-6)
    by_default = numbers(matrix_entropy_information(x, y))[:6]
    assert by_default == pytest.approx(numbers(matrix_entropy_information(x, y, order=1.01))[:6])


def test_the_kernel_width_decides_the_answer():
    x, labels = normal(200, 10), torch.arange(200) % 4  # labels tell nothing about x
    narrow, wide = (matrix_entropy_information(x, labels, x_width=width) for width in (0.05, 500.0))
    assert narrow.entropy_x == pytest.approx(math.log(200), abs=1e-6)
    assert narrow.value == pytest.approx(math.log(4), abs=1e-6)
    assert wide.entropy_x == pytest.approx(0, abs=1e-2)
    assert wide.value == pytest.approx(0, abs=1e-2)


# widths


def test_the_median_width_is_the_median_of_distances_that_are_not_zero():
    points = normal(31, 4) + 100
    values = matrix_entropy_information(points.repeat(3, 1), points.repeat(3, 1)[:, :2])
    assert values.x_width == pytest.approx(np.median(pdist(points.numpy())), rel=1e-9)
    assert values.y_width == pytest.approx(np.median(pdist(points[:, :2].numpy())), rel=1e-9)
    assert (values.x_rule, values.y_rule, values.order) == ("median", "median", 1.01)
    chosen = matrix_entropy_information(
        points.repeat(3, 1), points.repeat(3, 1)[:, :2], x_width=values.x_width, y_width=values.y_width
    )
    assert numbers(values) == pytest.approx(numbers(chosen))
    assert (chosen.x_rule, chosen.y_rule) == ("given", "given")


def test_rounding_of_equal_rows_is_no_distance():
    pair = torch.tensor([0.1, 0.7])[:, None] * torch.ones(2, 999) + 1e3 * torch.randn(
        999, generator=torch.Generator().manual_seed(0)
    )
    rows = pair.double()[(torch.arange(40) == 0).long()]  # one sample apart from 39 equal ones
    assert matrix_entropy_information(rows, rows).x_width == pytest.approx((rows[0] - rows[1]).norm().item())


def test_equal_samples_have_a_width_that_changes_nothing():
    values = matrix_entropy_information(torch.full((30, 400), 7.3, dtype=torch.double), torch.arange(30) % 3)
    assert (values.x_width, values.x_rule) == (1.0, "median")
    assert values.entropy_x == pytest.approx(0, abs=1e-12)


def test_information_of_the_median_width_ignores_offset_scale_and_rotation():
    x, labels = normal(80, 6), torch.arange(80) % 3
    x[:, 0] += labels
    moved = 50 * x @ torch.linalg.qr(normal(6, 6, seed=3)).Q + 1e4
    assert numbers(matrix_entropy_information(moved, labels))[:5] == pytest.approx(
        numbers(matrix_entropy_information(x, labels))[:5], abs=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_float_type_is_read_in_float64(dtype):
    x, labels = (normal(50, 8) + 10).to(dtype), torch.arange(50) % 4
    assert numbers(matrix_entropy_information(x, labels))[:6] == pytest.approx(
        numbers(matrix_entropy_information(x.double(), labels))[:6], rel=1e-12
    )


# entrance


@pytest.mark.parametrize(
    ("x", "y", "settings", "message"),
    [
        (torch.ones(3), torch.arange(3), {}, "x must have shape"),
        (torch.ones(3, 1), torch.arange(2), {}, r"y must have shape \(3,\)"),
        (torch.ones(3, 1), torch.ones(3), {}, r"y must have shape \(samples, features\)"),
        (torch.ones(3, 1), torch.ones(2, 1), {}, "y must have the 3 samples of x, got 2"),
        (torch.ones(3, 1), torch.arange(3), {"order": 0.0}, "order must be positive and finite, got 0.0"),
        (torch.ones(3, 1), torch.arange(3), {"x_width": -1.0}, "x_width must be positive and finite, got -1.0"),
        (torch.ones(3, 1), torch.ones(3, 1), {"y_width": math.inf}, "y_width must be positive and finite, got inf"),
        (torch.ones(3, 1), torch.arange(3), {"y_width": 2.0}, "y_width must be left out for labels"),
    ],
)
def test_bad_arguments_are_named(x, y, settings, message):
    with pytest.raises(ValueError, match=message):
        matrix_entropy_information(x, y, **settings)
