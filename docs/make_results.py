"""Write the page of results of one run: python docs/make_results.py RUN PAGE.md MACHINE [FIGURE ...].

Every number of the page comes from the folder of the run, so a run with the same records gives the same page. MACHINE
describes the machine in words, which the records do not. FIGURE names figures of the run, e.g. `trusted-normal-s0`;
they are copied into a folder beside the page, which has its name. `infoplane report RUN` draws them. The records of the
last epoch are written there too.

What other commands have added to the folder is on the page too: `register`, `evaluate`, `where`, `attacks`, `geometry
--output RUN/sweeps` and `limits --output RUN/limits`. With `--beside RUN PAGE`, so are the verdicts of another run, and
where they differ; PAGE is the page of that run.
"""

import argparse
import json
import shutil
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.config import flat_settings
from infoplane.findings import ClaimVerdict, Finding, Findings
from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.findings.sentences import sentences
from infoplane.recipes import RECIPES
from infoplane.records import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.attacks_table import attacks_tables
from infoplane.report.bits import examples_of, in_bits, last_epoch, layers_of, trainings_of
from infoplane.report.conclusions import conclusion
from infoplane.report.evaluated import evaluation_of
from infoplane.report.evaluation_table import evaluation_table
from infoplane.report.findings_table import deciding_number, with_interval
from infoplane.report.html import SWEEPS, run_findings
from infoplane.report.labels import SWEPT, curve_label, curve_order, estimator_label, estimator_order
from infoplane.report.registered import registered_outcomes, registered_table
from infoplane.report.subject import subject_of
from infoplane.report.summary import show_bits
from infoplane.report.sweep_tables import limits_table, trend_table
from infoplane.report.where_table import where_tables
from infoplane.runs import RunFolder
from infoplane.runs.attack_files import AttackFiles
from infoplane.runs.records_hash import records_hash
from infoplane.runs.where_files import WhereFiles
from infoplane.studies.sweeps.trends import trends
from infoplane.text import counted

WIDTH = 100
MARKS = {"saturated": "\\*", "undersampled": "†", "null_like": "≤"}
NOTHING = {"saturated": "every value is saturated", "null_like": "no value is more than permuted labels give"}
MEANINGS = (
    "\\* saturated: at the ceiling, so there were too few examples or labels. † undersampled: half as many examples "
    "give clearly less. ≤ no more than permuted labels give."
)


