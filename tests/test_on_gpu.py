"""On a GPU: estimates, attacks and runs find what they find on the CPU. `benchmarks/on_gpu.py` runs these tests."""

import copy

import polars as pl
import pytest
import torch
from tests.attacks.every_attack import each_attack
from tests.attacks.test_every_attack import batch, check_result, network, run
from tests.command import infoplane
from tests.team.test_flow_together import ROWS, SETTINGS

from infoplane.estimators import binning_information, decoded_information, kde_information, noisy_information
from infoplane.runs.folder import RunFolder

GPU = "cuda"
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore::infoplane.attacks.AttackWarning"),
]


def layer(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs of a layer in ten classes that overlap a little."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.arange(1500) % 10
    outputs = torch.randn(10, 40, generator=chance)[labels] + torch.randn(1500, 40, generator=chance)
    return outputs.to(device), labels.to(device)


def kde(outputs, labels):
    found = kde_information(outputs, labels, noise_variance=1.0, permutations=3, generator=torch.Generator())
    return [found.input_upper, found.input_lower, found.label_upper, found.label_lower]


def binning(outputs, labels):
    found = binning_information(outputs, labels, bin_width=2.0)
    return [found.input, found.label]


def noisy(outputs, labels):
    found = noisy_information(outputs, labels, noise_variance=1.0, generator=torch.Generator().manual_seed(0))
    return [found.input, found.label]


def decoded(outputs, labels):
    return [decoded_information(outputs, labels, generator=torch.Generator().manual_seed(0))]


# Within rounding; the Monte Carlo estimate, whose noise a GPU draws otherwise, within four standard errors; decoders,
# which are fitted by sums in another order, within a hundredth of H(Y).
@pytest.mark.parametrize(("estimate", "allowed"), [(kde, 1e-4), (binning, 1e-9), (noisy, None), (decoded, 0.023)])
def test_estimates_are_those_of_the_cpu(estimate, allowed):
    for there, here in zip(estimate(*layer(GPU)), estimate(*layer("cpu")), strict=True):
        error = allowed if allowed is not None else 4 * max(here.error, there.error) * 2**0.5
        assert there.value == pytest.approx(here.value, abs=error)


@each_attack
def test_attacks_keep_their_contract(spec):
    model, (images, labels) = network().to(GPU), (one.to(GPU) for one in batch())
    before, kept = copy.deepcopy(model.state_dict()), images.clone()
    check_result(spec, run(spec, model, images, labels), images)
    assert torch.equal(images, kept)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def small_run(folder, device: str, epochs: int, *more: str) -> RunFolder:
    settings = [word for word in SETTINGS if not word.startswith("--device=")]
    words = [*settings, f"--training.epochs={epochs}", f"--device={device}", "--run", folder, *more]
    done = infoplane(*words, drawn=())
    assert (done.returncode, done.stderr) == (0, ""), done
    return RunFolder(folder)


def test_a_run_measures_what_it_measures_on_the_cpu_and_continues(tmp_path):
    here, there = small_run(tmp_path / "cpu", "cpu", 1), small_run(tmp_path / "gpu", GPU, 1)
    rows = [*ROWS, "layer", "estimator", "kind", "quantity", "distribution", "class_index", "noise_mode", "noise_ratio"]
    both = here.measurements().join(there.measurements(), on=rows, suffix="_gpu", nulls_equal=True)
    assert len(both) == len(here.measurements()) == len(there.measurements())
    first = both.filter(pl.col("estimator").str.starts_with("kde"), epoch=0, examples="original")  # the same weights
    assert len(first) > 50
    assert (first["value_nats"] - first["value_nats_gpu"]).abs().max() < 1e-3
    losses = here.performance().join(there.performance(), on=ROWS, suffix="_gpu")
    assert (losses["loss"] - losses["loss_gpu"]).abs().max() < 0.1
    more = small_run(tmp_path / "gpu", GPU, 1, "--seeds=2")
    assert more.measurements().filter(seed=0).equals(there.measurements().filter(seed=0))
    assert set(more.performance()["seed"]) == {0, 1}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_share_a_training_through_nccl(tmp_path):
    one, two = small_run(tmp_path / "one", GPU, 1), small_run(tmp_path / "two", GPU, 1, "--devices=2")
    losses = one.performance().join(two.performance(), on=ROWS, suffix="_two")
    assert len(losses) == len(one.performance())
    assert (losses["loss"] - losses["loss_two"]).abs().max() < 0.1
