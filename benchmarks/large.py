"""Time and memory of `infoplane estimate` on activations that stay on disk, by one process and by several.

    python benchmarks/large.py --samples 4000 --features 2048 --workers 2 --engines local ray
    python benchmarks/large.py --memory 16                 # 60,000 samples of 16,384 features: 3.9 GB in FOLDER

Makes the features in --folder unless they are there: 10 classes of Gaussians, float32. Then runs the command by one
process, and by the workers on each engine. Prints seconds, the largest anonymous memory of each process that needs more
than 100 MB (`RssAnon`; pages of the file can be given back at any time and do not count), how many times as fast the
workers are as the process alone, and the largest difference between their values.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = 10
SHOWN = 0.1  # GB
EVERY = 0.2  # seconds between two looks at the processes


def made(folder: Path, samples: int, features: int, seed: int) -> tuple[Path, Path]:
    """Return activations and labels on disk; the activations are written part by part."""
    path, labels_path = (folder / f"{samples}x{features}-s{seed}{name}.npy" for name in ("", "-labels"))
    if path.is_file() and labels_path.is_file():
        return path, labels_path
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(seed)
    labels = source.integers(0, CLASSES, samples)
    centres = 0.1 * source.normal(size=(CLASSES, features)).astype(np.float32)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(samples, features))
    for start in range(0, samples, 1000):
        own = labels[start : start + 1000]
        noise = source.standard_normal(size=(len(own), features), dtype=np.float32)
        array[start : start + 1000] = 0.3 * noise + centres[own]
    array.flush()
    np.save(labels_path, labels)
    return path, labels_path


def descendants(process: int) -> list[int]:
    """Return the process and all that it has started, directly or not."""
    found = [process]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def anonymous(process: int) -> float:
    """Return the anonymous memory of a process, in GB; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("RssAnon:"))  # "kB" are KiB


def run(words: list[str]) -> tuple[list[dict], float, dict[int, float]]:
    """Return measurements, seconds and the largest memory of each process, in GB."""
    command = [str(Path(sys.executable).with_name("infoplane")), "estimate", *words, "--json"]
    begun, peaks = time.perf_counter(), dict[int, float]()
    with tempfile.TemporaryFile("w+") as output, subprocess.Popen(command, stdout=output) as process:
        while process.poll() is None:
            for one in descendants(process.pid):
                peaks[one] = max(peaks.get(one, 0.0), anonymous(one))
            time.sleep(EVERY)
        seconds = time.perf_counter() - begun
        output.seek(0)
        said = output.read()
    if process.returncode:
        sys.exit(process.returncode)
    return json.loads(said)["measurements"], seconds, peaks


def difference(rows: list[dict], others: list[dict]) -> float:
    """Return the largest difference of values, in nats."""
    assert len(rows) == len(others)
    return max(abs(one["value_nats"] - other["value_nats"]) for one, other in zip(rows, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=float, default=0.5, help="GiB, as of the command")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="*", choices=("local", "ray"), default=["local", "ray"])
    parser.add_argument("--folder", type=Path, default=Path("runs/large"))
    options = parser.parse_args()
    path, labels = made(options.folder, options.samples, options.features, options.seed)
    words = [str(path), "--labels", str(labels), "--memory", str(options.memory)]
    alone = None
    for engine in (None, *options.engines):
        workers = [] if engine is None else ["--workers", str(options.workers), "--engine", engine]
        rows, seconds, peaks = run([*words, *workers])
        large = sorted((peak for peak in peaks.values() if peak > SHOWN), reverse=True)
        line = f"{options.samples:,} x {options.features:,}, "
        line += "one process" if engine is None else f"{options.workers} workers, {engine}"
        line += f": {seconds:.1f} s, anonymous memory of each process " + ", ".join(f"{one:.2f} GB" for one in large)
        if alone is not None:
            line += f", {alone[1] / seconds:.2f} times as fast as one process"
            line += f", values differ by {difference(alone[0], rows):.1e} nats at most"
        alone = alone or (rows, seconds)
        print(line, flush=True)


if __name__ == "__main__":
    main()
