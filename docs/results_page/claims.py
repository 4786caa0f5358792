"""The claims of the paper and those that were registered: verdicts, numbers, and what a reader may conclude."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from infoplane.findings import ClaimVerdict, Finding, Findings, find, plan_of
from infoplane.findings.accuracies import ACCURACY
from infoplane.findings.claims import CLAIMS
from infoplane.findings.finding import ALL_CURVES, ALL_LAYERS, UNDECIDED
from infoplane.findings.registered import RegisteredOutcome, RegisteredOutcomes
from infoplane.findings.registration import claim_text
from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.conclusions import conclusion
from infoplane.report.findings_table import deciding_number, number_text, with_interval
from infoplane.report.labels import estimator_label
from infoplane.report.registered import registered_outcomes, registered_table
from infoplane.runs import RunFolder
from results_page.markdown import bullets, from_terminal, table, wrapped

Config = Mapping[str, Any]
COLUMNS = ("what the claim predicts", "measured as", "by", "value [95 %]", "verdict", "why", "by layer or condition")
VALUE = COLUMNS.index("value [95 %]")
RULES = "../method.md#8-findings-what-the-records-say-about-the-papers-claims"
READING = (
    f"The [rules]({RULES}) have the borders. A claim is supported if all its parts are. It is contradicted if one part "
    "is, at 5 % divided by the number of parts. Claims about trainings need two seeds or more. The lists below judge "
    "each part at 95 % by itself.",
    "*Correlation of residuals* and *range-normalised RMSE* say how alike two curves are. Alike means a high "
    "correlation and a low RMSE.",
    "*Decoded*: a lower bound, what decoders read that were fitted to other examples of the same kind. *Decoders "
    "trained on clean*: those of the originals, which read the attacked examples.",
    "*KDE (KL)* and *KDE (BD)*: of I(X;T), an upper and a lower bound under added noise. Of I(T;Y) they are "
    "differences of two such bounds, so estimates and no bounds. *KDE (mixed)* pairs the bounds so that they bound "
    "I(T;Y) under noise. They are wide and can pass the entropy of the label. *Monte Carlo*: an estimate under the "
    "same noise.",
    "In brackets after a number of reversals or a share of curves stand the certain and the possible ones. After all "
    "other numbers stand 95 % intervals.",
    "In bold is the estimator that decides. The others are measured in the same way. They show whether a verdict "
    "depends on the estimator.",
)
LOWEST, HIGHEST = (f"{end} over the noise range" for end in ("lowest", "highest"))
PLACES = {"last layer": "the last layer", "last but one": "the last layer but one"}  # where a layer has no name
OF_A_QUANTITY = (INPUT_INFORMATION, LABEL_INFORMATION, ACCURACY)  # the others are named by their statistics


def claims(found: Findings) -> Iterator[str]:
    """Yield the table of verdicts."""
    yield table(
        ("claim", "what the paper says", "verdict", "main number"),
        ((f"{one.claim} {one.name}", one.statement, f"**{one.verdict}**", deciding_number(one, found))
         for one in found.claims),
    )  # fmt: skip


def claim_by_claim(found: Findings) -> Iterator[str]:
    """Yield how to read the sections of the claims, then a section for each."""
    yield bullets(READING)
    shown = {one.claim: parts_of(one, found) for one in found.claims}
    known = [one for one in found.claims if any(line[VALUE] != "-" for line in shown[one.claim][0])]
    for one in known:
        yield f"### {one.claim} {one.name}: {one.verdict}"
        lead, items = conclusion(one, found)
        yield wrapped(f"{one.statement} **What a reader may conclude:** {lead}")
        yield bullets(items)
        lines, common = shown[one.claim]
        yield table(COLUMNS, lines)
        if common:
            yield wrapped(f"For the lines in bold: {'; '.join(common)}.")
    if rest := [one for one in found.claims if one not in known]:
        yield "### Claims of which nothing was measured"
        yield bullets(f"{one.claim} {one.name}: {', '.join(_reasons(found.about(one.claim)))}" for one in rest)


def _reasons(own: Sequence[Finding]) -> list[str]:
    """Return why the parts of a claim have no value, each reason once."""
    return list(dict.fromkeys(_short(one.reason).removeprefix("missing: ") for one in own if one.part))


def findings_without_random(run: RunFolder, config: Config) -> Findings | None:
    """Return what the same rules find without epoch 0; None if epoch 0 was not measured, or nothing else."""
    measurements, performance = (one.filter(pl.col("epoch") > 0) for one in (run.measurements(), run.performance()))
    if len(measurements) == len(run.measurements()) or measurements.is_empty():
        return None
    return find(measurements, performance, plan=plan_of(config["settings"]))


def about_trainings(found: Findings) -> list[ClaimVerdict]:
    """Return the verdicts on claims about trainings; the others have no epochs."""
    numbers = {one.number for one in CLAIMS if one.trainings}
    return [one for one in found.claims if one.claim in numbers]


def without_random(found: Findings, trained: Findings) -> Iterator[str]:
    """Yield a table of the parts of claims that come out otherwise without epoch 0; nothing if none does.

    Args:
        found: with epoch 0.
        trained: without it.
    """
    rows = []
    for claim, other in zip(found.claims, trained.claims, strict=True):
        parts, later = ({one.part: one for one in own.about(claim.claim) if one.part} for own in (found, trained))
        changed = [name for name in parts if name in later and parts[name].verdict != later[name].verdict]
        if claim in about_trainings(found):
            rows += [[claim.claim, name, _told(parts[name]), _told(later[name]), other.verdict] for name in changed]
    if rows:
        yield "### Without epoch 0"
        yield wrapped(
            "At epoch 0 the network is random. Training takes much from what a random network encodes, and that is no "
            "phase of the training. So here are the same rules on the epochs from 1 on, where they say something "
            "else. This decides nothing: it was added after a run had shown that the fall of claim 3a lies between "
            "the epochs 0 and 1."
        )
        yield table(("claim", "part", "with epoch 0", "without epoch 0", "the claim without epoch 0"), rows)


def _told(one: Finding) -> str:
    return one.verdict if one.value is None else f"{one.verdict}: {with_interval(one)}"


def parts_of(claim: ClaimVerdict, found: Findings) -> tuple[list[list[str]], list[str]]:
    """Return a line for each part of a claim and each other estimator of the same, and the notes of all parts."""
    groups = groups_of(found.about(claim.claim))
    parts = [one for group in groups for one in group if one.part]
    common = [note for note in _notes(parts[0]) if all(note in _notes(one) for one in parts)] if parts[1:] else []
    lines = [line for group in groups for line in _lines(group, common)]
    return _without_repeats(lines), common


def groups_of(own: Sequence[Finding]) -> list[list[Finding]]:
    """Return each part of a claim with the findings of other estimators about the same.

    Of a claim with one or two parts, all that was measured over all layers follows.
    """
    parts, rest = [one for one in own if one.part], [one for one in own if not one.part]
    groups = [[part, *(one for one in rest if measured(one) == measured(part))] for part in parts]
    if len(parts) <= 2:
        more = [one for one in rest if one.layer in (ALL_LAYERS, ALL_CURVES) and not any(one in own for own in groups)]
        with_value = dict.fromkeys(measured(one) for one in more if one.value is not None)
        groups += [[one for one in more if measured(one) == key] for key in with_value]
    return groups


def _lines(group: Sequence[Finding], common: Sequence[str]) -> Iterator[list[str]]:
    """Yield a line for each part and each value of a group, and one for each reason why others have no value."""
    without: dict[str, list[str]] = {}
    for one in group:
        if not one.part and one.value is None:
            without.setdefault(_short(one.reason), []).append(estimators(one))
            continue
        notes = _notes(one)
        if not one.part:  # what decides a verdict stands at the part
            notes = [*(notes[:1] if one.verdict == UNDECIDED else ()), *(n for n in notes if n.startswith("rests on "))]
        why = "; ".join(note for note in dict.fromkeys(notes) if note not in common)
        by = f"**{estimators(one)}**" if one.part else estimators(one)
        value = "-" if one.value is None else with_interval(one)
        yield [one.statement, _way(one), by, value, one.verdict, why, rests_on(one) if one.part else ""]
    for reason, names in without.items():
        first = group[0]
        yield [first.statement, _way(first), ", ".join(names), "-", UNDECIDED, reason, ""]


def _without_repeats(lines: Sequence[list[str]]) -> list[list[str]]:
    """Leave out the first two cells of a line where they are those of the line before."""
    before, shown = ["", ""], []
    for line in lines:
        first, second = line[:2]
        shown.append(["" if first == before[0] else first, "" if [first, second] == before else second, *line[2:]])
        before = [first, second]
    return shown


def measured(one: Finding) -> tuple[str, ...]:
    """Return what a finding is about, whatever its estimator."""
    return (one.statement, one.statistic, one.layer, one.quantity)


def rests_on(one: Finding) -> str:
    """Return the numbers that a finding rests on: of each layer or condition, with their ends over the noise range."""
    shown: list[str] = []
    low = ""
    for own in one.numbers:
        text = number_text(own.value, own.unit)
        if own.name == LOWEST:
            low = text
        elif own.name == HIGHEST:
            shown[-1] += f" ({low} to {text} over the noise range)" if text != low else f" ({low} at another noise)"
        else:
            shown.append(f"{own.name} {text}")
    return ", ".join(shown)


def estimators(finding: Finding) -> str:
    """Return the label of the estimator of a finding, or of both."""
    if not finding.estimator:
        return ACCURACY if finding.quantity == ACCURACY else "-"
    return " with ".join(map(estimator_label, finding.estimator.split(" with ")))


def _way(one: Finding) -> str:
    """Return the statistic of a finding, with its quantity where the words do not name it, and its layer."""
    named = one.quantity not in OF_A_QUANTITY or one.quantity in f"{one.statement} {one.statistic}"
    layer = "" if one.layer in ("", ALL_LAYERS, ALL_CURVES) else f"in {PLACES.get(one.layer, one.layer)}"
    return ", ".join(filter(None, (one.statistic, "" if named else f"of {one.quantity}", layer)))


def _notes(one: Finding) -> list[str]:
    """Return why a finding has its verdict, note by note, without the epoch, which the statement names."""
    return [note for note in one.reason.split("; ") if not note.startswith(("at epoch ", "up to epoch "))]


def _short(reason: str) -> str:
    """Return why a finding has no value, without the names of layers."""
    first = reason.partition("; ")[0]
    head, _, rest = first.partition(": ")
    return f"missing: {rest.partition(': ')[0]}" if head == "missing" else head


def registered(run: RunFolder, config: Config, found: Findings) -> Iterator[str]:
    """Yield the outcomes of the claims that were registered before the run; nothing if there are none."""
    if judged := registered_outcomes(run, config["settings"], found):
        yield "## Claims registered before the run"
        yield wrapped(
            "Each is judged at 95 % by itself. Their information is in nats, as registered. A difference of what "
            "decoders read is one of two lower bounds. Where decoders do worse than guessing, a bound is below 0 and "
            "counts as it is, so a difference can be larger than the entropy of the label."
        )
        shown = registered_table(*judged)
        shown.title = None  # it is the heading
        yield from from_terminal(shown)


def own_outcomes(judged: RegisteredOutcomes) -> list[RegisteredOutcome]:
    """Return the outcomes of the claims that are not those of the paper."""
    of_paper = {claim_text(one.number) for one in CLAIMS}
    return [one for one in judged.outcomes if one.statistic not in of_paper]
