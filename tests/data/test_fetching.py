"""Downloads go on where they stopped, are checked, unpacked, and say what to do by hand where they fail."""

import hashlib
import http.server
import io
import json
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.api.contracts import DAVIS_2017, Archive, Benchmark
from harness.api.errors import DataError, EnvironmentProblem, UsageError, VerificationFailed
from harness.catalog import Catalog, Source
from harness.cli import main
from harness.data.fetching import BLOCK, DOWNLOADS, fetch


def _content():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        opened.writestr("TOP/video/00000.jpg", bytes(range(256)) * 400)
    return buffer.getvalue()


@dataclass
class Site:
    """A web server on this machine that can cut a connection, and remembers what was asked."""

    url: str = ""
    content: bytes = field(default_factory=_content)
    cut_after: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    etag: str = '"one"'


@pytest.fixture
def site():
    state = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = 0
            if asked and self.headers.get("If-Range") == state.etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", state.etag)
            self.end_headers()
            self.wfile.write(body[: state.cut_after])

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/files/data.zip"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def _bench(site, checksum="", **changes):
    given = {
        "archives": (Archive(site.url, checksum, "TOP/"),),
        "licence": "CC BY-NC 4.0",
        "layout": "video/00000.jpg",
        "open": _open,
    }
    return Benchmark(name="tiny", title="Tiny", rules={"one-shot": DAVIS_2017}, **{**given, **changes})


def _open(root, partial):
    if not (Path(root) / "video/00000.jpg").is_file():
        raise DataError("not there")
    return []


def _quiet(name, done, total):
    pass


