"""Read several runs to be compared: their records, settings and findings, and what differs in their settings."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from infoplane.config import flat_settings
from infoplane.errors import UserError
from infoplane.findings import Findings, find, plan_of
from infoplane.findings.compared_runs import RunComparison, RunRecords, compare_runs
from infoplane.recipes import is_own_data
from infoplane.report.page_tables import setting_text
from infoplane.runs.folder import RunFolder
from infoplane.text import one_line

_MISSING = "not set"


class ComparedRun(NamedTuple):
    """One of the runs.

    Attributes:
        path: of its folder, as the user gave it.
        config: content of its `config.json`.
        records: its tables, with its name.
        findings: whether the study's claims hold in it.
        checksum: sha256 of its manifest, which names all its records.
    """

    path: Path
    config: Mapping[str, Any]
    records: RunRecords
    findings: Findings
    checksum: str

    @property
    def name(self) -> str:
        """The name that tells it from the others."""
        return self.records.name


class ComparedRuns:
    """Several runs; every run is compared with the first.

    Args:
        paths: of their folders.

    Raises:
        UserError: fewer than two folders, one is given twice, holds no run or no measurements, or no quantity was
            measured in the same way in all of them.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        _check_different(paths)
        names = _names([path.resolve() for path in paths])
        self.runs = [_read(path, name) for path, name in zip(paths, names, strict=True)]

    @cached_property
    def comparison(self) -> RunComparison:
        """The layers of all runs, compared with the first."""
        found = compare_runs([run.records for run in self.runs])
        if not found.readings:
            measured = "; ".join(f"{run.name}: {_measured(run.records)}" for run in self.runs)
            raise UserError(
                f"no quantity was measured by the same estimator in all of these runs ({measured}); choose runs that "
                "measured the same"
            )
        if not found.differences:
            raise UserError(
                "these runs have no training, epoch and layer in common, so there is nothing to compare"
                + (f" ({'; '.join(found.notes)})" if found.notes else "")
            )
        return found

    @property
    def findings(self) -> dict[str, Findings]:
        """The findings by name of the run, of the runs that are judged by the study's claims."""
        return {run.name: run.findings for run in self.runs if not is_own_data(run.config.get("settings") or {})}

    def settings(self) -> dict[str, list[str]]:
        """Return the values of every setting and version as text, one per run, by dotted name."""
        own = [_flat(run.config) for run in self.runs]
        names = dict.fromkeys(name for settings in own for name in settings)
        return {name: [settings.get(name, _MISSING) for settings in own] for name in names}


def differing(settings: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the settings with different values."""
    return {name: values for name, values in settings.items() if len(set(values)) > 1}


def measured_examples(config: Mapping[str, Any]) -> str | None:
    """Return text that is equal for runs that measured the same examples in the same groups; None if it is not known.

    Args:
        config: content of a run's `config.json`.
    """
    settings = config.get("settings") or {}
    data, kept = settings.get("data") or {}, (config.get("environment") or {}).get("data") or {}
    if "images_sha256" in data:  # a training loop of the user's own: these are the measured images
        facts = [data["images_sha256"], data.get("labels_sha256"), settings.get("examples_seed")]
    else:  # of all test images, the seed of the data chooses as many as are measured
        measured = settings.get("measurement") or {}
        facts = [kept.get("test_sha256"), data.get("seed"), measured.get("examples")]
        facts.append(measured.get("examples_drawn", "once"))  # older runs have no such setting
    return None if None in facts else json.dumps(facts)


def _check_different(paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        raise UserError("infoplane compare takes at least two runs: infoplane compare RUN RUN")
    seen: dict[Path, Path] = {}
    for path in paths:
        if (place := path.resolve()) in seen:
            raise UserError(f"{path} is given twice: a run is compared with other runs")
        seen[place] = path


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that differ from each other."""
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = [one_line("/".join(path.parts[-length:])) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {one_line(str(path))}" for number, path in enumerate(paths, 1)]


def _read(path: Path, name: str) -> ComparedRun:
    run = RunFolder(path)
    config = run.read_config()
    measurements, performance = run.measurements(), run.performance()
    if measurements.is_empty():
        raise UserError(
            f"{path} holds no measurements of layers (its study is {config['study']!r}); infoplane compare takes "
            "folders that infoplane flow or demo made, or InformationPlane.save"
        )
    records = RunRecords(
        name=name, measurements=measurements, performance=performance, examples=measured_examples(config)
    )
    found = find(measurements, performance, plan=plan_of(config["settings"]))
    manifest = (path / "manifest.sha256").read_bytes()
    return ComparedRun(path, config, records, found, hashlib.sha256(manifest).hexdigest())


def _measured(records: RunRecords) -> str:
    found = records.rows.select("quantity", "estimator").unique(maintain_order=True).rows()
    return ", ".join(f"{quantity} by {estimator}" for quantity, estimator in found) or "no estimator of either"


def _flat(config: Mapping[str, Any]) -> dict[str, str]:
    flat = {"study": config.get("study"), **flat_settings(config.get("settings") or {})}
    flat |= flat_settings(config.get("environment") or {}, "environment.")
    return {one_line(name): setting_text(value) for name, value in flat.items()}
