"""The server of pages: on this machine only, under its own name only, of its own folder only."""

import http.client
import threading

import pytest

from harness.viewing.serve import PageServer


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "pages"
    (folder / "empty").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>here</h1>")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    with PageServer(folder) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def ask(server, path="/", host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    told = answer.status, answer.read().decode(), answer.getheader("Cross-Origin-Resource-Policy")
    connection.close()
    return told


def test_it_is_bound_to_this_machine_and_serves_its_pages(server):
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server) == (200, "<h1>here</h1>", "same-origin")


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:80", "127.0.0.1", "0.0.0.0:1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_host_that_is_not_its_own_is_answered_nothing(server, host, method):
    status, body, _ = ask(server, host=host, method=method)
    assert status == 421
    assert "here" not in body


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/out.txt", "/empty/", "//etc/passwd"])
def test_nothing_outside_its_folder_is_served_and_no_folder_is_listed(server, path):
    status, body, _ = ask(server, path=path)
    assert status == 404
    assert "secret" not in body.replace("/secret.txt", "")


def test_nothing_is_taken(server):
    assert ask(server, method="POST")[0] == 501
