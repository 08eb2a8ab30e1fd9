"""Method cards and benchmarks: what is refused when they are written down."""

import dataclasses

import pytest

from harness.api.contracts import DAVIS_2016, DAVIS_2017, DAVIS_2017_UNSUPERVISED, Benchmark, Method, NoConfig, Weights


def test_a_method_of_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"one-shott.*known: object-zvos"):
        Method(name="m", tasks=("one-shott",), build=lambda context: None)


def test_a_method_without_a_task_is_refused():
    with pytest.raises(ValueError, match="names tasks none"):
        Method(name="m", tasks=(), build=lambda context: None)


@pytest.mark.parametrize("causality", ["online", "offline"])
def test_lookahead_without_a_window_is_refused(causality):
    with pytest.raises(ValueError, match="needs causality='window'"):
        Method(name="m", tasks=("one-shot",), build=lambda context: None, causality=causality, lookahead=3)


def test_a_window_may_look_ahead():
    method = Method(name="m", tasks=("one-shot",), build=lambda context: None, causality="window", lookahead=3)
    assert method.lookahead == 3


def test_a_plain_card_is_online_has_no_constants_and_no_kernels():
    method = Method(name="m", tasks=("one-shot",), build=lambda context: None)
    assert (method.causality, method.config, tuple(method.kernels()), method.replays) == ("online", NoConfig, (), False)


def test_weights_are_found_by_name():
    weights = Weights(name="davis", licence="CC BY-NC 4.0")
    method = Method(name="m", tasks=("one-shot",), build=lambda context: None, weights=(weights,))
    assert method.weights_named("davis") is weights
    assert method.weights_named("youtube") is None


def test_cards_cannot_be_changed():
    method = Method(name="m", tasks=("one-shot",), build=lambda context: None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.name = "other"


def test_the_first_scoring_of_a_benchmark_is_its_main_task():
    rules = {"one-shot": DAVIS_2017, "instance-zvos": DAVIS_2017_UNSUPERVISED}
    benchmark = Benchmark(name="b", title="B", rules=rules, open=lambda root, partial: [])
    assert benchmark.tasks == ("one-shot", "instance-zvos")


def test_every_scoring_rule_has_its_own_version():
    versions = [rule.version for rule in (DAVIS_2016, DAVIS_2017, DAVIS_2017_UNSUPERVISED)]
    assert len(set(versions)) == 3
