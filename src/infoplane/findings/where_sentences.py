"""What the pointwise information says about where labels are lost, in sentences with 95 % intervals."""

import polars as pl

from infoplane.findings.where_lost import layers_in_order, lost_places
from infoplane.findings.where_shares import (
    ALL,
    MISCLASSIFIED,
    Share,
    amongs,
    difference_of,
    effective_number,
    loss_shares,
    share_of,
)
from infoplane.records.tables import ORIGINAL
from infoplane.text import percent

RULE = (
    "Pointwise information of one example is ln q(y|t) - ln p(y). Here q is a decoder of the layer that was fitted to "
    "other examples, without an attack, and p(y) is the frequency of the class. Its mean over the examples is the "
    "decoded I(T;Y). An example loses its label at the first layer from which on it is not above 0. If it is above 0 "
    "at no layer, with or without the attack, its label was never encoded. A misclassified example can keep its label: "
    "the true class is then not the likeliest, but likelier than its frequency. The value for one image is that "
    "of its decoder and no more, so shares are compared with those of the originals and of permuted labels."
)
FEWEST = 10  # effective number of images on which a sentence about a layer can rest
_NAMED = 3  # layers that one sentence names


def where_sentences(pointwise: pl.DataFrame, layers: pl.DataFrame) -> list[str]:
    """Return sentences about the misclassified and about all examples of each training, then about chance.

    The first attack of the records comes first, and further attacks come after what is said about chance.

    Args:
        pointwise: columns of `records.where.POINTWISE_SCHEMA`.
        layers: columns of `records.where.POINTWISE_LAYER_SCHEMA`, of the same networks.
    """
    if layers.is_empty():
        return []
    places, shares, names = lost_places(pointwise), loss_shares(pointwise, layers), attack_names(layers)
    kinds = places.select("training", "examples").unique(maintain_order=True).rows()
    attacks = list(dict.fromkeys(examples for _, examples in kinds if examples != ORIGINAL))
    by_attack = []
    for examples in attacks:
        attack, said = names.get(examples, examples), []
        for training in [training for training, kind in kinds if kind == examples]:
            own = places.filter(training=training, examples=examples)
            said.append(_misclassified(training, attack, amongs(own)[MISCLASSIFIED], shares.filter(examples=examples)))
            said.append(_beyond_originals(training, attack, own, len(layers_in_order(pointwise, training))))
        by_attack.append(said)
    first = by_attack[0] if by_attack else [_originals(training, shares) for training, _ in kinds]
    chance = [sentence for sentence in (_permuted(layers), _undersampled(layers)) if sentence]
    return [*first, *chance, *(sentence for said in by_attack[1:] for sentence in said)]


def attack_names(layers: pl.DataFrame) -> dict[str, str]:
    """Return the names of attacks by the names of their examples.

    Args:
        layers: columns of `records.where.POINTWISE_LAYER_SCHEMA`.
    """
    return dict(layers.filter(pl.col("attack").is_not_null()).select("examples", "attack").unique().rows())


def _misclassified(training: str, attack: str, chosen: pl.DataFrame, shares: pl.DataFrame) -> str:
    who = f"After {training} training"
    if chosen.is_empty():
        return f"{who}, {attack} makes none of the examples misclassified."
    if (number := effective_number(chosen["copy_of"].to_numpy())) < FEWEST:
        return (
            f"{who}, {attack} makes only {len(chosen)} examples misclassified (effective number of images "
            f"{number:.0f}): too few to say where they lose the label."
        )
    own = shares.filter(training=training, among=MISCLASSIFIED)
    return f"{who}, of {len(chosen):,} examples that {attack} makes misclassified, {_most_often(own)}."


def _most_often(own: pl.DataFrame) -> str:
    """Name the layers at which most lose the label, as far as the intervals tell, and the share that keeps it."""
    last = int(own["place_index"].max())  # type: ignore[arg-type]
    lost = own.filter(pl.col("place_index").is_between(0, last - 1), pl.col("count") > 0)
    ordered = lost.sort("count", descending=True, maintain_order=True)
    kept = (
        f"{percent(*_share(own.row(by_predicate=pl.col('place_index') == last, named=True)))} keep it to the last layer"
    )
    if ordered.is_empty():
        return f"none lose the label at a layer, and {kept}"
    near = ordered.filter(pl.col("share_high") >= ordered["share_low"][0]).to_dicts()[:_NAMED]
    layers = ", ".join(f"{percent(*_share(row))} lose the label at {row['place']}" for row in near[:1])
    layers += "".join(f", {percent(*_share(row))} at {row['place']}" for row in near[1:])
    return f"{layers}, and {kept}"


def _share(row: dict[str, float]) -> Share:
    return Share(row["share"], row["share_low"], row["share_high"])


def _beyond_originals(training: str, attack: str, own: pl.DataFrame, layers: int) -> str:
    lost = pl.col("place", "place_original").is_between(0, layers - 1)
    hits, others = (column.to_numpy() for column in own.select(lost))
    images, seeds = own["copy_of"].to_numpy(), own["seed"].to_numpy()
    under, before = (share_of(one, images, seeds) for one in (hits, others))
    difference = difference_of(hits, others, images, seeds)
    clear = difference.low > 0 or difference.high < 0
    verdict = (
        f"a difference of {100 * difference.value:+.0f} points ({100 * difference.low:+.0f} to "
        f"{100 * difference.high:+.0f})"
        + ("" if clear else ", so no effect of the attack is shown")
    )  # fmt: skip
    return (
        f"After {training} training, {percent(*under)} of all {len(own):,} examples lose the label at some layer under "
        f"{attack}, and {percent(*before)} without it: {verdict}."
    )


def _originals(training: str, shares: pl.DataFrame) -> str:
    own = shares.filter(training=training, examples=ORIGINAL, among=ALL)
    return f"After {training} training, of {own['n'][0]:,} examples without an attack, {_most_often(own)}."


def _permuted(layers: pl.DataFrame) -> str:
    known = layers.filter(pl.col("permuted_nats").is_not_null())
    if known.is_empty():
        return "Permuted labels were not measured, so chance is not known."
    share, nats = (known.select(pl.col(name).mean()).item() for name in ("permuted_encoded_share", "permuted_nats"))
    return (
        f"Chance: of permuted labels, the same decoders count {100 * share:.1f} % as encoded at a layer, with "
        f"{nats:.3f} nats on average."
    )


def _undersampled(layers: pl.DataFrame) -> str:
    few = layers.filter(pl.col("undersampled"))
    if few.is_empty():
        return ""
    named = [
        f"{', '.join(few.filter(training=training)['layer'].unique(maintain_order=True))} ({training} training)"
        for training in few["training"].unique(maintain_order=True)
    ]
    return (
        f"Undersampled at {'; '.join(named)}: there, decoders of half as many examples find clearly less. With more "
        "examples, fewer labels may count as lost."
    )
