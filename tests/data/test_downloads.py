"""Downloads from real servers on the loopback interface, with everything that goes wrong on the way."""

import gzip
import hashlib
import io
import itertools
import shutil
import socket
import ssl
import struct
import subprocess
import tarfile

import pytest
from tests.data.serving import (
    CONTENT,
    FILE,
    change,
    changed,
    cut_short,
    files_below,
    good,
    killed_half_way,
    missing,
    overloaded,
    reply,
    sources,
    without_length_and_cut_short,
)

from infoplane.data import Source, dataset_named, download_bar, fetch, load_split
from infoplane.errors import UserError

PART = "mnist/.t10k-images-idx3-ubyte.gz.part"


def test_a_good_file_arrives_under_its_name_for_all_to_read(server, tmp_path):
    assert fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good))) == tmp_path
    assert files_below(tmp_path) == [FILE]
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o644


def test_a_good_file_that_is_there_is_not_downloaded_again(server, tmp_path):
    published = sources(server.url("/a", good))
    for _ in range(2):
        fetch("mnist", folder=tmp_path, sources=published)
    assert server.requests == ["/a"]


def test_a_damaged_file_that_is_there_is_replaced_and_kept(server, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / FILE).write_bytes(CONTENT[:-5])  # no gzip file
    said = []
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)), say=said.append)
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert (tmp_path / f"{FILE}.old").read_bytes() == CONTENT[:-5]
    assert said == [f"the old {tmp_path / FILE} is kept as t10k-images-idx3-ubyte.gz.old"]


FAULTS = [
    (changed, "wrong checksum", 1, False),
    (cut_short, "the connection broke off", 2, True),
    (without_length_and_cut_short, "the connection broke off", 2, True),
    (killed_half_way, "the connection broke off", 2, True),
    (missing, "HTTP 404", 1, False),
    (overloaded, "HTTP 503", 2, False),
]


@pytest.mark.parametrize(("fault", "reason", "attempts", "kept"), FAULTS)
def test_a_fault_leaves_no_file_of_that_name_and_is_told_in_one_line(server, tmp_path, fault, reason, attempts, kept):
    url = server.url("/a", fault)
    with pytest.raises(UserError) as caught:
        fetch("mnist", folder=tmp_path, sources=sources(url))
    message = str(caught.value)
    assert message.startswith(f"mnist could not be downloaded: {url}: {reason}; ")
    assert message.endswith(f"put t10k-images-idx3-ubyte.gz into {tmp_path / 'mnist'}")
    assert "\n" not in message
    assert files_below(tmp_path) == [PART] * kept
    assert ("; 100,000 of 256,000 bytes are kept; " in message) == kept
    assert len(server.requests) == attempts


@pytest.mark.parametrize("fault", [fault for fault, *_ in FAULTS])
def test_the_next_mirror_is_asked_after_a_fault(server, tmp_path, fault):
    urls = server.url("/a", fault), server.url("/b", good)
    fetch("mnist", folder=tmp_path, sources=sources(*urls))
    assert files_below(tmp_path) == [FILE]
    assert (tmp_path / FILE).read_bytes() == CONTENT
    assert server.requests == ["/a", "/b"]


def test_a_fault_that_passes_gets_a_second_attempt(server, tmp_path):
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", killed_half_way, good)))
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_a_mirror_that_lacks_the_file_does_not_end_the_attempts_at_others(server, tmp_path):
    urls = server.url("/a", missing), server.url("/b", overloaded, good)
    fetch("mnist", folder=tmp_path, sources=sources(*urls))
    assert server.requests == ["/a", "/b", "/b"]
    urls = server.url("/c", overloaded, good), server.url("/d", missing)
    fetch("mnist", folder=tmp_path / "other", sources=sources(*urls))
    assert server.requests[3:] == ["/c", "/d", "/c"]


def test_a_server_that_would_compress_on_the_way_is_asked_not_to(server, tmp_path):
    def compressing(request):
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            request.send_response(200)
            request.send_header("Content-Encoding", "gzip")
            request.end_headers()
            request.wfile.write(packed)  # which is the file itself: the client would unpack it
        else:
            reply(request, packed, len(packed))

    packed = gzip.compress(CONTENT)
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", compressing), content=packed))
    assert (tmp_path / FILE).read_bytes() == packed


def test_a_damaged_file_survives_until_a_good_one_is_there(server, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / FILE).write_bytes(b"the user's")
    with pytest.raises(UserError, match="broke off"):
        fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", cut_short)))
    assert files_below(tmp_path) == [PART, FILE]
    assert (tmp_path / FILE).read_bytes() == b"the user's"


def test_all_mirrors_are_named_when_offline(server, tmp_path):
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        urls = dead, server.url("/b", missing)
        with pytest.raises(UserError, match=rf"{dead}: no connection; {urls[1]}: HTTP 404; check the connection"):
            fetch("mnist", folder=tmp_path, sources=sources(*urls))


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_not_accepted(server, tmp_path):
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url("/a", good).replace("http://", "https://")
    with pytest.raises(UserError, match="its TLS certificate was not accepted"):
        fetch("mnist", folder=tmp_path / "data", sources=sources(url))
    assert server.requests == []


def test_a_folder_that_cannot_be_written_to_is_named(server, tmp_path):
    (tmp_path / "mnist").write_bytes(b"a file where the folder should be")
    with pytest.raises(UserError, match=rf"{tmp_path} cannot be written to .*; choose another with --folder"):
        fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)))


