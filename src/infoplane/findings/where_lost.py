"""Where each example of a run loses its label: at a layer, nowhere, or never encoded (`measuring.places_of_loss`)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.measuring.places_of_loss import NEVER_PLACE, places_of_loss
from infoplane.records.tables import ORIGINAL

NEVER, KEPT = "never encoded", "kept"  # places besides the layers

PLACES_SCHEMA: dict[str, pl.DataType] = {
    "seed": pl.Int64(),
    "training": pl.String(),
    "examples": pl.String(),
    "example": pl.Int64(),
    "copy_of": pl.Int64(),
    "label": pl.Int64(),
    "predicted": pl.Int64(),
    "predicted_original": pl.Int64(),
    "place": pl.Int64(),
    "place_original": pl.Int64(),
}


def lost_places(pointwise: pl.DataFrame) -> pl.DataFrame:
    """Return where each example of each network and version loses its label.

    Args:
        pointwise: columns of `records.where.POINTWISE_SCHEMA`; versions without originals are left out.

    Returns:
        Columns of `PLACES_SCHEMA`; `place` is as `places_of_loss` returns it.
    """
    parts = [pl.DataFrame(schema=PLACES_SCHEMA)]
    networks = pointwise.partition_by("seed", "training", as_dict=True, maintain_order=True)
    for (seed, training), network in networks.items():
        versions = {str(name): part for (name,), part in network.partition_by("examples", as_dict=True).items()}
        if ORIGINAL not in versions:
            continue
        encoded = {name: _by_layer(part) for name, part in versions.items()}
        facts = {name: _by_example(part) for name, part in versions.items()}
        originals = places_of_loss(encoded[ORIGINAL], encoded[ORIGINAL])
        for name in network["examples"].unique(maintain_order=True):
            own = facts[name].with_columns(
                seed=pl.lit(seed, pl.Int64),
                training=pl.lit(training, pl.String),
                examples=pl.lit(name, pl.String),
                predicted_original=facts[ORIGINAL]["predicted"],
                place=pl.Series(places_of_loss(encoded[name], encoded[ORIGINAL]), dtype=pl.Int64),
                place_original=pl.Series(originals, dtype=pl.Int64),
            )
            parts.append(own.select(list(PLACES_SCHEMA)))
    return pl.concat(parts)


def layers_in_order(pointwise: pl.DataFrame, training: str) -> list[str]:
    """Return the names of the layers of a training, from input to output."""
    own = pointwise.filter(pl.col("training") == training)
    return own.select("layer_index", "layer").unique().sort("layer_index")["layer"].to_list()


def places_in_order(layers: list[str]) -> list[tuple[int, str]]:
    """Return number and name of every place: never encoded, each layer, kept."""
    return [(NEVER_PLACE, NEVER), *enumerate(layers), (len(layers), KEPT)]


def _by_layer(rows: pl.DataFrame) -> NDArray[np.bool_]:
    ordered = rows.sort("layer_index", "example")
    return ordered["encoded"].to_numpy().reshape(ordered["layer_index"].n_unique(), -1)


def _by_example(rows: pl.DataFrame) -> pl.DataFrame:
    first = rows.filter(pl.col("layer_index") == pl.col("layer_index").min())
    return first.select("example", "copy_of", "label", "predicted").sort("example")
