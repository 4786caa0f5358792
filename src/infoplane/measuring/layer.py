"""Measure one layer on all versions of the examples, and return records."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, NotRequired, TypedDict

from torch import Tensor

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
    records, copies = LayerRecords([], []), copied(outputs.dependent)
    for examples, activations in outputs.versions.items():
        if examples in outputs.only_compared:
            continue
        own = {**facts, "examples": examples, "samples": activations.shape[0], "features": activations.shape[1]}
        for instrument in instruments.INSTRUMENTS:
            if instrument.when in outputs.due:
                for estimate, columns in instrument.measure(Version(outputs, examples, instrument.noises)):
                    below = _below_inputs(estimate, outputs.inputs.get(examples))
                    noise = columns.get("noise_variance") if estimate.quantity == INPUT_INFORMATION else None
                    if noise and "gaussian_ceiling_nats" not in columns:
                        columns |= {"gaussian_ceiling_nats": outputs.spectra[examples].gaussian_ceiling(noise)}
                    row = record(Measurement, below, {**own, "copies": copies, **columns}, outputs.groups)
                    records.measurements.append(row)
        records.geometry.append(_geometry(Version(outputs, examples), own))
        if examples != ORIGINAL:
            outputs.pieces[examples].forget_products()
    return records


def _below_inputs(estimate: Estimate, inputs: Tensor | None) -> Estimate:
    """Use the number of distinct inputs, not of distinct activations, for the ceilings of I(X;T) and H(T|y)."""
    if inputs is None or estimate.ceiling is None or estimate.quantity not in (INPUT_INFORMATION, CLASS_ENTROPY):
        return estimate
    own = inputs.cpu() if estimate.rows is None else inputs.cpu()[estimate.rows]
    return replace(estimate, ceiling=multiplicity_entropy(own))


def _geometry(version: Version, facts: Mapping[str, Any]) -> Geometry:
    """Return scale, clustering, and the similarity of the outputs to those for the originals."""
    originals = version.layer.pieces.get(ORIGINAL) if version.examples != ORIGINAL else None
    return Geometry(
        **facts,
        activation_norm=activation_norm(version.activations),
        mean_unit_variance=version.layer.unit_variances[version.examples],
        class_clustering_index=class_clustering_index(version.activations, version.labels),
        participation_ratio=version.layer.spectra[version.examples].participation_ratio,
        cka_with_original=_similarity(originals, version.pieces),
    )


def _similarity(originals: SharedPieces | None, outputs: SharedPieces) -> float | None:
    if originals is None or originals.samples < COMPARABLE:
        return None
    similarity = linear_cka(originals, outputs).debiased
    return None if math.isnan(similarity) else similarity
