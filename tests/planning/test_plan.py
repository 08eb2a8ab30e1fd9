"""What a result depends on is in the key; requests that cannot be are refused."""

import sys
from dataclasses import replace

import pytest
import torch

from harness.api.contracts import DAVIS_2017, Method, Weights
from harness.api.errors import PluginError, UsageError
from harness.planning.plan import resolve
from harness.planning.provenance import LARGEST_SOURCE, code_digest
from harness.planning.request import Request

OTHER_RULE = replace(DAVIS_2017, version="another/1", metrics=("share_right",))


@pytest.fixture
def plan_of(tests_tools):
    def plan(**asked):
        method = Method(name="copy", tasks=("one-shot",), build=lambda context: None)
        return resolve(Request(plugin="copy", bench="tiny", **asked), tests_tools.catalog_of(method))

    return plan


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"precision": "bf16"}, {"threads": 97}, {"workers": 2}, {"rule": OTHER_RULE}]
)
def test_whatever_changes_a_result_changes_the_key(plan_of, change):
    assert plan_of(**change).key != plan_of().key


def test_another_machine_or_other_threads_are_another_key(plan_of, monkeypatch):
    here = plan_of().key
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert plan_of().key != here
    monkeypatch.undo()
    monkeypatch.setattr("harness.machine._cpu_name", lambda: "another processor")
    assert plan_of().key != here


def test_a_part_of_the_videos_has_the_key_of_the_whole_so_that_the_rest_can_be_added(plan_of):
    assert plan_of(limit=1).key == plan_of().key


def test_the_key_is_taken_once(plan_of, monkeypatch):
    plan = plan_of()
    before = plan.key
    monkeypatch.setattr("harness.planning.plan.code_digest", lambda module: "f" * 64)
    assert plan.key == before
    assert replace(plan).key != before


def test_every_file_of_a_package_is_code_but_caches_and_weights(tmp_path, monkeypatch):
    package = tmp_path / "somebody"
    (package / "native").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebody", raising=False)
    __import__("somebody")
    seen = {code_digest("somebody.method:thing")}
    for name in ("method.py", "table.json", "native/kernel.cu"):
        (package / name).write_text("1")
        seen.add(code_digest("somebody"))
    assert len(seen) == 4
    (package / ".cache").mkdir()
    (package / ".cache/x").write_text("1")
    (package / "__pycache__/x.pyc").parent.mkdir(exist_ok=True)
    (package / "__pycache__/x.pyc").write_text("1")
    (package / "weights.bin").write_bytes(bytes(LARGEST_SOURCE + 1))
    assert code_digest("somebody") in seen


def test_no_threads_are_too_few(plan_of):
    with pytest.raises(UsageError, match=r"--threads 0 leaves nothing to compute with"):
        plan_of(threads=0)


@pytest.mark.parametrize("text", ["x" * 2001, "half \udc80"])
@pytest.mark.parametrize("field", ["supervision", "licence", "weights"])
def test_a_card_that_no_record_can_hold_is_refused_before_anything_runs(tests_tools, tmp_path, field, text):
    (tmp_path / "net.pth").write_bytes(b"1")
    changes = {field: text}
    if field == "weights":
        weights = Weights(name="net", licence=text, path=tmp_path / "net.pth")
        changes = {"weights": (weights,), "default_weights": "net"}
    method = Method(name="copy", tasks=("one-shot",), build=lambda context: None, **changes)
    with pytest.raises(PluginError, match="the card of copy holds what no record can"):
        resolve(Request(plugin="copy", bench="tiny"), tests_tools.catalog_of(method))
