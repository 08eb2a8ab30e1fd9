"""A card of wrong types is refused when it is offered, by the field's name."""

from dataclasses import dataclass, replace

import pytest

from harness.api.contracts import DAVIS_2017, Benchmark, Citation, Column, Method, Weights
from harness.api.errors import PluginError
from harness.cards import check_card
from harness.catalog import Catalog

METHOD = Method(name="m", tasks=("one-shot",), build=lambda context: None)
BENCH = Benchmark(name="b", title="B", rules={"one-shot": DAVIS_2017}, open=lambda root, partial: [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"build": None}, r"build is None \(NoneType\)"),
        ({"summary": b"x"}, "summary is b'x'"),
        ({"causality": "never"}, "causality is 'never'"),
        ({"lookahead": True, "causality": "window"}, r"lookahead is True \(bool\), expected int"),
        ({"presets": {3: None}}, "the key 3"),
        ({"presets": {"../../x": None}}, "a preset named '../../x'"),
        ({"weights": [Weights("w", "MIT")]}, r"weights is \[Weights"),
        ({"weights": (Weights("w", "MIT", path="w.pt"),)}, r"weights\[0\]: path is 'w.pt'"),
        ({"paper": Citation("T", "A", "2020")}, "paper: year is '2020'"),
        ({"kernels": ()}, r"kernels is \(\)"),
    ],
)
def test_a_method_of_wrong_types_is_refused(changes, reason):
    with pytest.raises(PluginError, match=reason):
        check_card("method", replace(METHOD, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"title": 3}, r"title is 3 \(int\), expected str"),
        ({"size": "10"}, "size is '10'"),
        ({"rules": {"one-shot": "davis-2017"}}, r"rules\['one-shot'\] is 'davis-2017'"),
        ({"rules": {"two-shot": DAVIS_2017}}, "the key 'two-shot'"),
        ({"rules": {"one-shot": replace(DAVIS_2017, metrics="j_and_f")}}, "metrics is 'j_and_f'"),
        ({"expected": ("a", 2)}, r"expected\[1\] is 2"),
        ({"open": "nowhere"}, "open is 'nowhere'"),
    ],
)
def test_a_benchmark_of_wrong_types_is_refused(changes, reason):
    with pytest.raises(PluginError, match=reason):
        check_card("benchmark", replace(BENCH, **changes))


@dataclass
class Area:
    columns: object = (Column("area", "share"),)
    start: object = print
    summarise: object = print
    name: str = "area"


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (Area(columns=["area"]), "columns is"),
        (Area(columns=(Column("area", 3),)), r"columns\[0\]: meaning is 3"),
        (Area(start=None), "start is None"),
    ],
)
def test_a_metric_of_wrong_types_is_refused(metric, reason):
    with pytest.raises(PluginError, match=reason):
        check_card("metric", metric)


def test_what_is_installed_passes_and_a_broken_card_leaves_the_rest_alone(tests_tools):
    assert Catalog.load().broken == []
    bad = tests_tools.plugin_module("bad", harness_benchmarks=lambda: [replace(BENCH, title=3)])
    good = tests_tools.plugin_module("good", harness_benchmarks=lambda: [BENCH])
    catalog = Catalog.load([tests_tools.point("bad", bad), tests_tools.point("good", good)])
    assert catalog.benchmarks.names() == ["b"]
    assert "benchmark 'b': title is 3" in catalog.broken[0].error


class Explodes:
    """A metric whose every word is a crash."""

    def __getattr__(self, name):
        raise SystemExit(0)


def test_a_broken_card_leaves_its_plugin_s_other_cards_alone(tests_tools):
    module = tests_tools.plugin_module(
        "mixed",
        harness_methods=lambda: [replace(METHOD, name="wrong", summary=3), METHOD, 42, replace(METHOD, name="../up")],
        harness_benchmarks=lambda: [replace(BENCH, title=3, name="odd"), BENCH],
        harness_metrics=lambda: [Explodes()],
    )
    catalog = Catalog.load([tests_tools.point("mixed", module)])
    assert catalog.methods.names() == ["m"]
    assert catalog.benchmarks.names() == ["b"]
    nameless = ["a method without a name"] * 2
    assert [broken.card for broken in catalog.broken] == ["wrong", *nameless, "odd", "a metric without a name"]
    assert {broken.source for broken in catalog.broken} == {catalog.methods.source("m")}
    with pytest.raises(PluginError, match=r"^method 'wrong' of .* is broken: method 'wrong': summary is 3"):
        catalog.methods.get("wrong")
    with pytest.raises(PluginError, match=r"^benchmark 'odd' of .* is broken"):
        catalog.benchmarks.get("odd")
