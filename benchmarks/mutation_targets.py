"""What `benchmarks/mutations.py` changes and reads: whole inputs of every kind, and their readers."""

import functools
import gzip
import hashlib
import json
import lzma
import os
import pickle
import tarfile
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from infoplane.config import FlowConfig
from infoplane.data import load_split
from infoplane.errors import UserError
from infoplane.records.sweeps import SweepMeasurement, sweep_table
from infoplane.runs.environment import apply_environment
from infoplane.runs.folder import RunFolder
from infoplane.runs.manifest import NAME
from infoplane.runs.parquet import SWEEPS
from infoplane.runs.training_state import read_state
from infoplane.studies import STUDY
from infoplane.studies.activations import read_activations
from infoplane.studies.finished import flow_config
from infoplane.studies.flow.information_flow import information_flow

SETTINGS = {
    "data": {"train_examples": 40, "test_examples": 30},
    "training": {"epochs": 1, "batch_size": 20, "learning_rate": 0.01},
    "attack": {"epsilon": 0.1, "step_size": 0.1, "steps": 1},
    "measurement": {
        "examples": 20, "layers": ("fc3",), "permutations": 1, "noise_sweep": (), "thorough_epochs": 0,
    },
    "methods": ("normal",),
    "seeds": 2,
}  # fmt: skip


class Target(NamedTuple):
    """A kind of input."""

    files: Callable[[Path], list[Path]]  # that are changed, below the folder of all inputs
    read: Callable[[Path, Path], object]  # (folder, changed file) -> what a user would get
    share: int  # of the inputs
    sealed: bool = True  # whether the format lets a change be seen; else another content is another input
    strangers: bool = True  # whether another file of the kind may take its place
    structured: bool = False  # values of JSON are changed, and the change is made known to the manifest
    region: Callable[[bytes], int] = len  # only so many bytes from the start are changed


# The inputs


def prepare(folder: Path) -> None:
    """Write a whole input of every kind below `folder`."""
    run = RunFolder(folder / "run")
    config = FlowConfig.model_validate(SETTINGS)
    environment = {"infoplane": "0", "device": "cpu", "threads": 1, "processes": 1, "training": {"precision": "32"}}
    run.begin(STUDY, config.model_dump(mode="json"), environment)
    information_flow(config, run=run)
    run.write_examples("distortion", 0, "normal", "grey", {"original/0": torch.zeros(3, 1, 4, 4)}, {"predicted": {}})
    rows = [
        SweepMeasurement(
            sweep="spread", x=float(x), replicate=0, estimator="noisy", kind="estimate", quantity="I(X;T)",
            value_nats=0.1 * x, samples=9, features=2, classes=3,
        )
        for x in range(20)
    ]  # fmt: skip
    sweeps = RunFolder(folder / "sweeps")
    sweeps.write_table(sweeps.path / "records.parquet", sweep_table(rows))
    draws = np.random.default_rng(0)
    _write_images(folder, draws)
    activations = draws.normal(size=(12, 5)).astype(np.float32)
    labels = draws.integers(0, 3, size=12)
    (folder / "estimate").mkdir()
    np.savez(folder / "estimate" / "plain.npz", activations=activations, labels=labels)
    np.savez_compressed(folder / "estimate" / "packed.npz", activations=activations, labels=labels)
    tensors = {"activations": torch.from_numpy(activations), "labels": torch.from_numpy(labels)}
    (folder / "estimate" / "tensors.safetensors").write_bytes(save(tensors))


def _write_images(folder: Path, draws: np.random.Generator) -> None:
    """Write fragments of published datasets, compressed as they are published, and a folder of images."""
    bytes_of = functools.partial(draws.integers, 0, 256, dtype=np.uint8)
    labels = draws.integers(1, 10, size=6, dtype=np.uint8)
    mnist = folder / "data" / "mnist"
    mnist.mkdir(parents=True)
    header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (6, 28, 28))
    (mnist / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes_of(6 * 784).tobytes()))
    content = b"\0\0\x08\x01" + (6).to_bytes(4, "big") + labels.tobytes()
    (mnist / "t10k-labels-idx1-ubyte.xz").write_bytes(lzma.compress(content))
    stl10 = folder / "data" / "stl10" / "stl10_binary"
    stl10.mkdir(parents=True)
    (stl10 / "test_X.bin.gz").write_bytes(gzip.compress(bytes_of(2 * 27648).tobytes()))
    (stl10 / "test_y.bin.gz").write_bytes(gzip.compress(labels[:2].tobytes()))
    cifar10 = folder / "data" / "cifar10"
    cifar10.mkdir()
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        batch = b"".join(bytes([label]) + bytes_of(3072).tobytes() for label in labels)
        for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size, member.mtime = len(batch), int(time.time())
            archive.addfile(member, BytesIO(batch))
    (cifar10 / "cifar-10-binary.tar.gz").write_bytes(packed.getvalue())
    for name in ("dark", "light"):
        own = folder / "data" / "folder" / "test" / name
        own.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(bytes_of((8, 8, 3))).save(own / f"{number}.png")


