"""What results and records look like in a notebook or a debugger."""

import dataclasses
from dataclasses import dataclass, replace

import pytest
import torch

import infoplane
from infoplane import estimators, findings, studies
from infoplane.data import ImageSet
from infoplane.estimators import tasks
from infoplane.measuring import layer, plane
from infoplane.measuring import layer_outputs as outputs
from infoplane.records import sweeps
from infoplane.records import tables as records
from infoplane.records.short_repr import short_repr, with_short_repr
from infoplane.runs.folder import RunFolder
from infoplane.training import method

MANY = ("Tensor", "list", "dict", "Sequence", "Mapping", "DataFrame", "tuple")


def assert_a_few_lines(shown: object, most: int = 7) -> None:
    lines = repr(shown).splitlines()
    assert len(lines) <= most, repr(shown)
    assert max(map(len, lines)) <= 100, repr(shown)


@pytest.fixture(scope="module")
def layer_and_labels():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (600,), generator=generator)
    return torch.randn(600, 8, generator=generator) + labels[:, None] / 3, labels


@pytest.fixture
def results(layer_and_labels, generator):
    points, labels = layer_and_labels
    kde = estimators.kde_information(points, labels, noise_variance=1.0, permutations=20, generator=generator)
    return {
        "kde": kde,
        "class": kde.class_entropies[0],
        "null": kde.label_lower.null,
        "binning": estimators.binning_information(points, labels, bin_width=0.5),
        "noisy": estimators.noisy_information(points, labels, noise_variance=0.1, generator=generator),
        "decoded": estimators.decoded_information(points, labels, generator=generator),
        "ross": estimators.ross_information(points, labels, generator=generator),
        "ksg": estimators.ksg_information(points[:, :2], points[:, 2:4], generator=generator),
        "copula": estimators.copula_information(points[:, :4], points[:, 4:]),
        "cca": estimators.cca_information(points[:, :4], points[:, 4:], generator=generator),
        "matrix": estimators.matrix_entropy_information(points, labels),
        "cka": estimators.linear_cka(points[:, :4], points[:, 4:]),
    }


def test_the_results_of_all_estimators_are_a_few_lines(results):
    for result in results.values():
        assert_a_few_lines(result)


def test_a_value_stands_with_its_error_ceiling_and_null(results):
    one = results["kde"].label_lower
    assert one.value < 0.95 * one.ceiling
    number = f"{one.value:.4g} ± {one.error:.2g} (ceiling {one.ceiling:.4g}, null {one.null.quantile95:.4g})"
    assert f"label_lower={number}" in repr(results["kde"])
    assert f"value={number}" in repr(one)
    decoded = results["decoded"]
    expected = f"value={decoded.value:.4g} ± {decoded.error:.2g} (ceiling {decoded.ceiling:.4g})"
    assert expected in repr(decoded)


def test_a_saturated_value_has_no_error(results):
    binned = results["binning"].input
    assert binned.value > 0.95 * binned.ceiling
    assert f"input={binned.value:.4g} (saturated, ceiling" in repr(results["binning"])
    assert f"value={binned.value:.4g} (saturated, ceiling" in repr(binned)
    decoded = replace(results["decoded"], value=0.99, error=0.1, ceiling=1.0)
    assert "value=0.99 ± 0.1 (ceiling 1)" in repr(decoded)  # a held-out bound may truly be as high


def test_records_are_a_few_lines():
    digits = infoplane.data.load_split("digits", "test")
    assert_a_few_lines(digits)
    plane = infoplane.InformationPlane(infoplane.data.as_floats(digits.images[:20]), digits.labels[:20])
    assert_a_few_lines(plane, most=1)
    found = plane.measure(infoplane.models.LeNet5(), epoch=0, thorough=False)
    assert_a_few_lines(found)
    assert_a_few_lines(plane, most=1)
    for rows in found:
        assert_a_few_lines(rows[0])
    first = found.measurements[0]
    assert f"value_nats={first.value_nats:.4g} (saturated, ceiling {first.ceiling_nats:.4g})" in repr(first)


def test_findings_are_a_line_per_claim():
    nothing = findings.find(records.measurement_table([]), records.performance_table([]))
    assert len(repr(nothing).splitlines()) == 1 + len(nothing.claims)
    for one in (*nothing.claims, *nothing.findings):
        assert_a_few_lines(one)


def test_a_run_shows_its_folder(tmp_path):
    assert repr(RunFolder("runs/demo")) == "RunFolder('runs/demo')"


@pytest.mark.parametrize("room", [estimators, tasks, records, sweeps, studies, plane, layer, outputs, findings, method])
def test_every_result_that_holds_many_numbers_has_the_short_repr(room):
    for name in getattr(room, "__all__", vars(room)):
        found = getattr(room, name)
        if name.startswith("_") or not isinstance(found, type) or found.__module__.startswith(("torch", "polars")):
            continue
        if dataclasses.is_dataclass(found):
            kinds = [str(field.type) for field in dataclasses.fields(found)]
        else:
            kinds = [str(kind) for kind in getattr(found, "__annotations__", {}).values()]
            kinds = kinds if hasattr(found, "_fields") else []
        if any(word in kind for kind in kinds for word in MANY) and name not in ("Batch", "BatchLoss", "LossMethod"):
            assert found.__repr__ is short_repr or found is findings.Findings, name


def test_long_and_missing_fields_are_shortened():
    @with_short_repr
    @dataclass
    class Result:
        words: str
        numbers: tuple[float, ...]
        few: tuple[float, ...]
        empty: list[int]
        missing: float | None = None

    shown = Result("a\nb" * 100, tuple(range(50)), (1.0, 2.5), [])
    assert_a_few_lines(shown)
    assert "numbers=[50 of int], few=[1, 2.5], empty=[])" in repr(shown)
    assert "missing" not in repr(shown)


def test_an_image_set_is_shown_by_its_shape():
    images = ImageSet(torch.zeros(9, 1, 2, 2, dtype=torch.uint8), torch.zeros(9, dtype=torch.long), ("a",), "test", "x")
    assert "images=Tensor (9, 1, 2, 2), labels=Tensor (9,)" in repr(images)
