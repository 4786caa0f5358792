"""A plane of layers that do not fit into memory: outputs on disk, decoders from a subset of the examples."""

import gc
import tempfile
from pathlib import Path

import pytest
import torch

from infoplane.attacks import LinfPGD
from infoplane.config import MeasurementConfig
from infoplane.measuring import evaluate as evaluation
from infoplane.measuring import in_memory
from infoplane.measuring.evaluate import layer_activations
from infoplane.measuring.mapped_tensors import mapped_empty
from infoplane.models import LeNet5, construct
from infoplane.studies import Plane

SETTINGS = MeasurementConfig(permutations=3, decoder_permutations=1, noise_sweep=(1.0,))
SAMPLES, FEATURES = 160, 1024  # of the second convolution


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    return torch.rand(SAMPLES, 1, 28, 28, generator=source), torch.arange(SAMPLES) % 4


def measured() -> tuple[list[dict], list[dict]]:
    """Return measurements and geometry."""
    attack = LinfPGD(epsilon=0.1, steps=2)
    plane = Plane(*examples(), layers=["conv2", "fc2"], attack=attack, settings=SETTINGS)
    plane.measure(construct(LeNet5, seed=0), epoch=0, final=True)
    return plane.measurements.to_dicts(), plane.geometry.to_dicts()


def mapped_from(folder: Path) -> list[str]:
    """Return which files of the folder are mapped into memory, deleted ones too."""
    return [line for line in Path("/proc/self/maps").read_text().splitlines() if str(folder) in line]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.double])
def test_a_mapped_tensor_is_a_tensor(dtype):
    tensor = mapped_empty((3, 5), dtype)
    tensor.copy_(torch.arange(15).view(3, 5))
    assert tensor.dtype == dtype
    assert tensor[:, 1].tolist() == [1, 6, 11]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks for mapped files in /proc")
def test_a_layer_above_the_limit_is_in_a_file_that_goes_with_it(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(evaluation, "ACTIVATION_BYTES", 4 * SAMPLES * FEATURES - 1)
    images, model = examples()[0], construct(LeNet5, seed=0)
    found = dict(layer_activations(model, images, ["conv2", "fc2"]))
    assert len(mapped_from(tmp_path)) == 1  # conv2
    monkeypatch.undo()
    assert torch.equal(found["conv2"], dict(layer_activations(model, images, ["conv2"]))["conv2"])
    assert list(tmp_path.iterdir()) == []
    del found
    gc.collect()
    assert mapped_from(tmp_path) == []


def test_a_full_disk_is_an_error_of_the_system(monkeypatch):
    def refuse(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", refuse, raising=False)
    with pytest.raises(OSError, match="No space left"):
        mapped_empty((3, 5), torch.float32)


def test_records_of_layers_on_disk_are_the_same(monkeypatch):
    before = measured()
    monkeypatch.setattr(evaluation, "ACTIVATION_BYTES", 1)
    assert repr(measured()) == repr(before)  # NaN is equal to itself here


def test_of_a_large_layer_decoders_and_monte_carlo_take_a_subset_and_nothing_else_does(monkeypatch):
    before, places = measured()
    monkeypatch.setattr(in_memory, "IN_MEMORY", SAMPLES * 28 * 28)  # all pixels, but not all of conv2
    after, places_after = measured()
    sampled = [row for row in after if row["layer"] == "conv2" and row["estimator"].startswith(("decoded", "noisy"))]
    assert {row["examples"] for row in sampled} == {"original", "adversarial", "random"}
    assert {row["estimator"] for row in sampled} == {"decoded", "decoded-transfer", "noisy"}
    assert max(row["samples"] for row in sampled) == SAMPLES * 28 * 28 // FEATURES

    others = [repr(row) for row in after if row not in sampled]
    assert len(others) > 100
    assert set(others) <= {repr(row) for row in before}
    assert {row["noise_variance"] for row in after if row["estimator"] == "noisy"} == {
        row["noise_variance"] for row in before if row["estimator"] == "noisy"
    }
    alike = [[{**row, "cka_with_original": None} for row in rows] for rows in (places, places_after)]
    assert repr(alike[0]) == repr(alike[1])
    for one, other in zip(places, places_after, strict=True):
        assert (one["cka_with_original"] != other["cka_with_original"]) == (
            one["layer"] == "conv2" and one["examples"] != "original"
        )
