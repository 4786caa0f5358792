"""The picture of the first screen: what decoders read of the label along the layers, as SVG that follows the page."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from infoplane.findings.label_loss import label_loss
from infoplane.findings.label_profiles import LabelProfiles, Layer, Point
from infoplane.records.tables import ORIGINAL
from infoplane.report.bits import RESOLUTION_BITS
from infoplane.report.labels import FEW_PERMUTATIONS, training_label
from infoplane.report.layer_names import short_layers

MOST_PANELS = 6
_BITS = 1 / math.log(2)
_LETTER = 6.0  # width of a letter, in units of the drawing
_LONGEST = 10  # letters of a layer's name
_FILE = "label-along-layers.svg"
# Rules of page.css for a file of its own: some programs know no variables.
_STYLE = (
    "svg{font:11px sans-serif}.panel text,.key{fill:#1b2430;stroke:none}.panel .title{font-weight:600}"
    ".panel .tick{fill:#55606e}.panel path{fill:none}.panel .grid{stroke:#d8dde4}.key{font-size:10px}"
    ".ceiling{stroke:#55606e;stroke-width:1.3;stroke-dasharray:5 3}.null{fill:#ddd9d3}.line{stroke-width:2}"
    ".original{stroke:#0b5fa5}.original circle{fill:#0b5fa5}.attacked{stroke:#c2410c}"
    ".attacked .line{stroke-dasharray:6 3}.panel .attacked g path{fill:#c2410c}.panel .whisker{fill:none !important}"
    ".panel .below circle,.panel .attacked .below path{fill:#fff}.lost{fill:#f8e7df}"
    ".panel .lost-here{fill:#c2410c;font-weight:600}.entry path{stroke-width:2}.entry .attacked path{fill:#c2410c}"
)
_AXIS = "label, bits"
_LEFT, _RIGHT = 42.0, 12.0  # margins of a panel


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Place of the axes in a panel, in units of the drawing, and the range of bits."""

    width: float
    height: float
    bottom: float
    highest: float
    layers: int
    ceiling: float | None = None
    left: float = _LEFT
    right: float = _RIGHT
    top: float = 24.0

    def x(self, place: float) -> float:
        """Return the horizontal place of a layer, by its position from 0."""
        inner = self.width - self.left - self.right
        return self.left + inner * (place + 0.5) / self.layers

    def y(self, bits: float) -> float:
        """Return the vertical place of a number of bits."""
        inner = self.height - self.top - self.bottom
        return self.top + inner * (1 - min(max(bits, 0.0), self.highest) / self.highest)

    def passes(self, bits: float) -> bool:
        """Return whether a number of bits is visibly more than the whole label: no label has more information."""
        return self.ceiling is not None and bits > self.ceiling + RESOLUTION_BITS

    def drawn(self, bits: float) -> float:
        """Return the number of bits, no more than the whole label."""
        return bits if self.ceiling is None else min(bits, self.ceiling)


def picture_html(profiles: LabelProfiles) -> str:
    """Return a panel per training with a legend, or an empty string if decoders were never fitted."""
    trainings = profiles.trainings
    if not trainings:
        return ""
    shown = trainings[:MOST_PANELS]
    size = {1: (560.0, 300.0), 2: (330.0, 300.0)}.get(len(shown), (330.0, 190.0) if len(shown) < 5 else (230.0, 170.0))
    highest = _highest(profiles, shown)
    panels = "".join(_panel(profiles, training, size, highest) for training in shown)
    left_out = trainings[MOST_PANELS:]
    note = f'<p class="note">Not drawn: {escape(", ".join(left_out))}.</p>' if left_out else ""
    content = base64.b64encode(picture_svg(profiles).encode()).decode()
    save = f'<button type="button" class="save" data-name="{_FILE}" data-svg="{content}">Save as SVG</button>'
    tools = f'<p class="tools">{save}</p>'
    return f'{_legend(profiles)}<div class="panels of-{min(len(shown), 5)}">{panels}</div>{note}{tools}'


def picture_svg(profiles: LabelProfiles) -> str:
    """Return the panels as one file that stands alone: two in a row, in the colours of the light page.

    Args:
        profiles: with at least one training.
    """
    shown = profiles.trainings[:MOST_PANELS]
    columns = min(len(shown), 2)
    width, height = (560.0, 300.0) if columns == 1 else (390.0, 300.0)
    key, top = _key(profiles, columns * width)
    highest = _highest(profiles, shown)
    panels = "".join(
        f'<g transform="translate({place % columns * width:g} {top + place // columns * height:g})">'
        f"{_panel(profiles, training, (width, height), highest)}</g>"
        for place, training in enumerate(shown)
    )
    wide, high = columns * width, top + math.ceil(len(shown) / columns) * height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" '
        f'height="{high:g}"><style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{key}{panels}</svg>'
    )


