"""The verdicts of two runs side by side, on a page of results."""

from pathlib import Path

import pytest
from tests.report.test_results_page import table_after

with pytest.MonkeyPatch.context() as _with_scripts:
    _with_scripts.syspath_prepend(Path(__file__).parents[2] / "docs")
    from results_page.run_facts import RULES
    from results_page.summary import beside


def test_opposite_verdicts_are_named():
    def saying(**outcomes):
        own = [{"name": name, "outcome": said, "value": value} for name, (said, value) in outcomes.items()]
        facts = {RULES: "`1`"}
        return {
            "title": "t", "seeds": 1, "settings": {}, "claims": [], "registered": own, "deviated": False, "facts": facts
        }  # fmt: skip

    said = saying(a=("confirmed", "1"), b=("supported", ""), c=("undecided", "2"))
    there = saying(a=("refuted", "3"), b=("supported", ""), c=("confirmed", "4"))
    assert "different versions of the rules" not in "".join(beside(said, there, "mnist.md"))
    older = {**there, "facts": {}}  # its summary is from before the rules were named
    assert "different versions of the rules" in " ".join("".join(beside(said, older, "mnist.md")).split())
    _, *rows = table_after("\n".join(beside(said, there, "mnist.md")), "| claim")
    assert rows == [
        ["a", "confirmed 1", "refuted 3", "opposite"],
        ["b", "supported", "supported", ""],
        ["c", "undecided 2", "confirmed 4", "differs"],
    ]
