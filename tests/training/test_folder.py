"""One folder holds one training: another one, a second at once and foreign files are refused; code may change."""

import json

import pytest

from harness.api.errors import UsageError
from harness.training.folder import TrainingFolder
from harness.training.loop import Watch


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        ({"seed": 1}, "seed: there 0, now 1"),
        ({"config": {"lr": 0.25}}, r"config lr: there 3.0, now 0.25"),
        ({"iterations": 13}, r"config iterations: there 12, now 13"),
        ({"precision": "bf16"}, "precision: there 'fp32', now 'bf16'"),
        ({"videos": ("first",)}, r"sample_count: there 2, now 1; samples: .*; videos: there \[\], now \['first'\]"),
    ],
)
def test_another_training_is_refused_with_what_differs_until_fresh(tiny, asked, difference):
    tiny.train(validate="none")
    with pytest.raises(UsageError, match=f"holds another training .*{difference}"):
        tiny.train(validate="none", **asked)
    assert tiny.train(validate="none", fresh=True, **asked).iterations == asked.get("iterations", 12)


def test_changed_data_are_refused(tiny, tests_tools):
    tiny.train(validate="none")
    other = tests_tools.tiny_benchmark(
        [tests_tools.tiny_sample(n, digest=lambda: "f" * 64) for n in ("first", "second")]
    )
    with pytest.raises(UsageError, match=r"another training \(samples: there"):
        tiny.train(validate="none", benchmark=other)


def test_validation_and_logging_may_change_when_it_goes_on(tiny):
    tiny.train(validate="none")
    assert tiny.train(log_every=3, checkpoint_every=7, workers=0).best == 1


def test_two_trainings_at_once_in_one_folder_refuse_each_other(tiny):
    with TrainingFolder(tiny.folder), pytest.raises(UsageError, match=r"another training .process \d+. is writing"):
        tiny.train()


def test_a_folder_with_other_things_in_it_is_refused(tiny):
    tiny.folder.mkdir()
    (tiny.folder / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"is no training's folder: found thesis.tex"):
        tiny.train(fresh=True)
    assert (tiny.folder / "thesis.tex").read_text() == "precious"


def test_fresh_keeps_what_is_not_the_training_s(tiny):
    tiny.train(validate="none")
    (tiny.folder / "notes.txt").write_text("mine")
    tiny.train(validate="none", fresh=True)
    assert (tiny.folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "harness.training/9", "depends_on": {}, "made_with": []}'])
def test_a_description_that_cannot_be_read_is_refused(tiny, content):
    tiny.folder.mkdir()
    (tiny.folder / "train.json").write_text(content)
    with pytest.raises(UsageError, match=r"train.json is not readable"):
        tiny.train()
    assert tiny.train(fresh=True, validate="none").iterations == 12


def test_changed_code_is_told_and_recorded_and_the_training_goes_on(tiny, monkeypatch):
    told = []
    watch = Watch(on_change=told.append)
    tiny.train(validate="none", watch=watch)
    monkeypatch.setattr("harness.training.plan.__version__", "9.9")
    tiny.train(validate="none", watch=watch)
    assert told == [[], ["harness"]]
    described = json.loads((tiny.folder / "train.json").read_text())
    assert [made["harness"] for made in described["made_with"]][1:] == ["9.9"]


def test_what_a_kill_left_half_written_is_taken_away(tiny):
    tiny.train(validate="none")
    (tiny.folder / ".checkpoint.pt.123.tmp").write_bytes(b"half")
    tiny.train(validate="none")
    assert not list(tiny.folder.glob(".*"))


def test_another_init_is_refused(tiny, tmp_path):
    tiny.train(out="first", validate="none")
    tiny.train(validate="none")
    with pytest.raises(UsageError, match="init: there 'none', now '"):
        tiny.train(validate="none", init=tmp_path / "first/last.safetensors")


def test_a_method_s_run_is_not_written_over(tiny):
    tiny.folder.mkdir()
    (tiny.folder / "plan.json").write_text("{}")
    with pytest.raises(UsageError, match=r"found plan.json, no train.json"):
        tiny.train()
