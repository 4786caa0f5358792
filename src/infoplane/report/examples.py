"""Line styles and names of the kinds of examples in figures: original ones first, then each attack."""

from collections.abc import Iterable, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

from infoplane.records.tables import ADVERSARIAL, ORIGINAL, RANDOM
from infoplane.report.style import COLOURS

_LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (2, 1)), (0, (9, 2)))
_MARKERS = ("o", "x", "^", "D", "s", "P", "*")
_COLOURS = (COLOURS[0], COLOURS[5], COLOURS[3], COLOURS[7], COLOURS[4], COLOURS[9])
# Attacked examples read by decoders trained on clean examples: dotted, one look per attack.
_MOVED_LINES: tuple[Any, ...] = (":", (0, (1, 2.5)), (0, (1, 4)), (0, (1, 1)))
_MOVED_MARKERS = ("+", "1", "2", "3", "4")
_MOVED_COLOURS = (COLOURS[2], COLOURS[8], COLOURS[11], COLOURS[6], COLOURS[1])
_LONGEST = 6  # longest short name, in characters
_SHORT = {ORIGINAL: "orig", ADVERSARIAL: "adv"}


class Look(NamedTuple):
    """Line, marker and colour of a curve; figures that use colour for something else ignore the colour."""

    line: Any
    marker: str
    colour: str

    def style(self, markersize: float = 3) -> dict[str, Any]:
        """Return the arguments of `Axes.plot`."""
        size = markersize + (0.5 if self.marker == "x" else 1.5 if self.marker in _MOVED_MARKERS else 0)
        return {"color": self.colour, "linestyle": self.line, "marker": self.marker, "markersize": size}


def examples_look(rank: int) -> Look:
    """Return the look of the examples at position `rank` in `examples_order`; with many attacks, looks repeat."""
    return Look(_LINES[rank % len(_LINES)], _MARKERS[rank % len(_MARKERS)], _COLOURS[rank % len(_COLOURS)])


def transferred_look(rank: int) -> Look:
    """Return the look of values by decoders trained on clean examples, for the attack at `rank`, 1 or more."""
    place = rank - 1
    return Look(
        _MOVED_LINES[place % len(_MOVED_LINES)],
        _MOVED_MARKERS[place % len(_MOVED_MARKERS)],
        _MOVED_COLOURS[place % len(_MOVED_COLOURS)],
    )


def examples_order(examples: str) -> tuple[bool, bool, bool, str]:
    """Sort key that puts originals first, then the recipe's attack, others by name, and the random control last."""
    return (examples != ORIGINAL, examples == RANDOM, examples != ADVERSARIAL, examples)


def attacks_of(examples: Iterable[str]) -> list[str]:
    """Return the attacks among kinds of examples, in order."""
    return sorted({name for name in examples if name not in (ORIGINAL, RANDOM)}, key=examples_order)


def short_names(examples: Sequence[str]) -> dict[str, str]:
    """Return a short name for each kind of examples, all of them different."""
    short: dict[str, str] = {}
    for name in examples:
        cut = _SHORT.get(name, name[:_LONGEST])
        numbered = (f"{cut[: _LONGEST - len(str(number))]}{number}" for number in count(2))
        short[name] = next(one for one in chain([cut], numbered) if one not in short.values())
    return short
