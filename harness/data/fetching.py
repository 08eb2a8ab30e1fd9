"""Getting a benchmark's data: resumable downloads with checksums, then safe unpacking; or the steps to do by hand."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from harness.api.contracts import Archive, Benchmark
from harness.api.errors import DataError, EnvironmentProblem, VerificationFailed
from harness.data.archives import extract
from harness.data.contents import name_content
from harness.files import HeldFolder

if TYPE_CHECKING:
    import requests

DOWNLOADS = ".downloads"
CONNECT_SECONDS, READ_SECONDS = 10, 60
BLOCK = 1 << 16
"""A cut connection loses less than this many bytes of what had arrived."""
OnBytes = Callable[[str, int, int], None]
"""Called with (file, bytes there, bytes in all; 0 where the server does not say)."""


def fetch(benchmark: Benchmark, root: Path, on_bytes: OnBytes, *, keep: bool = False) -> int:
    """Download and unpack everything ``benchmark`` names into ``root``; return how many files were written.

    The archives are deleted after unpacking unless ``keep``. DataError with the manual steps where there is nothing
    to download, EnvironmentProblem where the network fails (what was downloaded is kept), VerificationFailed for a
    wrong checksum, UsageError while another process fetches into ``root``.
    """
    if not benchmark.archives:
        raise DataError(
            f"{benchmark.name} cannot be downloaded by a command: found no public archive, expected one",
            hint=manual_steps(benchmark, root),
        )
    written = 0
    with HeldFolder(root / DOWNLOADS, work="fetch", hint="choose another --data-root"):
        try:
            for archive in benchmark.archives:
                path = download(archive, root / DOWNLOADS, on_bytes, hint=manual_steps(benchmark, root))
                written += extract(path, root, strip=archive.strip)
                if not keep:
                    path.unlink()
        finally:
            (root / DOWNLOADS / "lock").unlink()
    if not keep:
        _remove_if_empty(root / DOWNLOADS)
    return written


def manual_steps(benchmark: Benchmark, root: Path) -> str:
    """What a person does on a machine with a browser, in words."""
    if benchmark.archives:
        files = ", ".join(f"{archive.url} as {root / DOWNLOADS / file_name(archive)}" for archive in benchmark.archives)
        get = f"with a browser, save {files}, then run the same command again"
    else:
        get = benchmark.manual or f"get the data from {benchmark.homepage}"
    return f"{get}; or unpack by hand to this layout below {root}: {benchmark.layout}"


def file_name(archive: Archive) -> str:
    """The name an archive is stored under."""
    return urlsplit(archive.url).path.rpartition("/")[2]


def download(archive: Archive, folder: Path, on_bytes: OnBytes, *, hint: str) -> Path:
    """Get one archive into ``folder``, going on from what an earlier attempt left there; check it where possible."""
    import pooch
    import requests

    folder.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    name = file_name(archive)
    _check_saved(archive, folder / name)
    try:
        pooch.retrieve(
            archive.url,
            known_hash=archive.checksum or None,
            fname=name,
            path=folder,
            downloader=_Resumable(folder / f"{name}.part", on_bytes),
        )
    except ValueError as error:
        raise VerificationFailed(f"{archive.url}: {error}", hint=hint) from error
    except (requests.RequestException, OSError) as error:
        reason = f"{type(error).__name__}: {error}"[:300]
        raise EnvironmentProblem(f"{archive.url} could not be downloaded: {reason}", hint=hint) from error
    return folder / name


def _check_saved(archive: Archive, path: Path) -> None:
    """VerificationFailed where a file that lies there already, saved by hand perhaps, is not what the card says."""
    import pooch

    if not (archive.checksum and path.is_file()):
        return
    kind, _, expected = archive.checksum.rpartition(":")
    digest = pooch.file_hash(str(path), alg=kind or "sha256")
    if digest.lower() == expected.lower():
        return
    found = f"{kind or 'sha256'}:{digest} of {path.stat().st_size} bytes"
    content = None if zipfile.is_zipfile(path) else name_content(path)
    raise VerificationFailed(
        f"{path}: found {found}{f', {content.what}' if content else ''}, expected {archive.checksum}",
        hint=f"delete it and run the same command again, or save {archive.url} there once more"
        + (f"; {content.advice}" if content else ""),
    )


class _Resumable:
    """A downloader for pooch that keeps what it has in a .part file and asks the server only for the rest."""

    def __init__(self, part: Path, on_bytes: OnBytes) -> None:
        self._part = part
        self._validator = part.with_name(part.name + ".etag")
        self._on_bytes = on_bytes

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        import requests

        there = self._part.stat().st_size if self._part.exists() and self._validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if there:
            headers |= {"Range": f"bytes={there}-", "If-Range": self._validator.read_text()}
        with requests.get(url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as reply:
            # 416: nothing lies beyond what is there, so the part is whole
            if reply.status_code != 416 or reply.headers.get("Content-Range") != f"bytes */{there}":
                reply.raise_for_status()
                self._receive(reply, there if reply.status_code == 206 else 0)
        os.replace(self._part, output_file)
        self._validator.unlink(missing_ok=True)

    def _receive(self, reply: requests.Response, there: int) -> None:
        """Append (206) or begin anew (200); OSError if the connection ended early."""
        validator = reply.headers.get("ETag") or reply.headers.get("Last-Modified") or ""
        if validator and not validator.startswith("W/"):
            self._validator.write_text(validator)
        else:
            self._validator.unlink(missing_ok=True)
        total = there + int(reply.headers.get("Content-Length", 0))
        done = there
        with self._part.open("ab" if there else "wb") as sink:
            for block in reply.iter_content(BLOCK):
                sink.write(block)
                done += len(block)
                self._on_bytes(self._part.name.removesuffix(".part"), done, total if total > there else 0)
        if total > there and done != total:
            raise OSError(f"the connection ended after {done} of {total} bytes")


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
