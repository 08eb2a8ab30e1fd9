"""Starts the worker by path, also in an environment without the harness; needs nothing but the standard library."""

import importlib.util
import json
import os
import signal
import sys


def post_guard(lifeline):  # type: ignore[no-untyped-def]
    """Leave nothing behind: a process apart waits for the end of the run and then kills the worker's whole group.

    It is no thread, which a method that holds the interpreter's lock would stop, and no child of the worker, which a
    method that waits for its own children would wait for.
    """
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    os.closerange(0, lifeline)
    os.closerange(lifeline + 1, 256)
    os.read(lifeline, 1)  # nothing is ever written: it returns when the run is gone
    os.killpg(os.getpgrp(), signal.SIGKILL)


def lend_harness(source):  # type: ignore[no-untyped-def]
    """Make the ``harness`` package of ``source`` importable, and nothing else that lies beside it."""
    init = os.path.join(source, "harness", "__init__.py")
    spec = importlib.util.spec_from_file_location("harness", init, submodule_search_locations=[os.path.dirname(init)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = package
    spec.loader.exec_module(package)


def has_worker():  # type: ignore[no-untyped-def]
    """Whether this environment has a harness that can host a method."""
    try:
        return importlib.util.find_spec("harness.hosting.worker.main") is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  the interpreter is the user's
        raise SystemExit("the harness needs Python 3.11 or later; this is " + sys.version.split()[0])
    end, memory, lifeline = [int(argument) for argument in sys.argv[1:4]]
    post_guard(lifeline)
    os.close(lifeline)
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = json.loads(sys.argv[4]) or [entry for entry in sys.path if entry != here]
    if not has_worker():
        for name in [name for name in sys.modules if name.partition(".")[0] == "harness"]:
            del sys.modules[name]
        lend_harness(os.path.dirname(os.path.dirname(os.path.dirname(here))))
    from harness.hosting.worker.main import main

    main(end, memory)
