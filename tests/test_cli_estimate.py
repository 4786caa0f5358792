"""`infoplane estimate` on a file of one's own, through the installed entry point."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from tests.command import assert_one_clear_line, infoplane

from infoplane.commands.cli import main
from infoplane.estimators import binning_information, kde_information


@pytest.fixture(scope="module")
def arrays():
    source = np.random.default_rng(0)
    labels = source.integers(0, 3, 200)
    return source.normal(size=(200, 4)).astype(np.float32) + labels[:, None].astype(np.float32), labels


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("estimate") / "layer.npz"
    np.savez(path, activations=arrays[0], labels=arrays[1])
    return path


def test_the_table_shows_value_ceiling_and_null(file):
    done = infoplane("estimate", file)
    assert done.returncode == 0, done.stderr
    assert "200 samples, 4 features, noise variance 0.1 (I(X;T) at most " in done.stdout
    assert all(word in done.stdout for word in ("I(X;T)", "I(T;Y)", "ceiling", "null", "Binning", "Decoded"))


def test_json_parses_and_holds_the_estimators_numbers(file, arrays):
    done = infoplane("estimate", file, "--json", "--noise-variance", 0.3)
    rows = pl.DataFrame(json.loads(done.stdout)["measurements"], infer_schema_length=None)
    assert set(rows["noise_mode"]) == {"fixed", "relative", "sweep", None}
    rows = rows.filter(pl.col("noise_mode").is_null() | (pl.col("noise_mode") == "fixed"))
    activations, labels = (torch.as_tensor(array) for array in arrays)
    kde = kde_information(activations, labels, noise_variance=0.3)
    binned = binning_information(activations, labels, bin_width=0.5)

    def value(estimator: str, quantity: str) -> float:
        chosen = rows.filter(pl.col("estimator") == estimator, pl.col("quantity") == quantity)
        return chosen["value_nats"].item()

    assert value("kde-kl", "I(X;T)") == pytest.approx(kde.input_upper.value)
    assert value("kde-bd", "I(T;Y)") == pytest.approx(kde.label_lower.value)
    assert value("binning", "I(T;Y)") == pytest.approx(binned.label.value)


def test_copies_are_counted_and_bounds_of_the_mixture_are_called_so(tmp_path):
    source = np.random.default_rng(0)
    points, labels = source.normal(size=(100, 30)).astype(np.float32), np.arange(100) % 10
    np.savez(tmp_path / "twice.npz", activations=np.tile(points, (2, 1)), labels=np.tile(labels, 2))
    lines = [" ".join(line.split()) for line in infoplane("estimate", tmp_path / "twice.npz").stdout.splitlines()]
    text = " ".join(lines)
    assert "200 samples (100 are copies of others" in text
    for estimator in ("KDE (mixed) lower, mixture", "KDE (mixed) upper, mixture"):
        (line,) = [line for line in lines if line.startswith(f"I(T;Y) {estimator}") and "relative" not in line]
        assert "≤" in line  # permuted labels of distinct rows reach it


def test_safetensors_and_more_dimensions_work_too(arrays, tmp_path):
    tensors = {name: torch.as_tensor(array) for name, array in zip(("activations", "labels"), arrays, strict=True)}
    tensors["activations"] = tensors["activations"].reshape(200, 2, 2)
    save_file(tensors, tmp_path / "layer.safetensors")
    done = infoplane("estimate", tmp_path / "layer.safetensors", "--permutations", 0)
    assert done.returncode == 0, done.stderr
    assert "200 samples, 4 features" in done.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"activations": np.ones((3, 2))}, ["lacks labels", "it holds activations"]),
        ({"activations": np.ones((3, 2)), "labels": np.zeros(4, int)}, ["labels must have shape (3,)"]),
        ({"activations": np.full((3, 2), np.nan), "labels": np.zeros(3, int)}, ["must be finite", "3 of 3"]),
        ({"activations": np.ones(3), "labels": np.zeros(3, int)}, ["(samples, features)"]),
        ({"activations": np.array(["a"] * 3), "labels": np.zeros(3, int)}, ["an array of numbers, got <U1"]),
        ({"activations": np.ones((3, 2)), "labels": np.array([0.5, 1, 2])}, ["labels must be integers"]),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(content, words, tmp_path, capsys):
    np.savez(tmp_path / "broken.npz", **content)
    assert main(["estimate", str(tmp_path / "broken.npz")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in ("broken.npz", *words)), line


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04 nonsense")
    assert_one_clear_line(infoplane("estimate", tmp_path / "damaged.npz"), "damaged.npz cannot be read")
