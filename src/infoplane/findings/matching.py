"""Which trainings, examples and layers of two runs belong together: by name, and otherwise by what is left over."""

from collections.abc import Sequence
from typing import NamedTuple

Layer = tuple[int, str]  # index, name


class Matches(NamedTuple):
    """Names of one run by those of the first.

    Attributes:
        trainings: by training of the first.
        examples: by kind of examples of the first.
        layers: by (index, name) of the first.
    """

    trainings: dict[str, str]
    examples: dict[str, str]
    layers: dict[Layer, Layer]

    @classmethod
    def to_itself(cls, trainings: Sequence[str], examples: Sequence[str], layers: Sequence[Layer]) -> "Matches":
        """Match a run with itself."""
        return cls({one: one for one in trainings}, {one: one for one in examples}, {one: one for one in layers})


def match_names(first: Sequence[str], other: Sequence[str], what: str) -> tuple[dict[str, str], list[str]]:
    """Match names that both have; if one name is left on each side, these two.

    Args:
        first: names in the first run.
        other: names in the other run.
        what: what they name, for notes.

    Returns:
        The other's names by the first's, and notes on those that do not match by name.
    """
    matches = {name: name for name in first if name in other}
    alone, theirs = [name for name in first if name not in other], [name for name in other if name not in first]
    if len(alone) == len(theirs) == 1:
        matches[alone[0]] = theirs[0]
        return matches, [f"{what} {theirs[0]!r} is compared with {alone[0]!r}"]
    return matches, [f"{what} {name!r} is in one of the two only" for name in (*alone, *theirs)]


def match_layers(first: Sequence[Layer], other: Sequence[Layer]) -> tuple[dict[Layer, Layer], list[str]]:
    """Match layers by name; where the two have no name in common, by their position from the input on.

    Args:
        first: layers of the first run, from input to output.
        other: layers of the other run, likewise.

    Returns:
        The other's layers by the first's, and notes on those that do not match by name.
    """
    named = {name: (index, name) for index, name in other}
    matches = {layer: named[layer[1]] for layer in first if layer[1] in named}
    if not matches and first and other:
        matches = dict(zip(first, other, strict=False))
        pairs = ", ".join(f"{theirs[1]} with {own[1]}" for own, theirs in matches.items())
        said = [f"the models have no layer name in common; layers are matched by position: {pairs}"]
    else:
        said = []
    left = [name for layer in first if layer not in matches for name in [layer[1]]]
    left += [layer[1] for layer in other if layer not in matches.values()]
    return matches, said + ([f"layers without a counterpart: {', '.join(left)}"] if left else [])
