"""What decoders read about the class that attacked examples are mistaken for, on layers where that is known."""

import math
from dataclasses import replace

import pytest
import torch
from tests.estimators.test_decoder_families import bars
from torch import nn

from infoplane.config import MeasurementConfig
from infoplane.estimators import decoded_information
from infoplane.measuring.decoders import MISTAKES, decode
from infoplane.measuring.evaluate import Evaluation, evaluate, prediction_counts
from infoplane.measuring.layer_outputs import LayerOutputs, Undistorted, Version, due
from infoplane.measuring.plane import Plane
from infoplane.measuring.to_records import record
from infoplane.randomness import seeded_generator
from infoplane.records.tables import (
    ADDED_INFORMATION,
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
    FEWER_INFORMATION,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    REMOVED_INFORMATION,
    SHARED_INFORMATION,
    TRUE_INFORMATION,
    Measurement,
)

NOT_ALONE = {FEWER_INFORMATION, ADDED_INFORMATION, REMOVED_INFORMATION, SHARED_INFORMATION}
SAMPLES, CLASSES, SEED = 900, 3, 4


@pytest.fixture(scope="module")
def labels():
    return torch.arange(SAMPLES) % CLASSES


@pytest.fixture(scope="module")
def mistaken_for(labels):
    """Two thirds are taken for either other class, equally often whatever the label; the rest for what they are."""
    step = torch.arange(SAMPLES) // CLASSES % CLASSES
    return (labels + step) % CLASSES


@pytest.fixture(scope="module")
def versions(labels, mistaken_for):
    """Far apart classes; attacked examples lie where those of the mistaken class do."""
    noise = torch.randn(2, SAMPLES, 5, generator=torch.Generator().manual_seed(1))
    places = 8 * torch.eye(CLASSES, 5)
    return {"original": places[labels] + noise[0], "adversarial": places[mistaken_for] + noise[1]}


def rows_of(labels, versions, mistaken_for, *, permutations=2, decoders=("linear",), **changes):
    """Rows of all versions; the null is that of the last epoch."""
    settings = {"due": due(thorough=True, final=permutations > 0), "examples_seed": SEED, **changes}
    outputs = LayerOutputs(
        versions=versions,
        labels=labels,
        groups=torch.arange(len(labels)) // CLASSES % 20,
        settings=MeasurementConfig(decoder_permutations=permutations, decoders=decoders),
        predicted={"adversarial": mistaken_for},
        **settings,
    )
    facts = {"study": "s", "seed": 0, "training": "normal", "epoch": 1, "split": "test", "layer_index": 0, "layer": "l"}
    facts |= {"samples": len(labels), "features": 5}
    return [
        record(Measurement, estimate, {**facts, **columns, "examples": examples}, outputs.groups)
        for examples in versions
        for estimate, columns in decode(Version(outputs, examples))
    ]


def test_mistakes_alone_can_be_refitted(labels, versions, mistaken_for):
    rows = rows_of(labels, versions, mistaken_for, due=due(), every_mistake=True)
    assert {(row.examples, row.quantity, row.estimator) for row in rows} == {
        ("adversarial", MISTAKEN_INFORMATION, "decoded"),
        ("adversarial", TRUE_INFORMATION, "decoded"),
    }


def test_where_all_are_mistaken_the_decoders_of_all_serve_with_the_same_numbers(labels, versions, monkeypatch):
    wrong, fitted = (labels + 1) % CLASSES, []
    fit = LayerOutputs.fitted
    monkeypatch.setattr(LayerOutputs, "fitted", lambda *given, **more: fitted.append(1) or fit(*given, **more))

    def true_information(**changes):
        rows = rows_of(labels, versions, wrong, **changes)
        return next(row for row in rows if (row.quantity, row.estimator) == (TRUE_INFORMATION, DECODED))

    shared = true_information()
    assert len(fitted) == 3  # originals, attacked, and the mistaken class
    alone = true_information(due=due(), every_mistake=True)  # nothing else is due: a fit of its own
    of_permutations = {"null_mean_nats": None, "null_quantile95_nats": None, "permutations": None}
    assert replace(shared, **of_permutations) == replace(alone, **of_permutations)


@pytest.fixture(scope="module")
def found(labels, versions, mistaken_for):
    rows = [row for row in rows_of(labels, versions, mistaken_for) if row.quantity not in NOT_ALONE]
    assert len(rows) == len({(row.examples, row.quantity, row.estimator) for row in rows}) == 7
    return {(row.examples, row.quantity, row.estimator): row for row in rows}


