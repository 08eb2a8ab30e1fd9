"""The pages of one folder on 127.0.0.1, for who cannot open a file; asked under another name it answers nothing."""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


class PageServer(ThreadingHTTPServer):
    """Serves the files of ``folder`` and nothing outside it; use as a context manager.

    ``port`` 0 takes a free one. A request whose Host is not this server's own is refused: a page of somebody else, open
    in the same browser, could point its own name here.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder.resolve()
        super().__init__((HOST, port), partial(_Answers, directory=str(self.folder)))
        self.hosts = {f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"}

    @property
    def address(self) -> str:
        """Where to begin."""
        return f"http://{HOST}:{self.server_port}/"


class _Answers(SimpleHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        """A file, if it is ours to show."""
        if self._is_welcome():
            super().do_GET()

    def do_HEAD(self) -> None:
        """The same without its content."""
        if self._is_welcome():
            super().do_HEAD()

    def _is_welcome(self) -> bool:
        if self.headers.get("Host", "") not in self.server.hosts:
            self.send_error(421, "Misdirected Request")
            return False
        path = Path(self.translate_path(self.path)).resolve()  # links lead nowhere else
        if not path.is_relative_to(self.server.folder) or (path.is_dir() and not (path / "index.html").is_file()):
            self.send_error(404, "Not Found")
            return False
        return True

    def end_headers(self) -> None:
        """Nothing of another origin may read or frame the pages, and nothing is kept."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        super().end_headers()

    def log_message(self, *told: Any) -> None:
        """Say nothing."""
