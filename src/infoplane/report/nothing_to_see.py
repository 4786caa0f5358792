"""Rules for figures and panels that would say nothing in a run, each a function of the records.

A panel says nothing if all its values are at their ceiling, where estimators only repeat the number of examples, or if
they are all equal. A curve over epochs needs two epochs. Everything else is drawn.
"""

from collections.abc import Iterable, Sequence

import polars as pl

from infoplane.report.bits import RESOLUTION_BITS
from infoplane.report.figure import NothingToSee


def one_epoch(epochs: Iterable[int], what: str = "a curve over epochs") -> NothingToSee | None:
    """Return why a figure over epochs says nothing, if there is only one epoch."""
    found = set(epochs)
    if len(found) != 1:
        return None
    return NothingToSee(f"Only epoch {found.pop()} was measured, and {what} needs two epochs.")


def panel_note(rows: pl.DataFrame, prefix: str = "", *, if_constant: bool = True) -> str:
    """Return in two short lines what a panel of values would show, if it is nothing; "" if it shows something.

    Args:
        rows: as `bits.in_bits` or, with a prefix, `bits.plane_points` returns them.
        prefix: of the columns, "input_" or "label_" for `plane_points`.
        if_constant: whether equal values are nothing too.
    """
    if rows.is_empty():
        return ""
    if at_ceiling(rows, prefix):
        return f"at the ceiling,\n{_span(rows[f'{prefix}ceiling_bits'])} bits"
    values = rows[f"{prefix}drawn_bits"]
    if if_constant and len(rows) > 1 and _width(values) < RESOLUTION_BITS:
        return f"constant,\n{_span(values)} bits"
    return ""


def at_ceiling(rows: pl.DataFrame, prefix: str = "") -> bool:
    """Return whether all values are saturated; not if there are none."""
    return not rows.is_empty() and bool(rows[f"{prefix}saturated"].all())


def planes_at_ceiling(points: pl.DataFrame) -> bool:
    """Return whether all points lie in the corner: both informations saturated; not if there are none.

    Args:
        points: as `bits.plane_points` returns them.
    """
    return at_ceiling(points, "input_") and at_ceiling(points, "label_")


def corner(points: pl.DataFrame) -> str:
    """Write the ceilings of both informations, e.g. "8.23 and 3.32 bits"."""
    ends = (_span(points[f"{side}_ceiling_bits"]) for side in ("input", "label"))
    return " and ".join(ends) + " bits"


def all_at_ceiling(rows: pl.DataFrame, prefix: str = "") -> NothingToSee | None:
    """Return why a figure of these values says nothing, if all of them are saturated.

    Args:
        rows: with the column `layer_index`, and those of `panel_note`.
        prefix: as for `panel_note`.
    """
    if not at_ceiling(rows, prefix):
        return None
    ceiling = _span(rows[f"{prefix}ceiling_bits"])
    return NothingToSee(f"{_layers(rows['layer_index'].n_unique())} at the ceiling of {ceiling} bits.")


def all_silent(notes: Sequence[str], layers: int) -> NothingToSee | None:
    """Return why a figure says nothing, if each of its panels has a note.

    Args:
        notes: `panel_note` of each panel that has records.
        layers: number of layers.
    """
    if not notes or not all(notes):
        return None
    counts = [f"{sum(note.startswith(start) for note in notes)} {name}" for start, name in _KINDS.items()]
    shown = " and ".join(text for text in counts if not text.startswith("0 "))
    return NothingToSee(f"None of the {len(notes)} panels of {layers} layers shows a change: {shown}.")


_KINDS = {"at": "at the ceiling", "constant": "constant"}


def _layers(number: int) -> str:
    return f"All {number} layers are" if number > 1 else "The layer is"


def _width(values: pl.Series) -> float:
    known = values.drop_nulls().to_numpy()
    return float(known.max() - known.min()) if len(known) else 0.0


def _span(values: pl.Series) -> str:
    """Write the values, e.g. "8.23", or "4.86 to 8.23" if they differ."""
    known = values.drop_nulls().to_numpy()
    low, high = f"{known.min():.2f}", f"{known.max():.2f}"
    return low if low == high else f"{low} to {high}"
