"""One module listens, when it is asked to (``harness view --serve``); nothing else opens a server or binds a socket.

It binds to 127.0.0.1, refuses a Host that is not its own, serves its own folder only: tests/viewing/test_serve.py. The
rule is in docs/threat-model.md.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
SERVERS = {
    *("http.server", "socketserver", "wsgiref", "xmlrpc.server", "asyncio", "multiprocessing.connection"),
    *(
        "multiprocessing.managers",
        "aiohttp",
        "flask",
        "fastapi",
        "uvicorn",
        "tornado",
        "werkzeug",
        "websockets",
        "gradio",
    ),
}
CALLS = {"listen", "create_server", "start_server", "start_unix_server", "serve_forever", "HTTPServer", "TCPServer"}


def listening(tree: ast.AST) -> list[str]:
    """Every import of a server and every call that makes a socket one to come to, with its line."""
    found, has_socket = [], False
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        has_socket |= any(name.split(".")[0] == "socket" for name in names)
        servers = [name for name in names if any(f"{name}.".startswith(f"{server}.") for server in SERVERS)]
        found += [f"line {node.lineno}: imports {name}" for name in servers]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in CALLS or (called == "bind" and has_socket):
                found.append(f"line {node.lineno}: calls {called}()")
    return found


MAY_LISTEN = {Path("harness/viewing/serve.py"), Path("harness/cli/view.py")}


def test_no_module_listens_but_the_viewers():
    found = {path.relative_to(ROOT): listening(ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path for path, calls in found.items() if calls} == MAY_LISTEN


@pytest.mark.parametrize(
    "source",
    [
        "import http.server",
        "from http.server import ThreadingHTTPServer",
        "from http import server",
        "import asyncio",
        "from multiprocessing.managers import BaseManager",
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))",
        "from socket import create_server\ncreate_server(('', 80))",
        "server.serve_forever()",
    ],
)
def test_what_listens_is_seen(source):
    assert listening(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    ["import socket\nours, theirs = socket.socketpair()", "inspect.signature(entry).bind(1)", "import http.client"],
)
def test_what_does_not_listen_passes(source):
    assert listening(ast.parse(source)) == []


HOOK = """
import os, sys

def hook(event, arguments):
    if event == "socket.bind":
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{arguments[1]}\\n")

sys.addaudithook(hook)
"""


@pytest.mark.slow
def test_no_socket_is_bound_in_a_run_nor_in_its_worker(tmp_path):
    site, witness = tmp_path / "site", tmp_path / "witness"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HOOK)
    environment = {**os.environ, "PYTHONPATH": str(site), "WITNESS": str(witness)}
    planted = "import socket; socket.socket().bind(('127.0.0.1', 0))"
    subprocess.run([sys.executable, "-c", planted], env=environment, check=True)
    assert "127.0.0.1" in witness.read_text()  # the hook works
    witness.unlink()
    command = [
        "run",
        "--plugin",
        "copyfirst",
        "--bench",
        "mini-small",
        "--limit",
        "1",
        "--executor",
        "process",
        "--out",
    ]
    run = [sys.executable, "-c", "from harness.cli import main; main()", *command, str(tmp_path / "run")]
    done = subprocess.run(run, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not witness.exists()
