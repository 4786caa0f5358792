"""Figures of the page that compares runs, as SVG inside the page: a curve per run, with 95 % intervals.

They need no script, take their colours from the page's style, and say each number where the pointer rests.
"""

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from infoplane.report.layer_names import short_layers

WIDTH, HEIGHT = 420.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 14.0, 56.0
_MOST_LABELS = 12  # layer names below a figure; of more layers every second, third ... is named
_LONGEST = 11  # characters of a layer's name below a figure
_SHAPES = 4
_NARROWEST = 0.1  # range of an axis, in bits
RUN_COLOURS = 8  # classes run-0 to run-7 of the style; further runs take them again with another shape


class Mark(NamedTuple):
    """One number in a figure.

    Attributes:
        x: place from left to right.
        y: its value.
        low: lower end of its interval.
        high: upper end.
        title: what it is, with its numbers, as text.
        hollow: drawn without filling, since it is saturated, say.
        wide: a wider interval behind the interval.
        x_low: lower end of its interval from left to right, where it has one.
        x_high: upper end.
    """

    x: float
    y: float
    low: float
    high: float
    title: str
    hollow: bool = False
    wide: tuple[float, float] | None = None
    x_low: float | None = None
    x_high: float | None = None


def profile_svg(label: str, layers: Sequence[str], curves: Sequence[Sequence[Mark]], *, unit: str, zero: bool) -> str:
    """Return a figure over layers.

    Args:
        label: what the figure shows, for readers who do not see it.
        layers: names from input to output.
        curves: the marks of each run, `x` being the place of the layer in `layers`.
        unit: text at the axis.
        zero: whether 0 is the line that values are compared with.
    """
    marks = [mark for curve in curves for mark in curve]
    low, high = _limits([end for mark in marks for end in _ends(mark)], zero=zero)
    inner = WIDTH - _LEFT - _RIGHT
    step = inner / max(1, len(layers))

    def across(x: float, run: int) -> float:
        spread = min(step * 0.5, 9.0 * max(0, len(curves) - 1))
        return _LEFT + step * (x + 0.5) + (spread * (run / (len(curves) - 1) - 0.5) if len(curves) > 1 else 0.0)

    up = _scale(low, high)
    every = max(1, math.ceil(len(layers) / _MOST_LABELS))
    names = "".join(
        f'<text class="tick" transform="translate({_LEFT + step * (place + 0.5):.1f} {HEIGHT - _BOTTOM + 12:.1f}) '
        f'rotate(-28)" text-anchor="end"><title>{escape(name)}</title>{escape(short)}</text>'
        for place, (name, short) in enumerate(zip(layers, short_layers(layers, _LONGEST), strict=True))
        if place % every == 0
    )
    return _svg(label, _y_axis(low, high, up, unit, zero=zero) + names + _curves(curves, across, up))


def plane_svg(label: str, curves: Sequence[Sequence[Mark]], names: Sequence[str], *, units: tuple[str, str]) -> str:
    """Return an information plane: the layers of each run are points, connected from input to output.

    Args:
        label: what the figure shows, for readers who do not see it.
        curves: the marks of each run, from input to output.
        names: names of the points of the first curve.
        units: text at the horizontal and at the vertical axis.
    """
    marks = [mark for curve in curves for mark in curve]
    left, right = _limits([x for mark in marks for x in (mark.x, mark.x_low, mark.x_high) if x is not None], zero=False)
    low, high = _limits([end for mark in marks for end in _ends(mark)], zero=False)
    up = _scale(low, high)

    def across(x: float, _run: int = 0) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (x - left) / (right - left)

    ticks = "".join(
        f'<line class="grid" x1="{across(tick):.1f}" x2="{across(tick):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        f'<text class="tick" x="{across(tick):.1f}" y="{HEIGHT - _BOTTOM + 14}" text-anchor="middle">{tick:g}</text>'
        for tick in _ticks(left, right)
    )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    ticks += f'<text class="axis" x="{middle}" y="{HEIGHT - 22}" text-anchor="middle">{escape(units[0])}</text>'
    first = curves[0] if curves else []
    labels = "".join(
        f'<text class="name" x="{across(mark.x):.1f}" y="{up(mark.y) - 8:.1f}" text-anchor="middle">'
        f"{escape(name)}</text>"
        for mark, name in zip(first, short_layers(names, _LONGEST), strict=True)
    )
    return _svg(label, _y_axis(low, high, up, units[1], zero=False) + ticks + _curves(curves, across, up) + labels)