def _key(profiles: LabelProfiles, width: float) -> tuple[str, float]:
    """Return the legend of a file in rows of this width, and its height."""
    parts, x, y = "", 10.0, 8.0
    for kind, mark, text in _entries(profiles):
        long = 22 + len(text) * _LETTER
        if x > 10.0 and x + long > width:
            x, y = 10.0, y + 18
        parts += (
            f'<g class="entry" transform="translate({x:g} {y:g})"><g class="{kind}">{mark}</g>'
            f'<text class="key" x="22" y="10">{escape(text)}</text></g>'
        )
        x += long + 10
    return parts, y + 24


def _highest(profiles: LabelProfiles, trainings: Sequence[str]) -> float:
    """Return the upper end of the axis, in bits: above the ceiling or, without one, above every interval."""
    if profiles.ceiling:
        return 1.08 * max(_BITS * profiles.ceiling, 0.1)
    ends = [0.0]
    for training in trainings:
        for examples in (ORIGINAL, profiles.attack):
            ends += [max(one.value, one.high or 0.0) for one in profiles.points(training, examples)]
    return 1.08 * max(_BITS * max(ends), 0.1)


def _legend(profiles: LabelProfiles) -> str:
    keys = "".join(
        f'<span><svg class="{kind}" width="16" height="12" aria-hidden="true">{mark}</svg> {escape(text)}</span>'
        for kind, mark, text in _entries(profiles)
    )
    return f'<p class="legend">{keys}</p>'


def _entries(profiles: LabelProfiles) -> list[tuple[str, str, str]]:
    """Return the entries of the legend: class, mark of 16 by 12, text."""
    entries = [("original", '<circle cx="8" cy="6" r="3.5"/><path d="M0 6H16"/>', "original examples")]
    attack = profiles.attack
    if any(profiles.points(training, attack) for training in profiles.trainings):
        mark = '<path d="M8 1.5 12.5 6 8 10.5 3.5 6Z"/><path d="M0 6H16" stroke-dasharray="4 3"/>'
        entries.append(("attacked", mark, f"{attack} examples"))
    if profiles.ceiling is not None:
        mark = '<path d="M0 6H16" stroke-dasharray="2 2"/>'
        entries.append(("ceiling", mark, f"the whole label: {_BITS * profiles.ceiling:.2f} bits"))
    if _null(profiles) is not None:
        number = profiles.permutations
        null = f"permuted labels ({'95 % of them' if number > FEW_PERMUTATIONS else f'the largest of {number}'})"
        entries.append(("null", '<rect x="0" y="2" width="16" height="8"/>', null))
    return entries


def _null(profiles: LabelProfiles) -> float | None:
    nulls = [
        one.null
        for training in profiles.trainings
        for examples in (ORIGINAL, profiles.attack)
        for one in profiles.points(training, examples)
        if one.null is not None
    ]
    return max(nulls, default=None)


def _panel(profiles: LabelProfiles, training: str, size: tuple[float, float], highest: float) -> str:
    originals, attacked = profiles.points(training, ORIGINAL), profiles.points(training, profiles.attack)
    layers = [one.layer for one in originals or attacked]
    names = short_layers([name for _, name in layers], _LONGEST)
    room = (size[0] - _LEFT - _RIGHT) / max(1, len(layers))
    turned = max(map(len, names)) * _LETTER > room
    bottom = 12 + _LETTER * 0.75 * max(map(len, names)) if turned else 22.0
    frame = _Frame(
        width=size[0], height=size[1], bottom=bottom, highest=highest, layers=len(layers),
        ceiling=None if profiles.ceiling is None else _BITS * profiles.ceiling,
    )  # fmt: skip
    title = training_label(training).capitalize()
    parts = [
        f'<svg class="panel" viewBox="0 0 {size[0]:g} {size[1]:g}" width="{size[0]:g}" height="{size[1]:g}" role="img" '
        f'aria-label="{escape(_in_words(title, originals, attacked, profiles.attack))}">',
        f'<text class="title" x="{frame.left:g}" y="12">{escape(_cut(title, int(size[0] / 7)))}</text>',
        _grid(frame),
        _ceiling_and_null(frame, profiles),
        _lost(frame, profiles, training, layers),
        _names(frame, layers, names, turned=turned, room=room),
        _curve(frame, layers, originals, "original", "original examples"),
        _curve(frame, layers, attacked, "attacked", f"{profiles.attack} examples"),
        "</svg>",
    ]
    return "".join(parts)


def _grid(frame: _Frame) -> str:
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if frame.highest / step <= 6 or step == 10)
    lines = ""
    for number in range(int(frame.highest / step) + 1):
        y = frame.y(number * step)
        lines += f'<path class="grid" d="M{frame.left:g} {y:.1f}H{frame.width - frame.right:g}"/>'
        lines += (
            f'<text class="tick" x="{frame.left - 5:g}" y="{y + 3.5:.1f}" text-anchor="end">{number * step:g}</text>'
        )
    middle = (frame.top + frame.y(0)) / 2
    axis = f'<text class="tick" transform="translate(9 {middle:.1f}) rotate(-90)" text-anchor="middle">{_AXIS}</text>'
    return lines + axis


