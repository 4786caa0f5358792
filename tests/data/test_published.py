"""Files are compared with the published checksums when they are read: once, and again when they change."""

import gzip
import io
import json
import lzma
import os
import shutil
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.serving import change, publish

import infoplane.data.published as published
from infoplane.commands.cli import main
from infoplane.data import dataset_named, fetch, load_split, verify
from infoplane.data.remembered import signature
from infoplane.errors import UserError

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def noisy_bytes(count, seed):
    """So many bytes that are compressed quickly: the same 16 KiB again and again."""
    return np.resize(np.random.default_rng(seed).integers(0, 256, 1 << 14, np.uint8), count).tobytes()


def noise(count=10_000):
    images = struct.pack(">4i", 2051, count, 28, 28) + noisy_bytes(count * 784, seed=1)
    return {IMAGES: images, LABELS: struct.pack(">2i", 2049, count) + bytes(count)}


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("pack", ["", ".gz", ".xz"])
def test_ten_thousand_images_of_noise_are_no_test_set(dataset, pack, tmp_path):
    compress = {
        "": bytes,
        ".gz": lambda content: gzip.compress(content, 1),
        ".xz": lambda c: lzma.compress(c, preset=0),
    }
    write(tmp_path / dataset, {name + pack: compress[pack](content) for name, content in noise().items()})
    with pytest.raises(UserError) as caught:
        load_split(dataset, "test", folder=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / dataset / (IMAGES + pack)} is not the {IMAGES} that {dataset} publishes; to replace it and keep "
        f"the old file: infoplane data {dataset} --replace"
    )