def wrapped(text: str) -> str:
    """Return a paragraph in lines that a reader of the source can read."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(textwrap.fill(f"- {one}", WIDTH, subsequent_indent="  ") for one in items)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(columns), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def from_terminal(shown: RenderableType) -> Iterator[str]:
    """Yield what a command prints, as Markdown: sentences as paragraphs, tables with their titles and captions."""
    if isinstance(shown, Group):
        for one in shown.renderables:
            yield from from_terminal(one)
    elif isinstance(shown, Table):
        yield from paragraphs(shown.title, bold=True)
        heads = [plain(column.header) for column in shown.columns]
        yield table(heads, zip(*([plain(cell) for cell in column.cells] for column in shown.columns), strict=True))
        yield from paragraphs(shown.caption)
    else:
        yield from paragraphs(shown)


def paragraphs(shown: RenderableType | None, *, bold: bool = False) -> Iterator[str]:
    """Yield a text as paragraphs, each of its list items as one."""
    text = " ".join(plain(shown).split())
    if text:
        yield textwrap.fill(f"**{text}**" if bold else text, WIDTH, subsequent_indent="  " * text.startswith("- "))


def plain(shown: RenderableType | None) -> str:
    """Return a text without its style."""
    if shown is None:
        return ""
    if not isinstance(shown, str | Text):
        raise TypeError(f"expected a text, got {type(shown).__name__}")
    return str(shown).strip()


def command(settings: Mapping[str, Any]) -> str:
    """Return the command that makes such a run, from what differs from its recipe."""
    recipe = settings["recipe"]
    usual = flat_settings(RECIPES[recipe].config.model_dump(mode="json"))
    words = [f"infoplane flow {recipe}"]
    for name, value in flat_settings(settings).items():
        if name not in usual or value == usual[name]:
            continue
        shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        words.append(f"--{name.replace('_', '-')} {shown}")
    words.append("--run RUN")
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) > WIDTH - 6:
            lines[-1] += " \\"
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return "".join(f"    {line}\n" for line in lines)


def about(run: RunFolder, config: Mapping[str, Any], machine: str) -> str:
    """Return what the run is and what it ran on."""
    environment, settings = config["environment"], config["settings"]
    events = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    days = sorted({event["time"][:10] for event in events})
    measuring = sum(event["seconds"] for event in events if event["event"] == "measured")
    rows = [
        ("date", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"),
        ("machine", f"{machine}; {counted(environment['threads'], 'thread')}"),
        ("software", f"infoplane {environment['infoplane']}, torch {environment['torch']}"),
        ("training", f"{counted(settings['training']['epochs'], 'epoch')}, "
                     f"{counted(settings['seeds'], 'seed')}, the first is {settings['seed']}"),
        ("images", f"{environment['data']['train']:,} train, {environment['data']['test']:,} test; "
                   f"layers are measured on {settings['measurement']['examples']:,} of the test images"),
        ("time of the measurements", f"{measuring / 60:.0f} min"),
        ("hash of the run's files", f"`{records_hash(run)}`"),
    ]  # fmt: skip
    return table(("", ""), rows)


def accuracies(performance: pl.DataFrame) -> str:
    """Return the accuracies at the last epoch in %, over seeds, with 95 % intervals."""
    rows = last_epoch(performance.filter(pl.col("distortion").is_null()))
    curves = sorted(rows.select("split", "examples").unique().rows(), key=lambda curve: curve_order(*curve))
    lines = []
    for training in dict.fromkeys(training for _, training in trainings_of(rows)):
        own = rows.filter(training=training)
        seeds = own["seed"].n_unique()
        cells = []
        for split, examples in curves:
            part = own.filter(split=split, examples=examples)
            accuracy = None if part.is_empty() else accuracy_of(part)
            low, high = accuracy_ends(accuracy) if accuracy else (0, 0)
            cells.append(f"{100 * accuracy.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]" if accuracy else "-")
        lines.append([training, str(seeds), *cells])
    return table(["training", "seeds", *(curve_label(*curve) for curve in curves)], lines)


def under_distortion(performance: pl.DataFrame) -> Iterator[str]:
    """Yield a table for each distortion: accuracy in % at the last epoch, at each of its levels."""
    rows = last_epoch(performance.filter(pl.col("distortion").is_not_null()))
    for name in rows["distortion"].unique(maintain_order=True):
        own = rows.filter(distortion=name)
        levels = sorted(own["level"].unique())
        lines = []
        for training, examples in own.select("training", "examples").unique(maintain_order=True).rows():
            part = own.filter(training=training, examples=examples)
            at_levels = [accuracy_of(part.filter(level=level)) for level in levels]
            lines.append([training, examples, *(f"{100 * one.value:.1f}" for one in at_levels)])
        yield f"Accuracy in % under {name}, by its level:"
        yield table(["training", "examples", *(f"{level:g}" for level in levels)], lines)


def information(rows: pl.DataFrame, quantity: str) -> Iterator[str]:
    """Yield a paragraph and a table for each estimator of a quantity: a row per training and kind of examples."""
    of_quantity = rows.filter(pl.col("quantity") == quantity, ~pl.col("estimator").str.ends_with(SWEPT))
    pairs = of_quantity.select("estimator", "kind").unique().rows()
    for estimator, kind in sorted(pairs, key=lambda pair: (estimator_order(pair[0]), pair[1])):
        found = of_quantity.filter(estimator=estimator, kind=kind)
        several = sum(estimator == other for other, _ in pairs) > 1
        label = estimator_label(estimator, quantity) + (f", {kind} bound" if several else "")
        ceilings = sorted({show_bits(value) for value in found["ceiling_bits"].drop_nulls().round(2).unique()})
        ceiling = f" Ceiling: {', '.join(ceilings)} bits." if ceilings else ""
        null = found["null_bits"].drop_nulls()
        nulls = f" Permuted labels give up to {show_bits(max(null))} bits (95 % quantile)." if len(null) else ""
        if nothing := next((said for mark, said in NOTHING.items() if found[mark].all()), ""):
            yield wrapped(f"**{quantity}, {label}: {nothing}.**{ceiling}{nulls}")
            continue
        layers = layers_of(found, pixels=True)
        lines = []
        for training in dict.fromkeys(training for _, training in trainings_of(found)):
            for examples in examples_of(found, control=True):
                part = found.filter(training=training, examples=examples)
                if not part.is_empty():
                    cells = [cell(part.filter(layer_index=index)) for index, _ in layers]
                    lines.append([training, examples, *cells])
        yield wrapped(f"**{quantity}, {label}.**{ceiling}{nulls}")
        yield table(["training", "examples", *(name for _, name in layers)], lines)


def cell(of_layer: pl.DataFrame) -> str:
    """Return one layer: of one seed with its 95 % interval, of several the mean with the deviation over seeds."""
    rows = of_layer.to_dicts()
    if not rows:
        return "-"
    if of_layer["seed"].n_unique() != len(rows):
        raise ValueError(f"more than one value for a seed: {of_layer}")
    marks = "".join(sign for name, sign in MARKS.items() if any(row[name] for row in rows))
    if len(rows) > 1:
        values = [row["value_bits"] for row in rows]
        return f"{show_bits(statistics.fmean(values))} ({statistics.stdev(values):.2f}){marks}"
    (row,) = rows
    interval = "" if row["low_bits"] is None else f" [{show_bits(row['low_bits'])}, {show_bits(row['high_bits'])}]"
    return f"{show_bits(row['value_bits'])}{interval}{marks}"


def claims(found: Findings) -> Iterator[str]:
    """Yield the table of verdicts, then a section for each claim."""
    yield table(
        ("claim", "what the paper says", "verdict", "the number that decides"),
        ((f"{one.claim} {one.name}", one.statement, f"**{one.verdict}**", deciding_number(one, found))
         for one in found.claims),
    )  # fmt: skip
    yield wrapped(
        "Below are the parts of each claim. A claim is supported if all its parts are, and contradicted if one is. In "
        "bold is the estimator that decides. The others are measured in the same way, and show whether a verdict "
        "depends on the estimator."
    )
    for one in found.claims:
        yield f"### {one.claim} {one.name}: {one.verdict}"
        lead, items = conclusion(one, found)
        yield wrapped(f"{one.statement} **What a reader may conclude:** {lead}")
        yield bullets(items)
        yield table(("if the claim held", "measured as", "by", "value [95 %]", "verdict", "why"), parts_of(one, found))


def parts_of(claim: ClaimVerdict, found: Findings) -> Iterator[list[str]]:
    """Yield a line for each part of a claim, and below it one for each other estimator of the same that has a value."""
    own, before = found.about(claim.claim), ("", "")
    for part in (one for one in own if one.part):
        same = [one for one in own if not one.part and measured(one) == measured(part)]
        for one in (part, *(one for one in same if one.value is not None)):
            statement, way = one.statement, one.statistic
            if one.quantity not in f"{statement} {way}":
                way += f", of {one.quantity}"
            shown = ("" if before[0] == statement else statement, "" if before == (statement, way) else way)
            before = (statement, way)
            by = f"**{estimators(one)}**" if one.part else estimators(one)
            value = "-" if one.value is None else with_interval(one)
            yield [*shown, by, value, one.verdict, one.reason.partition(";")[0]]
        if without := [estimators(one) for one in same if one.value is None]:
            yield ["", "", ", ".join(without), "-", "undecided", "no value: saturated, or too little was measured"]


def measured(one: Finding) -> tuple[str, ...]:
    """Return what a finding is about, whatever its estimator."""
    return (one.statement, one.statistic, one.layer, one.quantity)


def registered(run: RunFolder, config: Mapping[str, Any], found: Findings) -> Iterator[str]:
    """Yield the outcomes of the claims that were registered before the run; nothing if there are none."""
    if judged := registered_outcomes(run, config["settings"], found):
        yield "## Claims registered before the run"
        shown = registered_table(*judged)
        shown.title = None  # it is the heading
        yield from from_terminal(shown)


def beside(
    run: RunFolder, config: Mapping[str, Any], found: Findings, other: RunFolder, its_page: str
) -> Iterator[str]:
    """Yield the verdicts of this run and of another one, side by side."""
    theirs, found_there = other.read_config(), run_findings(other)
    here, there = (verdicts(*one) for one in ((run, config, found), (other, theirs, found_there)))
    yield f"## Beside [{theirs['settings']['recipe']}]({its_page})"
    mine, others = flat_settings(config["settings"]), flat_settings(theirs["settings"])
    changed = [f"`{name}` is {mine.get(name)}, and {others.get(name)} there" for name in others | mine
               if name not in ("recipe", "seeds") and mine.get(name) != others.get(name)]  # fmt: skip
    yield wrapped(
        f"What differs in the settings: {'; '.join(changed)}. This run has "
        f"{counted(config['settings']['seeds'], 'seed')}, that one {theirs['settings']['seeds']}. Only opposite "
        "verdicts suggest that a conclusion depends on these settings. Where one run is undecided, both may be right."
    )
    rows = []
    for name in here | there:
        (said, number), (said_there, number_there) = here.get(name, ("-", "")), there.get(name, ("-", ""))
        differs = "" if said == said_there else "opposite" if {said, said_there} in OPPOSITES else "differs"
        rows.append([name, f"{said} {number}".strip(), f"{said_there} {number_there}".strip(), differs])
    yield table(("claim", "this run", "the other run", ""), rows)


def verdicts(run: RunFolder, config: Mapping[str, Any], found: Findings) -> dict[str, tuple[str, str]]:
    """Return verdict and number of each claim: of the paper, then those that were registered."""
    said = {f"{one.claim} {one.name}": (str(one.verdict), "") for one in found.claims}
    if judged := registered_outcomes(run, config["settings"], found):
        for one in judged[1].outcomes:
            number = "" if one.value is None else f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
            if not one.name.startswith("claim "):  # those of the paper have their verdicts already
                said[one.name] = (f"deviated ({one.outcome})" if judged[1].deviations else one.outcome, number)
    return said


OPPOSITES = ({"supported", "contradicted"}, {"confirmed", "refuted"})


def other_studies(run: RunFolder) -> Iterator[str]:
    """Yield a section for each other command that has left its records in the folder of the run."""
    if (evaluation := evaluation_of(run)) is not None:
        yield "## Accuracy under many attacks"
        yield from from_terminal(evaluation_table(evaluation))
    attacks = AttackFiles(run)
    if not (traces := attacks.read_all()).outcomes.is_empty():
        yield "## What the layers encode under many attacks"
        yield from from_terminal(attacks_tables(traces, attacks.read_matrix()))
    if not (where := WhereFiles(run).read()).pointwise.is_empty():
        yield "## Where the label is lost, example by example"
        yield from from_terminal(where_tables(where))
    if (path := run.path / SWEEPS / "records.parquet").is_file():
        yield "## Estimates follow the geometry of the points"
        yield from from_terminal(trend_table(trends(pl.read_parquet(path))))
    if (path := run.path / "limits" / "records.parquet").is_file():
        yield "## Estimates as the noise vanishes"
        yield from from_terminal(limits_table(pl.read_parquet(path)))


def estimators(finding: Finding) -> str:
    """Return the label of the estimator of a finding, or of both."""
    return " with ".join(map(estimator_label, finding.estimator.split(" with "))) if finding.estimator else "accuracy"


def page(
    run: RunFolder,
    config: Mapping[str, Any],
    name: str,
    machine: str,
    figures: list[str],
    other: tuple[RunFolder, str] | None = None,
) -> str:
    """Return the page; see the module. `config` is that of the run, and `name` that of the page's file."""
    found = run_findings(run)
    measurements, performance = run.measurements(), run.performance()
    rows = last_epoch(in_bits(measurements)).filter(pl.col("class_index").is_null())
    said = sentences(measurements, performance)
    subject, epochs = subject_of(config, run.path.name), config["settings"]["training"]["epochs"]
    parts = [
        f"# {subject.title}: {subject.model} on {subject.data}, {counted(epochs, 'epoch')}",
        wrapped(
            "This page was written by `docs/make_results.py` from the folder of one run. No number was typed by "
            "hand. Information is in bits, at the last epoch. In square brackets are 95 % intervals; in round ones, "
            "standard deviations over seeds. Two files of records lie beside the page: the "
            f"[measurements]({name}/measurements.parquet) of the last epoch and the "
            f"[accuracies]({name}/performance.parquet) of all epochs ([columns](../columns.md))."
        ),
        command(config["settings"]),
        about(run, config, machine),
        "## In short",
        bullets(one.text for one in said)
        or wrapped("The records support no sentence: all intervals include 0, or too little was measured."),
        "## Accuracy",
        wrapped("In %, at the last epoch."),
        accuracies(performance),
        *under_distortion(performance),
        *registered(run, config, found),
        "## The claims of the paper",
        *claims(found),
        *(beside(run, config, found, *other) if other else ()),
        *(f"![{figure}]({name}/{figure}.svg)" for figure in figures),
        "## Information about the label",
        wrapped(
            "Decoders give lower bounds on examples that they were not fitted to. "
            f"{estimator_label(DECODED_TRANSFER, LABEL_INFORMATION)}: the decoders of the original examples read the "
            "attacked ones. They are not misled by the label that an attack writes into an image, as decoders "
            f"fitted to attacked examples are ({estimator_label(DECODED, LABEL_INFORMATION)}). {MEANINGS}"
        ),
        *information(rows, LABEL_INFORMATION),
        "## Information about the input",
        wrapped(
            "A deterministic layer has no finite I(X;T), so noise is added. At relative noise it is a share of the "
            f"layer's variance, and layers can be compared; at fixed noise they cannot. {MEANINGS}"
        ),
        *information(rows, INPUT_INFORMATION),
        *other_studies(run),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def write_records(run: RunFolder, folder: Path) -> None:
    """Write the records behind the page, without the values of groups of images, which are most of their size."""
    last_epoch(run.measurements()).drop("group_means").write_parquet(folder / "measurements.parquet")
    run.performance().write_parquet(folder / "performance.parquet")


def main() -> None:
    """Write the page, and its figures and records into a folder beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "page", "machine"):
        parser.add_argument(name)
    parser.add_argument("figures", nargs="*")
    parser.add_argument("--beside", nargs=2, metavar=("RUN", "PAGE"))
    given = parser.parse_args()
    run, path, figures = RunFolder(Path(given.run)), Path(given.page), given.figures
    other = (RunFolder(Path(given.beside[0])), given.beside[1]) if given.beside else None
    path.write_text(page(run, run.read_config(), path.stem, given.machine, figures, other))
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    write_records(run, folder)
    for figure in figures:
        shutil.copyfile(run.path / "figures" / f"{figure}.svg", folder / f"{figure}.svg")


if __name__ == "__main__":
    main()
