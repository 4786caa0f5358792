"""Section of the page on the mistakes that attacks cause: which classes, and what the layers encode about them."""

from html import escape

from infoplane.records.tables import MISTAKEN_INFORMATION, TRUE_INFORMATION
from infoplane.report.labels import training_label
from infoplane.report.page_picture import in_words
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable

_QUANTITIES = {MISTAKEN_INFORMATION: "About the wrong class", TRUE_INFORMATION: "About the true class"}
_READING = """<details class="reading"><summary>How to read this</summary><p>The attack pushes away from the label and
towards no class, so the network itself decides which class it answers. The table is about the attacked examples that
the network misclassifies: what decoders of originals read about the class that it answers, and about the true class.
Below 0 they are misled. The examples are selected by being misclassified, so in the last layers much information about
the wrong class is certain.</p></details>
"""


def mistakes_section(source: PageSource) -> PageSection | None:
    """Return the section; None if no mistake was recorded."""
    figures = source.figures_html("mistakes")
    tables = "".join(_table(source, training) for training in source.profiles.trainings)
    if not figures and not tables:
        return None
    return PageSection("mistakes", "Mistakes under attack", f"{_READING}{figures}{tables}")


def _table(source: PageSource, training: str) -> str:
    profiles = source.profiles
    points = {
        quantity: {one.layer: one for one in profiles.points(training, profiles.attack, quantity)}
        for quantity in _QUANTITIES
    }
    lines = ""
    for layer in dict.fromkeys(layer for own in points.values() for layer in own):
        cells = "".join(f"<td>{escape(in_words(own[layer])) if layer in own else '-'}</td>" for own in points.values())
        lines += f'<tr><th scope="row">{escape(layer[1])}</th>{cells}</tr>'
    if not lines:
        return ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in _QUANTITIES.values())
    return scrollable(
        f"{training_label(training).capitalize()}: what decoders of originals read of misclassified "
        f"{profiles.attack} examples, in bits",
        f'<thead><tr><th scope="col" class="text">Layer</th>{heads}</tr></thead><tbody>{lines}</tbody>',
    )
