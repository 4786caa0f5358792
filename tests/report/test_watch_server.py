"""The server of `infoplane watch`, asked by a real client and by a real browser."""

import http.client
import json
import os
import threading
from contextlib import contextmanager

import pytest

from infoplane.errors import UserError
from infoplane.report.watch_server import WatchServer, with_script
from infoplane.runs.whole_files import write_whole

PAGE = (
    '<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src '
    "'unsafe-inline'\"></head><body><p>numbers</p></body></html>"
)


@contextmanager
def serving(folder):
    with WatchServer(folder, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched") / "run"
    folder.mkdir()
    (folder / "report.html").write_text(PAGE)
    (folder / "secret.txt").write_text("secret")
    (folder.parent / "secret.txt").write_text("secret")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    with serving(folder) as server:
        yield server


def asked(server, path="/", method="GET", hosts=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for host in [f"127.0.0.1:{server.port}"] if hosts is None else hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def test_only_this_machine_is_served(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("hosts", [["evil.example"], ["evil.example:8000"], ["127.0.0.1:1"], [], ["127.0.0.1", "a"]])
def test_a_name_that_was_made_to_point_here_reads_nothing(server, hosts):
    status, content, _ = asked(server, hosts=hosts)
    assert status == 403
    assert "numbers" not in content


def test_localhost_is_this_machine_too(server):
    assert asked(server, hosts=[f"localhost:{server.port}"])[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt", "/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "//secret.txt", "/figures/", "/.",
        "/report.html/../secret.txt", "/manifest.sha256", "/%00", "/\\..\\secret.txt", "http://127.0.0.1/secret.txt",
    ],
)  # fmt: skip
def test_no_other_file_is_served(server, path):
    status, content, _ = asked(server, path)
    assert status == 404
    assert content == "there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"])
def test_nothing_but_reading_is_answered(server, method):
    status, content, headers = asked(server, method=method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert "numbers" not in content


def test_head_has_the_length_without_the_page(server):
    status, content, headers = asked(server, method="HEAD")
    assert (status, content) == (200, "")
    assert int(headers["Content-Length"]) == len(asked(server)[1])


def test_the_served_copy_watches_and_the_file_does_not(server, folder):
    _, content, headers = asked(server, "/report.html?1")
    assert content.startswith(PAGE.partition("default-src 'none';")[0])
    assert "default-src 'none'; connect-src 'self';" in content
    assert content.index("numbers") < content.index("location.reload") < content.index("</body>")
    assert headers["Cache-Control"] == "no-store"
    assert (folder / "report.html").read_text() == PAGE


def test_the_script_stands_at_the_end_of_the_body_whatever_the_page_says():
    assert with_script("<body>'</body>'<p></body>", "1").index("'</body>'") < 10
    assert with_script("no body", "1").startswith("no body<script")


def test_the_state_changes_with_the_page(tmp_path):
    with serving(tmp_path) as server:

        def state():
            return json.loads(asked(server, "/state")[1])

        assert state() == {"page": "", "said": f"{tmp_path} holds no run yet: waiting for it"}
        assert "holds no run yet" in asked(server)[1]
        (tmp_path / "config.json").write_text("{}")
        assert "waiting for its first measured epoch" in state()["said"]
        write_whole(tmp_path / "report.html", PAGE.encode())
        first = state()
        assert first["said"].startswith("page of ")
        assert f'"seen": "{first["page"]}"' in asked(server)[1]
        assert state() == first
        write_whole(tmp_path / "report.html", PAGE.encode())
        assert state()["page"] != first["page"]


def test_a_link_to_another_file_is_not_followed(tmp_path, folder):
    (tmp_path / "report.html").symlink_to(folder / "secret.txt")
    with serving(tmp_path) as server:
        status, content, _ = asked(server)
    assert status == 200
    assert "secret" not in content.replace(str(tmp_path), "")


def test_a_pipe_in_place_of_the_page_does_not_stop_the_server(tmp_path):
    os.mkfifo(tmp_path / "report.html")
    with serving(tmp_path) as server:
        assert asked(server, "/state")[0] == 200


def test_a_name_of_a_run_stays_text_while_it_is_waited_for(tmp_path):
    with serving(tmp_path / "<img src=x>") as server:
        assert "<img" not in asked(server)[1]


def test_a_port_that_is_taken_is_one_clear_line(server, tmp_path):
    with pytest.raises(UserError, match=f"port {server.port} .*already in use.*--port 0"):
        WatchServer(tmp_path, server.port)
