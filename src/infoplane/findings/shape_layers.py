"""Decoded information about shape and about texture along the layers, and how adversarial training changes it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.evidence import Evidence, Paired
from infoplane.records.shape import ORIGINALS_KIND, SHAPE, TEXTURE, UNTRAINED
from infoplane.records.tables import NORMAL_TRAINING

LAYERS_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),
    "kind": pl.String(),
    "width": pl.Float64(),
    "layer_index": pl.Int64(),
    "layer": pl.String(),
    "estimator": pl.String(),
    "seeds": pl.Int64(),
    "shape_nats": pl.Float64(),
    "shape_low": pl.Float64(),
    "shape_high": pl.Float64(),
    "texture_nats": pl.Float64(),
    "texture_low": pl.Float64(),
    "texture_high": pl.Float64(),
    "difference_nats": pl.Float64(),  # shape less texture
    "difference_low": pl.Float64(),
    "difference_high": pl.Float64(),
    "shape_null_nats": pl.Float64(),  # means for permuted classes
    "texture_null_nats": pl.Float64(),
    "label_nats": pl.Float64(),  # refitted, about the label of the images without a conflict
    "undersampled": pl.Boolean(),
}
CHANGES_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),  # compared with normal training
    "kind": pl.String(),
    "width": pl.Float64(),
    "layer_index": pl.Int64(),
    "layer": pl.String(),
    "estimator": pl.String(),
    "seeds": pl.Int64(),
    "change_nats": pl.Float64(),  # of shape less texture, from normal training to this one
    "change_low": pl.Float64(),
    "change_high": pl.Float64(),
}


class _Cues(NamedTuple):
    """Both cues at one layer of the networks of one training."""

    place: dict[str, object]  # training, kind, width, layer_index, layer, estimator
    seeds: list[int]
    shape: Paired
    texture: Paired
    rows: pl.DataFrame

    @property
    def difference(self) -> Paired:
        """Shape less texture; paired, because both are of the same conflicts."""
        return Paired(values=self.shape.values - self.texture.values, groups=self.shape.groups - self.texture.groups)


def cue_layers(layers: pl.DataFrame) -> pl.DataFrame:
    """Return information about both cues, means over seeds, columns of `LAYERS_SCHEMA`.

    Intervals are t intervals over fixed groups of conflicts; of several seeds, their spread is added in quadrature.

    Args:
        layers: columns of `records.shape.CUE_LAYER_SCHEMA`.
    """
    rows = []
    for one in _cues(layers):
        ends = {
            name: (paired.evidence(), paired.evidence().interval())
            for name, paired in (("shape", one.shape), ("texture", one.texture), ("difference", one.difference))
        }
        numbers = {
            f"{name}_{what}": value
            for name, (evidence, interval) in ends.items()
            for what, value in (("nats", evidence.value), ("low", interval.low), ("high", interval.high))
        }
        nulls = {f"{cue}_null_nats": one.rows.filter(cue=cue)["null_mean_nats"].mean() for cue in (SHAPE, TEXTURE)}
        training, layer = one.place["training"], one.place["layer"]
        labels = layers.filter(kind=ORIGINALS_KIND, training=training, layer=layer)["value_nats"]
        rows.append(
            {
                **one.place,
                "seeds": len(one.seeds),
                **numbers,
                **nulls,
                "label_nats": labels.mean(),
                "undersampled": one.rows["undersampled"].any(),
            }
        )
    return pl.DataFrame(rows, schema=LAYERS_SCHEMA)


def cue_changes(layers: pl.DataFrame) -> pl.DataFrame:
    """Return how each training changes shape less texture at each layer, paired with normal training.

    Args:
        layers: columns of `records.shape.CUE_LAYER_SCHEMA`.

    Returns:
        Columns of `CHANGES_SCHEMA`; layers and seeds that normal training lacks are left out.
    """
    rows, found = [], list(_cues(layers))
    same = ("kind", "width", "layer", "estimator")
    normal = {tuple(one.place[key] for key in same): one for one in found if one.place["training"] == NORMAL_TRAINING}
    for one in found:
        before = normal.get(tuple(one.place[key] for key in same))
        if before is None or one is before:
            continue
        seeds = [seed for seed in one.seeds if seed in before.seeds]
        if not seeds:
            continue
        own, others = (_of_seeds(part.difference, part.seeds, seeds) for part in (one, before))
        evidence: Evidence = Paired(values=own.values - others.values, groups=own.groups - others.groups).evidence()
        interval = evidence.interval()
        change = {"change_nats": evidence.value, "change_low": interval.low, "change_high": interval.high}
        rows.append({**one.place, "seeds": len(seeds), **change})
    return pl.DataFrame(rows, schema=CHANGES_SCHEMA)


def _of_seeds(paired: Paired, known: list[int], wanted: list[int]) -> Paired:
    places = [known.index(seed) for seed in wanted]
    return Paired(values=paired.values[places], groups=paired.groups[places])


def _cues(layers: pl.DataFrame) -> Iterator[_Cues]:
    keys = ["training", "kind", "width", "layer_index", "layer", "estimator"]
    conflicts = layers.filter(pl.col("kind") != ORIGINALS_KIND, pl.col("training") != UNTRAINED)
    for place, own in conflicts.partition_by(keys, as_dict=True, maintain_order=True).items():
        cues = {cue: own.filter(cue=cue).sort("seed") for cue in (SHAPE, TEXTURE)}
        seeds = sorted({*cues[SHAPE]["seed"]} & {*cues[TEXTURE]["seed"]})
        if seeds:
            paired = {cue: _paired(rows.filter(pl.col("seed").is_in(seeds))) for cue, rows in cues.items()}
            yield _Cues(dict(zip(keys, place, strict=True)), seeds, paired[SHAPE], paired[TEXTURE], own)


def _paired(rows: pl.DataFrame) -> Paired:
    groups = np.array(rows["group_means"].to_list(), dtype=float)
    return Paired(values=rows["value_nats"].to_numpy(), groups=groups)
