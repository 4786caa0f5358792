"""Hash of the code that decides what the report says of claims: a changed rule is no longer the registered one."""

import hashlib
from pathlib import Path

_JUDGING = (  # all that `find` and `judge_registered` import, but what checks, words and estimates
    *("findings/__init__", "findings/accuracies", "findings/attacks", "findings/claim", "findings/claim1_trends"),
    *("findings/claim2_adversarial_lags", "findings/claim3_compression", "findings/claim3_depth"),
    *("findings/claim4_texture_and_shape", "findings/claim5_texture_of_others", "findings/claim6_geometry"),
    *("findings/claims", "findings/curves", "findings/evidence", "findings/finding", "findings/layers"),
    *("findings/noise_range", "findings/plan", "findings/registered", "findings/registration", "findings/responses"),
    *("findings/rules", "findings/trainings", "findings/verdict", "measuring/intervals", "records/standing"),
    *("records/sweeps", "records/tables", "studies/sweeps/trends"),
)


def judging_files() -> list[Path]:
    """Return the files whose content decides the verdicts."""
    package = Path(__file__).parents[1]
    return [package / f"{name}.py" for name in _JUDGING]


def rules_hash() -> str:
    """Return the sha256 of the files that judge claims."""
    found = hashlib.sha256()
    for path in judging_files():
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
