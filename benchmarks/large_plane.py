"""Time and memory of `InformationPlane` on many examples and a wide layer.

    INFOPLANE_DATA=... python benchmarks/large_plane.py                            # 60,000 x 16,384
    INFOPLANE_DATA=... python benchmarks/large_plane.py --examples 4000 --features 2048

An untrained network, with one wide hidden layer and the layer of classes, is measured once on training images of MNIST,
as at the first epoch of a run: with decoders and the Monte Carlo estimate. Outputs of the wide layer that need more
than 2 GiB lie in a temporary file, in the folder that TMPDIR names. Prints seconds, the memory that the process had
before the measurement, and the largest since then (`RssAnon`; pages of the file do not count).
"""

import argparse
import os
import threading
import time

import polars as pl
import torch
from large import EVERY, anonymous
from torch import nn

import infoplane


def watch(ended: threading.Event, peaks: list[float]) -> None:
    """Append the memory of this process, again and again, in GB."""
    while not ended.wait(EVERY):
        peaks.append(anonymous(os.getpid()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=60_000)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    split = infoplane.data.load_split("mnist", "train")
    images, labels = infoplane.data.as_floats(split.images[: options.examples]), split.labels[: options.examples]
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(images[0].numel(), options.features), nn.ReLU(), nn.Linear(options.features, 10)
    )
    before = anonymous(os.getpid())
    ended, peaks = threading.Event(), [before]
    watcher = threading.Thread(target=watch, args=(ended, peaks))
    watcher.start()
    begun = time.perf_counter()
    try:
        plane = infoplane.InformationPlane(images, labels, layers=["2", "3"], seed=options.seed)
        plane.measure(model, epoch=0)
    finally:
        ended.set()
        watcher.join()
    seconds = time.perf_counter() - begun
    whole = plane.measurements.filter(plane.measurements["class_index"].is_null())
    with pl.Config(tbl_rows=-1):
        print(whole.select("layer", "estimator", "quantity", "kind", "noise_mode", "value_nats", "samples"))
    print(
        f"{len(images):,} x {options.features:,}: {seconds:.1f} s on {torch.get_num_threads()} thread(s), anonymous "
        f"memory {before:.2f} GB before the measurement, at most {max(peaks):.2f} GB"
    )


if __name__ == "__main__":
    main()