def test_flow_refuses_them_too(tmp_path, monkeypatch, capsys):
    write(tmp_path / "mnist", noise())
    arguments = ["--data.folder", str(tmp_path), "--training.epochs", "0", "--run", str(tmp_path / "run")]
    assert main(["flow", "mnist-lenet5", *arguments, "--device", "cpu", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{IMAGES} is not the {IMAGES} that mnist publishes" in line


@pytest.mark.parametrize(("owner", "asked"), [("fashion-mnist", "mnist"), ("mnist", "fashion-mnist")])
def test_the_files_of_one_data_set_in_the_place_of_another_are_named(owner, asked, tmp_path, monkeypatch):
    files = noise(100)
    publish(monkeypatch, owner, files)
    publish(monkeypatch, asked, {name: content[:-1] + b"\3" for name, content in files.items()})
    write(tmp_path / asked, files)
    with pytest.raises(UserError, match=f"{IMAGES} is {owner}'s, not {asked}'s; read it with --data.name {owner}, or"):
        load_split(asked, "test", folder=tmp_path)
    (tmp_path / asked).rename(tmp_path / owner)
    found = load_split(owner, "test", folder=tmp_path)
    assert found.name == owner
    assert len(found) == 100


def test_the_real_files_of_mnist_are_not_fashion_mnist(real_data, tmp_path):
    shutil.copytree(real_data / "mnist", tmp_path / "fashion-mnist")
    with pytest.raises(UserError, match=r"is mnist's, not fashion-mnist's; read it with --data.name mnist"):
        load_split("fashion-mnist", "test", folder=tmp_path)
    assert [check.ok for check in verify("fashion-mnist", tmp_path)] == [False] * 4


def test_both_data_sets_beside_each_other_are_each_found(tmp_path, monkeypatch):
    for dataset, value in (("mnist", 3), ("fashion-mnist", 4)):
        files = {name: content[:-1] + bytes([value]) for name, content in noise(5).items()}
        publish(monkeypatch, dataset, files)
        write(tmp_path / dataset, files)
    assert load_split("mnist", "test", folder=tmp_path).labels[-1] == 3
    fashion = load_split("fashion-mnist", "test", folder=tmp_path)
    assert fashion.class_names[fashion.labels[-1]] == "Coat"


@pytest.mark.parametrize("archived", [False, True])
def test_a_whole_batch_of_noise_is_not_cifar10(archived, tmp_path):
    content = bytearray(30_730_000)
    content[1] = 1
    if archived:
        member = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        member.size = len(content)
        with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz", compresslevel=1) as tar:
            tar.addfile(member, io.BytesIO(content))
    else:
        write(tmp_path / "cifar10", {"test_batch.bin": content})
    with pytest.raises(UserError, match=r"(in it )?is not the test_batch.bin that cifar10 publishes; to replace it"):
        load_split("cifar10", "test", folder=tmp_path)


def test_a_whole_split_of_noise_is_not_stl10(tmp_path, monkeypatch):
    files = {"test_X.bin": bytes(2 * 27_648), "test_y.bin": b"\1\2"}
    publish(monkeypatch, "stl10", {name: content[:-1] + b"\5" for name, content in files.items()})
    write(tmp_path / "stl10", files)
    with pytest.raises(UserError, match=r"test_X.bin is not the test_X.bin that stl10 publishes"):
        load_split("stl10", "test", folder=tmp_path)


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """A published data set on disk, and how often its files are compared."""
    files = noise(20)
    publish(monkeypatch, "mnist", files)
    write(tmp_path / "mnist", files)
    compared = []
    original = published.is_published
    monkeypatch.setattr(published, "is_published", lambda *given: compared.append(given[2]) or original(*given))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache")
    return compared


def cache_file(root):
    return root / "cache" / "verified.json"


def test_an_unchanged_file_is_compared_once(counted, tmp_path):
    for _ in range(3):
        load_split("mnist", "test", folder=tmp_path)
    assert counted == [IMAGES, LABELS]


def test_a_changed_file_of_the_same_size_and_time_is_compared_again(counted, tmp_path):
    load_split("mnist", "test", folder=tmp_path)
    path = tmp_path / "mnist" / IMAGES
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match=f"is not the {IMAGES} that mnist publishes"):
        load_split("mnist", "test", folder=tmp_path)


def test_what_is_remembered_of_one_data_set_does_not_hold_for_another(counted, tmp_path, monkeypatch):
    load_split("mnist", "test", folder=tmp_path)
    (tmp_path / "fashion-mnist").symlink_to(tmp_path / "mnist")
    publish(monkeypatch, "fashion-mnist", noise(20))
    load_split("fashion-mnist", "test", folder=tmp_path)
    assert counted == [IMAGES, LABELS] * 2


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00", '{"a": ' * 100_000, "{}", '{"a": 1}'])
def test_a_damaged_memory_is_no_memory(content, counted, tmp_path):
    cache_file(tmp_path).parent.mkdir()
    cache_file(tmp_path).write_text(content)
    load_split("mnist", "test", folder=tmp_path)
    assert counted == [IMAGES, LABELS]
    assert len(json.loads(cache_file(tmp_path).read_text())) >= 2
    assert [path.name for path in cache_file(tmp_path).parent.iterdir()] == ["verified.json"]


def test_a_cache_that_cannot_be_written_is_not_needed(counted, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(load_split("mnist", "test", folder=tmp_path)) == 20


def test_a_file_that_is_gone_has_no_signature(tmp_path):
    assert signature(tmp_path / "none") == ()


# bounds on what is decompressed


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_no_more_is_decompressed_than_the_published_size(suffix, mnist_folder):
    """Behind the bound the file is damaged, which a reader that goes on would find."""
    size = 7_840_016
    path = mnist_folder / f"{IMAGES}{suffix}"
    content = noisy_bytes(2 * size, seed=0)
    packed = gzip.compress(content, 1) if suffix == ".gz" else lzma.compress(content, preset=0)
    path.write_bytes(packed[:-1000])
    (mnist_folder / IMAGES).unlink()
    with pytest.raises(UserError, match="holds more than the 7840016 bytes that mnist publishes"):
        load_split("mnist", "test", folder=mnist_folder)


def tar_of(path, members, limit=None):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, size in members.items():
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    return path


def test_a_member_that_is_too_large_is_not_read(tmp_path):
    tar_of(tmp_path / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/test_batch.bin": 30_730_001})
    with pytest.raises(UserError, match=r"test_batch.bin in it has 30730001 bytes, more than 30730000"):
        load_split("cifar10", "test", folder=tmp_path)


def test_an_archive_that_unpacks_to_far_more_than_expected_is_given_up(tmp_path, monkeypatch):
    archive = dataset_named("cifar10").published.archive
    change(monkeypatch, "cifar10", archive=replace(archive, largest=100_000))
    members = {"cifar-10-batches-bin/test_batch.bin": 3073, "more": 200_000}
    tar_of(tmp_path / "cifar-10-binary.tar.gz", members)
    with pytest.raises(UserError, match="unpacks to more than 100000 bytes"):
        load_split("cifar10", "test", folder=tmp_path)


def sparse_member(name):
    """A member whose header says that its content has holes, and is 8 GiB long."""
    member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
    member.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[386:482] = (b"%011o\0" * 2 % (0, 512) + bytes(72))[:96]
    header[483:495] = b"%011o\0" % (2**33 - 1)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def broken_archives():
    pixels = np.random.default_rng(0).integers(0, 256, 3072 * 100, np.uint8).tobytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("test_batch.bin", *(f"data_batch_{number}.bin" for number in range(1, 6))):
            content = b"".join(b"\5" + pixels[start : start + 3072] for start in range(0, len(pixels), 3072))
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    whole = gzip.compress(buffer.getvalue(), mtime=0)  # the same bytes at every call
    members = sparse_member("data_batch_1.bin") + sparse_member("test_batch.bin") + bytes(10_240)
    sparse = gzip.compress(members, mtime=0)
    return {"cut in a batch": whole[: len(whole) // 9], "cut at its end": whole[:-6], "sparse": sparse}


@pytest.mark.parametrize("name", ["cut in a batch", "cut at its end", "sparse"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_broken_archive_is_one_line(name, split, tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(broken_archives()[name])
    with pytest.raises(UserError) as caught:
        load_split("cifar10", split, folder=tmp_path)
    assert "cifar-10-binary.tar.gz is cut short or damaged (" in str(caught.value)
    assert str(caught.value).endswith("; to replace it and keep the old file: infoplane data cifar10")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cut in a batch", "cut at its end", "sparse"])
def test_a_broken_archive_is_repaired_without_an_option(name, tmp_path, server):
    from tests.data.serving import CONTENT, good, sources

    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(broken_archives()[name])
    found = sources(server.url("/a", good), path=path.name)
    fetch("cifar10", folder=tmp_path, sources=found)
    assert path.read_bytes() == CONTENT
    assert Path(f"{path}.old").read_bytes() == broken_archives()[name]
