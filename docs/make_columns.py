"""Write docs/columns.md: all columns of all tables, from the dataclasses in src and their comments.

Run it after changing a table: python docs/make_columns.py
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

RECORDS = Path(__file__).parents[1] / "src" / "infoplane" / "records"
PAGE = Path(__file__).parent / "columns.md"
MADE = "<!-- Made by docs/make_columns.py from src/infoplane/records: change that, and run it again. -->"
TYPES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false"}
NESTED = {"Sequence[float | None]": "list of numbers", "Sequence[Prediction]": "list of structs, see below"}


class Table(NamedTuple):
    """A table of the page."""

    title: str
    file: str  # in RECORDS
    row: str  # dataclass of its rows
    about: str


TABLES = (
    Table(
        "Measurements",
        "tables.py",
        "Measurement",
        "`measurements/*.parquet`, `load_run(...).measurements` and `InformationPlane.measurements`. "
        "`infoplane attacks` writes a table with the same columns for each network into `attacks/`.",
    ),
    Table("Geometry", "tables.py", "Geometry", "`geometry/*.parquet`, `load_run(...).geometry`."),
    Table(
        "Performance",
        "tables.py",
        "Performance",
        "`performance/*.parquet`, `load_run(...).performance`. A run of `infoplane flow` measures accuracy on original "
        "images on the whole splits, and under attack on the measured examples.",
    ),
    Table(
        "Predictions",
        "tables.py",
        "Prediction",
        "Each element of `predictions`, a column of the performance. `infoplane.flat` leaves that column out.",
    ),
    Table("Strength of attacks", "attacks.py", "AttackOutcome", "Written by `infoplane attacks` into `attacks/`."),
    Table("Transfer of attacks", "attacks.py", "TransferOutcome", "Written by `infoplane attacks` into `attacks/`."),
    Table(
        "Images under attack",
        "evaluation.py",
        "AttackedImage",
        "`evaluation/evaluation.parquet` of `infoplane evaluate`: a row for each network, attack and image.",
    ),
    Table(
        "Labels lost, by example",
        "where.py",
        "PointwiseRecord",
        "`where/where.parquet` of `infoplane where`: a row for each network, version of an example and layer.",
    ),
    Table(
        "Labels lost, by layer",
        "where.py",
        "PointwiseLayerRecord",
        "`where/layers.parquet` of `infoplane where`: means over the examples, for the labels and permuted labels.",
    ),
    Table(
        "Answers to conflicts of shape and texture",
        "shape.py",
        "CueAnswer",
        "`shape/answers.parquet` of `infoplane shape`: a row for each network and conflict.",
    ),
    Table(
        "Shape and texture, by layer",
        "shape.py",
        "CueLayer",
        "`shape/layers.parquet` of `infoplane shape`: a row for each network, kind, layer, cue and decoder.",
    ),
    Table(
        "Networks with a bottleneck",
        "bottleneck.py",
        "BottleneckNumber",
        "`bottleneck.parquet` of `infoplane bottleneck`: accuracy and information of each network.",
    ),
    Table(
        "Their images under attack",
        "bottleneck.py",
        "BottleneckImage",
        "`images.parquet` of `infoplane bottleneck`: a row for each network, radius, path, attack and image.",
    ),
    Table("Sweeps of study three", "sweeps.py", "SweepMeasurement", "`records.parquet` of `infoplane geometry`."),
    Table(
        "Compression",
        "compression.py",
        "CompressionMeasurement",
        "`records.parquet` of `infoplane compression` and `infoplane quantised`.",
    ),
    Table("Accuracies of the compression studies", "compression.py", "CompressionAccuracy", "`accuracies.parquet`."),
)
VALUES = {
    "estimator": (
        "KDE_KL", "KDE_BD", "KDE_MIXED", "BINNING", "NOISY", "RATE", "DECODED", "DECODED_BEST", "DECODED_TRANSFER",
        "EXACT",
    ),
    "quantity": (
        "INPUT_INFORMATION", "LABEL_INFORMATION", "FEWER_INFORMATION", "ADDED_INFORMATION", "REMOVED_INFORMATION",
        "SHARED_INFORMATION", "MISTAKEN_INFORMATION", "TRUE_INFORMATION", "CLASS_ENTROPY",
    ),
    "distribution": ("MIXTURE", "BINNED", "POPULATION"),
    "noise_mode": ("FIXED_NOISE", "RELATIVE_NOISE", "SWEPT_NOISE", "OWN_NOISE"),
    "kind": ("LOWER", "UPPER", "ESTIMATE"),
    "examples": ("ORIGINAL", "ADVERSARIAL", "RANDOM"),
}  # fmt: skip
KINDS = {"lower": "a proved lower bound", "upper": "a proved upper bound", "estimate": "neither"}


class Column(NamedTuple):
    """A column of a table."""

    name: str
    kind: str
    missing: bool  # whether a value may be missing
    meaning: str


def columns(table: Table) -> list[Column]:
    """Return the columns of a table, from the fields of its dataclass and their comments."""
    text = (RECORDS / table.file).read_text("utf-8")
    lines = text.splitlines()
    (node,) = (one for one in ast.walk(ast.parse(text)) if isinstance(one, ast.ClassDef) and one.name == table.row)
    found = []
    for field in node.body:
        if isinstance(field, ast.AnnAssign):
            written = ast.unparse(field.annotation)
            kind = written.removesuffix(" | None")
            meaning = lines[field.lineno - 1].partition("  # ")[2]
            found.append(Column(ast.unparse(field.target), NESTED.get(kind) or TYPES[kind], kind != written, meaning))
    return found


def constants() -> dict[str, tuple[str, str]]:
    """Return value and comment of each constant of the tables."""
    text = (RECORDS / "tables.py").read_text("utf-8")
    found = {name: (value, note) for name, value, note in re.findall(r'^(\w+) = "(.*)"  # (.*)$', text, re.MULTILINE)}
    return found | {value.upper(): (value, note) for value, note in KINDS.items()}


def cell(text: str) -> str:
    """Return text for a cell of a table."""
    return text.replace("|", r"\|")


def page() -> str:
    """Return the page."""
    parts = [MADE, "# Columns of the main tables", INTRODUCTION]
    for table in TABLES:
        head = "| column | type | may be missing | meaning |\n|---|---|---|---|"
        rows = [
            f"| `{one.name}` | {one.kind} | {'yes' if one.missing else ''} | {cell(one.meaning)} |"
            for one in columns(table)
        ]
        parts += [f"## {table.title}", wrapped(table.about), "\n".join([head, *rows])]
    known = constants()
    parts += ["## Values", VALUES_INTRODUCTION]
    for column, names in VALUES.items():
        rows = [f"| `{cell(known[name][0])}` | {cell(known[name][1])} |" for name in names]
        parts += [f"### `{column}`", "\n".join(["| value | meaning |", "|---|---|", *rows])]
    parts.append(EPILOGUE)
    return "\n\n".join(parts) + "\n"


def wrapped(text: str) -> str:
    """Return prose in lines of at most 100 characters."""
    import textwrap

    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


INTRODUCTION = """\
Every row of a table is one number, or the numbers of one layer or one set of examples. Information
is in nats; only reports show bits. Pixels are in [0, 1].

<!-- run:
import infoplane
digits = infoplane.data.load_split("digits", "test")
plane = infoplane.InformationPlane(infoplane.data.as_floats(digits.images[:40]), digits.labels[:40])
plane.measure(infoplane.models.LeNet5(), epoch=0)
plane.save("runs/demo")
-->
```python
import infoplane

run = infoplane.load_run("runs/demo")
decoded = run.measurements.filter(estimator="decoded", quantity="I(T;Y)")
print(decoded.select("training", "examples", "layer", "value_nats", "interval_low", "interval_high"))
infoplane.flat(run.measurements).write_csv("measurements.csv")
```

`infoplane.flat(run.measurements).to_pandas()` is the table for pandas; it needs the packages pandas
and pyarrow."""
VALUES_INTRODUCTION = """\
[The guide to estimators](estimators.md) says which estimator answers which question."""
EPILOGUE = """\
Examples under other attacks have the attack's name. `undersampled` and `saturated` are decided as
`infoplane.records.standing` describes; `infoplane.records.with_standing` adds further marks.

The settings in `config.json` are those of [the API](api/config.md). Runs of a training loop of your
own have `"loop": "own"` there ([own](own.md#the-run-folder-of-your-loop))."""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
