"""Write the page and the numbers of a comparison of runs."""

import json
from pathlib import Path
from typing import Any

from infoplane.findings.compared_claims import changed_signs, changed_verdicts
from infoplane.findings.compared_runs import LayerDifference, Level
from infoplane.report.compare_page import compare_html
from infoplane.report.compare_source import ComparedRuns, differing
from infoplane.report.output_folder import check_is_in_no_run
from infoplane.runs.whole_files import write_whole
from infoplane.text import decodable

PAGE, NUMBERS = "comparison.html", "comparison.json"


def write_comparison(compared: ComparedRuns, folder: Path) -> Path:
    """Write `comparison.html` and `comparison.json` into a folder; return the path of the page.

    Raises:
        UserError: the folder holds a run, or is in one.
    """
    check_is_in_no_run(folder)
    page = decodable(compare_html(compared)).encode()
    write_whole(folder / NUMBERS, comparison_json(compared).encode())
    write_whole(folder / PAGE, page)
    return folder / PAGE


def comparison_json(compared: ComparedRuns) -> str:
    """Return all numbers of a comparison as JSON, in nats."""
    found = compared.comparison
    content = {
        "runs": [
            {"name": run.name, "path": decodable(str(run.path)), "manifest_sha256": run.checksum}
            for run in compared.runs
        ],
        "settings": differing(compared.settings()),
        "notes": found.notes,
        "values": [_value(one) for one in found.levels],
        "differences": [_difference(one) for one in found.differences],
        "verdicts": [
            {"claim": one.claim, "statement": one.statement, "verdicts": one.verdicts, "reasons": one.reasons}
            for one in changed_verdicts(compared.findings)
        ],
        "signs": [
            {
                "claim": one.claim,
                "statistic": one.statistic,
                "where": one.where,
                "values": {
                    name: {"value": own.value, "low": own.low, "high": own.high, "unit": own.unit}
                    for name, own in one.findings.items()
                },
            }
            for one in changed_signs(compared.findings)
        ],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _place(one: Level | LayerDifference) -> dict[str, Any]:
    training, examples, (_, layer), (quantity, estimator) = one.place
    return {
        "run": one.run,
        "training": training,
        "examples": examples,
        "layer": layer,
        "quantity": quantity,
        "estimator": estimator,
        "epoch": one.epoch,
    }


def _value(one: Level) -> dict[str, Any]:
    known = abs(one.high - one.low) != float("inf")
    return _place(one) | {
        "layer_of_run": one.layer,
        "value_nats": one.value,
        "low_nats": one.low if known else None,
        "high_nats": one.high if known else None,
        "seeds": list(one.seeds),
        "saturated": one.saturated,
        "null_like": one.null_like,
    }


def _difference(one: LayerDifference) -> dict[str, Any]:
    return _place(one) | {
        "difference_nats": one.value,
        "low_nats": one.low,
        "high_nats": one.high,
        "together_low_nats": one.together_low,
        "together_high_nats": one.together_high,
        "paired": one.paired,
        "covers_seeds": one.covers_seeds,
        "clear": one.is_clear,
        "note": one.note,
    }
