"""A web server on the loopback interface that behaves as told, with everything that goes wrong on the way."""

import array
import fcntl
import hashlib
import http.server
import itertools
import socket
import struct
import termios
import time
from dataclasses import replace

from infoplane.data import PublishedFile, Source, catalogue, dataset_named

CONTENT = bytes(range(256)) * 1000  # 256,000 bytes: several pieces
FILE = "mnist/t10k-images-idx3-ubyte.gz"


def good(request):
    reply(request, CONTENT, len(CONTENT))


def changed(request):
    reply(request, CONTENT[:-1] + b"?", len(CONTENT))


def cut_short(request):
    reply(request, CONTENT[:100_000], len(CONTENT))


def without_length_and_cut_short(request):
    reply(request, CONTENT[:100_000], None)


def killed_half_way(request):
    reply(request, CONTENT[:100_000], len(CONTENT))
    wait_until_arrived(request.connection)  # a reset throws away what is still on its way
    # Lingering for zero seconds makes close() send a reset, as a killed server or a cut line does.
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def wait_until_arrived(connection):
    waiting = array.array("i", [0])
    for _ in range(1000):
        fcntl.ioctl(connection, termios.TIOCOUTQ, waiting)
        if not waiting[0]:
            return
        time.sleep(0.001)


def missing(request):
    request.send_error(404)


def overloaded(request):
    request.send_error(503)


def reply(request, content, length):
    request.send_response(200)
    if length is not None:
        request.send_header("Content-Length", str(length))
    request.end_headers()
    request.wfile.write(content)


class Server(http.server.ThreadingHTTPServer):
    """Answers each path by the behaviours given for it, one per request, the last for good; notes every request."""

    def __init__(self):
        self.behaviours = {}
        self.requests = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path, *behaviours):
        self.behaviours[path] = itertools.chain(behaviours, itertools.repeat(behaviours[-1]))
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request, client_address):
        pass  # broken connections are what these tests are about


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        next(self.server.behaviours[self.path])(self)

    def log_message(self, *arguments):
        pass


def sources(*urls, content=CONTENT, path=FILE):
    return (Source(path, hashlib.sha256(content).hexdigest(), len(content), urls),)


def change(monkeypatch, name, **published):
    """Change what is known of a dataset's publication."""
    spec = dataset_named(name)
    changed = replace(spec, publication=replace(spec.published, **published))
    datasets = [changed if one is spec else one for one in catalogue.DATASETS]
    monkeypatch.setattr(catalogue, "DATASETS", datasets)


def publish(monkeypatch, name, contents):
    """Make these contents the published files of a dataset."""
    known = {
        file: PublishedFile(len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        for file, content in contents.items()
    }
    files = dataset_named(name).published.files
    found = {split: {file: known.get(file, was) for file, was in ours.items()} for split, ours in files.items()}
    change(monkeypatch, name, files=found)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
