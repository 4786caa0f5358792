"""Section of the page on accuracy under attack."""

from html import escape

from infoplane.records.evaluation import Evaluation, NetworkEvaluation
from infoplane.report.evaluation_table import ball_text, heads_of, lines_of, outside_notes
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable


def evaluation_section(source: PageSource) -> PageSection | None:
    """Return the section; None if the run has not been evaluated."""
    if source.evaluation is None:
        return None
    html = evaluation_html(source.evaluation, source.figures_html("evaluation"))
    return PageSection("evaluation", "Accuracy under attack", html)


def evaluation_html(evaluation: Evaluation, figures: str) -> str:
    """Return the content of the section.

    Args:
        evaluation: of the run.
        figures: figures of the section, as HTML.
    """
    left_out = "".join(f'<p class="note">Left out: {escape(reason)}.</p>' for reason in evaluation.left_out)
    return (
        f"<p>The networks under the suite <em>{escape(evaluation.suite)}</em> on {evaluation.examples} test images, in "
        f"the {escape(ball_text(evaluation))}. An image counts as right under an attack if it is classified correctly "
        "without it, and after it too or outside the ball. The worst case takes the strongest attack for each image. "
        "Norms are medians over the images that an attack fooled, passes and gradients are per attacked image, and "
        f"intervals are {escape(evaluation.interval)}. An alarm says that an accuracy overstates robustness.</p>\n"
        f"{''.join(map(_alarms, evaluation.networks))}{figures}{''.join(map(_table, evaluation.networks))}{left_out}"
    )


def _alarms(network: NetworkEvaluation) -> str:
    name = escape(network.name)
    notes = "".join(f"<li>{escape(note)}</li>" for note in network.notes)
    if not network.alarms:
        return f"<p>{name}: no alarm.</p>" + (f"<ul>{notes}</ul>" if notes else "")
    items = "".join(f"<li><strong>Alarm:</strong> {escape(alarm.text)}.</li>" for alarm in network.alarms)
    return f'<p>{name}:</p><ul class="alarms">{items}{notes}</ul>'


def _table(network: NetworkEvaluation) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads_of(network)[1:])
    lines = []
    for place, line in enumerate(lines_of(network)):
        first, *rest = line.cells
        cells = "".join(f"<td>{escape(text)}</td>" for text in rest)
        begins = ' class="first"' if line.begins and place else ""
        title = f' title="{escape(line.description)}"' if line.description else ""
        lines.append(f'<tr{begins}><th scope="row"{title}>{escape(first)}</th>{cells}</tr>')
    notes = "".join(f'<p class="note">{escape(note)}.</p>' for note in outside_notes(network))
    return (
        scrollable(
            f"{network.name}: accuracy under attack",
            f'<thead><tr><th scope="col" class="text">Attack</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody>',
        )
        + notes
    )
