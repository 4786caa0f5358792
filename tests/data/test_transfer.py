"""Downloads are bounded in size and time, go on after a kill, and overwrite nobody's files."""

import gzip
import hashlib
import os
import signal
import struct
import subprocess
import sys
import textwrap

import pytest
from tests.data.serving import CONTENT, FILE, cut_short, files_below, good, killed_half_way, publish, reply, sources

from infoplane.commands.cli import main
from infoplane.data import Source, fetch, load_split, verify
from infoplane.errors import UserError

PART = "mnist/.t10k-images-idx3-ubyte.gz.part"


def resuming(request):
    """A server that gives the rest of the file where it is asked for it."""
    start = int(request.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
    request.send_header("Content-Length", str(len(CONTENT) - start))
    request.end_headers()
    request.server.sent = len(CONTENT) - start  # before the last byte, after which the test goes on
    request.wfile.write(CONTENT[start:])


@pytest.mark.parametrize("fault", [cut_short, killed_half_way])
def test_a_broken_download_goes_on_from_where_it_broke(server, tmp_path, fault):
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", fault, resuming)))
    assert server.sent == 156_000
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_a_killed_download_goes_on_in_the_next_process(server, tmp_path):
    def endless(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[:100_000])
        request.wfile.flush()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

    url = server.url("/a", endless, resuming)
    program = f"""
    import sys; from pathlib import Path
    from infoplane.data import Source, fetch
    sys.stdin.read(1)
    source = Source({FILE!r}, {hashlib.sha256(CONTENT).hexdigest()!r}, {len(CONTENT)}, ({url!r},))
    fetch("mnist", folder=Path({str(tmp_path)!r}), sources=(source,))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        child.communicate("x")
    assert child.returncode == -signal.SIGKILL
    assert files_below(tmp_path) == [PART]
    fetch("mnist", folder=tmp_path, sources=sources(url))
    assert files_below(tmp_path) == [FILE]
    assert (tmp_path / FILE).read_bytes() == CONTENT


def test_a_start_that_belongs_to_another_file_is_thrown_away(server, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / PART).write_bytes(b"of another file")
    urls = server.url("/a", resuming), server.url("/b", resuming)
    fetch("mnist", folder=tmp_path, sources=sources(*urls))
    assert (tmp_path / FILE).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda request: reply(request, CONTENT + b"!", len(CONTENT) + 1), "offers 256,001 bytes instead of 256,000"),
        (lambda request: reply(request, CONTENT[:-1], len(CONTENT) - 1), "offers 255,999 bytes instead of 256,000"),
        (lambda request: reply(request, CONTENT * 9, None), "sends more than the file's 256,000 bytes"),
    ],
)
def test_a_file_of_another_size_is_not_taken(server, tmp_path, answer, reason):
    url = server.url("/a", answer)
    with pytest.raises(UserError, match=f"{url}: {reason}; check the connection"):
        fetch("mnist", folder=tmp_path, sources=sources(url))
    assert files_below(tmp_path) == []


def test_a_redirect_loop_is_named(server, tmp_path):
    def to(path):
        def redirect(request):
            request.send_response(302)
            request.send_header("Location", path)
            request.send_header("Content-Length", "0")
            request.end_headers()

        return redirect

    url = server.url("/a", to("/b"))
    server.url("/b", to("/a"))
    with pytest.raises(UserError, match=f"{url}: redirects more than 10 times, probably in a loop; "):
        fetch("mnist", folder=tmp_path, sources=sources(url))


def test_a_download_that_takes_too_long_is_ended(server, tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.data.transfer.DEADLINE_SECONDS", -1e9)
    url = server.url("/a", good)
    with pytest.raises(UserError, match=rf"{url}: too slow: [\d,]+ bytes after \d+ s; .* bytes are kept"):
        fetch("mnist", folder=tmp_path, sources=sources(url))


def test_two_processes_do_not_write_the_same_file(server, tmp_path):
    import fcntl

    (tmp_path / "mnist").mkdir()
    with (tmp_path / PART).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is being downloaded by another process; wait for it"):
            fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)))
    assert server.requests == []


def test_a_link_in_place_of_the_partial_file_is_not_followed(server, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "precious").write_bytes(b"keep")
    (tmp_path / PART).symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match="cannot be written to"):
        fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", good)))
    assert (tmp_path / "precious").read_bytes() == b"keep"


# A small data set "mnist", so that files can be the published ones without being large.

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_files(value):
    images = struct.pack(">4i", 2051, 2, 28, 28) + bytes([value]) * (2 * 784)
    labels = struct.pack(">2i", 2049, 2) + bytes([value % 10, 1])
    return dict(zip(NAMES, (images, labels) * 2, strict=True))


@pytest.fixture
def small(monkeypatch, server):
    """Sources of a small MNIST, whose published checksums are replaced by its own."""
    files = idx_files(7)
    publish(monkeypatch, "mnist", files)
    found = []
    for name, content in files.items():
        packed = gzip.compress(content, mtime=0)
        url = server.url(f"/{name}", lambda request, packed=packed: reply(request, packed, len(packed)))
        found.append(Source(f"mnist/{name}.gz", hashlib.sha256(packed).hexdigest(), len(packed), (url,)))
    return found


def write(folder, files, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(files[name])


@pytest.mark.parametrize("place", ["mnist", "mnist of which labels are missing"])
def test_a_file_that_is_not_the_data_sets_is_never_overwritten(small, tmp_path, place, server):
    other = gzip.compress(idx_files(200)[NAMES[0]])
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / f"{NAMES[0]}.gz").write_bytes(other)
    if place == "mnist":
        write(tmp_path / "mnist", idx_files(7), NAMES[1:])
    path = tmp_path / "mnist" / f"{NAMES[0]}.gz"
    with pytest.raises(UserError) as caught:
        fetch("mnist", folder=tmp_path, sources=small)
    assert str(caught.value) == (
        f"{path} is present, but not mnist's; to replace it and keep the old file: infoplane data mnist --replace"
    )
    assert path.read_bytes() == other
    assert server.requests == []


def test_replacing_keeps_every_old_file_beside_the_new_one(small, tmp_path):
    path = tmp_path / "mnist" / f"{NAMES[0]}.gz"
    path.parent.mkdir()
    old = [gzip.compress(idx_files(value)[NAMES[0]]) for value in (1, 2)]
    for content in old:
        path.write_bytes(content)
        fetch("mnist", folder=tmp_path, replace=True, sources=small)
        assert all(check.ok for check in verify("mnist", tmp_path))
    assert path.with_name(f"{path.name}.old").read_bytes() == old[0]
    assert path.with_name(f"{path.name}.old2").read_bytes() == old[1]


def test_files_that_would_be_found_before_the_new_ones_are_moved_aside_too(small, tmp_path):
    write(tmp_path / "mnist", idx_files(200))  # plain files come before compressed ones
    fetch("mnist", folder=tmp_path, replace=True, sources=small)
    assert load_split("mnist", "test", folder=tmp_path).labels.tolist() == [7, 1]


def test_files_that_are_not_in_the_way_stay(small, tmp_path):
    write(tmp_path / "MNIST" / "raw", idx_files(200))
    fetch("mnist", folder=tmp_path, sources=small)
    assert load_split("mnist", "test", folder=tmp_path).labels.tolist() == [7, 1]
    assert not list(tmp_path.rglob("*.old"))


def test_nothing_is_moved_where_the_download_fails(small, tmp_path, server):
    write(tmp_path / "mnist", idx_files(200))
    server.url(f"/{NAMES[3]}", lambda request: request.send_error(404))
    with pytest.raises(UserError, match="HTTP 404"):
        fetch("mnist", folder=tmp_path, replace=True, sources=small)
    assert {path.name for path in (tmp_path / "mnist").iterdir() if not path.name.startswith(".")} == {*NAMES}


def test_a_good_copy_elsewhere_does_not_hide_a_wrong_one_that_is_found_first(small, tmp_path, monkeypatch):
    named, cache = tmp_path / "named", tmp_path / "cache"
    write(named / "mnist", idx_files(200))
    write(cache / "mnist", idx_files(7))
    monkeypatch.setenv("INFOPLANE_DATA", str(named))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: cache)
    with pytest.raises(UserError, match="is present, but not mnist's"):
        fetch("mnist", sources=small)


def test_the_command_asks_for_replace_and_obeys_it(small, tmp_path, monkeypatch, capsys):
    write(tmp_path / "mnist", idx_files(200))
    assert main(["data", "mnist", "--folder", str(tmp_path)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.endswith(
        "present, but not mnist's; to replace it and keep the old file: infoplane data mnist --replace"
    )


@pytest.mark.parametrize("kept", [b"?" * len(CONTENT), b"?" * 1000])
def test_a_damaged_part_of_before_is_not_blamed_on_the_mirror(kept, server, tmp_path):
    part = tmp_path / PART
    part.parent.mkdir(parents=True)
    part.write_bytes(kept)
    fetch("mnist", folder=tmp_path, sources=sources(server.url("/a", resuming)))
    assert (tmp_path / FILE).read_bytes() == CONTENT
