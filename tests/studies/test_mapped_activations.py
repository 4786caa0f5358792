"""Activations that stay on disk are read as they are saved, in pieces, and measured as those in memory."""

import numpy as np
import polars as pl
import pytest
import torch

from infoplane.commands.cli import main
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError
from infoplane.estimators import features as features_file
from infoplane.estimators.features import FeaturePieces
from infoplane.measuring import in_memory
from infoplane.measuring.in_memory import rows_of, sampled_rows
from infoplane.report.estimate import estimate_table
from infoplane.studies import activations as activations_file
from infoplane.studies.activations import estimate_activations, read_activations
from infoplane.studies.mapped_activations import mapped_activations

SAMPLES, FEATURES = 240, 40
SETTINGS = MeasurementConfig(permutations=4, decoder_permutations=1, noise_sweep=(1.0,))
EXACT = ("kde-kl", "kde-bd", "kde-mixed", "binning")  # need no tensor: they take all samples


@pytest.fixture(scope="module")
def arrays():
    source = np.random.default_rng(0)
    labels = source.permutation(np.arange(SAMPLES) % 3)
    return (source.normal(size=(SAMPLES, FEATURES)) + labels[:, None]).astype(np.float32), labels


@pytest.fixture
def labels_file(arrays, tmp_path):
    np.save(tmp_path / "labels.npy", arrays[1])
    return tmp_path / "labels.npy"


def read_back(path, labels) -> torch.Tensor:
    return rows_of(mapped_activations(path, labels), slice(None))


@pytest.mark.parametrize("kind", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "i1", ">i4", "u2", "?"])
def test_numbers_of_any_type_and_byte_order_are_read_exactly(kind, tmp_path, labels_file):
    values = np.arange(12).reshape(6, 2) % 7
    np.save(tmp_path / "layer.npy", values.astype(kind))
    found = read_back(tmp_path / "layer.npy", labels_file)
    assert found.is_floating_point()
    assert found.tolist() == values.astype(kind).astype(float).tolist()


def test_integers_that_float32_would_round_become_float64(tmp_path, labels_file):
    values = 1_700_000_001 + np.arange(12).reshape(6, 2)
    np.save(tmp_path / "layer.npy", values)
    assert read_back(tmp_path / "layer.npy", labels_file).tolist() == values.tolist()


def test_more_dimensions_are_flattened_and_fortran_order_of_two_is_read(arrays, tmp_path, labels_file):
    np.save(tmp_path / "maps.npy", arrays[0].reshape(SAMPLES, 2, 4, 5))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(arrays[0]))
    for name in ("maps", "fortran"):
        assert torch.equal(read_back(tmp_path / f"{name}.npy", labels_file), torch.tensor(arrays[0]))


def test_nothing_is_copied_from_a_file_of_this_machine(arrays, tmp_path, labels_file):
    np.save(tmp_path / "layer.npy", arrays[0])
    pieces = mapped_activations(tmp_path / "layer.npy", labels_file)
    one, other = (pieces.piece(slice(start, start + 2)) for start in (0, 1))
    assert one[:, 1].data_ptr() == other[:, 0].data_ptr()


def test_pieces_of_a_folder_follow_each_other_by_name(arrays, tmp_path):
    folder = tmp_path / "layer"
    folder.mkdir()
    for name, rows in (("b", slice(100, 130)), ("a", slice(0, 100)), ("c", slice(130, SAMPLES))):
        np.save(folder / f"{name}.npy", arrays[0][rows].astype(">f4"))
    np.save(folder / "aa-labels.npy", arrays[1])
    (folder / "notes.txt").write_text("not a piece")
    assert torch.equal(read_back(folder, folder / "aa-labels.npy"), torch.tensor(arrays[0]))


def test_numbers_in_names_must_be_in_the_order_of_the_names(arrays, tmp_path, labels_file):
    folder = tmp_path / "layer"
    folder.mkdir()
    for name in ("part-9", "part-10"):
        np.save(folder / f"{name}.npy", arrays[0][:120])
    with pytest.raises(UserError, match=r"part-10\.npy comes before part-9\.npy by name.*leading zeros"):
        mapped_activations(folder, labels_file)
    (folder / "part-9.npy").rename(folder / "part-09.npy")
    assert mapped_activations(folder, labels_file).samples == SAMPLES


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones((3, 2)) * 1j, "complex numbers"),
        (np.array([["a"]]), "must be an array of numbers"),
        (np.ones((3, 2), dtype="g"), "must be an array of numbers of at most 64 bits"),
        (np.array([[{}]], dtype=object), "cannot be read"),
        (np.ones(3), r"must have shape \(samples, features\)"),
        (np.ones((0, 2)), "at least one of each"),
        (np.asfortranarray(np.ones((3, 2, 2))), "Fortran order; save it in C order"),
    ],
)
def test_arrays_that_are_no_activations_are_one_clear_line(array, words, tmp_path, labels_file):
    np.save(tmp_path / "layer.npy", array)
    with pytest.raises(UserError, match=words) as caught:
        mapped_activations(tmp_path / "layer.npy", labels_file)
    assert "layer.npy" in str(caught.value)


def test_a_torn_file_and_pieces_that_do_not_fit_are_named(arrays, tmp_path, labels_file):
    folder = tmp_path / "layer"
    folder.mkdir()
    with pytest.raises(UserError, match=r"holds no \.npy files"):
        mapped_activations(folder, labels_file)
    np.save(folder / "a.npy", arrays[0])
    np.save(folder / "b.npy", arrays[0][:, :7])
    with pytest.raises(UserError, match=r"b\.npy holds 7 features of float32, but .*a\.npy 40"):
        mapped_activations(folder, labels_file)
    (folder / "b.npy").write_bytes((folder / "a.npy").read_bytes()[:-1])
    with pytest.raises(UserError, match=r"b\.npy cannot be read"):
        mapped_activations(folder, labels_file)


