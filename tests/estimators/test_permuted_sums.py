import pytest
import torch
from torch import Tensor

from infoplane.estimators import permuted_sums
from infoplane.estimators.permuted_sums import PermutedSums

SAMPLES, PERMUTATIONS = 600, 10


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(classes: int) -> Tensor:
    """Permuted labels, `(samples, permutations)`."""
    plain = torch.arange(SAMPLES) % classes
    return torch.stack([plain[torch.randperm(SAMPLES, generator=seeded(number))] for number in range(PERMUTATIONS)], 1)


def neighbours(number: int, value: float) -> Tensor:
    """Kernels of groups of equal samples: each has so many others at this kernel and none besides."""
    group = torch.arange(SAMPLES) // (number + 1)
    return value * (group[:, None] == group).float()


# With the largest error in nats: rounding is not random where few kernels are different.
KERNELS = {
    "dense": (lambda: torch.rand(SAMPLES, SAMPLES, generator=seeded()), 1e-4),
    "all equal": (lambda: torch.full((SAMPLES, SAMPLES), 0.7), 1e-6),
    "one neighbour": (lambda: neighbours(1, 0.7), 1e-3),
    "three neighbours": (lambda: neighbours(3, 0.7), 1e-3),
    "seven neighbours": (lambda: neighbours(7, 0.123), 1e-3),
    "tight clusters": (lambda: neighbours(99, 0.999), 1e-3),
    "few rows": (lambda: neighbours(9, 0.3) * (torch.arange(SAMPLES) % 60 < 20)[:, None], 1e-3),
    "small": (lambda: 1e-3 * torch.rand(SAMPLES, SAMPLES, generator=seeded()), 1e-5),
    "of all sizes": (lambda: torch.exp(-20 * torch.rand(SAMPLES, SAMPLES, generator=seeded())), 1e-4),
}


def summed(
    kernel: Tensor, permuted: Tensor, classes: int, blocks: int = 1, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Sums over the own class, `(samples, permutations)`, added block by block."""
    sums = PermutedSums(permuted, classes, 1, dtype)
    parts = [slice(part[0].item(), part[-1].item() + 1) for part in torch.arange(SAMPLES).tensor_split(blocks)]
    for rows in parts:
        for columns in parts:
            part = kernel[rows, columns]
            sums.add(rows, columns, [part], [part.sum(dim=1)])
    return sums.of_own_class()[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("name", KERNELS)
def test_mean_logarithms_of_sums_stay_within_their_tolerance(name, classes, dtype):
    (make, tolerance), permuted = KERNELS[name], labels(classes)
    kernel = make().fill_diagonal_(1)
    same = permuted[:, None] == permuted[None]  # (samples, samples, permutations)
    expected = torch.einsum("ij,ijp->ip", kernel.double(), same.double())
    for blocks in (1, 3):
        found = summed(kernel, permuted, classes, blocks, dtype)
        limit = tolerance if dtype == torch.bfloat16 else 1e-5
        assert found.log().mean(dim=0) == pytest.approx(expected.log().mean(dim=0), abs=limit)


def test_kernels_far_above_1_are_exact_in_float32():
    """Those of the Monte Carlo estimate: bfloat16 would lose the small ones beside a large one."""
    kernel = torch.exp(4 * torch.randn(SAMPLES, SAMPLES, generator=seeded())).fill_diagonal_(1)
    permuted = labels(10)
    same = permuted[:, None] == permuted[None]
    expected = torch.einsum("ij,ijp->ip", kernel.double(), same.double()).log().mean(dim=0)
    assert summed(kernel, permuted, 10, dtype=torch.float).log().mean(dim=0) == pytest.approx(expected, abs=1e-5)


def test_negligible_blocks_are_left_out():
    permuted = labels(10)
    kernel = torch.full((SAMPLES, SAMPLES), 1e-9).fill_diagonal_(1)
    assert torch.equal(summed(kernel, permuted, 10), torch.ones(SAMPLES, PERMUTATIONS, dtype=torch.double))


def test_many_permutations_and_no_room_for_indicators_change_nothing(monkeypatch):
    kernel, permuted = KERNELS["dense"][0]().fill_diagonal_(1), labels(10)
    whole = summed(kernel, permuted, 10, blocks=3)
    monkeypatch.setattr(permuted_sums, "INDICATOR_BYTES", 0)
    monkeypatch.setattr(permuted_sums, "PRODUCT_COLUMNS", 30)
    torch.testing.assert_close(summed(kernel, permuted, 10, blocks=3), whole)


def test_without_permutations_nothing_is_computed():
    assert summed(torch.eye(SAMPLES), torch.empty((SAMPLES, 0), dtype=torch.long), 3).shape == (SAMPLES, 0)
