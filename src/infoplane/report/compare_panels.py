"""Panels of the page that compares runs: planes, numbers over layers, and differences over layers."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from infoplane.findings.compared_runs import LayerDifference, Level, Place
from infoplane.records.tables import DECODED_TRANSFER, INPUT_INFORMATION, LABEL_INFORMATION, NORMAL_TRAINING
from infoplane.report.bits import RESOLUTION_BITS
from infoplane.report.compare_figures import Mark, plane_svg, profile_svg
from infoplane.report.compare_tables import BITS, reading_label, standing
from infoplane.report.examples import examples_order
from infoplane.report.labels import examples_label, training_label

Levels = Mapping[tuple[str, Place], Level]  # by name of the run and place

_UNITS = {INPUT_INFORMATION: "I(X;T), bits", LABEL_INFORMATION: "I(T;Y), bits"}
_NO_PLANE = "<p>I(X;T) and I(T;Y) were not both measured in all runs, so there is no plane.</p>"


def plane_panels(names: Sequence[str], levels: Levels) -> str:
    """Return an information plane for each training and kind of examples.

    On attacked examples I(T;Y) is that of decoders trained on clean examples, if all runs have it.
    """
    panels = []
    for places in _kinds(place for _, place in levels):
        x = {one.layer: one for one in places if one.reading.quantity == INPUT_INFORMATION}
        labels = [one for one in places if one.reading.quantity == LABEL_INFORMATION]
        moved = [one for one in labels if one.reading.estimator == DECODED_TRANSFER]
        y = {one.layer: one for one in moved or labels}
        layers = sorted(set(x) & set(y))
        curves = [
            [
                _plane_mark(levels[name, x[layer]], levels[name, y[layer]])
                for layer in layers
                if (name, x[layer]) in levels and (name, y[layer]) in levels
            ]
            for name in names
        ]
        if not curves[0]:
            continue
        caption = f"{_caption(places[0])}, epoch {levels[names[0], x[layers[0]]].epoch}"
        units = _UNITS[INPUT_INFORMATION], _UNITS[LABEL_INFORMATION]
        figure = plane_svg(f"Information plane: {caption}", curves, [name for _, name in layers], units=units)
        panels.append(_panel(figure, caption, f"{reading_label(x[layers[0]])}; {reading_label(y[layers[0]])}"))
    return _grid(panels) or _NO_PLANE


def profile_panels(names: Sequence[str], levels: Levels) -> str:
    """Return the numbers of all runs over layers, a figure for each training, kind of examples and estimator."""
    panels = []
    for places in _kinds((place for _, place in levels), by_reading=True):
        layers = _layers(places)
        curves = [
            [_profile_mark(layers.index(one.layer), levels[name, one]) for one in places if (name, one) in levels]
            for name in names
        ]
        panels.append(_profile(places[0], layers, curves, _UNITS[places[0].reading.quantity], zero=False))
    return _grid(panels)


def difference_panels(names: Sequence[str], differences: Sequence[LayerDifference]) -> str:
    """Return the differences from the first run over layers, likewise."""
    found = {(one.run, one.place): one for one in differences}
    panels = []
    for places in _kinds((place for _, place in found), by_reading=True):
        layers = _layers(places)
        curves = [
            [_difference_mark(layers.index(one.layer), found[name, one]) for one in places if (name, one) in found]
            for name in names
        ]
        panels.append(_profile(places[0], layers, curves, "difference, bits", zero=True))
    return _grid(panels)


def _kinds(places: Iterable[Place], *, by_reading: bool = False) -> list[list[Place]]:
    """Return the places of each training and kind of examples (and reading); normal training and originals first."""
    kinds: dict[tuple[object, ...], list[Place]] = {}
    for one in sorted(set(places)):
        order = (one.training != NORMAL_TRAINING, one.training, examples_order(one.examples))
        kinds.setdefault((*order, one.reading) if by_reading else order, []).append(one)
    return [own for _, own in sorted(kinds.items())]


def _layers(places: Sequence[Place]) -> list[tuple[int, str]]:
    return sorted({one.layer for one in places})


def _caption(place: Place) -> str:
    return f"{training_label(place.training).capitalize()}, {examples_label(place.examples)}"


def _profile(
    place: Place, layers: Sequence[tuple[int, str]], curves: Sequence[Sequence[Mark]], unit: str, *, zero: bool
) -> str:
    caption, about = _caption(place), reading_label(place)
    what = f"Difference of {about}" if zero else about
    figure = profile_svg(f"{what}: {caption}", [name for _, name in layers], curves, unit=unit, zero=zero)
    return _panel(figure, caption, about)


def _panel(figure: str, caption: str, about: str) -> str:
    return f"<figure>{figure}<figcaption><strong>{escape(caption)}.</strong> {escape(about)}.</figcaption></figure>"


def _grid(panels: Sequence[str]) -> str:
    return f'<div class="panes">{"".join(panels)}</div>' if panels else ""


def _plane_mark(x: Level, y: Level) -> Mark:
    title = f"{x.run}, {x.layer}: I(X;T) {BITS * x.value:.2f}{_interval(x)}, I(T;Y) {BITS * y.value:.2f}{_interval(y)}"
    number, x_low, x_high = _drawn(x)
    known = math.isfinite(x_low)
    return Mark(
        number,
        *_drawn(y),
        title,
        hollow=x.saturated or y.saturated,
        x_low=x_low if known else None,
        x_high=x_high if known else None,
    )


def _profile_mark(number: int, one: Level) -> Mark:
    title = f"{one.run}, {one.layer}: {BITS * one.value:.2f}{_interval(one)}"
    return Mark(number, *_drawn(one), title, hollow=one.saturated)


def _drawn(one: Level) -> tuple[float, float, float]:
    """Return the value in bits and the ends of its interval, no higher than the ceiling; infinite without interval."""
    if not math.isfinite(one.high - one.low):
        return BITS * min(one.value, one.ceiling), -math.inf, math.inf
    value, low, high = (BITS * min(number, one.ceiling) for number in (one.value, one.low, one.high))
    return value, low, high


def _interval(one: Level) -> str:
    text = ""
    if math.isfinite(one.high - one.low):
        text = f" ({BITS * one.low:.2f} to {BITS * one.high:.2f})"
        if BITS * (one.high - one.ceiling) > RESOLUTION_BITS:
            text += f", drawn up to the ceiling {BITS * one.ceiling:.2f}"
    return f"{text} saturated" if one.saturated else text


def _difference_mark(number: int, one: LayerDifference) -> Mark:
    value = BITS * one.value
    low, high = (math.nan if end is None else BITS * end for end in (one.low, one.high))
    wide = None
    if one.together_low is not None and one.together_high is not None:
        wide = (BITS * one.together_low, BITS * one.together_high)
    interval = f" ({low:+.2f} to {high:+.2f})" if math.isfinite(low) else ""
    title = f"{one.run}, {one.place.layer[1]}: {value:+.2f}{interval}, {standing(one)}"
    return Mark(number, value, low, high, title, hollow=not one.is_clear, wide=wide)
