"""A checkpoint is whole or not there; what is damaged, foreign or does not fit is refused by name."""

import errno
import os
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from harness.api.errors import ContractError, DataError, EnvironmentProblem, UsageError
from harness.training import checkpoint
from harness.training.checkpoint import State, write_weights
from harness.training.loop import Watch


@pytest.fixture
def finished(tiny):
    """A training that could go on, were there more to do."""
    tiny.train(validate="none")
    return tiny


def test_a_truncated_checkpoint_is_refused(finished):
    path = finished.folder / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="is no readable checkpoint") as caught:
        finished.train(validate="none")
    assert "--resume never" in str(caught.value)
    assert finished.train(validate="none", fresh=True).iterations == 12


def test_a_foreign_file_in_its_place_is_refused(finished):
    torch.save({"state_dict": {}}, finished.folder / "checkpoint.pt")
    with pytest.raises(DataError, match="found another kind of file, expected a checkpoint"):
        finished.train(validate="none")


def test_the_checkpoint_of_another_training_is_refused(finished, tmp_path):
    finished.train(out="other", validate="none", seed=1)
    (tmp_path / "other/checkpoint.pt").replace(finished.folder / "checkpoint.pt")
    with pytest.raises(UsageError, match="checkpoint of another training"):
        finished.train(validate="none")


def test_a_checkpoint_runs_no_code(finished, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"format": "harness.training/1", "key": Trap()}, finished.folder / "checkpoint.pt")
    with pytest.raises(DataError, match="is no readable checkpoint"):
        finished.train(validate="none")
    assert not (tmp_path / "sprung").exists()


def test_networks_that_changed_since_are_refused(finished):
    class Wider(finished.Learner):
        def networks(self):
            return super().networks() | {"layer": torch.nn.Linear(4, 1)}

    with pytest.raises(DataError, match=r"does not fit these networks \(.*size mismatch"):
        finished.train(finished.card(Wider), validate="none")


def test_a_full_disk_keeps_the_checkpoint_before_and_the_training_goes_on_from_it(tiny, tmp_path, monkeypatch):
    tiny.train(out="whole", validate="none")
    real, count = os.fsync, []

    def full_at_the_second_time(file):
        count.append(file)
        if len(count) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "fsync", full_at_the_second_time)
        patch.setattr(checkpoint, "write_weights", lambda *given: None)
        patch.setattr("harness.training.loop.write_weights", lambda *given: None)
        patch.setattr("harness.training.loop.append_line", lambda *given: None)
        patch.setattr("harness.training.loop.cut", lambda *given, **more: None)
        patch.setattr("harness.training.folder.write_atomically", lambda path, content: path.write_bytes(content))
        with pytest.raises(EnvironmentProblem, match=r"No space left.*the earlier one is kept"):
            tiny.train(validate="none", checkpoint_every=4)
    assert not list(tiny.folder.glob(".*"))
    assert torch.load(tiny.folder / "checkpoint.pt", weights_only=True)["iteration"] == 4
    tiny.train(validate="none")
    assert (tiny.folder / "last.safetensors").read_bytes() == (tmp_path / "whole/last.safetensors").read_bytes()


def test_weights_say_where_they_come_from(tiny, tests_tools):
    tiny.train(benchmark=tests_tools.tiny_benchmark(licence="CC-0"))
    with safe_open(tiny.folder / "best.safetensors", "pt") as weights:
        said = weights.metadata()
    assert {name: said[name] for name in ("method", "data", "data_licence", "iterations", "seed")} == {
        "method": "pixels",
        "data": "tiny",
        "data_licence": "CC-0",
        "iterations": "12",
        "seed": "0",
    }
    assert said["validation"] == "share 1.000000 on tiny"
    assert '"lr": 3.0' in said["config"]


def test_weights_that_share_memory_are_the_plugin_s_mistake(tmp_path):
    tensor = torch.zeros(2)
    with pytest.raises(ContractError, match=r"Learner.weights\(\) cannot be stored"):
        write_weights(tmp_path / "w.safetensors", {"a": tensor, "b": tensor}, {})


def test_equal_weights_make_equal_bytes(tmp_path):
    metadata = {letter: letter for letter in "abcdefgh"}
    for name in ("one", "two"):
        write_weights(tmp_path / name, {"b": torch.ones(3), "a": torch.zeros(1)}, metadata)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("facts", [{"Channel": "3"}, {"channel": 3}, {"channel": "x" * 10_001}, 3, ["channel"]])
