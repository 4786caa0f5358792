"""Serve the page of a run on this machine alone; the served copy reloads itself when a newer page is written.

Only the page and a small JSON text are served, under fixed names: no file is looked up by what a request says. Requests
that name another host than this machine are refused, so that a web page elsewhere whose name was made to point to this
machine (DNS rebinding) reads nothing.
"""

import json
import os
import stat
import time
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from infoplane.errors import UserError
from infoplane.report.page_resources import resource
from infoplane.text import decodable

HOST = "127.0.0.1"
EVERY_MS = 1500  # between two looks for a newer page
_POLICY = "default-src 'none';"  # of every page; the served copy must be able to ask for its state
_TAKEN = "port {port} of this machine cannot be used ({why}); choose another with --port, or any free one with --port 0"


class WatchedPage:
    """The page of a run, which may not be there yet.

    Args:
        run: folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self._run = run

    def state(self) -> dict[str, str]:
        """Return {"page", "said"}: what identifies the newest page, and a line on how new it is."""
        file = self._opened()
        if file is None:
            return {"page": "", "said": self.waiting_for()}
        with os.fdopen(file, "rb"):
            facts = os.fstat(file)
        written = time.strftime("%H:%M:%S", time.localtime(facts.st_mtime))
        return {"page": f"{facts.st_ino:x}-{facts.st_mtime_ns:x}-{facts.st_size:x}", "said": f"page of {written}"}

    def waiting_for(self) -> str:
        """Say what is missing; nothing if the page is there."""
        if (self._run / "report.html").is_file():
            return ""
        if (self._run / "config.json").is_file():
            return f"{decodable(str(self._run))} has no page yet: waiting for its first measured epoch"
        return f"{decodable(str(self._run))} holds no run yet: waiting for it"

    def served(self) -> bytes:
        """Return the page with the script that reloads it, or a page that waits for it."""
        state = self.state()  # before the page: if a newer one is written in between, it is loaded once more
        file = self._opened()
        if file is None:
            content = _waiting_page(self.waiting_for())
        else:
            with os.fdopen(file, "rb") as opened:
                content = opened.read().decode("utf-8", "replace")
        return with_script(content, state["page"]).encode()

    def _opened(self) -> int | None:
        """Open the page, never through a symbolic link; None if there is none."""
        try:
            file = os.open(self._run / "report.html", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
        return None


def with_script(page: str, seen: str) -> str:
    """Return a page with the script that watches for a newer one, and with leave to ask this server for it.

    Args:
        page: HTML.
        seen: what identifies the page, as in the state.
    """
    head, mark, rest = page.partition("</head>")
    facts = json.dumps({"seen": seen, "every": EVERY_MS})
    script = f'<script type="application/json" id="watch">{facts}</script>\n<script>{resource("watch.js")}</script>\n'
    page = head.replace(_POLICY, f"{_POLICY} connect-src 'self';", 1) + mark + rest
    before, end, after = page.rpartition("</body>")
    return f"{before}{script}{end}{after}" if end else page + script


def _waiting_page(text: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta http-equiv='
        f"\"Content-Security-Policy\" content=\"{_POLICY} script-src 'unsafe-inline'; style-src 'unsafe-inline'\">\n"
        f"<title>Waiting for a run</title>\n<style>{resource('page.css')}</style>\n</head>\n<body>\n<main>\n"
        f'<p class="brand">infoplane</p>\n<h1>Waiting</h1>\n<p>{escape(text)}. This page shows it as soon as it is '
        "there.</p>\n</main>\n</body>\n</html>\n"
    )


class _Handler(BaseHTTPRequestHandler):
    server: "WatchServer"
    server_version, sys_version = "infoplane", ""
    timeout = 30  # seconds that a client may keep a thread without asking

    def parse_request(self) -> bool:
        """Refuse other methods than GET and HEAD, and requests that name another host."""
        if not super().parse_request():
            return False
        if self.command not in ("GET", "HEAD"):
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"only GET and HEAD\n", Allow="GET, HEAD")
            return False
        if self.headers.get_all("Host", []) not in self.server.own_hosts:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this server answers to its own address only\n")
            return False
        return True

    def do_GET(self) -> None:
        """Send the page or its state."""
        path = self.path.partition("?")[0]
        if path in ("/", "/report.html"):
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page.served())
        elif path == "/state":
            self._send(HTTPStatus.OK, "application/json", json.dumps(self.server.page.state()).encode())
        elif path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, "image/x-icon", b"")
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such page\n")

    do_HEAD = do_GET  # noqa: N815 - `_send` leaves the body out

    def _send(self, status: HTTPStatus, kind: str, content: bytes, **headers: str) -> None:
        self.send_response(status)
        own = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
        }
        for name, value in {**own, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the terminal shows the address."""


class WatchServer(ThreadingHTTPServer):
    """Serves the page of one run to this machine.

    Args:
        run: folder of the run, which may not exist yet.
        port: 0 takes a free one.

    Raises:
        UserError: the port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, run: Path, port: int) -> None:
        self.page = WatchedPage(run)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UserError(_TAKEN.format(port=port, why=(error.strerror or str(error)).lower())) from None
        self.port = self.server_address[1]
        names = [f"{name}:{self.port}" for name in (HOST, "localhost")] + [HOST, "localhost"] * (self.port == 80)
        self.own_hosts = [[name] for name in names]

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        return f"http://{HOST}:{self.port}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that went away before its answer was complete."""
