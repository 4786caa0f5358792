"""Text of a measured epoch's accuracies, for the lines that a run prints."""

from collections.abc import Sequence

from infoplane.records.tables import ADVERSARIAL, ORIGINAL, Performance


def accuracies_text(performance: Sequence[Performance]) -> str:
    """Return the accuracies of one epoch as text: on original training and test examples, then under each attack.

    Accuracy by averaged draws of a stochastic network stands in brackets.
    """
    rows = sorted(performance, key=lambda row: (row.examples != ORIGINAL, row.split != "train"))
    names = {ORIGINAL: "", ADVERSARIAL: "attacked"}
    return ", ".join(f"{names.get(row.examples, row.examples) or row.split} {_accuracy(row)}" for row in rows)


def _accuracy(row: Performance) -> str:
    drawn = "" if row.drawn_accuracy is None else f" ({row.drawn_accuracy:.1%} by {row.draws} draws)"
    return f"{row.accuracy:.1%}{drawn}"