def _sha256(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_an_archive_is_downloaded_checked_unpacked_and_deleted(site, tmp_path):
    seen = []
    assert fetch(_bench(site, _sha256(site.content)), tmp_path, lambda *step: seen.append(step)) == 1
    assert (tmp_path / "video/00000.jpg").read_bytes() == bytes(range(256)) * 400
    assert seen[-1] == ("data.zip", len(site.content), len(site.content))
    assert not (tmp_path / DOWNLOADS).exists()


def test_archives_can_be_kept_and_are_then_not_downloaded_again(site, tmp_path):
    fetch(_bench(site), tmp_path, _quiet, keep=True)
    assert (tmp_path / DOWNLOADS / "data.zip").read_bytes() == site.content
    fetch(_bench(site), tmp_path, _quiet, keep=True)
    assert len(site.ranges) == 1


def test_a_cut_download_goes_on_where_it_stopped(site, tmp_path):
    site.cut_after = 70_000
    with pytest.raises(EnvironmentProblem, match="could not be downloaded"):
        fetch(_bench(site, _sha256(site.content)), tmp_path, _quiet)
    assert (tmp_path / DOWNLOADS / "data.zip.part").stat().st_size == BLOCK
    site.cut_after = None
    fetch(_bench(site, _sha256(site.content)), tmp_path, _quiet)
    assert site.ranges == [None, f"bytes={BLOCK}-"]
    assert (tmp_path / "video/00000.jpg").stat().st_size == 256 * 400


def test_a_file_that_changed_on_the_server_is_downloaded_anew(site, tmp_path):
    site.cut_after = 70_000
    with pytest.raises(EnvironmentProblem):
        fetch(_bench(site), tmp_path, _quiet)
    site.cut_after, site.etag = None, '"two"'
    assert fetch(_bench(site), tmp_path, _quiet) == 1


def test_a_part_that_is_whole_needs_no_more_bytes(site, tmp_path):
    (tmp_path / DOWNLOADS).mkdir()
    (tmp_path / DOWNLOADS / "data.zip.part").write_bytes(site.content)
    (tmp_path / DOWNLOADS / "data.zip.part.etag").write_text(site.etag)
    assert fetch(_bench(site, _sha256(site.content)), tmp_path, _quiet) == 1


def test_a_wrong_checksum_unpacks_nothing(site, tmp_path):
    with pytest.raises(VerificationFailed, match="hash"):
        fetch(_bench(site, "sha256:" + "0" * 64), tmp_path, _quiet)
    assert not (tmp_path / "video").exists()
    assert not list((tmp_path / DOWNLOADS).iterdir())


def test_an_archive_saved_by_hand_is_used_without_any_network(site, tmp_path):
    (tmp_path / DOWNLOADS).mkdir()
    (tmp_path / DOWNLOADS / "data.zip").write_bytes(site.content)
    assert fetch(_bench(site, _sha256(site.content)), tmp_path, _quiet) == 1
    assert site.ranges == []


def test_an_archive_saved_by_hand_that_is_another_file_is_named_and_left_alone(site, tmp_path):
    saved = tmp_path / DOWNLOADS / "data.zip"
    saved.parent.mkdir()
    saved.write_bytes(b"<html>log in first</html>")
    with pytest.raises(VerificationFailed) as caught:
        fetch(_bench(site, _sha256(site.content)), tmp_path, _quiet)
    assert f"{saved}: found {_sha256(saved.read_bytes())} of 25 bytes, a web page (HTML)" in caught.value.message
    assert f"expected {_sha256(site.content)}" in caught.value.message
    assert f"delete it and run the same command again, or save {site.url} there once more" in caught.value.hint
    assert (saved.stat().st_size, site.ranges) == (25, [])


def test_offline_the_manual_steps_are_given(tmp_path):
    bench = _bench(Site(url="http://127.0.0.1:9/files/data.zip"))
    with pytest.raises(EnvironmentProblem) as caught:
        fetch(bench, tmp_path, _quiet)
    assert f"save http://127.0.0.1:9/files/data.zip as {tmp_path / DOWNLOADS / 'data.zip'}" in str(caught.value)
    assert "video/00000.jpg" in str(caught.value)


def test_data_behind_a_registration_give_the_manual_steps(site, tmp_path):
    with pytest.raises(DataError, match="fill in the form") as caught:
        fetch(_bench(site, archives=(), manual="fill in the form"), tmp_path, _quiet)
    assert "video/00000.jpg" in str(caught.value)


@pytest.fixture
def command(site, monkeypatch, capsys):
    """``harness data fetch tiny ...`` -> (exit code, standard output, standard error)."""
    catalog = Catalog()
    catalog.benchmarks._add("tiny", _bench(site), Source("tiny", "tiny", "test", "0"))
    catalog.benchmarks._add("inside", _bench(site, needs_root=False), Source("tiny", "tiny", "test", "0"))
    monkeypatch.setattr(Catalog, "load", lambda: catalog)
    monkeypatch.delenv("HARNESS_DATA", raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["data", "fetch", *map(str, arguments)])
        shown = capsys.readouterr()
        return exit_.value.code or 0, shown.out, shown.err

    return call


def test_the_licence_is_shown_and_must_be_accepted(command, site, tmp_path):
    code, _, err = command("tiny", "--data-root", tmp_path)
    assert code == UsageError.exit_code
    assert "CC BY-NC 4.0" in err
    assert "--accept-licence" in err
    assert site.ranges == []
    code, out, err = command("tiny", "--data-root", tmp_path, "--accept-licence")
    assert (code, "1 files written" in out, "CC BY-NC 4.0" in err) == (0, True, True)
    assert "harness data check tiny" in out


def test_data_that_are_whole_are_not_fetched_again(command, site, tmp_path):
    command("tiny", "--data-root", tmp_path, "--accept-licence")
    code, out, _ = command("tiny", "--data-root", tmp_path, "--accept-licence")
    assert (code, "nothing to fetch" in out, len(site.ranges)) == (0, True, 1)


def test_as_json_what_became_of_it_is_said(command, site, tmp_path):
    code, out, _ = command("tiny", "--data-root", tmp_path, "--accept-licence", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"benchmark": "tiny", "data_root": str(tmp_path), "state": "fetched", "written": 1},
    )
    assert json.loads(command("tiny", "--data-root", tmp_path, "--json")[1])["state"] == "whole"
    assert json.loads(command("inside", "--json")[1]) == {
        "benchmark": "inside",
        "data_root": None,
        "state": "embedded",
        "written": 0,
    }


def test_embedded_data_need_no_fetching_and_a_folder_must_be_named(command):
    assert command("inside")[:2] == (0, "inside is embedded: there is nothing to fetch\n")
    assert command("tiny")[0] == UsageError.exit_code


def test_two_fetches_into_one_folder_refuse_each_other(site, tmp_path):
    def fetch_again(name, done, total):
        with pytest.raises(UsageError, match=r"another fetch \(process \d+\) is writing into"):
            fetch(_bench(site), tmp_path, _quiet)

    assert fetch(_bench(site), tmp_path, fetch_again) == 1
    assert not (tmp_path / DOWNLOADS).exists()
