"""Write the table of all runs on the page of results: python docs/make_results_summary.py PAGE.md RESULT.md [...].

RESULT.md are pages that `make_results.py` has written; their summaries lie in the folders beside them. PAGE.md has a
line `BEGIN` and a line `END`. What stands between them is replaced.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results_page.markdown import table
from results_page.run_facts import RULES

from infoplane.text import counted

BEGIN, END = "<!-- written by make_results_summary.py -->", "<!-- end -->"
FACTS = ("date", "machine", "software", "images", RULES)


def tables(pages: Sequence[Path], beside: Path) -> str:
    """Return a table of the verdicts and one of the runs, with links that hold beside a page."""
    found = [json.loads((page.with_suffix("") / "summary.json").read_text()) for page in pages]
    heads = [f"[{head(one)}]({os.path.relpath(page, beside.parent)})" for one, page in zip(found, pages, strict=True)]
    said = {claim["claim"]: f"{claim['claim']} {claim['statement']}" for one in found for claim in one["claims"]}
    lines = [[text, *(verdict(one, number) for one in found)] for number, text in sorted(said.items())]
    lines.append(["claims of our own, registered before the run", *map(registered, found)])
    facts = [[name, *(one["facts"].get(name, "-") for one in found)] for name in FACTS]
    return "\n\n".join([table(["what the paper claims", *heads], lines), table(["", *heads], facts)])


def head(one: dict[str, Any]) -> str:
    """Return the title of a run and the number of its seeds."""
    return f"{one['title']}, {counted(one['seeds'], 'seed')}"


def verdict(one: dict[str, Any], number: str) -> str:
    """Return the verdict on a claim, for which networks it is true, and the number that decides it."""
    claim = next((own for own in one["claims"] if own["claim"] == number), None)
    if claim is None:
        return "-"
    if claim["verdict"] == "undecided":
        return "undecided"
    shown = "" if claim["number"] == "-" else f" {claim['number']}."
    trained = one["without_epoch_0"].get(number)
    only = "" if trained in (None, claim["verdict"]) else f" Without the random network of epoch 0: {trained}."
    return f"**{claim['verdict']}**. {claim['lead']}{shown}{only}"


def registered(one: dict[str, Any]) -> str:
    """Return how many claims had which outcome, and which were not confirmed."""
    if not one["registered"]:
        return "none"
    others = [f"{own['outcome']}: {own['name']}" for own in one["registered"] if own["outcome"] != "confirmed"]
    confirmed = f"{len(one['registered']) - len(others)} of {len(one['registered'])} confirmed"
    deviated = "; the run deviated from its registration" if one["deviated"] else ""
    return "; ".join([confirmed, *others]) + deviated + ("; one seed" if one["seeds"] == 1 else "")


def with_tables(text: str, written: str) -> str:
    """Return the text of a page with the tables between its two lines."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"expected a line {BEGIN} and a line {END}; add them where the tables belong")
    return f"{before}{begin}\n\n{written}\n\n{end}{after}"


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    given = parser.parse_args()
    given.page.write_text(with_tables(given.page.read_text(), tables(given.results, given.page)))


if __name__ == "__main__":
    main()