def _ceiling_and_null(frame: _Frame, profiles: LabelProfiles) -> str:
    parts = ""
    null = _null(profiles)
    if null is not None:
        top = frame.y(max(_BITS * null, 0.0))
        height = max(frame.y(0) - top, 2.0)
        width = frame.width - frame.left - frame.right
        parts += f'<rect class="null" x="{frame.left:g}" y="{top:.1f}" width="{width:g}" height="{height:.1f}"/>'
    if profiles.ceiling is not None:
        y = frame.y(_BITS * profiles.ceiling)
        parts += f'<path class="ceiling" d="M{frame.left:g} {y:.1f}H{frame.width - frame.right:g}"/>'
    return parts


def _lost(frame: _Frame, profiles: LabelProfiles, training: str, layers: Sequence[Layer]) -> str:
    """Shade where the label is lost, if the records show between which layers that is."""
    loss = label_loss(profiles, training, profiles.attack)
    if loss is None or loss.at_latest or loss.after not in layers:
        return ""
    right = frame.x(layers.index(loss.after))
    left = frame.left if loss.before is None else frame.x(layers.index(loss.before))
    words = "lost gradually" if loss.gradual else "label lost" if loss.whole else "over half lost"
    half = len(words) * 2.8
    middle = min(max((left + right) / 2, frame.left + half), frame.width - frame.right - half)
    return (
        f'<rect class="lost" x="{left:.1f}" y="{frame.top:g}" width="{right - left:.1f}" '
        f'height="{frame.y(0) - frame.top:.1f}"/>'
        f'<text class="lost-here" x="{middle:.1f}" y="{frame.y(0) - 8:.1f}" text-anchor="middle">{words}</text>'
    )


def _names(frame: _Frame, layers: Sequence[Layer], names: Sequence[str], *, turned: bool, room: float) -> str:
    every = max(1, math.ceil(18 / room)) if turned else 1
    parts = ""
    for place, ((_, layer), name) in enumerate(zip(layers, names, strict=True)):
        if place % every and place != len(layers) - 1:
            continue
        x, y = frame.x(place), frame.height - frame.bottom + 14
        turn = f' transform="rotate(-45 {x:.1f} {y:.1f})" text-anchor="end"' if turned else ' text-anchor="middle"'
        parts += f'<text class="tick" x="{x:.1f}" y="{y:.1f}"{turn}>{escape(name)}<title>{escape(layer)}</title></text>'
    return parts


def _curve(frame: _Frame, layers: Sequence[Layer], points: Sequence[Point], kind: str, examples: str) -> str:
    """Draw a curve with 95 % intervals.

    Values below 0 are drawn at 0 with an open mark; a tip ends an interval that passes the whole label.
    """
    places = [(layers.index(one.layer), one) for one in points if one.layer in layers]
    if not places:
        return ""
    shift = 0.0 if kind == "original" else min(4.0, 0.08 * (frame.width - _LEFT - _RIGHT) / len(layers))
    heights = [frame.y(frame.drawn(_BITS * one.value)) for _, one in places]
    line = "L".join(f"{frame.x(place) + shift:.1f} {y:.1f}" for (place, _), y in zip(places, heights, strict=True))
    parts = f'<path class="line" d="M{line}"/>'
    for (place, one), y in zip(places, heights, strict=True):
        x = frame.x(place) + shift
        mark = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'
        if kind != "original":
            mark = f'<path d="M{x:.1f} {y - 4.6:.1f}l4.6 4.6-4.6 4.6-4.6-4.6z"/>'
        whisker = ""
        if one.low is not None and one.high is not None:
            low, high = (frame.y(frame.drawn(_BITS * end)) for end in (one.low, one.high))
            tip = "m-2.6 3.6 2.6 -3.6 2.6 3.6" if frame.passes(_BITS * one.high) else ""
            whisker = f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}{tip}"/>'
        words = f"{one.layer[1]}, {examples}: {in_words(one)}"
        if frame.passes(_BITS * max(one.value, one.high or 0.0)):
            words += ", drawn up to the whole label"
        below = ' class="below"' if one.value < 0 else ""
        parts += f"<g{below}>{whisker}{mark}<title>{escape(words)}</title></g>"
    return f'<g class="{kind}">{parts}</g>'


def in_words(point: Point, unit: str = " bits") -> str:
    """Return a value in bits with its interval, e.g. "2.91 bits (2.82 to 3.02)"."""
    text = f"{_BITS * point.value:.2f}{unit}"
    if point.low is None or point.high is None:
        return text
    return f"{text} ({_BITS * point.low:.2f} to {_BITS * point.high:.2f})"


def _in_words(title: str, originals: Sequence[Point], attacked: Sequence[Point], attack: str) -> str:
    parts = [
        f"{examples}: {', '.join(f'{one.layer[1]} {_BITS * one.value:.1f}' for one in points)}"
        for examples, points in (("original examples", originals), (f"{attack} examples", attacked))
        if points
    ]
    return f"{title}. What decoders of originals read of the label, in bits. {'; '.join(parts)}."


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
