"""Outcomes of the claims that were registered before a run: of a folder, as a table, and as a section of the page."""

from collections.abc import Mapping
from html import escape
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from infoplane.config import FlowConfig
from infoplane.findings import Findings
from infoplane.findings.needs import undecidable
from infoplane.findings.registered import (
    CONFIRMED,
    REFUTED,
    RegisteredOutcome,
    RegisteredOutcomes,
    deviations,
    judge_registered,
)
from infoplane.findings.registration import Registration, registration_from
from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import scrollable
from infoplane.runs.folder import RunFolder
from infoplane.runs.registration_file import read_registered
from infoplane.text import counted

_STYLES = {CONFIRMED: "green", REFUTED: "red"}
_RULE = """<p>These claims were written down before the run, with their statistics, thresholds and seeds. A claim is
<em>confirmed</em> if its 95&nbsp;% interval lies on the claimed side of the threshold, <em>refuted</em> if it lies on
the other side, and otherwise <em>undecided</em>. Claims of the study follow their own rules. Each claim is judged at
95&nbsp;% by itself, so of {number}, some can be confirmed or refuted by chance.</p>
"""


def registration_of(run: RunFolder) -> Registration | None:
    """Return the claims that were registered in the folder of a run, or None."""
    content = read_registered(run)
    return None if content is None else registration_from(content, run.path)


def registration_notes(run: RunFolder) -> list[str]:
    """Say, before a run goes on, how it differs from its registration, and which registered claims it cannot decide."""
    registration = registration_of(run)
    if registration is None:
        return []
    settings = run.read_config()["settings"]
    notes = [f"the run deviates from its registered claims: {line}" for line in deviations(registration, settings)]
    numbers = {one.claim for one in registration.claims.study}
    return notes + [f"registered {line}" for line in undecidable(FlowConfig.model_validate(settings), numbers)]


def registered_outcomes(
    run: RunFolder, settings: Mapping[str, Any], found: Findings
) -> tuple[Registration, RegisteredOutcomes] | None:
    """Judge the registered claims of a run; None if it has none."""
    registration = registration_of(run)
    if registration is None:
        return None
    return registration, judge_registered(registration, settings, run.measurements(), run.performance(), found)


def registered_table(registration: Registration, judged: RegisteredOutcomes) -> Table:
    """Render the outcomes for `rich.console.Console.print`."""
    deviated = "".join(f"\ndeviated: {line}" for line in judged.deviations)
    table = Table(
        title="\nClaims registered before the run", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, caption_justify="left",
        caption=f"registered {registration.registered_at}, sha256 {registration.sha256[:12]}{deviated}",
    )  # fmt: skip
    table.add_column("claim")
    table.add_column("outcome", no_wrap=True)
    table.add_column("value [95 % interval]")
    table.add_column("registered")
    for one in judged.outcomes:
        outcome = Text(_outcome(one, judged), style=_STYLES.get(one.outcome, "dim"))
        value = "; ".join([_value(one), *one.caveats]) if _value(one) else _shortened(one.reason)
        table.add_row(Text(one.name), outcome, Text(value), Text(one.expected))
    return table


def registered_section(source: PageSource) -> PageSection | None:
    """Return the section; None if no claims were registered before the run."""
    if source.run is None or (registration := registration_of(source.run)) is None:
        return None
    judged = judge_registered(registration, source.settings, source.measurements, source.performance, source.findings)
    lines = [
        f'<tr><th scope="row" class="words">{escape(one.name)}<br><small>{escape(one.statistic)}</small></th>'
        f"<td>{escape(one.expected)}</td><td><strong>{escape(_outcome(one, judged))}</strong></td>"
        f'<td>{escape(_value(one))}</td><td class="words">{escape(one.reason)}</td></tr>'
        for one in judged.outcomes
    ]
    heads = "".join(
        f'<th scope="col">{head}</th>' for head in ("claim", "registered", "outcome", "value [95 % interval]", "why")
    )
    number, body = counted(len(judged.outcomes), "claim"), "".join(lines)
    html = (
        f"<p>{escape(registration.claims.title)}. Registered {escape(registration.registered_at)}, sha256 "
        f"<code>{registration.sha256}</code>.</p>{_RULE.format(number=number)}{_deviations(judged)}"
        f"{scrollable('Registered claims', f'<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>')}"
    )
    return PageSection("registered", "Claims registered before the run", html)


def _deviations(judged: RegisteredOutcomes) -> str:
    if not judged.deviations:
        return "<p>The run has the registered settings and seeds.</p>"
    items = "".join(f"<li>{escape(line)}</li>" for line in judged.deviations)
    return (
        "<p><strong>The run deviated from its registration</strong>, so its outcomes are those of claims made "
        f"afterwards:</p><ul>{items}</ul>"
    )


def _outcome(one: RegisteredOutcome, judged: RegisteredOutcomes) -> str:
    return f"deviated ({one.outcome})" if judged.deviations else one.outcome


def _shortened(reason: str) -> str:
    """Return the first of the reasons, without the parts that it holds for."""
    return reason.partition("; ")[0].partition(" (")[0]


def _value(one: RegisteredOutcome) -> str:
    if one.value is None or one.low is None or one.high is None:
        return ""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] {one.unit}".strip()