def test_what_a_learner_says_that_is_no_fact_is_the_plugin_s_mistake(tiny, facts):
    class Says(tiny.Learner):
        def facts(self):
            return facts

    with pytest.raises(ContractError, match="the facts of pixels's learner cannot be stored"):
        tiny.train(tiny.card(Says), validate="none", config={"iterations": 1})


def test_a_checkpoint_of_a_stage_that_is_not_there_is_refused(finished):
    path = finished.folder / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    for change in ({"stage": "round-9"}, {"window": 3}, {"iteration": "many"}):
        torch.save(content | change, path)
        with pytest.raises(DataError, match="expected a checkpoint"):
            finished.train(validate="none")


def test_a_checkpoint_from_before_there_were_stages_is_taken_up(finished):
    path = finished.folder / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    torch.save({k: v for k, v in content.items() if k not in ("stage", "before", "best_stage")}, path)
    assert finished.train(validate="none").iterations == 12


def test_weights_that_a_kill_kept_from_being_written_at_the_end_are_written(finished):
    last = finished.folder / "last.safetensors"
    before = last.read_bytes()
    last.unlink()
    finished.train(validate="none")
    assert last.read_bytes() == before


@pytest.mark.parametrize("content", [b"junk", b"", None])
def test_last_weights_that_are_not_what_a_finished_training_left_are_told_and_written_anew(finished, content):
    last, notes = finished.folder / "last.safetensors", []
    before = last.read_bytes()
    finished.train(validate="none", watch=Watch(on_note=notes.append))
    assert notes == []
    last.write_bytes(content if content is not None else save({"weight": torch.ones(1, 3), "bias": torch.ones(1)}))
    finished.train(validate="none", watch=Watch(on_note=notes.append))
    assert notes == [f"{last} was not what the training ended with: it is written anew"]
    assert last.read_bytes() == before


@pytest.mark.parametrize("content", [b"junk", None])
def test_best_weights_that_are_lost_are_told_and_their_score_is_forgotten(tiny, content):
    first, notes = tiny.train(), []
    best = tiny.folder / "best.safetensors"
    assert tiny.train(watch=Watch(on_note=notes.append)).best == first.best == 1
    assert notes == []
    best.unlink()
    if content is not None:
        best.write_bytes(content)
    assert tiny.train(watch=Watch(on_note=notes.append)).best is None
    assert notes == [f"{best} is not what the best validation left: its score is forgotten"]


def test_better_weights_than_a_killed_training_knew_of_are_no_loss(tiny):
    tiny.train()
    known = {"best": 0.5, "best_iteration": 5, "best_sha256": "0" * 64}
    assert not State(iteration=11, validated=11, **known).forget_lost_best(tiny.folder / "best.safetensors")
    assert State(iteration=12, validated=12, **known).forget_lost_best(tiny.folder / "best.safetensors")


def rewrite(path, **changes):
    torch.save(torch.load(path, weights_only=True) | changes, path)


@pytest.mark.parametrize(
    ("iteration", "said"),
    [(10**9, "expected at most 12"), ("x", "ValueError"), (-1, "iteration -1"), (float("inf"), "OverflowError")],
)
def test_a_checkpoint_of_an_iteration_that_there_is_not_is_refused(finished, iteration, said):
    rewrite(finished.folder / "checkpoint.pt", iteration=iteration)
    with pytest.raises(DataError, match=said):
        finished.train(validate="none")


def test_a_checkpoint_with_nan_is_refused(finished):
    path = finished.folder / "checkpoint.pt"
    networks = torch.load(path, weights_only=True)["networks"]
    next(iter(next(iter(networks.values())).values())).fill_(float("nan"))
    rewrite(path, networks=networks)
    with pytest.raises(DataError, match="NaN or infinity in"):
        finished.train(validate="none")


def test_an_optimiser_with_nan_is_refused(finished):
    path = finished.folder / "checkpoint.pt"
    optimizer = torch.load(path, weights_only=True)["optimizer"]
    optimizer["state"][0]["momentum_buffer"].fill_(float("inf"))
    rewrite(path, optimizer=optimizer)
    with pytest.raises(DataError, match="NaN or infinity in momentum_buffer of the optimiser's state 0"):
        finished.train(validate="none")


def test_a_checkpoint_that_would_inflate_is_refused_unread(finished):
    path = finished.folder / "checkpoint.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(DataError, match="a compressed entry"):
        finished.train(validate="none")


def test_a_pipe_in_place_of_a_checkpoint_is_not_waited_for(finished):
    (finished.folder / "checkpoint.pt").unlink()
    os.mkfifo(finished.folder / "checkpoint.pt")
    with pytest.raises(UsageError, match=r"checkpoint.pt is a pipe"):
        finished.train(validate="none")
