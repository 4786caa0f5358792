"""What a run is: the commands that make it, and the date, machine and software."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from infoplane.config import flat_settings
from infoplane.findings.rules import rules_hash
from infoplane.recipes import RECIPES
from infoplane.report.evaluated import evaluation_of
from infoplane.report.html import SWEEPS
from infoplane.report.registered import registration_of
from infoplane.runs import RunFolder
from infoplane.runs.records_hash import records_hash
from infoplane.text import counted
from results_page.markdown import WIDTH, table

Config = Mapping[str, Any]
LIMITS = "limits"
RULES = "hash of the rules of verdicts"


def commands(run: RunFolder, config: Config) -> str:
    """Return the commands that make such a run and all that was added to it, registration and training first."""
    lines = []
    if registration_of(run) is not None:
        lines.append(["infoplane register CLAIMS.toml RUN"])
    lines += [flow(config["settings"]), *added(run, config)]
    return "\n".join(f"    {text}" for line in lines for text in folded(line))


def flow(settings: Config) -> list[str]:
    """Return the words of the command that trains and measures, from what differs from its recipe."""
    recipe = settings["recipe"]
    usual = flat_settings(RECIPES[recipe].config.model_dump(mode="json"))
    words = [f"infoplane flow {recipe}"]
    for name, value in flat_settings(settings).items():
        if name not in usual or value == usual[name]:
            continue
        shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        words.append(f"--{name.replace('_', '-')} {shown}")
    return [*words, "--run RUN"]


def added(run: RunFolder, config: Config) -> Iterator[list[str]]:
    """Yield the commands that have added to a run, as far as its page shows what they found."""
    logged = events(run)
    if levels := {one["distortion"]: one["levels"] for one in logged if one["event"] == "distorted"}:
        shown = {name: " ".join(f"{level:g}" for level in own) for name, own in levels.items()}
        yield ["infoplane distortion RUN", *(f"--{name} {own}" for name, own in shown.items())]
    if (run.path / SWEEPS / "records.parquet").is_file():
        yield [f"infoplane geometry --output RUN/{SWEEPS}"]
    if (run.path / LIMITS / "records.parquet").is_file():
        yield [f"infoplane limits --output RUN/{LIMITS}"]
    for number in dict.fromkeys(one["n"] for one in logged if one["event"] == "where"):
        few = number < config["settings"]["measurement"]["examples"]
        yield ["infoplane where RUN", *([f"--examples {number}"] if few else [])]
    for words in dict.fromkeys(
        (f"--examples {one['n']}", f"--attacks {' '.join(one['attacks'])}")
        for one in logged
        if one["event"] == "attacked" and "n" in one
    ):
        yield ["infoplane attacks RUN", *words]
    if (evaluation := evaluation_of(run)) is not None:
        yield ["infoplane evaluate RUN", f"--suite {evaluation.suite}", f"--examples {evaluation.examples}"]


def folded(words: list[str]) -> Iterator[str]:
    """Yield a command in lines that fit on the page."""
    line = words[0]
    for word in words[1:]:
        if len(line) + 1 + len(word) > WIDTH - 6:
            yield f"{line} \\"
            line = f"    {word}"
        else:
            line += f" {word}"
    yield line


def facts(run: RunFolder, config: Config, machine: str) -> dict[str, str]:
    """Return what the run is and what it ran on."""
    environment, settings, logged = config["environment"], config["settings"], events(run)
    days = sorted({event["time"][:10] for event in logged}) or ["-"]
    measuring = sum(event["seconds"] for event in logged if event["event"] == "measured")
    return {
        "date": days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}",
        "machine": f"{machine}; {counted(environment['threads'], 'thread')}",
        "software": f"infoplane {environment['infoplane']}, torch {environment['torch']}",
        "training": f"{counted(settings['training']['epochs'], 'epoch')}, "
        f"{counted(settings['seeds'], 'seed')}, the first is {settings['seed']}",
        "images": images(environment["data"], settings["measurement"]["examples"]),
        "time of the measurements": f"{measuring / 60:.0f} min, summed over processes",
        "hash of the run's files": f"`{records_hash(run)}`",
        RULES: f"`{rules_hash()[:12]}`",
    }


def images(data: Config, measured: int) -> str:
    """Return how many images there are, whether more were published, and on how many layers are measured."""
    known = ", ".join(f"{data[split]:,} {split}" for split in ("train", "test") if split in data)
    fragment = f" (a fragment: {data['fragment']})" if data.get("fragment") else ""
    return f"{known}{fragment}; layers are measured on {min(measured, data['test']):,} of the test images"


def about(run: RunFolder, config: Config, machine: str) -> str:
    """Return the facts as a table."""
    return table(("", ""), facts(run, config, machine).items())


def events(run: RunFolder) -> list[dict[str, Any]]:
    """Return the events in the log of a run; none if it has no log."""
    path = run.path / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
