"""Figures that would say nothing are left out, with the number; all others are drawn."""

import polars as pl
import pytest

from infoplane.report.bits import in_bits, plane_points
from infoplane.report.comparison_figure import COMPARISON
from infoplane.report.entropy_figure import CLASS_ENTROPIES
from infoplane.report.figure import NothingToSee
from infoplane.report.flow_figure import RELATIVE_NOISE_PLANES
from infoplane.report.geometry_figure import GEOMETRY
from infoplane.report.mistakes_figure import TRANSFER
from infoplane.report.nothing_to_see import (
    all_at_ceiling,
    all_silent,
    at_ceiling,
    one_epoch,
    panel_note,
    planes_at_ceiling,
)
from infoplane.report.recorded import recorded_of
from infoplane.report.style import figure_style
from infoplane.report.sweep_figure import NOISE_SWEEP


def values(*drawn, saturated=False, ceiling=3.32):
    number = len(drawn)
    return pl.DataFrame(
        {
            "layer_index": list(range(number)),
            "drawn_bits": [float(one) for one in drawn],
            "saturated": [saturated] * number,
            "ceiling_bits": [ceiling] * number,
        }
    )


def test_a_curve_needs_two_epochs():
    assert one_epoch([7, 7]) == NothingToSee("Only epoch 7 was measured, and a curve over epochs needs two epochs.")
    assert one_epoch([0, 7]) is None
    assert one_epoch([]) is None


def test_a_panel_says_nothing_at_its_ceiling_or_if_it_is_constant():
    assert panel_note(values(3.3, 3.32, saturated=True)) == "at the ceiling,\n3.32 bits"
    assert panel_note(values(2, 2.004)) == "constant,\n2.00 bits"
    assert panel_note(values(2, 2.004), if_constant=False) == ""


@pytest.mark.parametrize(
    "rows", [values(2, 2.01), values(2), values(), pl.concat([values(3.3, saturated=True), values(1)])]
)
def test_every_other_panel_is_drawn(rows):
    assert panel_note(rows) == ""
    assert not at_ceiling(rows)
    assert all_at_ceiling(rows) is None


def test_reasons_have_the_number_of_layers_and_the_ceiling():
    assert all_at_ceiling(values(3, 3, 3, saturated=True)).reason == "All 3 layers are at the ceiling of 3.32 bits."
    assert all_at_ceiling(values(3, saturated=True)).reason == "The layer is at the ceiling of 3.32 bits."
    mixed = pl.concat([values(3, saturated=True, ceiling=2.5), values(3, saturated=True)])
    assert "the ceiling of 2.50 to 3.32 bits" in all_at_ceiling(mixed).reason


def test_panels_are_counted_if_all_are_silent():
    notes = ["at the ceiling,\n8.23 bits"] * 3 + ["constant,\n1.00 bits"]
    reason = "None of the 4 panels of 2 layers shows a change: 3 at the ceiling and 1 constant."
    assert all_silent(notes, 2) == NothingToSee(reason)
    assert all_silent([*notes, ""], 2) is None
    assert all_silent([], 0) is None


def test_a_plane_says_nothing_only_if_both_informations_are_at_their_ceilings():
    points = pl.DataFrame({"input_saturated": [True, True], "label_saturated": [True, False]})
    assert not planes_at_ceiling(points)
    assert planes_at_ceiling(points[:1])
    assert not planes_at_ceiling(points[:0])


@pytest.fixture(scope="module")
def normal(full_run):
    own = next(recorded_of(full_run).parts())
    assert own.training == "normal"
    return own


def changed(own, **tables):
    return type(own)(**{**vars(own), **tables})


def test_the_figures_of_a_run_that_changes_are_drawn(normal):
    with figure_style():
        for spec in (CLASS_ENTROPIES, COMPARISON, GEOMETRY, NOISE_SWEEP, RELATIVE_NOISE_PLANES):
            assert not isinstance(spec.draw(normal), NothingToSee)


@pytest.mark.parametrize("spec", [CLASS_ENTROPIES, COMPARISON, GEOMETRY], ids=lambda spec: spec.kind)
def test_one_epoch_is_nothing_to_see(spec, normal):
    once = pl.col("epoch") == 10
    own = changed(
        normal, rows=normal.rows.filter(once), points=normal.points.filter(once), geometry=normal.geometry.filter(once)
    )
    assert spec.draw(own) == NothingToSee("Only epoch 10 was measured, and a curve over epochs needs two epochs.")


@pytest.mark.parametrize(
    "spec", [CLASS_ENTROPIES, COMPARISON, NOISE_SWEEP, RELATIVE_NOISE_PLANES], ids=lambda spec: spec.kind
)
def test_saturated_values_alone_are_nothing_to_see(spec, normal):
    kde = normal.rows.filter(pl.col("estimator").str.starts_with("kde")).with_columns(saturated=pl.lit(True))
    found = spec.draw(changed(normal, rows=kde, points=plane_points(kde)))
    assert isinstance(found, NothingToSee)
    assert "ceiling" in found.reason
    assert found.reason[0].isupper()
    assert found.reason.endswith(".")


def test_an_attack_that_fools_no_network_has_no_matrix(normal):
    one = {"label": 0, "predicted": 0, "n": 1000, "confidence": 0.9}
    right = normal.performance.filter(examples="adversarial").with_columns(
        predictions=pl.Series([[one]] * 11, dtype=normal.performance.schema["predictions"]), accuracy=pl.lit(1.0)
    )
    assert (
        TRANSFER.draw(changed(normal, performance=right)).reason
        == "All 1000 attacked examples are classified correctly."
    )
    almost = right.with_columns(accuracy=pl.lit(0.999))
    assert not isinstance(TRANSFER.draw(changed(normal, performance=almost)), NothingToSee)


def test_in_bits_gives_what_the_rules_read(full_run):
    rows = in_bits(full_run.measurements())
    conv1 = rows.filter(layer="conv1", estimator="kde-kl", quantity="I(X;T)", noise_mode="fixed")
    assert panel_note(conv1) == "at the ceiling,\n9.97 bits"
