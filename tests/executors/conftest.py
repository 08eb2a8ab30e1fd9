"""The planted methods of this folder as a catalog, and runs of them."""

import importlib.util
import sys
from pathlib import Path

import pytest

from harness.catalog import Source
from harness.executors.process import Process
from harness.hosting.apart import describe
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def planted_on_path():
    """Workers run this interpreter with this path: they find the planted methods as modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def planted(tests_tools, planted_on_path):
    """``planted("shifts")``: a catalog with that planted method and both executors."""
    spec = importlib.util.find_spec("planted")
    module = importlib.util.module_from_spec(spec)
    sys.modules["planted"] = module
    spec.loader.exec_module(module)
    cards = {card.name: card for card in module.harness_methods()}

    def catalog(name, benchmark=None):
        found = tests_tools.catalog_of(benchmark=benchmark)
        found.methods._add(name, cards[name], Source("planted", "planted", "tests", "0"))
        found.executors._add("process", Process(), Source("process", "harness.executors.process", "tests", "0"))
        return found

    yield catalog
    del sys.modules["planted"]


@pytest.fixture(scope="module")
def run_planted(planted):
    """``run_planted("shifts", folder)``: the record of a run of that planted method."""

    def run_it(name, out, *, benchmark=None, executor="process", elsewhere=False, **asked):
        catalog = planted(name, benchmark)
        request = Request(plugin=name, bench="tiny", executor=executor, **asked)
        plan = resolve(request, catalog, describe(request) if elsewhere else None)
        return run(plan, out, catalog)

    return run_it


@pytest.fixture
def inline(tmp_path, run_planted):
    """The record of ``shifts`` in this process."""
    return run_planted("shifts", tmp_path / "inline", executor="inline")
