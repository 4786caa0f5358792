"""Section of the page on the label along the layers: the numbers of the first picture, and figures over epochs."""

from html import escape

from infoplane.findings.label_profiles import Point
from infoplane.records.tables import ORIGINAL
from infoplane.report.labels import training_label
from infoplane.report.page_picture import in_words
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable

_READING = """<details class="reading"><summary>How to read this</summary><p>Decoders are classifiers that are fitted to
the outputs of one layer and tested on other examples. What they read is a lower bound of the information about the
label: one bit halves the possibilities. Applied to attacked examples, decoders of originals show what a layer still
encodes as before. Below 0 they are misled: they answer wrongly and with confidence. The label counts as lost where less
than half of it is left from there on, beyond the 95&nbsp;% intervals.</p></details>
"""


def label_section(source: PageSource) -> PageSection | None:
    """Return the section; None if no decoder was fitted."""
    profiles = source.profiles
    if not profiles.trainings:
        return None
    tables = []
    for training in profiles.trainings:
        kinds = [ORIGINAL, *profiles.attacks(training)]
        points = {kind: {one.layer: one for one in profiles.points(training, kind)} for kind in kinds}
        heads = "".join(f'<th scope="col">{escape(kind)}</th>' for kind in kinds)
        lines = ""
        for layer in dict.fromkeys(layer for own in points.values() for layer in own):
            cells = "".join(f"<td>{_cell(points[kind].get(layer))}</td>" for kind in kinds)
            lines += f'<tr><th scope="row">{escape(layer[1])}</th>{cells}</tr>'
        tables.append(
            scrollable(
                f"{training_label(training).capitalize()}, epoch {profiles.epochs[training]}: what decoders of "
                "originals read of the label, in bits",
                f'<thead><tr><th scope="col" class="text">Layer</th>{heads}</tr></thead><tbody>{lines}</tbody>',
            )
        )
    note = (
        '<p class="note"><em>undersampled</em>: more examples would give a larger value. <em>≤ null</em>: no more than '
        "permuted labels give.</p>"
    )
    return PageSection(
        "label", "The label along the layers", _READING + source.figures_html("label") + "".join(tables) + note
    )


def _cell(point: Point | None) -> str:
    if point is None:
        return "-"
    marks = ["undersampled"] * point.undersampled + ["≤ null"] * (not point.found)
    return escape(in_words(point)) + "".join(f' <span class="mark">{mark}</span>' for mark in marks)
