"""First screen of the page: what was trained on what, one picture, and a few sentences."""

from collections.abc import Sequence
from html import escape

import polars as pl

from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.findings.sentences import Sentence, sentences
from infoplane.records.tables import DECODED, ORIGINAL, RANDOM, trainings_at_chance
from infoplane.report.bits import last_epoch, trainings_of
from infoplane.report.examples import attacks_of
from infoplane.report.page_picture import picture_html
from infoplane.report.page_section import PageSource
from infoplane.text import counted

_MOST_ROWS = 6  # trainings in the table of accuracies
_MOST_ATTACKS = 3  # columns of it


def first_screen(source: PageSource) -> str:
    """Return the head of the page."""
    title = source.subject.title
    picture = picture_html(source.profiles)
    if picture:
        picture = (
            '<h2 id="picture-title">Where along the layers the label is kept or lost</h2>'
            f'{picture}<p class="note">What decoders that were fitted to original examples read of the label, in bits, '
            'with 95 % intervals. <a href="#label">All numbers</a></p>'
        )
    else:
        picture = f'<h2 id="picture-title">The label along the layers</h2><p class="note">{_no_picture(source)}</p>'
    return (
        f'<p class="brand">infoplane</p>\n<h1>What the layers encode: {escape(title)}</h1>\n'
        f'<p class="lead">{escape(_lead(source))}</p>\n'
        f'<div class="opening"><section class="picture" aria-labelledby="picture-title">{picture}</section>\n'
        f'<section class="said" aria-labelledby="said-title"><h2 id="said-title">In short</h2>'
        f"{accuracies_html(source.undistorted_performance)}"
        f"{_said(sentences(source.measurements, source.performance))}</section></div>\n"
    )


def _lead(source: PageSource) -> str:
    """Say in two sentences what was trained on what, and what was measured."""
    subject, performance = source.subject, source.undistorted_performance
    pairs = trainings_of(source.rows, performance)
    trainings = list(dict.fromkeys(training for _, training in pairs))
    seeds = sorted({seed for seed, _ in pairs})
    epochs = [*source.rows["epoch"], *performance["epoch"]]
    about = " on ".join(filter(None, (subject.model, subject.data)))
    if subject.class_names:
        about += f" ({counted(len(subject.class_names), 'class')})"
    facts = [about] if about else []
    if trainings:
        named = ", ".join(trainings) if len(trainings) <= _MOST_ROWS else counted(len(trainings), "training")
        facts.append(f"training: {named}")
    if epochs:
        facts.append(counted(max(epochs), "epoch"))
    if seeds:
        facts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds")
    if len(source.rows):
        number = source.rows.filter(pl.col("class_index").is_null())["samples"].to_numpy().max()
        drawn = ", drawn anew at each epoch for the originals and for each attack" if source.is_drawn_anew else ""
        facts.append(f"measured on {number:,} test examples{drawn}")
    return "; ".join(facts) + "." if facts else "Nothing has been recorded yet."


def _no_picture(source: PageSource) -> str:
    if source.rows.is_empty():
        return "No information has been measured yet."
    if DECODED in source.rows["estimator"] and trainings_at_chance(source.undistorted_performance):
        return "The trainings are at chance, so there is no curve of the label along their layers."
    return (
        "No decoders were fitted in this run, so there is no curve of the label along its layers. The other estimates "
        'are in the <a href="#plane">information plane</a>.'
    )


def accuracies_html(performance: pl.DataFrame) -> str:
    """Return the accuracies at the last epoch, a row per training, as a mean over seeds with its 95 % interval.

    Args:
        performance: undistorted, columns of `records.PERFORMANCE_SCHEMA`.
    """
    rows = last_epoch(performance).filter(pl.col("split") == "test", pl.col("examples") != RANDOM)
    if rows.is_empty():
        return ""
    attacks = attacks_of(rows["examples"])[:_MOST_ATTACKS]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in [ORIGINAL, *attacks])
    dead = {training for _, training in trainings_at_chance(performance)}
    trainings = list(dict.fromkeys(training for _, training in trainings_of(rows)))
    lines = ""
    for training in trainings[:_MOST_ROWS]:
        cells = "".join(f"<td>{_accuracy(rows, training, examples)}</td>" for examples in [ORIGINAL, *attacks])
        mark = ' <span class="mark">at chance</span>' if training in dead else ""
        lines += f'<tr><th scope="row">{escape(training)}{mark}</th>{cells}</tr>'
    more = f'<p class="note">And {counted(len(trainings) - _MOST_ROWS, "training")} more.</p>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Accuracy on test examples"><table>'
        f'<caption>Accuracy on <a href="#accuracy">test examples</a>, in %</caption><thead><tr>'
        f'<th scope="col" class="text">Training</th>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
        + (more if len(trainings) > _MOST_ROWS else "")
    )


def _accuracy(rows: pl.DataFrame, training: str, examples: str) -> str:
    own = rows.filter(pl.col("training") == training, pl.col("examples") == examples)
    if own.is_empty():
        return "-"
    accuracy = accuracy_of(own)
    low, high = accuracy_ends(accuracy)
    return f'{100 * accuracy.value:.1f} <span class="error">{100 * low:.1f}&ndash;{100 * high:.1f}</span>'


def _said(said: Sequence[Sentence]) -> str:
    if not said:
        return (
            '<p class="note">The records of this run support no sentence yet: intervals include 0, or too little was '
            "measured.</p>"
        )
    items = "".join(f'<li>{escape(one.text)} <a href="#{escape(one.anchor)}">numbers</a></li>' for one in said)
    return f'<ul class="sentences">{items}</ul><p class="note">In brackets: 95 % intervals.</p>'
