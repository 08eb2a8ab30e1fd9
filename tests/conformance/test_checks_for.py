"""The checks as pytest parameters: lazy, each usable alone, and a stranger's three-line test file runs."""

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness import Method
from harness.api.errors import PluginError, UsageError
from harness.conformance import CHECKS, checks_for

EXAMPLE = Path(__file__).parents[1] / "third_party" / "vos-colours"
INLINE = EntryPoint("inline", "harness.executors.inline", "harness")


def points_of(tests_tools, build, **card):
    words = {"name": "ours", "tasks": ("one-shot",), "summary": "s", "supervision": "none"}
    module = tests_tools.plugin_module("ours", harness_methods=lambda: [Method(build=build, **{**words, **card})])
    return [tests_tools.point("ours", module), INLINE]


def promise_named(parameters, name):
    return next(p.values[0] for p in parameters if p.id == name)


def test_nothing_is_built_before_a_test_runs(tests_tools):
    parameters = checks_for("ours", points=points_of(tests_tools, lambda context: pytest.fail("built")))
    assert [p.id for p in parameters][:3] == ["ours-card", "ours-config", "ours-light-import"]
    promise_named(parameters, "ours-card")()


def test_a_card_is_checked_once_and_each_task_by_itself(tests_tools):
    points = points_of(tests_tools, lambda context: None, tasks=("one-shot", "object-zvos"))
    ids = [p.id for p in checks_for("ours", points=points)]
    assert len(set(ids)) == len(ids)
    assert ids.count("ours-card") == 1
    assert {"ours-one-shot:ordinary", "ours-object-zvos:ordinary"} <= set(ids)
    assert "ours-object-zvos:ids-with-gaps" not in ids
    one_task = [p.id for p in checks_for("ours", points=points, task="object-zvos")]
    assert not [name for name in one_task if "one-shot" in name]


def test_a_single_test_fails_or_skips_by_itself(tests_tools):
    def build(context):
        raise KeyError("layer7")

    parameters = checks_for("ours", points=points_of(tests_tools, build))
    with pytest.raises(pytest.fail.Exception, match="one-shot:builds: ours did not build: KeyError: 'layer7'"):
        promise_named(parameters, "ours-one-shot:builds")()
    with pytest.raises(pytest.skip.Exception, match="means nothing unless builds passes"):
        promise_named(parameters, "ours-one-shot:runs")()


def test_wrong_names_are_answered_at_once(tests_tools):
    points = points_of(tests_tools, lambda context: None)
    with pytest.raises(PluginError, match="did you mean 'ours'"):
        checks_for("our", points=points)
    with pytest.raises(UsageError, match="it offers one-shot"):
        checks_for("ours", points=points, task="vis")
    with pytest.raises(UsageError, match="no constant 'bins'"):
        checks_for("ours", points=points, overrides=["bins=3"])


def test_the_names_of_checks_are_unique_and_their_needs_are_there():
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.promise.endswith(".") for check in CHECKS)
    for place, check in enumerate(CHECKS):
        assert set(check.needs) <= set(names[:place])


@pytest.mark.slow
def test_the_three_lines_of_a_stranger_are_a_test_suite(third_party_path):
    test = EXAMPLE / "tests" / "test_promises.py"
    asked = ("-q", "-p", "no:cacheprovider", "-c", str(EXAMPLE / "pyproject.toml"), str(test))
    environment = os.environ | {"PYTHONPATH": third_party_path}
    ran = subprocess.run([sys.executable, "-m", "pytest", *asked], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout
    assert "failed" not in ran.stdout


def test_every_check_is_documented_with_its_promise():
    written = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", written, re.M)
    assert sorted(rows) == sorted((check.name, check.promise) for check in CHECKS)
