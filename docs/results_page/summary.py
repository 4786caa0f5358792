"""What the page of one run tells the table of all runs, and other pages that put their run beside it."""

from collections.abc import Iterator, Mapping
from typing import Any

from infoplane.config import flat_settings
from infoplane.findings import Findings
from infoplane.findings.registered import RegisteredOutcome
from infoplane.report.conclusions import conclusion
from infoplane.report.findings_table import deciding_number
from infoplane.report.registered import registered_outcomes
from infoplane.runs import RunFolder
from infoplane.text import counted
from results_page.claims import about_trainings, own_outcomes
from results_page.markdown import table, wrapped
from results_page.run_facts import RULES, facts

Summary = Mapping[str, Any]
OPPOSITES = ({"supported", "contradicted"}, {"confirmed", "refuted"})
UNSHOWN = ("recipe", "seeds")  # settings that the text names itself


def summary(
    run: RunFolder, config: Mapping[str, Any], found: Findings, trained: Findings | None, title: str, machine: str
) -> dict[str, Any]:
    """Return the summary, which JSON can hold. `trained` are the findings without epoch 0."""
    judged = registered_outcomes(run, config["settings"], found)
    own = own_outcomes(judged[1]) if judged else []
    return {
        "title": title,
        "seeds": config["settings"]["seeds"],
        "facts": facts(run, config, machine),
        "settings": flat_settings(config["settings"]),
        "claims": [
            {
                **{name: getattr(one, name) for name in ("claim", "name", "statement", "verdict")},
                "number": deciding_number(one, found),
                "lead": conclusion(one, found)[0],
            }
            for one in found.claims
        ],
        "without_epoch_0": {one.claim: one.verdict for one in about_trainings(trained)} if trained else {},
        "registered": [{"name": one.name, "outcome": one.outcome, "value": with_interval(one)} for one in own],
        "deviated": bool(judged and judged[1].deviations),
    }


def with_interval(one: RegisteredOutcome) -> str:
    """Return the value of a registered claim with its interval and unit; nothing if there is none."""
    return "" if one.value is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] {one.unit}".strip()


def beside(mine: Summary, theirs: Summary, its_page: str) -> Iterator[str]:
    """Yield the verdicts of this run and of another one, side by side, and which settings differ.

    Args:
        mine: the summary of this run.
        theirs: that of the other.
        its_page: the page of the other, for a link.
    """
    yield f"## Beside [{theirs['title']}]({its_page})"
    yield wrapped(
        f"What differs in the settings: {'; '.join(changed(mine['settings'], theirs['settings']))}. This run has "
        f"{counted(mine['seeds'], 'seed')}, that one {theirs['seeds']}. Only opposite verdicts suggest that a "
        "conclusion depends on these settings. Where one run is undecided, both may be right. A claim of several parts "
        "can show another part here than there; its words say which."
        + (" The two runs were judged by different versions of the rules." if _rules(mine) != _rules(theirs) else "")
    )
    here, there = verdicts(mine), verdicts(theirs)
    rows = []
    for name in here | there:
        (said, value), (said_there, value_there) = here.get(name, ("-", "")), there.get(name, ("-", ""))
        differs = "" if said == said_there else "opposite" if {said, said_there} in OPPOSITES else "differs"
        rows.append([name, f"{said} {value}".strip(), f"{said_there} {value_there}".strip(), differs])
    yield table(("claim", "this run", "the other run", ""), rows)


def _rules(one: Summary) -> str | None:
    """Return the hash of the rules that judged a run; None if its summary is older than this fact."""
    found: str | None = one["facts"].get(RULES)
    return found


def changed(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Return the settings that differ, in words."""
    return [f"`{name}` is {mine.get(name)}, and {theirs.get(name)} there" for name in theirs | mine
            if name not in UNSHOWN and mine.get(name) != theirs.get(name)]  # fmt: skip


def verdicts(one: Summary) -> dict[str, tuple[str, str]]:
    """Return verdict and number of each claim: of the paper, then those that were registered."""
    said = {f"{claim['claim']} {claim['name']}": (claim["verdict"], claim["number"]) for claim in one["claims"]}
    for own in one["registered"]:
        said[own["name"]] = (f"deviated ({own['outcome']})" if one["deviated"] else own["outcome"], own["value"])
    return said