def test_the_last_epoch_has_a_learning_curve_of_the_originals(labels, versions, mistaken_for):
    def sizes(**changes):
        rows = rows_of(labels, versions, mistaken_for, **changes)
        return [(row.examples, row.samples) for row in rows if row.quantity == FEWER_INFORMATION]

    # 32 parts, of which the first four have 29 examples and all others 28
    assert sizes(permutations=1) == [("original", size) for size in (29, 58, 116, 228, 452)]
    assert sizes(permutations=0) == []


def test_the_last_epoch_compares_attacked_examples_with_originals(labels, versions, mistaken_for):
    rows = rows_of(labels, versions, mistaken_for, permutations=1)
    found = {row.quantity: row for row in rows if row.quantity in NOT_ALONE and row.examples == "adversarial"}
    assert set(found) == NOT_ALONE - {FEWER_INFORMATION}
    # Originals tell the label; attacked examples show another class, which says of the label no more than they know.
    assert abs(found[ADDED_INFORMATION].value_nats) < 0.02
    assert found[REMOVED_INFORMATION].interval_low > 0.8
    original = next(row for row in rows if (row.examples, row.quantity) == ("original", LABEL_INFORMATION))
    shared = found[SHARED_INFORMATION].value_nats
    assert shared + found[REMOVED_INFORMATION].value_nats == pytest.approx(original.value_nats, abs=0.01)
    assert rows_of(labels, versions, mistaken_for, permutations=0)[-1].quantity not in NOT_ALONE


def test_a_layer_that_shows_the_mistaken_class_tells_it_and_of_the_label_only_what_the_mistake_does(found):
    # Each label is mistaken for one of two: of misclassified examples I(Y;mistaken) = ln 3 - ln 2, and T knows no more.
    for estimator in (DECODED, DECODED_TRANSFER):
        assert found["adversarial", MISTAKEN_INFORMATION, estimator].value_nats == pytest.approx(math.log(3), abs=0.02)
    refitted = found["adversarial", TRUE_INFORMATION, DECODED]
    assert 0.7 * (math.log(3) - math.log(2)) < refitted.value_nats < math.log(3) - math.log(2) + 0.03
    # decoders of originals name the mistaken class, and are confidently wrong about the label
    assert found["adversarial", TRUE_INFORMATION, DECODED_TRANSFER].value_nats < -2
    assert found["original", LABEL_INFORMATION, DECODED].value_nats == pytest.approx(math.log(3), abs=0.02)


def test_only_misclassified_examples_are_decoded_with_the_draws_of_all_others(found, versions, labels, mistaken_for):
    wrong = mistaken_for != labels
    own = versions["adversarial"][wrong]
    for quantity, classes in ((MISTAKEN_INFORMATION, mistaken_for), (TRUE_INFORMATION, labels)):
        expected = decoded_information(own, classes[wrong], generator=seeded_generator(SEED, "decoder"))
        row = found["adversarial", quantity, DECODED]
        assert (row.value_nats, row.standard_error) == (expected.value, expected.error)
        assert row.samples == int(wrong.sum()) == 600
        assert row.permutations == 2
        assert row.null_quantile95_nats < 0.05
        assert sum(row.group_means) / 20 == pytest.approx(row.value_nats)


def test_decoders_of_originals_judge_the_examples_they_never_saw(found, versions, labels, mistaken_for):
    decoders = decoded_information(versions["original"], labels, generator=seeded_generator(SEED, "decoder"))
    wrong, total = mistaken_for != labels, 0.0
    for decoder, rows in zip(decoders.decoders, decoders.held_out, strict=True):
        log_q = decoder.log_probabilities(versions["adversarial"][rows])
        for place, row in enumerate(rows.tolist()):
            total += (log_q[place, mistaken_for[row]].item() + math.log(3)) * wrong[row].item()
    row = found["adversarial", MISTAKEN_INFORMATION, DECODED_TRANSFER]
    assert row.value_nats == pytest.approx(total / 600)
    assert row.permutations is None


