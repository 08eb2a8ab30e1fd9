"""``harness check``: a report on standard output, JUnit and JSON, exit 4 where a promise is broken."""

import json
from xml.etree import ElementTree

import pytest

from harness.cli import main

BROKEN = """
from harness import Method, hookimpl

class Forgets:
    def propagate(self, video, prompts):
        for _ in video:
            yield prompts[0].float()

@hookimpl
def harness_methods():
    return [Method(name="forgets", tasks=("one-shot",), build=lambda context: Forgets(), summary="s", supervision="n")]
"""


def harness(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture
def forgetful(tmp_path, monkeypatch):
    """An installed plugin whose masks have the wrong type."""
    info = tmp_path / "site" / "forgets-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "forgetful_plugin.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forgets\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nforgets = forgetful_plugin\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.mark.slow
def test_a_sound_method_ends_in_zero(capsys, tmp_path):
    code, out, err = harness(capsys, "check", "copyfirst", "--quick", "--junit", tmp_path / "check.xml")
    assert code == 0, out + err
    assert "passed  one-shot:causality" in out
    assert "skipped one-shot:memory: left out with --quick" in out
    assert out.splitlines()[-1].startswith("copyfirst of vos-harness ")
    suite = ElementTree.parse(tmp_path / "check.xml").getroot()[0]
    assert suite.get("failures") == "0"
    assert int(suite.get("tests")) == len(out.splitlines()) - 1


def test_a_report_that_could_not_be_written_is_refused_before_anything_is_checked(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = harness(capsys, "check", "copyfirst", "--quick", "--junit", tmp_path / "file" / "check.xml")
    assert (code, out) == (6, "")
    assert f"--junit: {tmp_path / 'file'} is no folder" in err


@pytest.mark.usefixtures("forgetful")
def test_a_broken_promise_ends_in_four_with_found_and_expected(capsys):
    code, out, _ = harness(capsys, "check", "forgets", "--quick")
    assert code == 4
    assert "FAILED  one-shot:ordinary" in out
    assert "yielded dtype torch.float32, expected torch.uint8 object ids" in out
    code, out, _ = harness(capsys, "check", "forgets", "--quick", "--json")
    assert code == 4
    content = json.loads(out)
    assert content["subject"] == "forgets of forgets 1.0 on cpu"
    assert [row["check"] for row in content["checks"] if row["status"] == "failed"] == ["ordinary"]


def test_wrong_questions_are_answered(capsys):
    assert harness(capsys, "check", "copyfrst")[0] == 4
    assert "did you mean 'copyfirst'" in harness(capsys, "check", "copyfrst")[2]
    assert harness(capsys, "check", "copyfirst", "--task", "vis")[0] == 2
    assert harness(capsys, "check", "copyfirst", "--set", "bins=3")[0] == 2
    assert harness(capsys, "check", "copyfirst", "--device", "cuda:99")[0] == 6


def test_saved_masks_have_only_a_card_to_check(capsys):
    code, out, _ = harness(capsys, "check", "replay", "--task", "one-shot")
    assert code == 0
    assert "passed  light-import" in out
    assert "one-shot:" not in out
