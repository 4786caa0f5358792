"""Before a run trains, ways of computing are timed as asked for, and the choice is kept."""

import json

import pytest

from infoplane.acceleration import PLAIN, Choices
from infoplane.measuring.speed import Speed
from infoplane.networks.memory_format import as_pixels
from infoplane.studies.flow import choose_acceleration as choose
from infoplane.studies.flow.choose_acceleration import from_record, to_record, training_choices
from infoplane.studies.parts import load_test_images

WAYS = [Choices(), Choices(precision="bf16")]


@pytest.fixture
def tried(monkeypatch):
    """What `candidates` was given; the last candidate is always the fastest."""
    seen: dict[str, object] = {}

    def list_ways(network, images, precision):
        seen.update(precision=precision, images=images, training=network.training)
        return WAYS

    monkeypatch.setattr(choose, "candidates", list_ways)
    monkeypatch.setattr(choose, "fastest", lambda network, images, ways: ways[-1])
    return seen


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_ways_are_timed_on_images_as_an_attack_starts_from_them(small_flow, tried, precision):
    assert training_choices(small_flow, "cpu", precision) == WAYS[-1]
    assert (tried["precision"], tried["training"]) == (precision, False)
    originals = as_pixels(load_test_images(small_flow, "cpu")[0].images[:32])
    away = (tried["images"] - originals).abs()
    assert 0 <= tried["images"].min() <= tried["images"].max() <= 1
    assert 0.9 * small_flow.attack.epsilon < away.max() <= small_flow.attack.epsilon + 1e-6


def test_large_networks_are_timed_on_few_images(small_flow, tried, monkeypatch):
    monkeypatch.setattr(choose, "speed", lambda _model, _images: Speed(forward=0.05, gradient=0.1))
    training_choices(small_flow, "cpu", "auto")
    assert len(tried["images"]) == 20  # of 32: two seconds


def test_precision_32_is_plain_without_timing(small_flow, tried):
    assert training_choices(small_flow, "cpu", "32") == PLAIN
    assert not tried


def test_nothing_is_timed_where_nothing_is_trained(small_flow, tried):
    still = small_flow.model_copy(update={"training": small_flow.training.model_copy(update={"epochs": 0})})
    assert training_choices(still, "cpu", "auto") == PLAIN
    assert not tried


@pytest.mark.parametrize(
    "way",
    [
        *WAYS,
        Choices(traced=True, rowwise=("conv1", "conv2")),
        Choices(traced=True, rowwise_pooled=("conv1",)),
        Choices(cuda_graphs=True),
    ],
)
def test_choices_go_to_json_and_back(way):
    assert from_record(json.loads(json.dumps(to_record(way)))) == way
