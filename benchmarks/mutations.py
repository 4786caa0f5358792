"""Change whole inputs at random and see that none of them ends in a traceback, a hang, an abort or another number.

    python -m benchmarks.mutations --inputs 6000

prints a table in Markdown: for tables, checkpoints and settings of a run, files for `infoplane estimate` and images,
how many changed inputs were refused in one line, how many gave exactly what the whole input gives (the change fell on
bytes that say nothing), and how many were other inputs, where no checksum tells: facts that the manifest was told of,
a file of somebody's own in a format without checksums. All other outcomes are faults, which are listed; the exit status
is then 1. The same seed changes the same bytes. `make test` runs a small fixed part (tests/test_mutations.py).
"""

import argparse
import copy
import multiprocessing
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.mutation_targets import TARGETS, Target, facts_of, outcome, prepare, with_facts

from infoplane.runs.folder import RunFolder

LONGEST_SECONDS = 60  # for one input; the slowest takes a tenth of a second
MOST_MEMORY = 8 << 30  # of a reader, in bytes of addresses
GOOD = ("refused", "the same", "another input")
FAULTS = ("traceback", "hang", "abort", "silently changed")
EXTREMES = (
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0\0\0\x80",
    b"\x7f" + b"\xff" * 7,
    b"\0\0\0\0\0\0\0\x40",
    b"\n",
    b"\0",
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 10**9, 2**63, 2**70, 1e308, -0.5, float("nan"), float("inf"), "", "x", "nan",
    "../..", "\udcff", "a\nb", [], {}, [None], {"": None}, [[[]]],
)  # fmt: skip


class Case(NamedTuple):
    """A changed input."""

    number: int
    target: str
    path: Path
    content: bytes


class Fault(NamedTuple):
    """An outcome that there must not be."""

    case: Case
    kind: str
    detail: str


# Changing


