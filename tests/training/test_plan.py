"""What is asked for is resolved or refused by name before anything is learnt; truth goes only where it is needed."""

import pytest

from harness.api.contracts import Method
from harness.api.errors import DataError, UsageError
from harness.api.video import without_truth
from harness.training import plan as plans
from harness.training.plan import TrainingRequest, resolve_training


def test_a_method_that_needs_no_truth_is_given_none(tiny, tests_tools):
    sample = tests_tools.tiny_sample("first", read_flow=len, truth_frames=(0,), extra={"tracks": [1]})
    benchmark = tests_tools.tiny_benchmark([sample])
    bare = tiny.plan(tiny.card(needs="frames"), benchmark=benchmark, validate="none")[0].samples[0]
    assert (bare.read_truth, bare.read_prompt, bare.read_flow, bare.truth_frames) == (None, None, None, None)
    assert (bare.prompt_frames, dict(bare.extra)) == ((), {})
    assert bare.read_frame(2).tolist() == sample.read_frame(2).tolist()
    assert tiny.plan(benchmark=benchmark)[0].samples[0].read_truth(0).max() == 1


def test_data_without_truth_are_refused_by_a_method_that_needs_it(tiny, tests_tools):
    videos = [tests_tools.tiny_sample("first"), without_truth(tests_tools.tiny_sample("second"))]
    with pytest.raises(DataError, match=r"learns from masks, and 1 of 2 videos of tiny have none \(first: second\)"):
        tiny.plan(benchmark=tests_tools.tiny_benchmark(videos))


def test_a_method_without_training_names_those_that_have_one(tests_tools, tiny):
    catalog = tests_tools.catalog_of(tiny.card(), Method(name="fixed", tasks=("one-shot",), build=lambda context: None))
    with pytest.raises(UsageError, match="fixed declares no training; methods that do: pixels"):
        resolve_training(TrainingRequest(plugin="fixed", data=("tiny",)), catalog)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"preset": "paper"}, "the training of pixels has no preset 'paper'"),
        ({"config": {"lrr": 1}}, "did you mean 'lr'"),
        ({"videos": ("third",)}, r"tiny has no video 'third'.*; known: first, second"),
        ({"validate": "tinny"}, "did you mean 'tiny'"),
        ({"validate_limit": 0}, "--validate-limit 0 is too small"),
        ({"checkpoint_every": 0}, "--checkpoint-every 0 is too small"),
        ({"workers": -1}, "--workers -1 is too small"),
        ({"iterations": 0}, "--iterations 0 is too small; expected 1 or more"),
    ],
)
def test_what_cannot_be_is_refused(tiny, asked, reason):
    with pytest.raises(UsageError, match=reason):
        tiny.plan(**asked)


def test_a_column_that_the_validation_does_not_score_is_refused(tiny):
    with pytest.raises(UsageError, match="cannot tell which weights of pixels are best: found share, expected J&F"):
        tiny.plan(tiny.card(metric="J&F"))


def test_a_benchmark_without_public_truth_cannot_validate(tiny, tests_tools):
    with pytest.raises(UsageError, match="found no public truth"):
        tiny.plan(benchmark=tests_tools.tiny_benchmark(scored=False))


def test_a_weights_file_that_is_not_there_is_named(tiny, tmp_path):
    with pytest.raises(DataError, match=r"no weights file .*absent.safetensors"):
        tiny.plan(init=tmp_path / "absent.safetensors")


def test_iterations_are_a_constant_of_the_config(tiny):
    assert tiny.plan(iterations=7)[0].config.iterations == 7
    method = tiny.card(config=type("NoIterations", (), {"__dataclass_fields__": {}}))
    with pytest.raises(UsageError, match="has no constant 'iterations'"):
        tiny.plan(method, iterations=7)


def test_several_data_are_put_together_and_their_videos_told_apart(tests_tools, tiny):
    catalog = tests_tools.catalog_of(tiny.card())
    more = tests_tools.tiny_benchmark([tests_tools.tiny_sample("first")], name="more", licence="MIT")
    catalog.benchmarks._add("more", more, catalog.benchmarks.source("tiny"))
    both = resolve_training(TrainingRequest(plugin="pixels", data=("tiny", "more")), catalog)
    assert [sample.name for sample in both.samples] == ["tiny.first", "tiny.second", "more.first"]
    assert (both.data, both.licence) == ("tiny+more", "MIT")
    some = resolve_training(TrainingRequest(plugin="pixels", data=("tiny", "more"), videos=("more.first",)), catalog)
    assert [sample.name for sample in some.samples] == ["more.first"]
    with pytest.raises(UsageError, match="names one set twice"):
        resolve_training(TrainingRequest(plugin="pixels", data=("tiny", "tiny")), catalog)


def test_data_that_need_a_root_say_so(tiny, tests_tools):
    with pytest.raises(DataError, match="tiny needs its data: no --data-root"):
        tiny.plan(benchmark=tests_tools.tiny_benchmark(needs_root=True), validate="none")


def test_the_default_folder_follows_from_what_was_asked(tiny):
    keys = {tiny.plan(**asked)[0].key for asked in ({}, {"seed": 1}, {"config": {"lr": 1}}, {"videos": ("first",)})}
    assert len(keys) == 4
    assert tiny.plan()[0].key == tiny.plan(log_every=3, workers=2, validate="none")[0].key


def test_seeds_differ_with_any_part():
    seeds = {plans.seed_of(seed, iteration, rank) for seed in range(3) for iteration in range(9) for rank in range(3)}
    assert len(seeds) == 81
    assert all(0 <= seed < 2**63 for seed in seeds)
