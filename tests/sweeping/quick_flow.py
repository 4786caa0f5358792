"""Stands for `infoplane flow` where a test is about processes: it locks, continues and writes, but trains nothing.

Each epoch is a file whose content depends on the file before it, so that a gap or a restart would show. The words
`--training.epochs=N` and `--run FOLDER` are read, and a recipe named "fails" is refused.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

SECONDS = float(os.environ.get("QUICK_EPOCH", "0.1"))  # for an epoch


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(content)
    temporary.replace(path)


def main(words: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # as `infoplane` ends
    (epochs,) = (int(word.partition("=")[2]) for word in words if word.startswith("--training.epochs="))
    print(f"GPUs: {os.environ.get('CUDA_VISIBLE_DEVICES')!r}", flush=True)
    run = Path(words[words.index("--run") + 1])
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"infoplane: {run} is in use by another infoplane process; wait for it")
            return 2
        write(run / "config.json", " ".join(words[:-2]))
        before = ""
        for epoch in range(epochs + 1):
            path = run / "performance" / f"e{epoch:04d}.parquet"
            if path.exists():
                before = path.read_text()
                print(f"epoch {epoch} is here", flush=True)
                continue
            time.sleep(SECONDS)
            before = hashlib.sha256(f"{before}{words[:-2]}{epoch}".encode()).hexdigest()
            write(path, before)
            with (run / "log.jsonl").open("a") as log:
                when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
                event = {"time": when, "event": "trained", "seed": 0, "training": "normal", "epoch": epoch}
                log.write(json.dumps(event) + "\n")
        if "fails" in str(run):
            print("infoplane: refused on purpose", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