def test_the_command_says_what_is_missing(arrays, tmp_path, labels_file, capsys):
    np.save(tmp_path / "layer.npy", arrays[0])
    np.savez(tmp_path / "layer.npz", activations=arrays[0], labels=arrays[1])
    np.save(tmp_path / "few.npy", arrays[1][:5])
    np.save(tmp_path / "one.npy", np.array(3))
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04 and no archive")
    np.save(tmp_path / "nan.npy", np.where(np.arange(FEATURES) == 3, np.nan, arrays[0]))
    for words, said in (
        (["layer.npy"], "--labels LABELS.npy"),
        (["layer.npz", "--labels", "labels.npy"], "leave --labels out"),
        (["layer.npy", "--labels", "none.npy"], "none.npy cannot be read"),
        (["layer.npy", "--labels", "few.npy"], "labels must have shape (240,)"),
        (["nan.npy", "--labels", "labels.npy"], "must be finite"),
        (["none.npy", "--labels", "labels.npy"], "none.npy does not exist"),
        (["zip.npy", "--labels", "labels.npy"], "zip.npy is an archive of arrays"),
        (["layer.npy", "--labels", "zip.npy"], "zip.npy cannot be read"),
        (["layer.npy", "--labels", "one.npy"], "one.npy: labels must have shape (240,)"),
        (["layer.npy", "--labels", "labels.npy", "--memory", "inf"], "--memory must be a finite number"),
        (["layer.npy", "--labels", "labels.npy", "--address", "auto"], "add --engine ray"),
    ):
        given = [str(tmp_path / word) if word.endswith((".npy", ".npz")) else word for word in words]
        assert main(["estimate", *given]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line, line


def known(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("estimator").is_in(EXACT))


@pytest.fixture
def large(monkeypatch):
    """Forty numbers fit a piece, and half of the samples memory."""
    monkeypatch.setattr(features_file, "CHUNK_BYTES", 7 * 4 * SAMPLES)
    for module in (in_memory, activations_file):
        monkeypatch.setattr(module, "IN_MEMORY", SAMPLES * FEATURES // 2)


def test_a_large_layer_has_the_values_of_one_in_memory(arrays, tmp_path, labels_file, monkeypatch, request):
    np.save(tmp_path / "layer.npy", arrays[0])
    whole = estimate_activations(torch.tensor(arrays[0]), torch.tensor(arrays[1]), SETTINGS, seed=0)
    request.getfixturevalue("large")
    rows = estimate_activations(*read_activations(tmp_path / "layer.npy", labels_file), SETTINGS, seed=0)
    assert known(rows).height > 20
    for mine, its in zip(known(rows).to_dicts(), known(whole).to_dicts(), strict=True):
        for name, one in mine.items():
            assert one == (pytest.approx(its[name], abs=1e-6) if isinstance(one, float | list) else its[name]), name


def test_of_a_large_layer_decoders_and_monte_carlo_take_a_stratified_subset(arrays, large):
    activations, labels = map(torch.tensor, arrays)
    rows = sampled_rows(labels, FEATURES, 0)
    assert len(rows) == SAMPLES // 2
    assert torch.bincount(labels[rows]).tolist() == [40, 40, 40]
    own = estimate_activations(activations[rows], labels[rows], SETTINGS, seed=0)
    found = estimate_activations(activations, labels, SETTINGS, seed=0)
    alone = {"estimator": "decoded", "quantity": "I(T;Y)"}
    assert found.filter(**alone)["samples"].item() == SAMPLES // 2
    assert found.filter(**alone)["value_nats"].item() == own.filter(**alone)["value_nats"].item()
    noisy = found.filter(estimator="noisy", quantity="I(X;T)")
    assert set(noisy["samples"]) == {SAMPLES // 2}
    assert set(known(found).filter(pl.col("class_index").is_null())["samples"]) == {SAMPLES}
    # the noise of the Monte Carlo estimate is that of KDE, although its samples vary a little differently
    kde = found.filter(estimator="kde-kl", quantity="I(X;T)")
    assert set(noisy["noise_variance"]) <= set(kde["noise_variance"])
    assert "decoders and Monte Carlo from 120 of the samples" in str(estimate_table(found).title)
    assert "240 samples, 40 features" in str(estimate_table(found).title)


def test_the_command_says_which_samples_it_takes(arrays, tmp_path, labels_file, large, capsys):
    np.save(tmp_path / "layer.npy", arrays[0])
    assert main(["estimate", str(tmp_path / "layer.npy"), "--labels", str(labels_file), "--permutations", "2"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "decoders and the Monte Carlo estimate take 120 of 240 samples" in line


def test_memory_changes_values_by_rounding_only(arrays, monkeypatch):
    monkeypatch.setattr("infoplane.estimators.row_products.BLOCK", 30)
    monkeypatch.setattr("infoplane.estimators.row_products.STORAGE_BYTES", 1)  # so that no products are shared
    activations, labels = map(torch.tensor, arrays)
    reads = []

    def read(columns):
        reads.append(columns)
        return activations[:, columns]

    found = []
    for storage in (1, 2**30):
        reads.clear()
        pieces = FeaturePieces(read, samples=SAMPLES, features=FEATURES, dtype=torch.float32)
        monkeypatch.setattr(activations_file, "IN_MEMORY", 0)
        found.append(known(estimate_activations(pieces, labels, SETTINGS, seed=0, storage_bytes=storage)))
        found.append(len(reads))
    little, often, much, seldom = found
    assert often > 2 * seldom
    for name in ("value_nats", "standard_error", "null_mean_nats"):
        assert (little[name] - much[name]).abs().max() < 1e-6