# The readers


def _tables(folder: Path, _path: Path) -> object:
    run = RunFolder(folder / "run")
    return [table.rows() for table in (run.measurements(), run.geometry(), run.performance())]


def _state(folder: Path, path: Path) -> object:
    seed = int(path.name[1 : path.name.index("-")])
    return read_state(RunFolder(folder / "run"), seed, "normal", 1)


def _config(folder: Path, _path: Path) -> object:
    run = RunFolder(folder / "run")
    kept = run.read_config()
    apply_environment(kept["environment"])
    torch.set_num_threads(1)
    return kept, flow_config(run)


def _run(folder: Path, path: Path) -> object:
    return [_config(folder, path), _tables(folder, path), *(_state(folder, Path(f"s{seed}-")) for seed in (0, 1))]


def _examples(folder: Path, _path: Path) -> object:
    return RunFolder(folder / "run").read_examples("distortion", 0, "normal", "grey")


def _sweep(folder: Path, path: Path) -> object:
    return RunFolder(folder / "sweeps").read_table(path, SWEEPS).rows()


def _images(folder: Path, path: Path) -> object:
    name = path.relative_to(folder / "data").parts[0]
    images = load_split(name, "test", folder=folder / "data" / name)
    return images.images, images.labels, images.class_names


def _activations(_folder: Path, path: Path) -> object:
    return read_activations(path)


def _below(place: str, pattern: str) -> Callable[[Path], list[Path]]:
    return lambda folder: sorted(path for path in (folder / place).glob(pattern) if path.is_file())


def _header(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


TARGETS: Mapping[str, Target] = {
    "tables of a run": Target(_below("run", "*/*.parquet"), _tables, 12),
    "checkpoints": Target(_below("run", "checkpoints/*"), _state, 8),
    "facts of checkpoints": Target(_below("run", "checkpoints/*"), _state, 6, structured=True, sealed=False),
    "config.json": Target(_below("run", "config.json"), _config, 6),
    "values of config.json": Target(_below("run", "config.json"), _config, 8, structured=True, sealed=False),
    "manifest": Target(_below("run", NAME), _run, 4),
    "sheets of examples": Target(_below("run", "examples/*"), _examples, 3),
    "sweeps": Target(_below("sweeps", "records.parquet"), _sweep, 3),
    "estimate .npz": Target(_below("estimate", "*.npz"), _activations, 8),
    "estimate .safetensors": Target(
        _below("estimate", "*.safetensors"), _activations, 6, sealed=False, region=_header
    ),
    "MNIST .gz .xz": Target(_below("data/mnist", "*"), _images, 6),
    "CIFAR-10 .tar.gz": Target(_below("data/cifar10", "*"), _images, 5),
    "STL-10 .gz": Target(_below("data/stl10", "*/*"), _images, 4),
    "folder of images": Target(_below("data/folder", "*/*/*"), _images, 6, strangers=False),
}  # fmt: skip


def facts_of(content: bytes) -> Any:
    """Return the JSON in `config.json` or in a checkpoint."""
    if content[:1] == b"{":
        return json.loads(content)
    return json.loads(json.loads(content[8 : _header(content)])["__metadata__"]["facts"])


def with_facts(content: bytes, facts: Any) -> bytes:
    """Return the same content with other JSON in it."""
    if content[:1] == b"{":
        return json.dumps(facts).encode()
    end = _header(content)
    header = json.loads(content[8:end])
    header["__metadata__"]["facts"] = json.dumps(facts)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + content[end:]


def fingerprint(result: object) -> str:
    """Return what two equal results share."""
    return hashlib.sha256(pickle.dumps(_plain(result))).hexdigest()


def _plain(value: object) -> object:
    match value:
        case torch.Tensor():
            return str(value.dtype), tuple(value.shape), value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        case Mapping():
            return [(str(key), _plain(item)) for key, item in value.items()]
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return repr(value)


def outcome(read: Callable[[Path, Path], object], folder: Path, path: Path) -> tuple[str, str]:
    """Read an input: ("read", fingerprint), or ("refused", message); a fault of the reader comes up."""
    try:
        return "read", fingerprint(read(folder, path))
    except UserError as error:
        message = str(error)
        if "\n" in message or os.fspath(folder) not in message:
            raise AssertionError(f"a refusal must be one line that names the place, got {message!r}") from error
        return "refused", message