def changed_bytes(content: bytes, other: bytes, draw: random.Random, end: int) -> bytes:
    """Return `content` with one change, or two, within its first `end` bytes."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2))):
        end = min(end, len(changed))
        place = draw.randrange(end) if end else 0
        span = min(draw.choice((1, 2, 8, 64, 1024)), len(changed) - place)
        match draw.randrange(9):
            case 0 | 1 | 2 if end:
                changed[place] ^= 1 << draw.randrange(8)
            case 3 if end:
                changed[place] = draw.randrange(256)
            case 4:
                del changed[place : place + span]
            case 5:
                changed[place:place] = draw.randbytes(span)
            case 6:
                extreme = draw.choice(EXTREMES)
                changed[place : place + len(extreme)] = extreme
            case 7:
                changed[place : place + span] = other[place : place + span]
            case _:
                changed = draw.choice((changed[:place], changed + changed[:span], changed[:0], bytearray(other)))
    return bytes(changed)


def changed_facts(facts: Any, draw: random.Random) -> Any:
    """Return JSON with one value replaced, removed or added."""
    changed = copy.deepcopy(facts)
    places = list(_places(changed))
    holder, key = draw.choice(places)
    if draw.random() < 0.15:
        del holder[key]
    else:
        holder[key] = draw.choice(VALUES)
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def cases(folder: Path, inputs: int, seed: int) -> Iterator[Case]:
    """Give so many changed inputs, of each target its share."""
    total = sum(target.share for target in TARGETS.values())
    number = 0
    for name, target in TARGETS.items():
        files = target.files(folder)
        for _ in range(-(-inputs * target.share // total)):
            draw = random.Random(f"{seed} {name} {number}")
            path = draw.choice(files)
            content = path.read_bytes()
            other = draw.choice(files).read_bytes() if target.strangers else content
            changed = _changed(target, content, other, draw)
            if changed != content:
                yield Case(number, name, path, changed)
            number += 1


def _changed(target: Target, content: bytes, other: bytes, draw: random.Random) -> bytes:
    if target.structured:
        return with_facts(content, changed_facts(facts_of(content), draw))
    return changed_bytes(content, other, draw, target.region(content))


# Reading, in a process of its own that may die


def _worker(folder: Path, connection: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("error")  # a line that nobody wrote for the user
    while True:
        read, path = connection.recv()
        try:
            connection.send(outcome(read, folder, path))
        except BaseException:  # noqa: BLE001 - any of them would end the command in a traceback
            connection.send(("traceback", traceback.format_exc()))


class Reader:
    """A process that reads inputs, started anew where one ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_worker, args=(self._folder, other), daemon=True)
        self._process.start()
        other.close()

    def read(self, read: Callable[[Path, Path], object], path: Path) -> tuple[str, str]:
        """Return what comes of an input: ("read", fingerprint), ("refused", message), or a fault with its details."""
        self._connection.send((read, path))
        if not self._connection.poll(LONGEST_SECONDS):
            self.end()
            self._start()
            return "hang", f"more than {LONGEST_SECONDS} s"
        try:
            found: tuple[str, str] = self._connection.recv()
        except EOFError:
            self._process.join()
            status = self._process.exitcode
            self._start()
            return "abort", f"the process ended with status {status}"
        return found

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def campaign(
    inputs: int, seed: int = 0, *, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Counter[str]], list[Fault]]:
    """Change and read so many inputs.

    Args:
        inputs: how many.
        seed: decides which bytes are changed, and how.
        say: hears how far it is.

    Returns:
        How often each outcome came, by target, and the faults.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in TARGETS}
    faults: list[Fault] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        manifest = (folder / "run" / "manifest.sha256").read_bytes()
        reader = Reader(folder)
        try:
            whole = {name: _whole(reader, name, target, folder) for name, target in TARGETS.items()}
            for case in cases(folder, inputs, seed):
                target, before = TARGETS[case.target], case.path.read_bytes()
                if target.structured:
                    RunFolder(folder / "run").write_file(case.path, case.content)
                else:
                    case.path.write_bytes(case.content)
                kind, detail = reader.read(target.read, case.path)
                case.path.write_bytes(before)
                if case.path.name != "manifest.sha256":
                    (folder / "run" / "manifest.sha256").write_bytes(manifest)
                if kind == "read":
                    same = detail == whole[case.target][case.path]
                    kind = "the same" if same else "silently changed" if target.sealed else "another input"
                counts[case.target][kind] += 1
                if kind in FAULTS:
                    faults.append(Fault(case, kind, detail))
                    say(f"{kind}: {case.target}, input {case.number}, {case.path.relative_to(folder)}")
        finally:
            reader.end()
    return counts, faults


def _whole(reader: Reader, name: str, target: Target, folder: Path) -> dict[Path, str]:
    found = {}
    for path in target.files(folder):
        kind, detail = reader.read(target.read, path)
        assert kind == "read", f"{name}, unchanged: {kind} ({detail})"
        found[path] = detail
    return found


def table(counts: dict[str, Counter[str]]) -> str:
    """Return the outcomes as a table in Markdown."""
    columns = (*GOOD, *FAULTS)
    lines = [f"| changed | inputs | {' | '.join(columns)} |", f"|---|{'---|' * (1 + len(columns))}"]
    for name, own in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        lines.append(f"| {name} | {sum(own.values())} | {' | '.join(str(own[column]) for column in columns)} |")
    return "\n".join(lines)


def main() -> int:
    """Run the campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=6000, help="changed inputs (default: 6000)")
    parser.add_argument("--seed", type=int, default=0, help="decides the changes (default: 0)")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that ended in a fault")
    options = parser.parse_args()
    began = time.perf_counter()
    counts, faults = campaign(options.inputs, options.seed, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(table(counts))
    print(f"\nseed {options.seed}, {time.perf_counter() - began:.0f} s")
    for fault in faults:
        print(f"\n{fault.kind}: {fault.case.target}, input {fault.case.number}\n{fault.detail}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{fault.case.number}-{fault.case.path.name}").write_bytes(fault.case.content)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
