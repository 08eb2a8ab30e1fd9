"""A run's folder: what it may be, what it throws away, and what a kill leaves."""

import errno
import json
import os

import pytest

from harness.api.errors import EnvironmentProblem, UsageError
from harness.api.records import VideoResult, VideoScores, VideoTiming
from harness.files import digest_of
from harness.planning.plan import key_of_video
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

    def kill(path, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.running.folder.shutil.rmtree", kill)
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


@pytest.mark.parametrize("name", ["plan.json", "record.json", "videos", "masks", "tracks", "logs", "lock"])
def test_a_link_in_a_run_s_folder_is_refused_and_what_it_leads_to_is_left_alone(tmp_path, name):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("years of work")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(mine if name in ("videos", "masks", "tracks", "logs") else mine / "precious")
    for fresh in (False, True):
        with pytest.raises(UsageError, match=f"{name} is (a link to|no plain file)"):
            claim(tmp_path / "run", RUN, fresh=fresh)
    assert (mine / "precious").read_text() == "years of work"


def test_a_link_in_place_of_one_video_s_masks_is_refused(tmp_path):
    claim(tmp_path / "run", RUN)
    (tmp_path / "run/masks").mkdir()
    (tmp_path / "run/masks/a").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="masks/a is a link"):
        claim(tmp_path / "run", RUN)
    (tmp_path / "run/masks/a").unlink()
    claim(tmp_path / "run", RUN)  # the lock was given back


def test_what_killed_writers_left_is_swept(tmp_path):
    claim(tmp_path / "run", RUN)
    left = [".plan.json.1.tmp", "videos/.v0.json.1.tmp", "tracks/.v0.json.1.tmp", "masks/.v0.building/00000.png"]
    for name in left:
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_bytes(b"half")
    claim(tmp_path / "run", RUN)
    assert not any((tmp_path / "run" / name).exists() for name in left)


def store(path, **changes):
    scores = {"m": VideoScores(metric="m", series={"J": {"1": [0.5, None, 1.0]}}, summary={"1": {"J-mean": 0.75}})}
    given = {"video": "a", "key": "", "digest": "", "length": 1, "height": 2, "width": 2, "masks": "masks/a"}
    (path / "masks/a").mkdir(parents=True, exist_ok=True)
    (path / "masks/a/00000.png").write_bytes(b"mask")
    RunFolder(path).append(VideoResult(**{**given, "scores": scores, **changes}))
    return path / "videos/a.json"


def test_a_result_is_reused_as_it_was_written(tmp_path):
    store(tmp_path)
    assert RunFolder(tmp_path).read_result("a").scores["m"].summary == {"1": {"J-mean": 0.75}}


@pytest.mark.parametrize("old", ["0.75", "0.5", '"length":1'])
def test_an_edited_result_is_not_reused(tmp_path, old):
    path = store(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, old[:-1] + "8"))
    assert RunFolder(tmp_path).read_result("a") is None


@pytest.mark.parametrize("name", ["00000.png", "00001.png"])
def test_a_result_whose_masks_were_touched_is_not_reused(tmp_path, name):
    store(tmp_path)
    (tmp_path / "masks/a" / name).write_bytes(b"junk")
    assert RunFolder(tmp_path).read_result("a") is None


def test_a_result_whose_summary_contradicts_its_series_is_not_reused(tmp_path):
    scores = {"m": VideoScores(metric="m", series={"J": {"1": [0.5, 1.0]}}, summary={"1": {"J-mean": 0.98}})}
    store(tmp_path, scores=scores)
    assert RunFolder(tmp_path).read_result("a") is None


def test_masks_of_a_result_lie_in_its_own_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    store(tmp_path / "run", masks="../mine")
    assert RunFolder(tmp_path / "run").read_result("a") is None


def test_a_pipe_in_place_of_the_plan_is_not_waited_for(tmp_path):
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run/plan.json")
    with pytest.raises(UsageError, match="a pipe"):
        claim(tmp_path / "run", RUN)


HERE = {**RUN, "machine": "CPU A", "threads": 4, "torch": "2.13.0", "workers": 2}
THERE = {**RUN, "machine": "CPU B", "threads": 2, "torch": "2.14.0"}


def test_a_run_goes_on_elsewhere_with_its_masks_and_scores_and_without_its_clocks(tmp_path):
    claim(tmp_path, HERE)
    digest, timing = "d" * 64, VideoTiming(model=[0.5], e2e=[0.75])
    store(tmp_path, key=key_of_video(digest_of(HERE), "a", digest), digest=digest, timing=timing)
    with pytest.raises(UsageError, match=r"machine, threads, torch, workers differ .*\n.*--resume elsewhere to keep"):
        claim(tmp_path, THERE)
    assert RunFolder(tmp_path).read_result("a").timing == timing
    with RunFolder(tmp_path) as folder:
        told = folder.claim(THERE, fresh=False, elsewhere=True)
        result = folder.read_result("a")
    assert "1 videos are kept, their clocks are dropped (machine: there 'CPU A', now 'CPU B'; threads: there 4" in told
    assert result.timing == VideoTiming()
    assert result.scores["m"].summary == {"1": {"J-mean": 0.75}}
    assert result.key == key_of_video(digest_of(THERE), "a", digest)
    claim(tmp_path, THERE)
    with RunFolder(tmp_path) as folder:
        assert folder.claim(THERE, fresh=False, elsewhere=True) == ""


def test_a_result_of_yet_another_run_is_not_taken_elsewhere(tmp_path):
    claim(tmp_path, HERE)
    store(tmp_path, key="b" * 64)
    with RunFolder(tmp_path) as folder:
        assert "of 0 videos" in folder.claim(THERE, fresh=False, elsewhere=True)
        assert folder.read_result("a").key == "b" * 64


def test_what_is_not_the_machine_s_may_not_differ_elsewhere_either(tmp_path):
    claim(tmp_path, HERE)
    with (
        RunFolder(tmp_path) as folder,
        pytest.raises(UsageError, match=r"seed, .* differ \(seed: there 0, now 1") as why,
    ):
        folder.claim({**THERE, "seed": 1}, fresh=False, elsewhere=True)
    assert "elsewhere" not in str(why.value)


def lock_that_fails(number):
    def take(file, how):
        raise OSError(number, os.strerror(number))

    return take


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.files.fcntl.flock", lock_that_fails(errno.ENOSYS))
    monkeypatch.setattr("harness.files.fcntl.lockf", lock_that_fails(errno.ENOLCK))
    with pytest.warns(RuntimeWarning, match="without locks"):
        claim(tmp_path / "run", RUN)


def test_one_with_locks_of_the_other_kind_is_used_as_any(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.files.fcntl.flock", lock_that_fails(errno.ENOSYS))
    claim(tmp_path / "run", RUN)


def test_only_a_lock_that_is_held_means_another_run(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.files.fcntl.flock", lock_that_fails(errno.EWOULDBLOCK))
    with pytest.raises(UsageError, match="another run"):
        claim(tmp_path / "run", RUN)
