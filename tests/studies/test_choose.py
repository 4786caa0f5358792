"""What is tried before a run trains: for our networks everything, for others what they are sure to bear."""

import json

import pytest

from infoplane.acceleration import PLAIN, Choices
from infoplane.layout import as_pixels
from infoplane.studies import choose
from infoplane.studies.choose import from_record, to_record, training_choices
from infoplane.studies.parts import load_test_images

WAYS = [Choices(), Choices(precision="bf16")]


@pytest.fixture
def tried(monkeypatch):
    """What the probe was given; it answers with the last candidate."""
    seen: dict[str, object] = {}

    def probe(network, images, candidates, *, plain):
        seen.update(candidates=list(candidates), plain=plain, images=images, training=network.training)
        return seen["candidates"][-1]

    monkeypatch.setattr(choose, "usual_candidates", lambda device: WAYS)
    monkeypatch.setattr(choose, "fastest_choices", probe)
    monkeypatch.setattr(choose, "with_frozen", lambda network, images, candidates: list(candidates))
    return seen


@pytest.mark.parametrize(
    ("precision", "expected", "plain"),
    [("auto", WAYS, True), ("bf16", WAYS[1:], False)],
)
def test_precision_leaves_the_probe_the_rest(small_flow, tried, precision, expected, plain):
    assert training_choices(small_flow, "cpu", precision) == expected[-1]
    assert (tried["candidates"], tried["plain"], tried["training"]) == (expected, plain, False)
    originals = as_pixels(load_test_images(small_flow, "cpu")[0].images[:32])
    away = (tried["images"] - originals).abs()
    assert 0 <= tried["images"].min() <= tried["images"].max() <= 1
    assert 0.9 * small_flow.attack.epsilon < away.max() <= small_flow.attack.epsilon + 1e-6


def test_bfloat16_is_taken_when_asked_for_even_where_it_is_slow(small_flow, tried, monkeypatch):
    monkeypatch.setattr(choose, "usual_candidates", lambda device: WAYS[:1])
    assert training_choices(small_flow, "cpu", "bf16") == Choices(precision="bf16")


def test_32_bits_are_the_plain_way(small_flow, tried):
    assert training_choices(small_flow, "cpu", "32") == PLAIN
    assert not tried


def test_nothing_is_tried_where_nothing_is_trained(small_flow, tried):
    still = small_flow.model_copy(update={"training": small_flow.training.model_copy(update={"epochs": 0})})
    assert training_choices(still, "cpu", "auto") == PLAIN
    assert not tried


@pytest.mark.parametrize(
    "way",
    [
        *WAYS,
        Choices(frozen=True, by_rows=("conv1",), by_groups=("conv2", "conv3")),
        Choices(frozen=True, pooled=("conv1",)),
        Choices(graphs=True),
    ],
)
def test_choices_go_to_json_and_back(way):
    assert from_record(json.loads(json.dumps(to_record(way)))) == way


def test_choices_of_a_run_that_kept_fewer():
    assert from_record({"precision": "bf16", "workers": 2}) == Choices(precision="bf16")