def test_progress_rises_to_the_whole_size(server, tmp_path):
    calls = []
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)), progress=lambda *call: calls.append(call))
    files, done, totals = zip(*calls, strict=True)
    assert {*files} == {"t10k-images-idx3-ubyte.gz"}
    assert {*totals} == {len(CONTENT)}
    assert list(done) == sorted(done)
    assert len(set(done)) > 2
    assert done[-1] == len(CONTENT)


def test_the_bar_is_drawn_on_standard_error(server, tmp_path, capsys):
    with download_bar() as progress:
        fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)), progress=progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "t10k-images-idx3-ubyte.gz" in captured.err
    assert "256.0" in captured.err


def test_progress_starts_again_with_each_attempt(server, tmp_path):
    done = []
    url = server.url("/a", killed_half_way, good)
    fetch("mnist", folder=tmp_path, sources=sources(url), progress=lambda *call: done.append(call[1]))
    assert sum(later < earlier for earlier, later in itertools.pairwise(done)) == 1
    assert done[-1] == len(CONTENT)


def test_progress_knows_the_size_where_the_server_does_not_say_it(server, tmp_path):
    calls = []
    url = server.url("/a", lambda request: reply(request, CONTENT, None))
    fetch("mnist", folder=tmp_path, sources=sources(url), progress=lambda *call: calls.append(call[1:]))
    done, totals = zip(*calls, strict=True)
    assert {*totals} == {len(CONTENT)}
    assert list(done) == sorted(done)


def test_the_environment_names_the_default_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOPLANE_DATA", str(tmp_path / "data"))
    assert fetch("mnist", sources=sources(server.url("/a", good))) == tmp_path / "data"
    assert files_below(tmp_path) == [f"data/{FILE}"]


def test_what_was_fetched_can_be_loaded(server, tmp_path):
    images = gzip.compress(struct.pack(">4i", 2051, 2, 28, 28) + bytes(2 * 784))
    labels = gzip.compress(struct.pack(">2i", 2049, 2) + bytes([4, 2]))
    published = []
    for path, content in ((FILE, images), ("mnist/t10k-labels-idx1-ubyte.gz", labels)):
        url = server.url(f"/{path}", lambda request, content=content: reply(request, content, len(content)))
        published.extend(sources(url, content=content, path=path))
    root = fetch("mnist", folder=tmp_path, sources=published)
    assert load_split("mnist", "test", folder=root).labels.tolist() == [4, 2]


def stl10_archive():
    """As published: the labelled images, the unlabelled ones, which are most of it, and two members that attack."""
    members = {"../escaped.bin": b"x", "stl10_binary/unlabeled_X.bin": bytes(27_648)}
    for split, labels in (("train", [3]), ("test", [1, 10])):
        members[f"stl10_binary/{split}_X.bin"] = bytes(27_648 * len(labels))
        members[f"stl10_binary/{split}_y.bin"] = bytes(labels)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize("already_there", [False, True])
def test_stl10_is_unpacked_to_its_labelled_images(server, tmp_path, already_there):
    content = stl10_archive()
    url = server.url("/stl10", lambda request: reply(request, content, len(content)))
    folder = tmp_path / "data"
    folder.mkdir()
    if already_there:
        (folder / "stl10_binary.tar.gz").write_bytes(content)
    root = fetch("stl10", folder=folder, sources=sources(url, content=content, path="stl10_binary.tar.gz"))
    unpacked = [f"stl10_binary/{split}_{part}.bin" for split in ("test", "train") for part in ("X", "y")]
    # An archive that the user had put there stays and spares the download; our own goes.
    kept = ["data/stl10_binary.tar.gz"] if already_there else []
    assert files_below(tmp_path) == sorted(kept + [f"data/{name}" for name in unpacked])
    assert len(server.requests) == (0 if already_there else 1)
    assert load_split("stl10", "test", folder=root).labels.tolist() == [0, 9]
    assert load_split("stl10", "train", folder=root).labels.tolist() == [2]


def test_a_real_copy_in_another_layout_is_found_and_nothing_downloaded(real_data, tmp_path):
    torchvision = tmp_path / "MNIST" / "raw"
    torchvision.mkdir(parents=True)
    for path in (real_data / "mnist").iterdir():
        (torchvision / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    unreachable = (Source(FILE, "0" * 64, 9, ("http://127.0.0.1:9/a",)),)
    assert fetch("mnist", folder=tmp_path, sources=unreachable) == tmp_path


def test_the_checksums_of_the_sources_are_those_of_the_real_files(real_data):
    for source in dataset_named("mnist").published.sources:
        assert hashlib.sha256((real_data / source.path).read_bytes()).hexdigest() == source.sha256


def test_a_dataset_without_sources_says_where_its_files_belong(tmp_path, monkeypatch):
    change(monkeypatch, "mnist", sources=())
    message = f"'mnist' cannot be downloaded; put train-images-idx3-ubyte, .* into {tmp_path / 'mnist'}"
    with pytest.raises(UserError, match=message):
        fetch("mnist", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "'digits' needs no download: it comes with scikit-learn"),
        ("folder", "unknown dataset 'folder'; datasets are digits, mnist, fashion-mnist, cifar10, stl10"),
    ],
)
def test_what_cannot_be_fetched_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        fetch(name)
