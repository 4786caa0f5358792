"""Pointwise information: sign and base are right, its mean is I(T;Y), and a planted loss is named where it is."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from infoplane.measuring.fitted_decoders import fitted_decoders
from infoplane.measuring.places_of_loss import NEVER_PLACE, places_of_loss
from infoplane.measuring.pointwise import PointwiseLayer, pointwise_information

EXAMPLES, CLASSES = 300, 4
LABELS = torch.arange(EXAMPLES) % CLASSES
ALONE = torch.arange(EXAMPLES)


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def encoding(labels: Tensor, *, spread: float = 0.15) -> Tensor:
    """Return a code of each label with noise: with the usual spread, the classes are some nine spreads apart."""
    return torch.eye(CLASSES)[labels] + spread * torch.randn(len(labels), CLASSES, generator=draws())


def pointwise(versions: dict[str, Tensor], labels: Tensor = LABELS, **options) -> PointwiseLayer:
    return pointwise_information(
        versions, labels, **{"groups": torch.arange(len(labels)), "examples_seed": 0, "permutations": 0, **options}
    )


def places(layers: list[dict[str, Tensor]], labels: Tensor = LABELS, **options) -> np.ndarray:
    found = [pointwise(versions, labels, **options) for versions in layers]
    attacked, originals = (
        np.stack([layer.labels[name].encoded.numpy() for layer in found]) for name in ("attacked", "original")
    )
    return places_of_loss(attacked, originals)


def test_the_mean_over_examples_is_the_decoded_information():
    original, attacked = encoding(LABELS, spread=0.6), encoding(LABELS, spread=1.0)
    found = pointwise({"original": original, "attacked": attacked}).labels
    (decoded,) = fitted_decoders(original, LABELS, groups=ALONE, examples_seed=0, permutations=0)
    assert found["original"].information.mean().item() == pytest.approx(decoded.value, abs=1e-9)
    transferred = decoded.transferred(attacked, LABELS).value
    assert found["attacked"].information.mean().item() == pytest.approx(transferred, abs=1e-9)


def test_no_example_is_decoded_by_a_decoder_that_saw_it():
    """The terms are those of the decoder of the fold without the example, computed here from its probabilities."""
    activations = encoding(LABELS, spread=0.8)
    (decoded,) = fitted_decoders(activations, LABELS, groups=ALONE, examples_seed=0, permutations=0)
    information = pointwise({"original": activations}).labels["original"].information
    for decoder, rows in zip(decoded.decoders, decoded.held_out, strict=True):
        own = decoder.log_probabilities(activations[rows]).gather(1, LABELS[rows, None]).squeeze(1)
        assert torch.allclose(information[rows], own + math.log(CLASSES), atol=1e-9)


def test_a_decoder_that_is_right_with_probability_p_has_two_values_in_nats():
    """T is the label with probability p and any other class otherwise: q(y|t) is p, or (1 - p) / (K - 1)."""
    number, right = 6000, 0.7
    labels, source = torch.arange(number) % CLASSES, draws()
    other = (labels + torch.randint(1, CLASSES, (number,), generator=source)) % CLASSES
    told = torch.where(torch.rand(number, generator=source) < right, labels, other)
    found = pointwise({"original": torch.eye(CLASSES)[told]}, labels).labels["original"]
    true = told == labels
    # Of the 1,200 examples of a fit that tell a class, one standard error of ln q is .019 where right, .086 where
    # wrong; the means are over 20 and 60 such cells.
    assert found.information[true].numpy() == pytest.approx(math.log(CLASSES * right), abs=0.1)
    assert found.information[true].mean().item() == pytest.approx(math.log(CLASSES * right), abs=0.02)
    wrong = math.log(CLASSES * (1 - right) / (CLASSES - 1))
    assert found.information[~true].mean().item() == pytest.approx(wrong, abs=0.05)
    assert torch.equal(found.encoded, true)


def test_corruption_planted_at_a_layer_for_some_examples_is_named():
    """From layer 2 on, the attacked versions of the first hundred examples encode another class."""
    chosen = torch.arange(EXAMPLES) < 100
    corrupted = torch.where(chosen, (LABELS + 1) % CLASSES, LABELS)
    layers = [{"original": encoding(LABELS), "attacked": encoding(LABELS)} for _ in range(2)]
    layers += [{"original": encoding(LABELS), "attacked": encoding(corrupted)} for _ in range(2)]
    found = places(layers)
    assert set(found[:100]) == {2}
    assert set(found[100:]) == {4}


def test_a_layer_from_which_no_decoder_reads_anything_has_lost_all_labels():
    """Its decoders are the class prior, where rounding alone would give signs."""
    labels = torch.cat([LABELS, torch.zeros(17, dtype=torch.long)])
    nothing = torch.ones(len(labels), 3)
    layers = [{name: encoding(labels) for name in ("original", "attacked")}]
    layers += [{"original": nothing, "attacked": nothing} for _ in range(2)]
    terms = pointwise(layers[1], labels).labels["original"].information
    assert (terms > 0).any()
    assert terms.abs().max() < 0.05
    assert set(places(layers, labels)) == {1}


def test_permuted_labels_give_nothing():
    found = pointwise({"original": encoding(LABELS), "attacked": encoding(LABELS, spread=0.3)}, permutations=10)
    for name in ("original", "attacked"):
        # Decoders of 300 permuted labels find 4 nats at least by chance, or nothing: 4 / 300 for each example.
        means = [one.information.mean().item() for one in found.permuted[name]]
        assert np.mean(means) == pytest.approx(0, abs=4 / EXAMPLES)
        assert np.mean([one.encoded.double().mean().item() for one in found.permuted[name]]) < 0.1
        assert found.labels[name].encoded.double().mean() > 0.9


def test_labels_that_are_not_in_the_activations_were_never_encoded():
    unrelated = LABELS[torch.randperm(EXAMPLES, generator=draws())]
    found = places([{name: encoding(LABELS) for name in ("original", "attacked")} for _ in range(3)], unrelated)
    assert (found == NEVER_PLACE).mean() > 0.9


def test_copies_are_held_out_together_so_that_none_gives_away_another():
    source = draws()
    activations = torch.randn(100, 90, generator=source).repeat(2, 1)
    labels = torch.randint(2, (100,), generator=source).repeat(2)
    together, apart = (
        pointwise({"original": activations}, labels, groups=groups).labels["original"].information.mean().item()
        for groups in (torch.arange(100).repeat(2), torch.arange(200))
    )
    assert together < 0.02
    assert apart > 0.1


def test_of_one_class_nothing_is_encoded():
    found = pointwise({"original": encoding(LABELS)}, torch.zeros(EXAMPLES, dtype=torch.long)).labels["original"]
    assert not found.encoded.any()
    assert found.information.abs().max() < 1e-9


def test_few_examples_in_a_wide_layer_are_undersampled_and_many_in_a_narrow_one_are_not():
    wide = torch.randn(120, 60, generator=draws())
    labels = (wide[:, :20].sum(dim=1) > 0).long()
    assert pointwise({"original": wide}, labels).undersampled
    many = torch.randn(3000, 1, generator=draws())
    assert not pointwise({"original": many}, (many[:, 0] + many[:, 0].flip(0) > 0).long()).undersampled


@pytest.mark.parametrize(
    ("attacked", "original", "place"),
    [
        ("111", "111", 3),  # kept
        ("100", "111", 1),
        ("101", "111", 3),  # a layer that is misled, before one that encodes the label, has lost nothing
        ("010", "111", 2),
        ("000", "111", 0),
        ("000", "001", 0),
        ("000", "000", NEVER_PLACE),
        ("010", "000", 2),
    ],
)
def test_the_label_is_lost_at_the_first_layer_from_which_on_none_encodes_it(attacked, original, place):
    one, other = (np.array([[step == "1"] for step in steps]) for steps in (attacked, original))
    assert places_of_loss(one, other).tolist() == [place]


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"got \(2, 3\), \(3, 3\)"):
        places_of_loss(np.ones((2, 3), bool), np.ones((3, 3), bool))