def test_decoders_of_undistorted_originals_read_every_version_where_none_are_refitted(labels, versions, mistaken_for):
    reader = decoded_information(versions["original"], labels, generator=seeded_generator(SEED, "decoder"))
    undistorted = Undistorted({}, [reader])
    rows = rows_of(labels, versions, mistaken_for, due=due(), undistorted=undistorted)
    assert {(row.examples, row.quantity, row.estimator) for row in rows} == {
        ("original", LABEL_INFORMATION, DECODED_TRANSFER),
        ("adversarial", LABEL_INFORMATION, DECODED_TRANSFER),
        ("adversarial", MISTAKEN_INFORMATION, DECODED_TRANSFER),
        ("adversarial", TRUE_INFORMATION, DECODED_TRANSFER),
    }


def test_the_best_of_several_families_is_measured_where_asked_for():
    labels = torch.arange(300) % 2
    points = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) * (1 + 2 * labels[:, None])
    versions = {"original": points, "adversarial": points + 1}
    rows = rows_of(labels, versions, labels, permutations=0, decoders=("linear", "best"))
    found = {(row.examples, row.estimator): row for row in rows}
    assert found["original", DECODED].interval_low < 0.02
    for examples in versions:
        assert found[examples, DECODED_BEST].value_nats > 0.3


class TellsBars(nn.Module):
    """A layer that keeps the image, and logits of noise."""

    def __init__(self) -> None:
        super().__init__()
        self.kept, self.head = nn.Identity(), nn.Linear(100, 2)

    def forward(self, images):
        return self.head(self.kept(images).flatten(1))


def test_a_plane_tells_the_best_decoders_which_layers_are_maps():
    points, labels = bars(600, 10, torch.Generator().manual_seed(0))
    settings = MeasurementConfig(decoders=("linear", "best"), permutations=2, decoder_permutations=0)
    images = (points.unflatten(1, (1, 10, 10)) / 8 + 0.4).clamp(0, 1)
    plane = Plane(images, labels, layers=["kept"], settings=settings)
    found = {row.estimator: row for row in plane.measure(TellsBars(), epoch=0).measurements}
    assert found[DECODED].value_nats < 0.02
    assert found[DECODED_BEST].value_nats > 0.4


@pytest.mark.parametrize("wrong", [0, MISTAKES - 1, MISTAKES])
def test_too_few_mistakes_are_not_decoded(labels, versions, wrong):
    predicted = labels.clone()
    predicted[:wrong] = (labels[:wrong] + 1) % CLASSES
    rows = rows_of(labels, versions, predicted, permutations=0)
    assert any(row.quantity == MISTAKEN_INFORMATION for row in rows) == (wrong >= MISTAKES)


def test_a_class_that_no_example_has_is_no_mistake_that_decoders_could_know(labels, versions):
    predicted = torch.full_like(labels, CLASSES)
    rows = rows_of(labels, versions, predicted, permutations=0)
    assert {row.quantity for row in rows} == {LABEL_INFORMATION}


@pytest.mark.parametrize(
    "among", [torch.zeros(SAMPLES, dtype=torch.bool), torch.ones(3, dtype=torch.bool), torch.ones(SAMPLES)]
)
def test_rows_to_judge_are_checked(labels, versions, among):
    reader = decoded_information(versions["original"], labels, generator=seeded_generator(SEED, "decoder"))
    with pytest.raises(ValueError, match="among must hold one boolean for each of the 900 rows"):
        reader.transferred(versions["adversarial"], labels, among=among)


# predictions


def test_predictions_are_counted_with_their_mean_confidence():
    labels, predicted = torch.tensor([2, 0, 2, 2, 0]), torch.tensor([1, 0, 1, 2, 0])
    counted = prediction_counts(labels, predicted, torch.tensor([0.5, 1.0, 0.75, 0.25, 0.5]))
    assert counted == [
        {"label": 0, "predicted": 0, "n": 2, "confidence": 0.75},
        {"label": 2, "predicted": 1, "n": 2, "confidence": 0.625},
        {"label": 2, "predicted": 2, "n": 1, "confidence": 0.25},
    ]


def test_an_evaluation_holds_what_the_softmax_says_of_each_image(generator):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
    images, labels = torch.rand(600, 3, 2, 2, generator=generator), torch.arange(600) % 4
    found = evaluate(model, images, labels)
    assert isinstance(found, Evaluation)
    probabilities = model(images).detach().softmax(dim=1)
    assert found.predicted.tolist() == probabilities.argmax(dim=1).tolist()
    torch.testing.assert_close(found.confidence, probabilities.amax(dim=1))
    assert found.accuracy == (found.predicted == labels).double().mean().item()
    assert found.loss == pytest.approx(-probabilities[torch.arange(600), labels].log().mean().item(), rel=1e-5)
