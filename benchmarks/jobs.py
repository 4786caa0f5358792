"""Wall time of a whole run, its trainings one after the other and side by side.

    python benchmarks/jobs.py                                              # the demo's recipe, 2 jobs
    INFOPLANE_DATA=... python benchmarks/jobs.py mnist-lenet5 --epochs 2 --seeds 2

Runs `infoplane flow RECIPE OPTIONS` into new folders, in turn: with --jobs 1 and all threads, with --jobs 1 and one
thread, and with --jobs JOBS. Prints the seconds, the processor time, and how many times as fast each is as the first.
Times are those of the whole command: imports, trainings, measurements, figures and page.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds_of(recipe: str, options: list[str], jobs: int, threads: int | None) -> tuple[float, float, int]:
    """Return the wall time and the processor time of one run, and the threads of each of its trainings."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="jobs-") as folder:
        words = ["flow", recipe, "--run", str(Path(folder) / "run"), "--jobs", str(jobs), "--quiet", *options]
        subprocess.run([sys.executable, "-m", "infoplane", *words], env=environment, check=True)
        taken, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        each = json.loads((Path(folder) / "run" / "config.json").read_text())["environment"]["threads"]
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="digits-lenet5")
    parser.add_argument("--jobs", type=int, default=2)
    own, options = parser.parse_known_args()
    first = None
    print(own.recipe, *options)
    print("\n| jobs | threads of each | seconds | processor time | ratio |\n|---|---|---|---|---|")
    for jobs, threads in ((1, None), (1, 1), (own.jobs, None)):
        taken, processor, each = seconds_of(own.recipe, options, jobs, threads)
        first = first or taken
        print(f"| {jobs} | {each} | {taken:.1f} | {processor:.0f} s | {first / taken:.2f} |", flush=True)


if __name__ == "__main__":
    main()
