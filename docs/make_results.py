"""Write the page of results of one run: python docs/make_results.py RUN PAGE.md MACHINE [FIGURE ...].

Every number of the page comes from the folder of the run, so a run with the same records gives the same page. MACHINE
describes the machine in words, which the records do not. FIGURE names figures of the run, e.g. `trusted-normal-s0`;
they are copied into a folder beside the page, which has its name. `infoplane report RUN` draws them. The records of the
last epoch are written there too, and a summary, from which `make_results_summary.py` makes the table of all runs.

What other commands have added to the folder is on the page too: `register`, `evaluate`, `where`, `attacks`, `geometry
--output RUN/sweeps` and `limits --output RUN/limits`. With `--beside OTHER.md`, a page that this script has written in
the same folder, so are the verdicts of that run, and where they differ.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from results_page.accuracy import accuracies, under_distortion
from results_page.claims import claim_by_claim, claims, findings_without_random, registered, without_random
from results_page.curves import over_epochs
from results_page.information import MEANINGS, information
from results_page.markdown import bullets, from_terminal, wrapped
from results_page.run_facts import LIMITS, about, commands
from results_page.summary import Summary, beside, summary

from infoplane.findings import Findings
from infoplane.findings.label_profiles import LabelProfiles
from infoplane.findings.sentences import sentences
from infoplane.records import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.attacks_table import attacks_tables
from infoplane.report.bits import in_bits, last_epoch, relative_noise_text
from infoplane.report.evaluated import evaluation_of
from infoplane.report.evaluation_table import evaluation_table
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.html import SWEEPS, run_findings
from infoplane.report.labels import estimator_label
from infoplane.report.page_picture import picture_svg
from infoplane.report.subject import subject_of
from infoplane.report.sweep_tables import limits_table, trend_table
from infoplane.report.where_table import where_tables
from infoplane.runs import RunFolder
from infoplane.runs.attack_files import AttackFiles
from infoplane.runs.where_files import WhereFiles
from infoplane.studies.sweeps.trends import trends
from infoplane.text import counted

PICTURE = "label-along-layers.svg"


def title(run: RunFolder, config: Mapping[str, Any]) -> str:
    """Return what was trained on what, and for how long."""
    subject, epochs = subject_of(config, run.path.name), config["settings"]["training"]["epochs"]
    return f"{subject.title}: {subject.model} on {subject.data}, {counted(epochs, 'epoch')}"


def page(
    run: RunFolder,
    config: Mapping[str, Any],
    found: Findings,
    trained: Findings | None,
    own: Summary,
    name: str,
    machine: str,
    figures: list[str],
    other: Path | None = None,
) -> str:
    """Return the page; see the module.

    Args:
        run: the folder.
        config: its settings.
        found: its findings.
        trained: those without epoch 0, None if that was not measured.
        own: the summary of the run.
        name: of the file of the page.
        machine: in words.
        figures: names of figures of the run.
        other: a page to put the verdicts beside.
    """
    measurements, performance = run.measurements(), run.performance()
    all_rows = in_bits(measurements).filter(pl.col("class_index").is_null())
    rows = last_epoch(all_rows)
    parts = [
        f"# {title(run, config)}",
        wrapped(
            "This page was written by `docs/make_results.py` from the folder of one run. No number was typed by "
            "hand. Information is in bits, at the last epoch. In square brackets are 95 % intervals; in round ones, "
            "standard deviations over seeds. Two files of records lie beside the page: the "
            f"[measurements]({name}/measurements.parquet) of the last epoch and the "
            f"[accuracies]({name}/performance.parquet) of all epochs ([columns](../columns.md))."
        ),
        commands(run, config),
        about(run, config, machine),
        "## In short",
        bullets(one.text for one in sentences(measurements, performance))
        or wrapped("The records support no sentence: all intervals include 0, or too little was measured."),
        *(picture(name) if LabelProfiles(measurements, performance).trainings else ()),
        "## Accuracy",
        wrapped("In %, at the last epoch."),
        accuracies(performance),
        "## The claims of the paper",
        *claims(found),
        *registered(run, config, found),
        *(beside(own, read_summary(other), other.name) if other else ()),
        *(("## Figures", *(figure(one, name) for one in figures)) if figures else ()),
        "## Claim by claim",
        *claim_by_claim(found),
        *(without_random(found, trained) if trained else ()),
        "## Information over epochs",
        wrapped("In bits, means over seeds, by the estimators that decide. Epoch 0 is the random network."),
        *over_epochs(all_rows),
        "## Information about the label",
        wrapped(
            "Decoders give lower bounds on examples that they were not fitted to. "
            f"{estimator_label(DECODED_TRANSFER, LABEL_INFORMATION)}: the decoders of the original examples read the "
            "attacked ones. They are not misled by the label that an attack writes into an image, as decoders "
            f"fitted to attacked examples are ({estimator_label(DECODED, LABEL_INFORMATION)}). Below 0 they do worse "
            "than guessing, which does not mean that the label is gone: images with random changes, which keep it, "
            "can mislead them as well. The true information cannot rise from one layer to the next. Where the numbers "
            f"rise, the later layer is easier to decode. {MEANINGS}"
        ),
        *information(rows, LABEL_INFORMATION),
        "## Information about the input",
        wrapped(
            "A deterministic layer has no finite I(X;T), so noise is added. The variance of relative noise is "
            f"{relative_noise_text(rows)}, and layers can be compared; at fixed noise they cannot. {MEANINGS}"
        ),
        *information(rows, INPUT_INFORMATION),
        *other_studies(run, performance),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def picture(folder: str) -> Iterator[str]:
    """Yield the picture of the first screen of the report, with its caption."""
    yield f"![What decoders read of the label in each layer]({folder}/{PICTURE})"
    yield wrapped(
        "What decoders that were fitted to originals read of the label in each layer: from originals, and from "
        "attacked examples. Bars are 95 % intervals. An open mark at 0 stands for a value below 0: the decoders are "
        "misled. The shaded band is what permuted labels give."
    )


def figure(name: str, folder: str) -> str:
    """Return a figure with its caption."""
    kind = max((one for one in FIGURES if name.startswith(one.kind)), key=lambda one: len(one.kind), default=None)
    caption = "" if kind is None else f"\n\n{wrapped(kind.caption)}"
    return f"![{name}]({folder}/{name}.svg){caption}"


def other_studies(run: RunFolder, performance: pl.DataFrame) -> Iterator[str]:
    """Yield a section for each other command that has left its records in the folder of the run."""
    if tables := list(under_distortion(performance)):
        yield "## Accuracy under distortions"
        yield from tables
    if (evaluation := evaluation_of(run)) is not None:
        yield "## Accuracy under many attacks"
        yield wrapped(
            "*Sees*: what an attack knows of the network. L-inf and L2 are medians over the images that it changed; "
            "passes and gradients are means for one image. A black-box attack may leave less than those with "
            "gradients; there is an [alarm](../evaluation.md) only if that is certain on the same images."
        )
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
        yield wrapped("On points that are drawn without a network.")
        yield from from_terminal(trend_table(trends(pl.read_parquet(path))))
    if (path := run.path / LIMITS / "records.parquet").is_file():
        yield "## Where each estimate stops meaning anything"
        yield from from_terminal(limits_table(pl.read_parquet(path)))


def write_records(run: RunFolder, folder: Path) -> None:
    """Write the records behind the page, without the values of groups of images, which are most of their size."""
    last_epoch(run.measurements()).drop("group_means").write_parquet(folder / "measurements.parquet")
    run.performance().write_parquet(folder / "performance.parquet")


def read_summary(page: Path) -> Summary:
    """Return the summary of a page that this script has written."""
    path = page.with_suffix("") / "summary.json"
    if not path.is_file():
        raise SystemExit(f"{path} is missing; write {page} by this script first")
    found: Summary = json.loads(path.read_text())
    return found


def main() -> None:
    """Write the page, and its figures, records and summary into a folder beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "page", "machine"):
        parser.add_argument(name)
    parser.add_argument("figures", nargs="*")
    parser.add_argument("--beside", type=Path, metavar="OTHER.md")
    given = parser.parse_args()
    run, path, figures = RunFolder(Path(given.run)), Path(given.page), given.figures
    config, found = run.read_config(), run_findings(run)
    trained = findings_without_random(run, config)
    own = summary(run, config, found, trained, title(run, config), given.machine)
    path.write_text(page(run, config, found, trained, own, path.stem, given.machine, figures, given.beside))
    folder = path.with_suffix("")
    folder.mkdir(exist_ok=True)
    write_records(run, folder)
    if (profiles := LabelProfiles(run.measurements(), run.performance())).trainings:
        (folder / PICTURE).write_text(picture_svg(profiles))
    (folder / "summary.json").write_text(json.dumps(own, indent=1) + "\n")
    for name in figures:
        shutil.copyfile(run.path / "figures" / f"{name}.svg", folder / f"{name}.svg")


if __name__ == "__main__":
    main()
