"""A Ray cluster of this machine for as long as a run: closed to others, and ended whoever dies."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.executors import keeper

SECONDS_TO_END = 10.0
STORE_BYTES = 1 << 29
"""Of shared memory: masks on their way. Ray puts what is more on the disk."""
START_TRIES = 3
"""Ray gives its own processes half a minute to come up, which a busy machine may not have for them."""
AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")


def start(ray: Any, folder: Path, cpus: int, **options: Any) -> None:
    """Connect to a cluster of this machine that did not exist before; whoever has no token is not let in.

    Its token is this run's own: one of Ray's making would stay in the user's home, and have later clusters ask for it.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})
        _let_ray_read_auth_again()
    mark = keeper.mark_of(os.getpid())
    for tries_left in reversed(range(START_TRIES)):
        with _lend({keeper.MARK: mark, "SPT_NOENV": "1"}):  # titles are not written over environments
            try:
                ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=STORE_BYTES,
                    _temp_dir=str(folder),
                    **options,
                )
                return
            except Exception as error:
                if not tries_left or "timed out" not in str(error):
                    raise
        ray.shutdown()
        keeper.end_marked(mark)


@contextmanager
def keep(folder: Path) -> Iterator[None]:
    """End, and empty the folder of, the cluster that is started inside; also where this process is killed."""
    keeper.end_abandoned()
    mark = keeper.mark_of(os.getpid())
    command = [sys.executable, "-I", "-S", keeper.__file__, mark, str(folder)]
    quiet = subprocess.DEVNULL
    waiting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        waiting.communicate(keeper.ENDED)
        keeper.end_marked(mark)  # it may have been killed
        empty(folder)


@contextmanager
def auth_as_before() -> Iterator[None]:
    """Let this process ask for tokens, or not, as it did before.

    ``ray.init`` of a new cluster turns them on for good. The next cluster, which knows of none, is then refused when it
    calls back, and takes this process for dead: each of its actors is lost at once.
    """
    before = {name: os.environ.get(name) for name in AUTH}
    try:
        yield
    finally:
        if {name: os.environ.get(name) for name in AUTH} != before:
            _put(before)
            _let_ray_read_auth_again()


def _let_ray_read_auth_again() -> None:
    raylet: Any = importlib.import_module("ray._raylet")
    with suppress(AttributeError):  # a Ray before tokens
        loader = raylet.AuthenticationTokenLoader.instance()
        raylet.Config.initialize("")
        loader.reset_cache()


@contextmanager
def _lend(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these in the environment of the processes that are started inside."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        _put(before)


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def empty(folder: Path) -> None:
    """Remove what Ray left in its folder; its processes may still write there while they end."""
    until = time.monotonic() + SECONDS_TO_END
    while any(folder.iterdir()) and time.monotonic() < until:
        for path in list(folder.iterdir()):
            with suppress(OSError):
                path.unlink() if path.is_symlink() else shutil.rmtree(path)
        time.sleep(0.05)
