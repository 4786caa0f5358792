"""Measure one layer on all versions of the examples, and return records."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, NotRequired, TypedDict

from torch import Tensor

from infoplane.distributed.team import ALONE, RankedTeam, together
from infoplane.estimators import Estimate, activation_norm, class_clustering_index, linear_cka
from infoplane.estimators.distinct_rows import copied, multiplicity_entropy
from infoplane.estimators.row_products import SharedPieces
from infoplane.measuring import instruments
from infoplane.measuring.layer_outputs import LayerOutputs, Version
from infoplane.measuring.to_records import record
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import CLASS_ENTROPY, INPUT_INFORMATION, ORIGINAL, Geometry, Measurement

COMPARABLE = 4  # least number of examples; the debiased similarity is undefined for fewer


class LayerFacts(TypedDict):
    """Where a measurement comes from: the first columns of its records, except the column `examples`."""

    study: str
    seed: int
    training: str
    epoch: int
    split: str
    example_draw: NotRequired[str | None]
    distortion: NotRequired[str]
    level: NotRequired[float]
    layer_index: int
    layer: str


@with_short_repr
class LayerRecords(NamedTuple):
    """The records of one layer."""

    measurements: list[Measurement]
    geometry: list[Geometry]


def measure_layer(outputs: LayerOutputs, facts: LayerFacts) -> LayerRecords:
    """Apply the instruments that are due to one layer, and return their values in nats.

    Args:
        outputs: the layer's outputs, and the settings of the measurement.
        facts: the first columns of the records.

    Raises:
        ValueError: an estimator refuses the activations or labels.
    """
    team = ALONE if outputs.group is None else RankedTeam(outputs.group)
    records = LayerRecords([], [])
    for examples in outputs.versions:
        if examples in outputs.only_compared:
            continue
        version = {**facts, "examples": examples}
        used = [instrument for instrument in enumerate(instruments.INSTRUMENTS) if instrument[1].when in outputs.due]
        # First what all processes share: an error of one alone would leave the others waiting there.
        shared = [
            (place, _rows(outputs, instrument, version, kept=team.rank == 0))
            for place, instrument in used
            if instrument.together
        ]
        places = [*(place for place, instrument in used if not instrument.together), len(instruments.INSTRUMENTS)]
        own = (_part(outputs, place, version) for place in team.deal(places))
        for _, rows in sorted([*team.tell(shared), *together(own, team)], key=lambda part: part[0]):
            records.measurements.extend(row for row in rows if isinstance(row, Measurement))
            records.geometry.extend(row for row in rows if isinstance(row, Geometry))
        if examples != ORIGINAL:
            for layer in (outputs, outputs.in_memory):
                layer.pieces[examples].forget_products()
    return records


def _part(outputs: LayerOutputs, place: int, facts: Mapping[str, Any]) -> tuple[int, list[Measurement | Geometry]]:
    """Return the place and the rows of one instrument, or of the geometry, which comes last."""
    if place < len(instruments.INSTRUMENTS):
        return place, _rows(outputs, instruments.INSTRUMENTS[place], facts)
    return place, [_geometry(Version(outputs, facts["examples"]), facts)]


def _rows(
    outputs: LayerOutputs, instrument: instruments.Instrument, facts: Mapping[str, Any], *, kept: bool = True
) -> list[Measurement | Geometry]:
    """Return the rows of one instrument; none if they are not `kept`, but it measures all the same."""
    layer = outputs.in_memory if instrument.in_memory else outputs
    examples, rows = facts["examples"], list[Measurement | Geometry]()
    own = {**facts, "samples": layer.samples, "features": layer.features, "copies": copied(layer.dependent)}
    for estimate, columns in instrument.measure(Version(layer, examples, instrument.noises)):
        if not kept:
            continue
        below = _below_inputs(estimate, layer.inputs.get(examples))
        noise = columns.get("noise_variance") if estimate.quantity == INPUT_INFORMATION else None
        if noise and "gaussian_ceiling_nats" not in columns:
            columns |= {"gaussian_ceiling_nats": layer.spectra[examples].gaussian_ceiling(noise)}
        rows.append(record(Measurement, below, {**own, **columns}, layer.groups))
    return rows


def _below_inputs(estimate: Estimate, inputs: Tensor | None) -> Estimate:
    """Use the number of distinct inputs, not of distinct activations, for the ceilings of I(X;T) and H(T|y)."""
    if inputs is None or estimate.ceiling is None or estimate.quantity not in (INPUT_INFORMATION, CLASS_ENTROPY):
        return estimate
    own = inputs.cpu() if estimate.rows is None else inputs.cpu()[estimate.rows]
    return replace(estimate, ceiling=multiplicity_entropy(own))


def _geometry(version: Version, facts: Mapping[str, Any]) -> Geometry:
    """Return scale, clustering, and the similarity of the outputs to those for the originals."""
    layer, examples = version.layer, version.examples
    few = layer.in_memory.pieces if examples != ORIGINAL else {}
    return Geometry(
        **facts,
        samples=layer.samples,
        features=layer.features,
        activation_norm=activation_norm(version.pieces),
        mean_unit_variance=layer.unit_variances[examples],
        class_clustering_index=class_clustering_index(version.pieces, version.labels),
        participation_ratio=layer.spectra[examples].participation_ratio,
        cka_with_original=_similarity(few[ORIGINAL], few[examples]) if ORIGINAL in few else None,
    )


def _similarity(originals: SharedPieces, outputs: SharedPieces) -> float | None:
    if originals.samples < COMPARABLE:
        return None
    similarity = linear_cka(originals, outputs).debiased
    return None if math.isnan(similarity) else similarity
