"""Files of activations are read exactly, or refused in one line."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.command import infoplane

from infoplane.commands.cli import main
from infoplane.errors import UserError
from infoplane.studies.activations import read_activations

VALUES = np.arange(12.0).reshape(6, 2) - 3
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(folder, activations=VALUES, labels=LABELS, name="layer.npz", **more):
    with (folder / name).open("wb") as file:
        np.savez(file, activations=activations, labels=labels, **more)
    return folder / name


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8"])
def test_activations_of_any_byte_order_and_type_are_read_exactly(kind, order, tmp_path):
    activations, labels = read_activations(saved(tmp_path, VALUES.astype(order + kind), LABELS.astype(order + "i4")))
    assert activations.is_floating_point()
    assert activations.tolist() == VALUES.tolist()
    assert labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_labels_may_be_numbers_of_any_type(kind, tmp_path):
    _, labels = read_activations(saved(tmp_path, labels=LABELS.astype(kind)))
    assert labels.dtype == torch.int64
    assert labels.tolist() == LABELS.tolist()


def test_integers_that_float32_would_round_stay_apart(tmp_path):
    timestamps = 1_700_000_000 + np.arange(12).reshape(6, 2)
    activations, _ = read_activations(saved(tmp_path, timestamps))
    assert activations.tolist() == timestamps.tolist()


@pytest.mark.parametrize("name", ["layer.NPZ", "layer.Npz", "layer.SAFETENSORS"])
def test_the_case_of_the_suffix_does_not_matter(name, tmp_path):
    path = saved(tmp_path, name=name)
    if name.endswith("SAFETENSORS"):
        save_file({"activations": torch.tensor(VALUES), "labels": torch.tensor(LABELS)}, path)
    assert read_activations(path)[0].tolist() == VALUES.tolist()


def test_other_arrays_of_the_file_are_not_read(tmp_path):
    objects = np.array([{}], dtype=object)  # would need unpickling
    assert read_activations(saved(tmp_path, other=objects))[1].tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"activations": VALUES * (1 + 1j)}, "activations are complex numbers"),
        ({"labels": LABELS * 1j}, "labels are complex numbers"),
        ({"labels": np.array([0, 1, np.inf, 0, 1, 2])}, "labels must be integers, found .*infinity"),
        ({"labels": np.array([0, 1, -np.inf, 0, 1, 2])}, "labels must be integers"),
        ({"labels": np.array([0, 1, np.nan, 0, 1, 2])}, "labels must be integers"),
        ({"labels": LABELS + 0.5}, "labels must be integers, found fractions"),
        ({"labels": LABELS * 1e300}, "labels must be integers, .*above"),
        ({"labels": LABELS.astype(np.uint64) + np.uint64(2**63)}, r"labels must lie below 2\*\*63"),
        ({"activations": VALUES.astype("U")}, "activations must be an array of numbers"),
        ({"activations": VALUES.astype("M8[s]")}, "activations must be an array of numbers"),
        ({"activations": VALUES.astype("g")}, "activations must be an array of numbers"),
        ({"activations": np.zeros(6, dtype=[("x", "f4")])}, "activations must be an array of numbers"),
        ({"activations": VALUES[:, 0]}, r"activations must have shape \(samples, features\), got \(6,\)"),
    ],
)
def test_arrays_that_are_no_activations_and_labels_are_one_clear_line(content, message, tmp_path):
    path = saved(tmp_path, **content)
    with pytest.raises(UserError, match=message) as caught:
        read_activations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a" * 300 + ".npz", "a/" * 2500 + "b.npz"])
def test_a_name_that_no_file_has_is_one_clear_line(name, tmp_path):
    with pytest.raises(UserError, match="cannot be a file: File name too long") as caught:
        read_activations(tmp_path / name)
    assert len(str(caught.value)) < 120


def test_the_command_refuses_in_one_line(tmp_path, capsys):
    for path, words in (
        (saved(tmp_path, VALUES * 1j), ["layer.npz", "complex numbers"]),
        (tmp_path / ("a" * 300 + ".npz"), ["File name too long"]),
    ):
        assert main(["estimate", str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert all(word in line for word in words), line


def test_the_command_reads_big_endian_arrays(tmp_path):
    path = saved(tmp_path, VALUES.astype(">f4"), LABELS.astype(">u2"), name="layer.NPZ")
    done = infoplane("estimate", path, "--permutations", 2)
    assert done.returncode == 0, done.stderr
    assert "6 samples, 2 features" in done.stdout
