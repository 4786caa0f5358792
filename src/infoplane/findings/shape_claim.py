"""The claim that adversarial training raises the shape bias, and what the records say about both cues, in sentences.

The rule was fixed before any network was measured. The claim rests on the conflicts of one kind, the high-pass part of
another image at a blur of 2 pixels. It is supported if the 95 % interval of the shape bias of adversarial training less
that of normal training, on the same conflicts, lies above 0, and contradicted if it lies below 0. One seed leaves it
undecided, as every claim that compares methods of training. The other kinds of conflicts are shown and decide nothing.
"""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from infoplane.findings.claim import Claim
from infoplane.findings.finding import Finding, Number, Statement, against, undecidable
from infoplane.findings.shape_bias import adversarial_of, bias_difference, bias_of, shape_bias
from infoplane.findings.shape_layers import cue_changes, cue_layers
from infoplane.findings.verdict import ClaimVerdict, claim_verdict
from infoplane.findings.where_shares import Share
from infoplane.measuring.exchanged import DECODED_KINDS, JUDGED, kind_title
from infoplane.records.shape import FOLDER_KIND, UNTRAINED
from infoplane.records.tables import ADVERSARIAL_TRAINING, DECODED_TRANSFER, NORMAL_TRAINING
from infoplane.text import counted, percent

SHAPE_CLAIM = Claim(
    number="shape",
    name="shape bias",
    text="Adversarial training raises the shape bias.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    needs_several_seeds=True,
    statements=lambda _: (),  # from tables of its own: `shape_statements`
)
RULE = (
    "Each image keeps its low frequencies as shape and gets the texture of an image of another class, cut into patches "
    "and shuffled. Shape bias is the share of the shape's class among the answers that name the class of the shape or "
    "of the texture. Permuted pairs: the same answers, with the pairs of classes dealt to the images at random. "
    "Decoders trained on images without a conflict show which cue the layer encodes as it does in usual images; "
    "refitted decoders show what the layer still encodes of a cue in any form. The claim rests on the kind "
    f"{JUDGED.title} alone, by the difference between both trainings on the same images."
)
_NAMED = 6  # layers that one sentence names


def shape_statements(answers: pl.DataFrame) -> list[Statement]:
    """Return the difference of the shape biases on each kind of conflicts; that on `exchanged.JUDGED` decides.

    Args:
        answers: columns of `records.shape.CUE_ANSWER_SCHEMA`.
    """
    adversarial = adversarial_of(answers) or ADVERSARIAL_TRAINING
    kinds = answers.select("kind", "width").unique(maintain_order=True).rows()
    found = []
    for kind in dict.fromkeys([tuple(JUDGED), *kinds]):
        own = answers.filter(pl.col("kind") == kind[0], pl.col("width").eq_missing(pl.lit(kind[1], pl.Float64)))
        like = Statement(
            statement=f"{adversarial} training has the larger shape bias ({kind_title(*kind)})",
            statistic=f"shape bias, {adversarial} - {NORMAL_TRAINING} training",
            quantity="shape bias",
            part="shape bias" if kind == tuple(JUDGED) else "",
            judge=undecidable("missing: no answers of both trainings that name the shape or the texture"),
        )
        difference = bias_difference(own, adversarial)
        if difference is not None:
            names = (NORMAL_TRAINING, adversarial)
            like = replace(
                like,
                value=difference.evidence.value,
                seeds=len(difference.evidence.values),
                numbers=tuple(
                    Number(f"shape bias, {name} training", bias)
                    for name, bias in zip(names, difference.biases, strict=True)
                ),
                judge=against(difference.evidence, above=True),
            )
        found.append(like)
    return found


def judged(answers: pl.DataFrame) -> tuple[ClaimVerdict, list[Finding]]:
    """Return the verdict on the claim, and a finding for each kind of conflicts.

    Args:
        answers: columns of `records.shape.CUE_ANSWER_SCHEMA`.
    """
    statements = shape_statements(answers)
    return claim_verdict(SHAPE_CLAIM, statements), [one.finding(SHAPE_CLAIM.number) for one in statements]


