"""The transfer matrix: its diagonal is the white-box attack, its cells are counts with their intervals."""

import math

import pytest
import torch
from tests.attacks.test_pgd import network

from infoplane.attacks import LinfPGD, apply_attack
from infoplane.measuring import transfer_matrix
from infoplane.measuring.transfer_matrix import share_of

PGD = LinfPGD(epsilon=0.1, step_size=0.05, steps=3)


@pytest.fixture(autouse=True)
def _global_generator_restored():
    with torch.random.fork_rng():
        yield


def examples(number: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(number, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(number) % 3


def linear(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).train()


def test_the_diagonal_is_the_white_box_attack_and_each_cell_what_counting_gives():
    models, (images, _) = {"a": linear(0), "b": linear(1)}, examples()
    labels = models["a"](images).argmax(dim=1)  # a classifies all rightly
    found = transfer_matrix(models, PGD, images, labels, generator=torch.Generator().manual_seed(0))
    assert found.select("source", "target").rows() == [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")]
    assert all(model.training for model in models.values())
    right = {name: model(images).argmax(1) == labels for name, model in models.items()}
    for row in found.to_dicts():
        attacked = apply_attack(
            PGD, models[row["source"]].eval(), images, labels, generator=torch.Generator().manual_seed(0)
        )
        held = models[row["target"]](attacked).argmax(1) == labels
        both = right[row["source"]] & right[row["target"]]
        assert row["n"] == 60
        assert row["accuracy"] == pytest.approx(held.double().mean().item())
        assert row["n_both"] == both.sum().item()
        assert row["success"] == pytest.approx((~held[both]).double().mean().item())
        assert row["success_low"] <= row["success"] <= row["success_high"]


def test_equal_networks_are_attacked_alike():
    model, (images, labels) = network().eval(), examples()
    found = transfer_matrix({"a": model, "b": model}, PGD, images, labels, generator=torch.Generator().manual_seed(0))
    assert found["accuracy"].n_unique() == 1


def test_the_interval_of_a_share_is_that_of_wilson():
    share = share_of(torch.arange(10) < 1)
    z, n, p = 1.959964, 10, 0.1
    low, high = (
        (p + z * z / (2 * n) + sign * z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n)
        for sign in (-1, 1)
    )
    assert share == pytest.approx((0.1, low, high, 10), abs=1e-6)
    assert math.isnan(share_of(torch.zeros(0, dtype=torch.bool)).value)
    assert share_of(torch.ones(5, dtype=torch.bool)).high == 1
