"""Opens every page of the built site in Chromium, as wide as a phone, and says what is wrong with it.

``python .ci/check_site.py site``: one browser, one server on 127.0.0.1, every page in a frame, in turn. Asked of each:
a title of its own, a heading, nothing wider than the screen, nothing fetched from elsewhere, links that lead somewhere.
The search is asked too, on the server and on the start page opened from disk.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
]
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
SECONDS = 180
SEARCHED = "causality"
WALK = """<!doctype html><title>walk</title><body style="margin:0"><script>
const pages = %s, found = [];
const wait = ms => new Promise(done => setTimeout(done, ms));
const opened = page => new Promise(done => {
  const frame = document.createElement("iframe");
  frame.style = "border:0;width:390px;height:844px";
  frame.onload = () => done(frame);
  frame.src = "/" + page;
  document.body.replaceChildren(frame);
});
const look = (page, view) => ({
  page: page,
  title: view.document.title,
  heading: view.document.querySelector("article h1")?.textContent ?? "",
  words: (view.document.querySelector("article")?.innerText ?? "").split(/\\s+/).length,
  width: view.document.documentElement.scrollWidth,
  anchors: [...view.document.querySelectorAll("[id]")].map(one => one.id),
  links: [...view.document.querySelectorAll("a[href]")].map(one => one.href),
  fetched: view.performance.getEntriesByType("resource").map(one => [one.name, one.responseStatus]),
});
const results = async () => {
  const view = (await opened("index.html?q=%s")).contentWindow;
  for (let tries = 0; tries < 100; tries++) {
    const hits = view.document.querySelectorAll(".md-search-result__item").length;
    if (hits) return hits;
    await wait(100);
  }
  return 0;
};
(async () => {
  for (const page of pages) found.push(look(page, (await opened(page)).contentWindow));
  const said = {pages: found, hits: await results()};
  await fetch("/said", {method: "POST", body: JSON.stringify(said)});
})();
</script>"""


def problems(said: dict[str, Any], origin: str, not_there: list[str]) -> list[str]:
    """A line for each thing that is wrong with what the browser saw."""
    anchors = {page["page"]: set(page["anchors"]) for page in said["pages"]}
    titles = Counter(page["title"] for page in said["pages"])
    lines = [f"{path}: asked for, not there" for path in sorted(set(not_there))]
    for page in said["pages"]:
        name = page["page"]
        if not page["title"].strip() or titles[page["title"]] > 1:
            lines.append(f"{name}: title {page['title']!r}, expected one of its own")
        if not page["heading"].strip() or page["words"] < 20:
            lines.append(f"{name}: {page['words']} words under the heading {page['heading']!r}, expected a page")
        if page["width"] > 390:
            lines.append(f"{name}: {page['width']} pixels wide on a phone of 390")
        for url, status in page["fetched"]:
            if not url.startswith((origin, "data:", "blob:")):
                lines.append(f"{name}: fetches {url}, expected nothing from elsewhere")
            elif status >= 400:
                lines.append(f"{name}: {url} answers {status}")
        lines += [
            f"{name}: link to {link}, {why}" for link in page["links"] if (why := _complain_of(link, origin, anchors))
        ]
    if not said["hits"]:
        lines.append(f"index.html: the search finds nothing for {SEARCHED!r}")
    return lines


def _complain_of(link: str, origin: str, anchors: dict[str, set[str]]) -> str:
    """Why a link leads nowhere; empty where it leads somewhere, or to another site."""
    if not link.startswith(origin):
        return "" if link.startswith(("https:", "mailto:")) else "expected https"
    path, anchor = urldefrag(link.removeprefix(origin))
    page = unquote(path).partition("?")[0].lstrip("/") or "index.html"
    if page not in anchors:
        return "no page of the site"
    return "" if not anchor or unquote(anchor) in anchors[page] else "no such heading"


class Server(ThreadingHTTPServer):
    """Serves one folder, the page that walks through it, and takes what that page has to say."""

    def __init__(self, site: Path, pages: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Answers, directory=str(site)))
        self.walk = (WALK % (json.dumps(pages), SEARCHED)).encode()
        self.origin = f"http://127.0.0.1:{self.server_port}/"
        self.not_there: list[str] = []
        self.said: dict[str, Any] | None = None
        self.done = threading.Event()


class _Answers(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """A file of the site, or the walk."""
        if self.path != "/walk":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.walk)

    def do_POST(self) -> None:
        """What the walk has seen."""
        self.server.said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Remember what is missing."""
        if self.path != "/favicon.ico":
            self.server.not_there.append(self.path)
        super().send_error(code, message, explain)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def browser(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Chromium with a profile of its own, ended and forgotten afterwards."""
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise SystemExit(f"found none of {', '.join(BROWSERS)}; next: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *OPTIONS, NOWHERE, f"--user-data-dir={profile}", *arguments]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            yield started
        finally:
            started.kill()
            started.wait()


def walk_in_browser(site: Path, pages: list[str]) -> list[str]:
    """Walk through the pages on a server; a line for each problem."""
    with Server(site, pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # A debugging port keeps a headless browser open until it is ended.
        with browser("--remote-debugging-port=0", f"{server.origin}walk"):
            server.done.wait(SECONDS)
        server.shutdown()
    if server.said is None:
        return [f"no answer from the browser in {SECONDS} s; asked for and not there: {server.not_there}"]
    return problems(server.said, server.origin, server.not_there)


def search_from_disk(site: Path) -> list[str]:
    """Open the start page as a file and search in it."""
    wanted = f"{(site / 'index.html').resolve().as_uri()}?q={SEARCHED}"
    with browser("--virtual-time-budget=20000", "--dump-dom", wanted) as started:
        shown = started.communicate(timeout=SECONDS)[0].decode()
    return [] if "md-search-result__item" in shown else [f"index.html from disk: no hits for {SEARCHED!r}"]


def main() -> int:
    """Print every problem; 1 if there is one."""
    site = Path(sys.argv[1])
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html") if path.name != "404.html")
    if not pages:
        raise SystemExit(f"{site}: found no page, expected a built site; next: make docs")
    wrong = [*walk_in_browser(site, pages), *search_from_disk(site)]
    print("\n".join([*wrong, f"{len(pages)} pages, {len(wrong)} problems"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
