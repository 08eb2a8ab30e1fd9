"""A training in stages: each is prepared once, begins with what the one before learnt, and survives a kill anywhere."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from harness.api.errors import DataError, MethodFailed, PluginError, UsageError
from harness.api.learning import Stage, Training
from harness.training.loop import Watch


def test_a_round_begins_with_what_the_one_before_learnt(rounds):
    trained = rounds.train(log_every=6)
    assert [(line["stage"], line["iteration"]) for line in trained.lines] == [("motion", 6), ("again", 6)]
    assert trained.iterations == 12
    assert trained.best is None
    assert (rounds.folder / "stage-again.safetensors").read_bytes() == (rounds.folder / "last.safetensors").read_bytes()
    moved = np.load(rounds.folder / "artefacts/motion/first.npy")
    changes = np.diff(squares().astype(int), axis=0) != 0
    assert moved.tolist() == np.concatenate([changes, changes[-1:]]).tolist()
    assert not (rounds.folder / "artefacts/again.begun").exists()


def squares():
    masks = np.zeros((5, 8, 8), np.uint8)
    for t in range(5):
        masks[t, 2:5, 1 + t : 4 + t] = 1
    return masks


def test_the_method_finds_the_square_and_is_told_its_threshold(rounds):
    rounds.train(iterations=40)
    with safe_open(rounds.folder / "last.safetensors", "pt") as weights:
        said = weights.metadata()
    assert said["stage"] == "again"
    assert said["iterations"] == "80"
    assert 0 < float(said["fact.threshold"]) <= 0.5
    network = rounds.example.load(rounds.example.new_network(), rounds.folder / "last.safetensors")
    method = rounds.example.Colours(network, float(said["fact.threshold"]))
    video = [torch.from_numpy(np.repeat(mask[..., None] * np.uint8(200), 3, axis=2)) for mask in squares()]
    assert [mask.tolist() for mask in method.segment_object(video)] == squares().tolist()


class Stopped(KeyboardInterrupt):
    """What stands in for a kill where the moment is named."""


@pytest.mark.parametrize("moment", ["motion", "again"])
def test_what_a_killed_preparation_wrote_is_kept_and_not_made_again(rounds, tmp_path, moment):
    rounds.train(out="whole")
    made = []

    def stages(config, stop):
        def count(context, progress):
            def stop_after_the_first(done, total):
                made.append((context.stage, done))
                if stop and context.stage == moment and done == 1:
                    raise Stopped

            stage = next(stage for stage in rounds.example.stages(config) if stage.name == context.stage)
            before = sorted(path.name for path in context.artefacts.iterdir())
            stage.prepare(context, stop_after_the_first)
            made.append((context.stage, before))

        return [replace(stage, prepare=count) for stage in rounds.example.stages(config)]

    with pytest.raises(Stopped):
        rounds.train(lambda config: stages(config, stop=True))
    rounds.train(lambda config: stages(config, stop=False))
    assert (moment, ["first.npy"]) in made
    assert rounds.content_of(rounds.folder) == rounds.content_of(tmp_path / "whole")


def test_a_finished_stage_is_neither_prepared_nor_trained_again(rounds):
    rounds.train()

    def stages(config):
        refuse = {"prepare": lambda *given: pytest.fail("prepared"), "build": lambda *given: pytest.fail("built")}
        first, second = rounds.example.stages(config)
        return [replace(first, **refuse), replace(second, prepare=refuse["prepare"])]

    assert rounds.train(stages).iterations == 12


def test_stop_after_a_stage_and_go_on_another_time(rounds, tmp_path):
    rounds.train(out="whole")
    assert rounds.train(stop_after="motion").iterations == 6
    assert not (rounds.folder / "artefacts/again").exists()
    assert rounds.train(stop_after="motion").iterations == 6
    assert rounds.train(stop_after="again").iterations == 12
    assert rounds.content_of(rounds.folder) == rounds.content_of(tmp_path / "whole")


def test_each_stage_can_be_given_weights_to_begin_from(rounds, tmp_path):
    rounds.train(out="first", iterations=40)
    init = tmp_path / "first/last.safetensors"
    seen = {}

    def stages(config):
        def watch(context):
            seen[context.stage] = (context.weights, context.earlier and context.earlier.name)
            return rounds.example.Learner(context)

        return [replace(stage, build=watch) for stage in rounds.example.stages(config)]

    rounds.train(stages, init=init, stage_init={"again": init})
    assert seen == {"motion": (init, None), "again": (init, "stage-motion.safetensors")}
    described = json.loads((rounds.folder / "train.json").read_text())["depends_on"]
    assert described["stages"] == ["motion", "again"]
    assert described["stage_init"] == {"again": described["init"]}
    with pytest.raises(UsageError, match="stage_init: there "):
        rounds.train(init=init)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"stop_after": "agian"}, "has no stage 'agian' .did you mean 'again'"),
        ({"stage_init": {"round-3": Path(__file__)}}, "has no stage 'round-3'"),
        ({"init": Path(__file__), "stage_init": {"motion": Path(__file__)}}, "names two files for motion"),
    ],
)
def test_a_stage_that_is_not_there_is_refused(rounds, asked, reason):
    with pytest.raises(UsageError, match=reason):
        rounds.train(**asked)


def test_a_training_without_stages_has_none_to_stop_after(tiny):
    with pytest.raises(UsageError, match="the training of pixels has no stages; found 'motion'"):
        tiny.train(stop_after="motion")


@pytest.fixture
def prepared(rounds):
    """A training that stopped after its first stage, with something in it that nobody would prepare again."""
    rounds.train(stop_after="motion")
    (rounds.folder / "artefacts/motion/left.npy").write_bytes(b"old")
    return rounds


def go_on(rounds, **asked):
    """What is said while a training goes on."""
    told = []
    rounds.train(watch=Watch(on_note=told.append), **asked)
    return told


def test_what_was_prepared_stays_while_nothing_changed(prepared):
    assert go_on(prepared, stop_after="motion") == []
    assert (prepared.folder / "artefacts/motion/left.npy").exists()


def test_what_other_code_prepared_is_made_anew_and_that_is_said(prepared, monkeypatch):
    monkeypatch.setattr("harness.training.preparation.code_digest", lambda module: "f" * 64)
    told = go_on(prepared, stop_after="motion")
    assert told == ["motion: what was prepared is made anew, as its code changed", "preparing motion"]
    assert sorted(path.name for path in (prepared.folder / "artefacts/motion").iterdir()) == ["first.npy", "second.npy"]


def test_half_of_what_other_code_prepared_is_not_taken_for_half_of_this(prepared, monkeypatch):
    done = prepared.folder / "artefacts/motion.done"
    done.rename(done.with_suffix(".begun"))
    monkeypatch.setattr("harness.training.preparation.code_digest", lambda module: "f" * 64)
    assert go_on(prepared, stop_after="motion")[0] == "motion: what was prepared is made anew, as its code changed"
    assert not (prepared.folder / "artefacts/motion/left.npy").exists()


def test_what_was_prepared_with_other_weights_is_made_anew(prepared):
    prepared.train()
    left, weights = prepared.folder / "artefacts/again/left.npy", prepared.folder / "stage-motion.safetensors"
    left.write_bytes(b"old")
    weights.write_bytes(weights.read_bytes().replace(b'"seed":"0"', b'"seed":"9"'))
    assert go_on(prepared)[0] == "again: what was prepared is made anew, as its earlier weights changed"
    assert not left.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"sha256": "0", "made_from": {"code": "1"}}', "[" * 9999])
def test_a_note_that_cannot_be_believed_makes_anew(prepared, content):
    (prepared.folder / "artefacts/motion.done").write_text(content)
    told = go_on(prepared, stop_after="motion")
    assert told[0] == "motion: what was prepared is made anew, nobody knows from what it was made"
    assert not (prepared.folder / "artefacts/motion/left.npy").exists()


def test_a_folder_that_is_gone_is_prepared_again(prepared):
    shutil.rmtree(prepared.folder / "artefacts/motion")
    assert go_on(prepared, stop_after="motion") == ["preparing motion"]
    assert (prepared.folder / "artefacts/motion/first.npy").exists()


def test_weights_of_an_earlier_stage_that_are_lost_are_named(rounds):
    rounds.train(stop_after="motion")
    (rounds.folder / "stage-motion.safetensors").unlink()
    with pytest.raises(
        DataError, match=r"stage-motion.safetensors: found nothing, expected the weights that the stage"
    ):
        rounds.train()


@pytest.mark.parametrize(
    "name", ["artefacts", "artefacts/motion", "artefacts/motion.begun", "stage-motion.safetensors"]
)
@pytest.mark.parametrize("fresh", [True, False])
def test_a_link_in_place_of_what_a_stage_writes_is_not_written_through(prepared, tmp_path, name, fresh):
    elsewhere, link = tmp_path / "elsewhere", prepared.folder / name
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.write_text("precious")
    link.symlink_to(elsewhere)
    before = sorted(str(path) for path in elsewhere.rglob("*"))
    if fresh and name.startswith(
        "artefacts/"
    ):  # the folder is thrown away, with the link and not with what it leads to
        prepared.train(fresh=True, stop_after="motion")
    else:
        with pytest.raises(UsageError, match=r"is a link to .*nothing was touched"):
            prepared.train(fresh=fresh, stop_after="motion")
    assert sorted(str(path) for path in elsewhere.rglob("*")) == before


def test_fresh_throws_artefacts_and_stages_away_and_nothing_else(rounds):
    rounds.train()
    (rounds.folder / "notes.txt").write_text("mine")
    rounds.train(fresh=True, seed=1, stop_after="motion")
    assert not (rounds.folder / "stage-again.safetensors").exists()
    assert not (rounds.folder / "artefacts/again").exists()
    assert (rounds.folder / "notes.txt").read_text() == "mine"


def test_batches_made_by_other_processes_see_what_was_prepared(rounds, tmp_path):
    rounds.train(out="whole")
    rounds.train(workers=1)
    assert rounds.content_of(rounds.folder) == rounds.content_of(tmp_path / "whole")


def refuse(*given):
    raise RuntimeError("no such layer")


@pytest.mark.parametrize(
    ("stages", "error", "reason"),
    [
        (lambda config: [], PluginError, "has no stage among its stages"),
        (lambda config: [{"name": "motion"}], PluginError, "has a dict among its stages"),
        (refuse, PluginError, "cannot tell its stages: RuntimeError: no such layer"),
        (lambda config: None, PluginError, "cannot tell its stages: TypeError"),
        (lambda config: [Stage("a", refuse)] * 2, PluginError, "two stages of one name: a, a"),
        (lambda config: [Stage("../up", refuse)], PluginError, "a stage named '../up'"),
        (lambda config: [Stage("/etc", refuse)], PluginError, "a stage named '/etc'"),
        (lambda config: [Stage("", refuse)], PluginError, "a stage named ''"),
        (lambda config: [Stage("a.done", refuse)], PluginError, "a stage named 'a.done'"),
        (lambda config: [Stage("a\n", refuse)], PluginError, "a stage named"),
        (lambda config: [Stage(None, refuse)], PluginError, "a stage named None"),
        (lambda config: [Stage("a", refuse)], MethodFailed, "stage a of the training of pixels failed while it was b"),
        (lambda config: [Stage("a", refuse, refuse)], MethodFailed, "stage a of .* failed while it was prepared: Runt"),
        (lambda config: [Stage("a", lambda context: 3)], PluginError, "built a int, expected a Learner"),
    ],
)
def test_stages_that_cannot_be_are_refused(rounds, stages, error, reason):
    with pytest.raises(error, match=reason):
        rounds.train(stages)


def test_an_error_of_the_data_while_preparing_stays_one(rounds):
    def prepare(context, progress):
        raise DataError.at("00003.jpg", found="half an image", expected="an image")

    with pytest.raises(DataError, match=r"00003.jpg: found half an image"):
        rounds.train(lambda config: [Stage("a", refuse, prepare)])


def test_ctrl_c_stops_a_preparation_where_it_stands(rounds):
    def prepare(context, progress):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it went on")

    with pytest.raises(KeyboardInterrupt):
        rounds.train(lambda config: [Stage("a", refuse, prepare)])


def test_a_training_has_build_or_stages():
    for given in ({}, {"build": refuse, "stages": refuse}):
        with pytest.raises(ValueError, match="either build or stages"):
            Training(**given)
    with pytest.raises(ValueError, match="needs 'flow' and choose 'best'; expected one of"):
        Training(refuse, needs="flow")


def test_a_context_without_stages_has_no_artefacts(tiny):
    contexts = []

    class Watched(tiny.Learner):
        def __init__(self, context):
            contexts.append(context)
            super().__init__(context)

    tiny.train(tiny.card(Watched), config={"iterations": 1}, validate="none")
    assert (contexts[0].stage, contexts[0].earlier, contexts[0].artefacts) == ("", None, None)
    with pytest.raises(ValueError, match="without stages prepares nothing"):
        contexts[0].artefacts_of("motion")


def test_a_stage_finds_what_an_earlier_one_prepared(rounds):
    found = []

    def stages(config):
        first, second = rounds.example.stages(config)
        return [first, replace(second, build=lambda context: found.append(context.artefacts_of("motion")) or refuse())]

    with pytest.raises(MethodFailed, match="stage again"):
        rounds.train(stages)
    assert found == [rounds.folder / "artefacts/motion"]


def test_iterations_are_shown_over_the_stages(rounds):
    seen, stages = [], []
    watch = Watch(on_iteration=lambda done, total: seen.append((done, total)), on_stage=stages.append)
    rounds.train(watch=watch, iterations=2)
    assert seen == [(1, 2), (2, 2), (3, 4), (4, 4)]
    assert stages == ["motion (1 of 2)", "again (2 of 2)"]
