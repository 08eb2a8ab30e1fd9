"""A session opened from a recipe makes what one here makes; what is not equal is refused, and so is what it sends."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.api.errors import DataError, UsageError, VerificationFailed
from harness.api.records import VideoFailure, VideoResult
from harness.catalog import Catalog
from harness.hosting.apart import plan_request
from harness.planning.request import Request
from harness.running.away import Away, open_away
from harness.running.recipe import RunRecipe
from harness.running.runner import Sessions

VIDEO = "small-cross"


@pytest.fixture(scope="module")
def catalog():
    return Catalog.load()


@pytest.fixture(scope="module")
def plan(catalog):
    request = Request(plugin="copyfirst", bench="mini-small", task="one-shot", videos=(VIDEO,), executor="ray")
    return plan_request(request, catalog)


@pytest.fixture
def recipe(plan, catalog, tmp_path):
    return RunRecipe(plan, catalog, tmp_path / "run")


@pytest.fixture(scope="module")
def sent(plan, catalog, tmp_path_factory):
    """What a session elsewhere sends of the video."""
    text = RunRecipe(plan, catalog, tmp_path_factory.mktemp("sent")).text
    return open_away(text).work_through(VIDEO)


def test_what_comes_back_is_what_a_session_here_makes(plan, catalog, recipe, sent, tmp_path):
    here = Sessions(plan, catalog, tmp_path / "here").open().work_through(VIDEO)
    there = recipe.receive(VIDEO, *sent)
    assert isinstance(there, VideoResult)
    assert there.model_dump(exclude={"timing"}) == here.model_dump(exclude={"timing"})
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / run / "masks" / VIDEO).iterdir()}
        for run in ("run", "here")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == there.length
    assert recipe.conditions.executor == "ray"


def test_a_cpu_that_others_may_use_gives_no_clocks(recipe, sent):
    assert recipe.receive(VIDEO, *sent).timing.model == []


def test_a_whole_gpu_gives_clocks(plan, sent, monkeypatch):
    result = json.loads(sent[0])["outcome"] | {"timing": {"model": [0.1], "e2e": [0.2]}}
    asked = replace(plan, request=replace(plan.request, device="cuda:0"))
    session = SimpleNamespace(
        plan=asked, odd=(), files=[], work_through=lambda video: VideoResult.model_validate_json(json.dumps(result))
    )
    told = json.loads(sent[0])["conditions"]
    monkeypatch.setattr("harness.running.away.conditions", lambda device, *given, **more: told | {"device": device})
    answer = json.loads(Away(session).work_through(VIDEO)[0])
    assert answer["outcome"]["timing"]["model"] == [0.1]
    assert answer["conditions"]["device"] == "cuda:0"


def test_text_and_bytes_are_all_that_is_sent(sent):
    answer, files = sent
    assert isinstance(answer, str)
    assert {type(part) for file in files for part in file} == {str, bytes}


@pytest.mark.parametrize("key", ["plugin", "harness_code", "weights", "config", "torch", "machine", "threads"])
def test_a_node_with_something_else_is_refused_by_name(recipe, key):
    spoilt = json.loads(recipe.text)
    spoilt["key_parts"][key] = "another"
    with pytest.raises(
        UsageError, match=f"would not make what the run's machine makes: {key}: here .* there 'another'"
    ):
        open_away(json.dumps(spoilt))


def test_a_folder_that_a_node_lacks_is_named(recipe, tmp_path):
    spoilt = json.loads(recipe.text) | {"folder": str(tmp_path / "gone")}
    with pytest.raises(DataError, match="gone: found No such file"):
        open_away(json.dumps(spoilt))


def test_data_that_a_node_lacks_are_named(recipe, tmp_path):
    spoilt = json.loads(recipe.text)
    spoilt["request"] |= {"bench": "davis17-val", "data_root": str(tmp_path / "DAVIS"), "videos": []}
    with pytest.raises(DataError, match="DAVIS"):
        open_away(json.dumps(spoilt))


def change(answer, **fields):
    told = json.loads(answer)
    return json.dumps(told | {"outcome": told["outcome"] | fields})


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"key": "1" * 64}, VerificationFailed, "under the key of another run"),
        ({"video": "small-crowd"}, VerificationFailed, "asked for small-cross answered of 'small-crowd'"),
        ({"masks": "masks/../.."}, VerificationFailed, "sent 24 files"),
        ({"length": "many"}, VerificationFailed, "makes no sense"),
    ],
)
def test_an_answer_that_is_not_of_this_run_is_refused_and_nothing_written(recipe, sent, fields, error, words):
    with pytest.raises(error, match=words):
        recipe.receive(VIDEO, change(sent[0], **fields), sent[1])
    assert not recipe.out.exists()


@pytest.mark.parametrize("files", [[], [("../../evil.png", b"")] * 24])
def test_files_that_are_not_one_a_frame_are_refused_and_none_written(recipe, sent, files):
    with pytest.raises(VerificationFailed, match=f"sent {len(files)} files"):
        recipe.receive(VIDEO, sent[0], files)
    assert not recipe.out.exists()


def test_data_of_a_node_that_are_not_those_here_are_refused(plan, recipe, sent):
    other = replace(plan.samples[0], digest=lambda: "5" * 64)
    recipe.plan = replace(plan, samples=[other])
    with pytest.raises(DataError, match="the worker's node has other data than lie here"):
        recipe.receive(VIDEO, *sent)


def test_a_failure_comes_back_as_it_is(recipe):
    failure = VideoFailure(video=VIDEO, kind="contract", message="copyfirst: 3 masks")
    answer = json.dumps({"outcome": failure.model_dump()})
    assert recipe.receive(VIDEO, answer, []) == failure


def test_what_has_to_stay_here_is_refused(plan, catalog, tmp_path):
    shown = replace(plan, method=replace(plan.method, replays=True))
    with pytest.raises(UsageError, match="shows masks by their real names"):
        Sessions(shown, catalog, tmp_path).recipe()


def test_an_address_is_for_who_has_a_cluster(plan, catalog, tmp_path):
    asked = replace(plan, request=replace(plan.request, executor="inline", address="head:6379"))
    with pytest.raises(UsageError, match="executor inline cannot do --address head:6379"):
        Sessions(asked, catalog, tmp_path).open()


def test_a_video_may_take_what_its_frames_may(recipe):
    assert recipe.seconds_for(VIDEO) == 600 + 23 * 120
