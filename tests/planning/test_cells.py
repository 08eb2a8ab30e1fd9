"""Which runs a matrix is made of, and which names are refused before the first of them."""

import pytest

from harness.api.contracts import Method
from harness.api.errors import PluginError, UsageError
from harness.catalog import Catalog
from harness.planning.cells import Cell, list_cells, refuse_unknown_names


def names_of(cells):
    return [(cell.method, cell.bench) for cell in cells]


def test_every_method_meets_every_benchmark_once():
    assert names_of(list_cells(["a", "b", "a"], ["x", "y", "x"], [])) == [
        ("a", "x"),
        ("b", "x"),
        ("a", "y"),
        ("b", "y"),
    ]


def test_several_presets_are_those_of_one_method():
    assert names_of(list_cells(["a"], ["x"], ["small", "paper"])) == [("a (small)", "x"), ("a (paper)", "x")]
    assert names_of(list_cells(["a", "b"], ["x"], ["small"])) == [("a (small)", "x"), ("b (small)", "x")]
    with pytest.raises(UsageError, match="several presets are those of one method, found 2 methods"):
        list_cells(["a", "b"], ["x"], ["small", "paper"])


def test_a_name_typed_wrong_is_refused_and_a_broken_plugin_is_not(tests_tools):
    method = Method(name="first", tasks=("one-shot",), build=lambda context: None)
    offers = {"harness_methods": lambda: [method], "harness_benchmarks": lambda: [tests_tools.tiny_benchmark()]}
    good, sad = tests_tools.plugin_module("good", **offers), ValueError("broken")
    catalog = Catalog.load([tests_tools.point("good", good), tests_tools.point("sad", sad)])
    refuse_unknown_names([Cell("first", "tiny"), Cell("first", "tiny+blur-3")], catalog)
    with pytest.raises(PluginError, match=r"did you mean 'first'\?"):
        refuse_unknown_names([Cell("first", "tiny"), Cell("frist", "tiny")], catalog)
    with pytest.raises(UsageError, match="no benchmark named 'tinny'"):
        refuse_unknown_names([Cell("first", "tinny+blur-3")], catalog)
    refuse_unknown_names([Cell("sad", "tiny")], catalog)