def key_html(runs: Sequence[str]) -> str:
    """Return the key of colours and shapes."""
    items = "".join(
        f'<li><svg class="mark {_style(run)}" viewBox="-7 -7 14 14" width="14" height="14" aria-hidden="true">'
        f"{_shape(run, 0, 0, hollow=False)}</svg> {escape(name)}</li>"
        for run, name in enumerate(runs)
    )
    return f'<ul class="run-key">{items}</ul>'


def _svg(label: str, content: str) -> str:
    return (
        f'<svg class="drawing" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(label)}">'
        f"{content}</svg>"
    )


def _ends(mark: Mark) -> list[float]:
    ends = [mark.y, mark.low, mark.high, *(mark.wide or ())]
    return [end for end in ends if math.isfinite(end)]


def _limits(values: Sequence[float], *, zero: bool) -> tuple[float, float]:
    """Return limits with some room around all values; of differences they contain 0.

    The narrowest range is a tenth of a bit: of equal values, the axis would show nothing but rounding.
    """
    known = [value for value in values if math.isfinite(value)] + ([0.0] if zero else [])
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = max(0.07 * (high - low), (_NARROWEST - (high - low)) / 2)
    return low - room, high + room


def _scale(low: float, high: float) -> Callable[[float], float]:
    """Return the map from values to the vertical place, kept inside the figure."""
    inner = HEIGHT - _TOP - _BOTTOM
    return lambda y: _TOP + inner * (1 - (min(max(y, low), high) - low) / (high - low))


def _ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers between two limits."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    return [round(number * step, 10) for number in range(first, math.floor(high / step) + 1)]


def _y_axis(low: float, high: float, up: Callable[[float], float], unit: str, *, zero: bool) -> str:
    ticks = "".join(
        f'<line class="{"zero" if zero and tick == 0 else "grid"}" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" '
        f'y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 5}" y="{up(tick) + 3.5:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in _ticks(low, high)
    )
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    return (
        f'{ticks}<text class="axis" transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{unit}</text>'
    )


def _curves(
    curves: Sequence[Sequence[Mark]], across: Callable[[float, int], float], up: Callable[[float], float]
) -> str:
    return "".join(
        f'<g class="{_style(run)}">{_line(curve, run, across, up)}'
        f"{''.join(_drawn(mark, run, across, up) for mark in curve)}</g>"
        for run, curve in enumerate(curves)
    )


def _style(run: int) -> str:
    return f"run-{run % RUN_COLOURS}"


def _line(curve: Sequence[Mark], run: int, across: Callable[[float, int], float], up: Callable[[float], float]) -> str:
    points = " ".join(f"{across(mark.x, run):.1f},{up(mark.y):.1f}" for mark in curve)
    return f'<polyline class="line dash-{run % _SHAPES}" points="{points}"/>' if len(curve) > 1 else ""


def _drawn(mark: Mark, run: int, across: Callable[[float, int], float], up: Callable[[float], float]) -> str:
    x, y = across(mark.x, run), up(mark.y)
    bars = ""
    if mark.wide is not None:
        bars += (
            f'<line class="wide" x1="{x:.1f}" x2="{x:.1f}" y1="{up(mark.wide[0]):.1f}" y2="{up(mark.wide[1]):.1f}"/>'
        )
    if math.isfinite(mark.low) and math.isfinite(mark.high):
        bars += f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{up(mark.low):.1f}" y2="{up(mark.high):.1f}"/>'
    if mark.x_low is not None and mark.x_high is not None:
        left, right = across(mark.x_low, run), across(mark.x_high, run)
        bars += f'<line class="bar" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f"<g><title>{escape(mark.title)}</title>{bars}{_shape(run, x, y, hollow=mark.hollow)}</g>"


def _bar(kind: str, x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>'


def _shape(run: int, x: float, y: float, *, hollow: bool) -> str:
    kind = 'class="point hollow"' if hollow else 'class="point"'
    shape = (run + run // RUN_COLOURS) % _SHAPES
    if shape == 0:
        return f'<circle {kind} cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'
    if shape == 1:
        return f'<rect {kind} x="{x - 3.3:.1f}" y="{y - 3.3:.1f}" width="6.6" height="6.6"/>'
    offsets = ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)) if shape == 2 else ((0, -4.4), (4.2, 3.4), (-4.2, 3.4))
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in offsets)
    return f'<polygon {kind} points="{points}"/>'
