"""Print the tables of a folder of `infoplane bottleneck` as Markdown: python docs/results/bottleneck_attacked.py FOLDER

Accuracy in percent and information in bits, mean over seeds [95 % interval]; then both verdicts with their differences.
"""

import math
import sys
from pathlib import Path

import polars as pl

from infoplane.findings.bottleneck import judged
from infoplane.report.bottleneck_table import evidence_of, rows_of

folder = Path(sys.argv[1])
numbers, images = (pl.read_parquet(folder / f"{name}.parquet") for name in ("bottleneck", "images"))
VALUES = sorted(numbers["value"].unique())
QUANTITIES = {"rate": "rate", "I(X;T)": "I(X;T), Monte Carlo", "I(T;Y)": "I(T;Y), decoded"}


def cells(rows: pl.DataFrame, scale: float, digits: int) -> list[str]:
    """Return the mean over seeds with its interval, for each value."""
    texts = []
    for value in VALUES:
        own = rows.filter(pl.col("value") == value)
        found = evidence_of(own)
        low, high, _ = found.interval()
        if own["quantity"][0] == "accuracy":
            low, high = max(low, 0.0), min(high, 1.0)
        mark = " saturated" if own["saturated"].any() else ""
        texts.append(f"{scale * found.value:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]{mark}")
    return texts


for epsilon in numbers["epsilon"].drop_nulls().unique().sort():
    own = numbers.filter(pl.col("epsilon") == epsilon)
    print(f"\nepsilon {epsilon:g}: {own['n'][0]} images, seeds {sorted(own['seed'].unique())}\n")
    print(f"| path | attack | {' | '.join(f'{value:g}' for value in VALUES)} |")
    print("|" + "---|" * (2 + len(VALUES)))
    for path, attack in rows_of(numbers, epsilon):
        rows = own.filter(pl.col("path") == path, pl.col("attack") == attack)
        print(f"| {path} | {attack} | {' | '.join(cells(rows, 100, 1))} |")
print(f"\n| bits | {' | '.join(f'{value:g}' for value in VALUES)} |")
print("|" + "---|" * (1 + len(VALUES)))
for quantity, name in QUANTITIES.items():
    rows = numbers.filter(pl.col("quantity") == quantity)
    if not rows.is_empty():
        print(f"| {name} | {' | '.join(cells(rows, 1 / math.log(2), 2))} |")
found = judged(images)
for verdict in found.verdicts:
    print(f"\n{verdict.statement} {verdict.verdict}: {verdict.reason}")
    for one in found.findings:
        if one.claim == verdict.claim and one.value is not None and one.low is not None and one.high is not None:
            print(f"- {one.statistic}: {100 * one.value:+.1f} points [{100 * one.low:.1f}, {100 * one.high:.1f}]")
