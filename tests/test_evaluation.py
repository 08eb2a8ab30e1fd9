"""``harness.run`` and ``harness.score``: what the commands do, typed, silent, with the commands' errors."""

import json
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest

import harness
from harness.api.contracts import Method
from harness.api.errors import (
    ContractError,
    DataError,
    EnvironmentProblem,
    IncompletePredictions,
    MethodFailed,
    PluginError,
    UsageError,
)
from harness.api.mask_files import write_mask
from harness.catalog import Catalog
from harness.cli import main
from harness.evaluation import Outcome, Silence


@dataclass(frozen=True)
class Constants:
    """One constant of each kind."""

    x: float = 0.0
    deep: bool = False
    words: str = ""
    sizes: tuple[int, ...] = ()


class Stays:
    """Masks that do not move."""

    def propagate(self, video, prompts):
        for _ in range(len(video)):
            yield prompts[0]


class Falls(Stays):
    """Fails on every video."""

    def propagate(self, video, prompts):
        yield prompts[0]
        raise RuntimeError("out of luck")


@pytest.fixture
def place(tmp_path, monkeypatch, tests_tools):
    """An empty folder in which ``stays`` and ``falls`` and the benchmark ``tiny`` are all that is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_RUNS", raising=False)
    methods = [
        Method(name="stays", tasks=("one-shot",), build=lambda context: Stays(), config=Constants),
        Method(name="falls", tasks=("one-shot",), build=lambda context: Falls()),
    ]
    catalog = tests_tools.catalog_of(*methods)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls, points=None: catalog))
    return tmp_path


def test_a_run_gives_its_record_scores_and_folder_and_prints_nothing(place, capsys):
    outcome = harness.run("stays", "tiny", out=place / "run")
    assert isinstance(outcome, Outcome)
    # A 3 x 3 square that moves one pixel a frame covers 3 (t = 0), 2, 1, 0 and 0 of its first columns.
    wrong = [0, 6, 12, 18, 18]
    assert outcome.scores["share"] == pytest.approx(np.mean([1 - pixels / 64 for pixels in wrong]))
    assert outcome.record.benchmark.videos_done == 2
    assert (outcome.exit_code, outcome.folder, outcome.masks) == (0, place / "run", place / "run/masks")
    outcome.raise_failures()
    assert json.loads((place / "run/record.json").read_text())["id"] == outcome.record.id
    assert capsys.readouterr() == ("", "")


def test_finished_videos_are_reused_unless_they_must_not_be(place):
    harness.run("stays", "tiny", out="run")
    assert harness.run("stays", "tiny", out="run").record.reused == ["first", "second"]
    assert harness.run("stays", "tiny", out="run", resume="never").record.reused == []


def test_the_folder_is_the_command_s_own_choice_where_none_is_named(place, capsys):
    outcome = harness.run("stays", "tiny")
    with pytest.raises(SystemExit) as stop:
        main(["run", "--plugin", "stays", "--bench", "tiny", "--json"])
    assert stop.value.code == 0
    assert f"run folder {outcome.folder}\n" in capsys.readouterr().err


def test_a_video_that_fails_is_in_the_record_and_is_raised_when_asked(place):
    outcome = harness.run("falls", "tiny", out="run")
    assert [failure.kind for failure in outcome.record.failures] == ["crashed", "crashed"]
    assert outcome.exit_code == MethodFailed.exit_code
    with pytest.raises(MethodFailed, match=r"first: crashed: .*out of luck"):
        outcome.raise_failures()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("data", DataError),
        ("contract", ContractError),
        ("timed-out", MethodFailed),
        ("incomplete", IncompletePredictions),
    ],
)
def test_every_kind_of_failure_is_the_error_of_its_exit_code(place, kind, error):
    outcome = harness.run("falls", "tiny", out="run")
    failure = outcome.record.failures[0].model_copy(update={"kind": kind})
    with pytest.raises(error):
        replace(outcome, record=outcome.record.model_copy(update={"failures": [failure]})).raise_failures()


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"plugin": "stay"}, PluginError, "did you mean 'stays'"),
        ({"bench": "tinny"}, UsageError, "did you mean 'tiny'"),
        ({"executor": "inlin"}, UsageError, "did you mean 'inline'"),
        ({"rule": "davis-2106"}, UsageError, "did you mean"),
        ({"device": "tpu"}, EnvironmentProblem, "'tpu' is not known"),
        ({"limit": 0}, UsageError, "leaves nothing to run"),
        ({"constants": {"tau": 1}}, UsageError, "no constant 'tau'"),
        ({"constants": ["tau"]}, UsageError, "not of the form key=value"),
    ],
)
def test_wrong_calls_raise_what_the_command_prints(place, capsys, wrong, error, said):
    with pytest.raises(error, match=said):
        harness.run(**{"plugin": "stays", "bench": "tiny", "out": "run"} | wrong)
    assert not (place / "run").exists()
    assert capsys.readouterr() == ("", "")


def test_constants_are_those_of_the_config(place):
    by_name = harness.run(
        "stays", "tiny", out="a", constants={"x": 1.5, "deep": True, "words": 'say "a"', "sizes": [1, 2]}
    )
    as_typed = harness.run("stays", "tiny", out="b", constants=["x=1.5", "deep=true", 'words=say "a"', "sizes=[1, 2]"])
    assert by_name.record.config == as_typed.record.config
    assert by_name.record.config == {"x": 1.5, "deep": True, "words": 'say "a"', "sizes": [1, 2]}


def test_torch_has_its_threads_again_after_a_run(place):
    import torch

    before = torch.get_num_threads()
    outcome = harness.run("stays", "tiny", out="run", threads=before + 1)
    assert outcome.record.conditions.threads == before + 1
    assert torch.get_num_threads() == before


def test_a_watcher_is_told_plan_frames_and_videos(place):
    told = []

    class Told(Silence):
        def frame(self, video, done, length):
            told.append((video, done, length))

        def video(self, outcome, reused):
            told.append((outcome.video, reused))

    def watch(plan, folder):
        told.append((plan.method.name, folder.name))
        return nullcontext(Told())

    harness.run("stays", "tiny", out=place / "run", videos=["first"], watch=watch)
    assert told == [("stays", "run"), *(("first", t, 5) for t in range(1, 6)), ("first", False)]


@pytest.fixture
def predictions(place, tests_tools):
    """Perfect masks of both videos."""
    for video in ("first", "second"):
        (place / "masks" / video).mkdir(parents=True)
        for t in range(5):
            write_mask(place / "masks" / video / f"{t:05d}.png", tests_tools.moving_square(t))
    return place / "masks"


def test_scoring_gives_a_record_and_keeps_nothing_unless_told(place, predictions, capsys):
    outcome = harness.score(predictions, "tiny", task="one-shot")
    assert (outcome.scores, outcome.folder, outcome.masks) == ({"share": 1.0}, None, None)
    assert sorted(path.name for path in place.iterdir()) == ["masks"]
    kept = harness.score("masks", "tiny", out="scores")
    assert (kept.folder / "record.json").is_file()
    assert capsys.readouterr() == ("", "")


def test_scoring_raises_what_the_command_prints(place, predictions):
    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        harness.score(predictions, "tinny")
    with pytest.raises(UsageError, match="holds the predictions"):
        harness.score(predictions, "tiny", out=place)
    (predictions / "first/00002.png").unlink()
    with pytest.raises(IncompletePredictions, match="1 mask is missing"):
        harness.score(predictions, "tiny")


def test_the_face_has_no_name_that_is_not_there():
    with pytest.raises(AttributeError, match="'harness' has no attribute 'rnu'"):
        harness.rnu  # noqa: B018
