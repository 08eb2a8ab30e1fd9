"""A run's folder: what it may be, what it throws away, and what a kill leaves."""

import json

import pytest

from harness.api.errors import EnvironmentProblem, UsageError
from harness.running.folder import RunFolder

RUN = {"plugin": {"name": "tvos", "replays": False}, "seed": 0}
REPLAY = {"plugin": {"name": "replay", "replays": True}, "seed": 0}


def claim(path, parts, *, fresh=False):
    with RunFolder(path) as folder:
        folder.claim(parts, fresh=fresh)


def fill(path):
    for name in ("videos", "masks"):
        (path / name).mkdir(parents=True)
        (path / name / "precious").write_text("years of work")


def test_a_fresh_run_leaves_a_folder_of_somebody_else_as_it_is(tmp_path):
    fill(tmp_path / "mine")
    with pytest.raises(UsageError, match=r"is no run folder: found masks, no plan\.json"):
        claim(tmp_path / "mine", RUN, fresh=True)
    assert (tmp_path / "mine/masks/precious").exists()
    assert (tmp_path / "mine/videos/precious").exists()


def test_a_fresh_run_clears_a_run_and_keeps_notes_beside_it(tmp_path):
    claim(tmp_path / "run", RUN)
    fill(tmp_path / "run")
    (tmp_path / "run/notes.txt").write_text("looked at it")
    claim(tmp_path / "run", {**RUN, "seed": 1}, fresh=True)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["lock", "notes.txt", "plan.json"]
    assert json.loads((tmp_path / "run/plan.json").read_text())["seed"] == 1


def test_the_plan_goes_last_so_that_a_killed_clearing_leaves_a_run_s_folder(tmp_path, monkeypatch):
    claim(tmp_path / "run", RUN)
    fill(tmp_path / "run")
    (tmp_path / "run/record.json").write_text("{}")

    def killed(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.running.folder.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path / "run", RUN, fresh=True)
    monkeypatch.undo()
    assert not (tmp_path / "run/record.json").exists()
    claim(tmp_path / "run", RUN)


def test_what_a_kill_before_the_first_plan_leaves_stops_nobody(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/lock").write_text("4711")
    (tmp_path / "run/.plan.json.4711.tmp").write_text('{"har')
    claim(tmp_path / "run", RUN)
    assert json.loads((tmp_path / "run/plan.json").read_text()) == RUN


def test_a_replay_never_goes_on_from_earlier_scores(tmp_path):
    claim(tmp_path / "run", REPLAY)
    fill(tmp_path / "run")
    claim(tmp_path / "run", REPLAY)
    assert not (tmp_path / "run/videos").exists()
    with pytest.raises(UsageError, match="holds another run: plugin differ"):
        claim(tmp_path / "run", RUN)


def test_a_replay_does_not_clear_another_run(tmp_path):
    claim(tmp_path / "run", RUN)
    fill(tmp_path / "run")
    with pytest.raises(UsageError, match="holds another run: plugin differ"):
        claim(tmp_path / "run", REPLAY)
    with RunFolder(tmp_path / "run") as folder, pytest.raises(UsageError, match="holds the run of a method"):
        folder.refuse_method_run()
    assert (tmp_path / "run/masks/precious").exists()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_plan_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(UsageError, match=r"plan\.json is not readable"):
        claim(tmp_path, RUN)


def test_a_folder_that_cannot_be_made_is_a_problem_of_the_machine(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        claim(tmp_path / "file", RUN)
