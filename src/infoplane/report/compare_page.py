"""The page that compares several runs with the first of them, in one small file that needs no network."""

from collections.abc import Iterator, Sequence
from html import escape

from infoplane.findings.compared_claims import changed_verdicts, verdict_sentence
from infoplane.findings.compared_runs import LayerDifference
from infoplane.report.compare_claims import compared_claims_section
from infoplane.report.compare_figures import key_html
from infoplane.report.compare_panels import difference_panels, plane_panels, profile_panels
from infoplane.report.compare_source import ComparedRuns
from infoplane.report.compare_tables import (
    BITS,
    accuracy_table,
    difference_tables,
    reading_label,
    runs_table,
    settings_tables,
)
from infoplane.report.labels import examples_label, training_label
from infoplane.report.page_resources import resource
from infoplane.report.page_section import PageSection
from infoplane.report.page_shell import shell_html


def compare_html(compared: ComparedRuns) -> str:
    """Return the whole page."""
    names = [run.name for run in compared.runs]
    title = f"{' and '.join(names)} compared" if len(names) == 2 else f"{len(names)} runs compared"
    lead = (
        f"Every run is compared with {names[0]}. A difference is the run's value minus that of {names[0]}. Information "
        "is in bits."
    )
    said = "".join(f"<li>{escape(line)}</li>" for line in summary_lines(compared))
    return shell_html(
        title=title,
        header=f'<p class="brand">infoplane</p>\n<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        f"<ul>{said}</ul>\n{key_html(names)}{_notes(compared.comparison.notes)}",
        sections=list(_sections(compared, names)),
        style=resource("compare.css"),
        footer="Made by infoplane from the records of these runs.",
    )


def summary_lines(compared: ComparedRuns) -> list[str]:
    """Say what the differences and verdicts are together, a line for each run and for each claim."""
    first, *others = compared.runs
    lines = []
    for run in others:
        own = [one for one in compared.comparison.differences if one.run == run.name]
        clear = [one for one in own if one.is_clear]
        scope = "" if any(one.covers_seeds for one in own) else "; one seed in a run: this is about these networks only"
        if not own:
            lines.append(f"{run.name}: no training and layer in common with {first.name}")
        elif all(one.note for one in own):
            notes = ", ".join(sorted({one.note for one in own}))
            lines.append(f"{run.name}: not comparable with {first.name}: {notes}")
        elif not clear:
            lines.append(f"{run.name}: none of {len(own)} differences is clear{scope}")
        else:
            largest = max(clear, key=lambda one: abs(one.value))
            number = f"{len(clear)} of {len(own)} differences {'is' if len(clear) == 1 else 'are'} clear"
            lines.append(f"{run.name}: {number}; {_largest(largest)}{scope}")
    return lines + [verdict_sentence(one) for one in changed_verdicts(compared.findings)]


def _largest(one: LayerDifference) -> str:
    place = one.place
    assert one.low is not None
    assert one.high is not None
    low, high = sorted((abs(BITS * one.low), abs(BITS * one.high)))
    more = "higher" if one.value > 0 else "lower"
    where = f"{examples_label(place.examples)} at {place.layer[1]} after {training_label(place.training)}"
    number = f"{abs(BITS * one.value):.2f} bits {more} (95 %: {low:.2f} to {high:.2f})"
    return f"the largest: {reading_label(place)}, of {where} (epoch {one.epoch}) is {number}"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in notes)
    return (
        '<aside class="missing" aria-labelledby="notes-title"><h2 id="notes-title">What was matched, and what was left '
        f"out</h2><ul>{lines}</ul></aside>"
    )


def _sections(compared: ComparedRuns, names: Sequence[str]) -> Iterator[PageSection]:
    found, key = compared.comparison, key_html(names)
    levels = {(one.run, one.place): one for one in found.levels}
    yield PageSection("settings", "What differs in settings", settings_tables(names, compared.settings()))
    yield PageSection("accuracy", "Accuracy", accuracy_table(compared.runs))
    yield PageSection("planes", "Information planes", f"<p>{_PLANES}</p>{key}{plane_panels(names, levels)}")
    yield PageSection("profiles", "Layer by layer", f"<p>{_PROFILES}</p>{key}{profile_panels(names, levels)}")
    pairs = [_pairing(name, found.differences) for name in names[1:]]
    about = _DIFFERENCES.format(number=len(found.differences), pairs=escape(" ".join(filter(None, pairs))))
    tables = "".join(
        f"<details{' open' if len(names) == 2 else ''}><summary>{escape(f'{name} minus {names[0]}: all numbers')}"
        f"</summary>{difference_tables(names[0], name, own, levels)}</details>"
        for name in names[1:]
        if (own := [one for one in found.differences if one.run == name])
    )
    panels = difference_panels(names, found.differences)
    yield PageSection("differences", "Differences with intervals", f"<p>{about}</p>{key}{panels}{tables}")
    if len(compared.findings) > 1:
        yield compared_claims_section(compared.findings)
    yield PageSection("runs", "Runs", runs_table(compared.runs))


def _pairing(name: str, differences: Sequence[LayerDifference]) -> str:
    own = [one for one in differences if one.run == name]
    if not own:
        return ""
    if own[0].paired:
        return f"{name} measured the same examples as the first run, so differences are paired over groups of examples."
    return f"{name} measured other examples than the first run, or it is not known: differences are not paired."


_PLANES = (
    "The layers of each run at the last epoch that all runs have. Layers are connected from input to output; crosses "
    "are 95&nbsp;% intervals. Point at a mark for its numbers. Hollow marks are saturated: they say little about the "
    "layer."
)
_PROFILES = (
    "The same numbers over layers. Bars are 95&nbsp;% intervals over the choice of examples and, of runs with several "
    "seeds, over seeds. On attacked examples, decoders trained on clean examples show what is left of the information; "
    "refitted decoders also read the traces that an attack leaves."
)
_DIFFERENCES = (
    "Narrow bars are 95&nbsp;% intervals of each number alone. Wide, pale bars hold for all {number} differences of "
    "this page together (Bonferroni); a difference is clear, and its mark filled, if the wide bar excludes 0. {pairs} "
    "A run with one seed does not show how much trainings differ: its differences are about these networks only."
)
