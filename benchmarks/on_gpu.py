"""All that waits for a machine with a GPU, in turn, within a limit of time; given again, it goes on.

    INFOPLANE_DATA=... python benchmarks/on_gpu.py FOLDER [--minutes 9] [--epochs 200] [--device cuda]

1. The tests that need a GPU (`tests/test_on_gpu.py` and those of the parts).
2. `benchmarks/training.py --quick`: PGD-7 steps with and without CUDA graphs, which are kept if they are faster.
3. `benchmarks/estimators.py`: the estimators on the GPU against the CPU.
4. `infoplane flow cifar10-wrn` with its 200 epochs and three seeds, decoders at five epochs. The run continues after
   its last epoch. If the machine may go away, copy FOLDER from it in time.

The first three steps have limits of their own. A step that has ended, or has used up its own limit, is written into
FOLDER/steps.json with its status, seconds and device, and what it printed into FOLDER/STEP.txt; it is not taken again.
A step that failed, or that the limit of the whole cuts off, is taken again next time. The status is 1 if one failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
GRACE = 30  # seconds in which a step that was asked to end may do so
LIMITS = {"tests": 200.0, "training": 150.0, "estimators": 90.0}  # seconds of the first steps
TESTS = ["tests/test_on_gpu.py", "tests/acceleration/test_cuda_graphs.py", "tests/test_randomness.py"]
TESTS += ["tests/test_distortions.py", "tests/data/test_augmentation.py"]


def steps(folder: Path, epochs: int, device: str) -> dict[str, list[str]]:
    """Return the commands by the names of the steps."""
    python = sys.executable
    flow = ["flow", "cifar10-wrn", f"--epochs={epochs}", "--seeds=3", f"--device={device}", "--measure-every=10"]
    return {
        "tests": [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "gpu or cuda", *TESTS],
        "training": [python, "benchmarks/training.py", "--quick", "--gpu"],
        "estimators": [python, "benchmarks/estimators.py", "--quick"],
        "cifar10": [python, "-m", "infoplane", *flow, "--measurement.thorough-epochs=5", f"--run={folder / 'run'}"],
    }


def carried_out(command: list[str], said: Path, seconds: float) -> int | None:
    """Run a command, and return its status; None if it was asked to end because the time was up."""
    with said.open("ab") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # a run keeps all but the epoch under way
            try:
                process.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            return None


def main() -> None:
    """Take the steps that have not ended, until the time is up; exit with 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "steps.json"
    ended = json.loads(file.read_text()) if file.is_file() else {}
    device = torch.cuda.get_device_name() if given.device == "cuda" else given.device
    failed: list[str] = []
    for name, command in steps(folder, given.epochs, given.device).items():
        left = end - time.monotonic() - GRACE
        if name in ended or left <= 0:
            continue
        began, own = time.monotonic(), LIMITS.get(name, left)
        status = carried_out(command, folder / f"{name}.txt", min(left, own))
        spent = time.monotonic() - began
        print(f"{name}: {'the time is up' if status is None else f'status {status}'} after {spent:.0f} s", flush=True)
        if status:
            failed.append(name)
        elif status == 0 or own < left:
            day = time.strftime("%Y-%m-%d")
            ended[name] = {"status": status, "seconds": round(spent), "device": device, "date": day, "command": command}
            file.write_text(json.dumps(ended, indent=2) + "\n")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
