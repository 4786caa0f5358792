"""Compare two run folders bit by bit: records, findings, figures.

Use it when code was moved and no number may change:

    python benchmarks/same_runs.py runs/before runs/after

Seconds are left out, and so are the paths of the folders. The exit status is 0 if nothing differs.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.testing import assert_frame_equal

TABLES = ("measurements", "performance", "geometry")


def differing_tables(first: Path, second: Path) -> Iterator[str]:
    """Name the tables of records that differ in more than their seconds."""
    for kind in TABLES:
        names = {path.name for path in (first / kind).glob("*.parquet")}
        names |= {path.name for path in (second / kind).glob("*.parquet")}
        for name in sorted(names):
            paths = [run / kind / name for run in (first, second)]
            if not all(path.is_file() for path in paths):
                yield f"{kind}/{name}: only in one run"
                continue
            tables = [pl.read_parquet(path.read_bytes()) for path in paths]
            known = [table.drop("seconds", strict=False) for table in tables]
            try:
                assert_frame_equal(*known, check_exact=True)
            except AssertionError as error:
                yield f"{kind}/{name}: {' '.join(str(error).split())[:200]}"


def differing_findings(first: Path, second: Path) -> Iterator[str]:
    """Say whether verdicts or numbers of the findings differ."""
    before, after = (json.loads((run / "findings.json").read_text()) for run in (first, second))
    if before != after:
        yield "findings.json"


def differing_figures(first: Path, second: Path) -> Iterator[str]:
    """Name the PNG files that differ by a byte."""
    names = {path.name for run in (first, second) for path in (run / "figures").glob("*.png")}
    for name in sorted(names):
        before, after = (run / "figures" / name for run in (first, second))
        if not (before.is_file() and after.is_file()):
            yield f"figures/{name}: only in one run"
        elif before.read_bytes() != after.read_bytes():
            yield f"figures/{name}"


def main() -> int:
    """Print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    runs = parser.parse_args()
    found = [
        *differing_tables(runs.first, runs.second),
        *differing_findings(runs.first, runs.second),
        *differing_figures(runs.first, runs.second),
    ]
    print("\n".join(found) or "records, findings and figures are the same")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