def shape_sentences(answers: pl.DataFrame, layers: pl.DataFrame) -> list[str]:
    """Return sentences about the claim, the shape bias of each training, and both cues along the layers.

    Args:
        answers: columns of `records.shape.CUE_ANSWER_SCHEMA`.
        layers: columns of `records.shape.CUE_LAYER_SCHEMA`, of the same networks.
    """
    if answers.is_empty():
        return []
    return [_claim(answers), *_biases(answers), *_layers(layers), *_undersampled(layers)]


def _claim(answers: pl.DataFrame) -> str:
    verdict, findings = judged(answers)
    own = next(one for one in findings if one.part)
    if own.value is None or own.low is None or own.high is None:
        return f"{verdict.statement} Verdict: {verdict.verdict} ({verdict.reason})."
    return (
        f"{verdict.statement} Verdict: {verdict.verdict}. {own.statistic}: {100 * own.value:+.0f} points "
        f"({100 * own.low:+.0f} to {100 * own.high:+.0f}, {counted(own.seeds, 'seed')}; {verdict.reason})."
    )


def _biases(answers: pl.DataFrame) -> Iterator[str]:
    """Say the shape bias on the kind that decides, and on images of a folder."""
    said = (pl.col("kind") == FOLDER_KIND) | ((pl.col("kind") == JUDGED.name) & (pl.col("width") == JUDGED.width))
    for row in shape_bias(answers.filter(said)).iter_rows(named=True):
        who = "With initial weights" if row["training"] == UNTRAINED else f"After {row['training']} training"
        which = f"{row['n']:,} conflicts ({kind_title(row['kind'], row['width'])})"
        bias = bias_of(row)
        if bias is None:
            yield f"{who}, none of {which} is answered with the class of its shape or of its texture."
            continue
        answered = percent(row["answered_share"], row["answered_low"], row["answered_high"])
        permuted = Share(row["permuted_bias"], row["permuted_low"], row["permuted_high"])
        yield (
            f"{who}, {answered} of {which} are answered with the class of the shape or of the texture; of these, "
            f"{percent(*bias)} with the shape. Permuted pairs: {100 * row['permuted_answered']:.0f} % are answered so, "
            f"{percent(*permuted)} with the shape."
        )


def _layers(layers: pl.DataFrame) -> Iterator[str]:
    """Say at which layers decoders trained on images without a conflict read which cue, and which cue more of."""
    found, changes = cue_layers(layers), cue_changes(layers)
    for kind in DECODED_KINDS:
        chosen = {"kind": kind.name, "width": kind.width, "estimator": DECODED_TRANSFER}
        own = found.filter(**chosen)
        for training in own["training"].unique(maintain_order=True):
            rows = own.filter(training=training)
            read = {cue: _named(_layers_of(rows, f"{cue}_low"), len(rows)) for cue in ("shape", "texture")}
            more = _named(_layers_of(rows, "difference_low"), len(rows))
            less = _named(rows.filter(pl.col("difference_high") < 0)["layer"].to_list(), len(rows))
            yield (
                f"After {training} training ({kind.title}), decoders trained on images without a conflict read the "
                f"shape at {read['shape']} and the texture at {read['texture']}. The value of the shape is the larger "
                f"one at {more}, that of the texture at {less}."
            )
        moved = changes.filter(**chosen)
        for training in moved["training"].unique(maintain_order=True):
            rows = moved.filter(training=training)
            up = _layers_of(rows, "change_low")
            down = rows.filter(pl.col("change_high") < 0)["layer"].to_list()
            yield (
                f"From normal to {training} training ({kind.title}), shape less texture rises at "
                f"{_named(up, len(rows))}, and falls at {_named(down, len(rows))}."
            )


def _layers_of(rows: pl.DataFrame, low: str) -> list[str]:
    """Return the layers at which the lower end of an interval lies above 0."""
    return rows.filter(pl.col(low) > 0)["layer"].to_list()


def _named(names: list[str], number: int) -> str:
    """Name the layers, the first ones where there are many; e.g. "3 of 5 layers (conv1, conv2, fc1)"."""
    if not names:
        return "no layer"
    shown = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"{len(names)} of {counted(number, 'layer')} ({shown})"


def _undersampled(layers: pl.DataFrame) -> Iterator[str]:
    few = layers.filter(pl.col("undersampled"))
    if len(few):
        yield (
            f"Undersampled: {len(few)} of {len(layers)} decoded values, for which decoders of half as many images find "
            "clearly less. With more images, these values rise."
        )
