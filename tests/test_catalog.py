"""One broken plugin stops nobody else; names that clash or do not exist are explained."""

import sys
from importlib.metadata import EntryPoint

import pytest

from harness.api.contracts import Benchmark, Method
from harness.api.errors import PluginError, UsageError
from harness.api.foreign import hear_interrupts
from harness.catalog import Catalog, Source


class Wordless(BaseException):
    """A panic of an extension, say."""

    def __str__(self):
        raise ValueError("no words")


def method(name):
    return Method(name=name, tasks=("one-shot",), build=lambda context: None)


@pytest.fixture
def good(tests_tools):
    return tests_tools.point("good", tests_tools.plugin_module("good", harness_methods=lambda: [method("alpha")]))


def test_installed_things_are_found_by_name():
    catalog = Catalog.load()
    assert {"copyfirst", "replay"} <= set(catalog.methods.names())
    assert "davis17-val" in catalog.benchmarks.names()
    assert catalog.methods.source("replay").distribution == "vos-harness"


@pytest.mark.parametrize(
    "error", [ImportError("no torch"), SystemExit(3), RuntimeError("boom"), GeneratorExit(), Wordless()]
)
def test_a_plugin_that_fails_to_load_is_named_and_stops_nobody_else(tests_tools, good, error):
    catalog = Catalog.load([good, tests_tools.point("bad", error)])
    assert catalog.methods.names() == ["alpha"]
    assert [broken.source.entry_point for broken in catalog.broken] == ["bad"]
    assert type(error).__name__ in catalog.broken[0].error
    with pytest.raises(PluginError, match=r"'bad' of .* is broken"):
        catalog.methods.get("bad")


@pytest.mark.parametrize(
    ("offered", "reason"),
    [(None, "expected a list"), ([42], "expected methods"), ([method("../up")], "expected letters")],
)
def test_a_hook_that_returns_nonsense_is_a_broken_plugin(tests_tools, good, offered, reason):
    bad = tests_tools.point("bad", tests_tools.plugin_module("bad", harness_methods=lambda: offered))
    catalog = Catalog.load([bad, good])
    assert reason in catalog.broken[0].error
    assert catalog.methods.names() == ["alpha"]


def test_a_hook_name_that_does_not_exist_is_a_broken_plugin(tests_tools):
    catalog = Catalog.load([tests_tools.point("typo", tests_tools.plugin_module("typo", harness_metods=lambda: []))])
    assert "harness_metods" in catalog.broken[0].error


def test_a_hook_that_raises_offers_nothing_at_all(tests_tools):
    def raises():
        raise ValueError("half way")

    module = tests_tools.plugin_module("half", harness_methods=lambda: [method("alpha")], harness_metrics=raises)
    catalog = Catalog.load([tests_tools.point("half", module)])
    assert catalog.methods.names() == []
    assert "half way" in catalog.broken[0].error


def test_a_name_offered_twice_is_an_error_that_names_both(tests_tools, good):
    other = tests_tools.point("other", tests_tools.plugin_module("other", harness_methods=lambda: [method("alpha")]))
    catalog = Catalog.load([good, other])
    assert catalog.methods.names() == []
    with pytest.raises(PluginError, match=r"offered twice, by .*good.* and .*other"):
        catalog.methods.get("alpha")


def test_an_unknown_name_gets_a_did_you_mean(good):
    catalog = Catalog.load([good])
    with pytest.raises(PluginError, match="did you mean 'alpha'"):
        catalog.methods.get("alfa")
    with pytest.raises(UsageError, match="no benchmark named 'nowhere'; known: none"):
        catalog.benchmarks.get("nowhere")


def test_a_plugin_that_raises_keyboard_interrupt_is_broken_where_ctrl_c_is_heard(tests_tools, good):
    with hear_interrupts():
        catalog = Catalog.load([good, tests_tools.point("bad", KeyboardInterrupt())])
        assert catalog.methods.names() == ["alpha"]
    assert catalog.broken[0].error == "KeyboardInterrupt"


@pytest.mark.parametrize("name", ["METADATA", "entry_points.txt"])
def test_files_of_a_distribution_that_are_no_utf_8_stop_nobody_else(tmp_path, monkeypatch, name):
    folder = tmp_path / "odd-1.dist-info"
    folder.mkdir()
    files = {"METADATA": b"Name: odd\nVersion: 1\n", "entry_points.txt": b"[harness]\nodd = nowhere_at_all\n"}
    for file, content in files.items():
        (folder / file).write_bytes(content + (b"# \xff\n" if file == name else b""))
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog = Catalog.load()
    assert "copyfirst" in catalog.methods.names()
    assert len(catalog.broken) == 1


HOOK = "from harness import hookimpl\n\n\n@hookimpl\ndef {hook}():\n    return []\n"


@pytest.fixture
def plugin_file(tmp_path, monkeypatch):
    """``plugin_file("name", text)``: an entry point whose module is a file; a package above it where there is a dot."""

    def write(name, text):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return EntryPoint(name, name, "harness")

    monkeypatch.syspath_prepend(str(tmp_path))
    return write


def test_a_plugin_is_loaded_when_what_it_offers_is_asked_for(plugin_file):
    points = [plugin_file(f"offers_{hook}", HOOK.format(hook=hook)) for hook in ("harness_metrics", "harness_methods")]
    catalog = Catalog.load(points)
    assert not {"offers_harness_metrics", "offers_harness_methods"} & set(sys.modules)
    assert catalog.metrics.names() == []
    assert "offers_harness_metrics" in sys.modules
    assert "offers_harness_methods" not in sys.modules
    assert [source.entry_point for source in catalog.sources] == ["offers_harness_methods", "offers_harness_metrics"]
    assert "offers_harness_methods" in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "from elsewhere_all import *\n",
        "from elsewhere_all import *\n# harness_methods\n",
        "from harness import hookimpl\nglobals()['harness_' + 'metrics'] = hookimpl(lambda: [])\n# harness_methods\n",
        "harness_metrics: harness_methods = 1 / 0\n",
    ],
)
def test_a_plugin_whose_text_does_not_tell_what_it_offers_is_loaded_for_every_kind(plugin_file, text):
    plugin_file("elsewhere_all", HOOK.format(hook="harness_metrics"))
    catalog = Catalog.load([plugin_file("untold", text)])
    assert catalog.metrics.names() == []
    assert "untold" in {source.entry_point for source in catalog._sources}


def test_the_name_of_a_broken_plugin_of_another_kind_is_explained(plugin_file):
    catalog = Catalog.load([plugin_file("halfway", "harness_methods = 1 / 0\n")])
    assert catalog.benchmarks.names() == []
    assert catalog._sources == []
    with pytest.raises(PluginError, match=r"'halfway' of .* is broken: ZeroDivisionError"):
        catalog.benchmarks.get("halfway")


def test_a_package_that_fails_above_a_plugin_is_a_broken_plugin(plugin_file):
    plugin_file("above.__init__", "raise SystemExit(3)\n")
    catalog = Catalog.load([plugin_file("above.below", HOOK.format(hook="harness_metrics"))])
    assert catalog.metrics.names() == []
    assert [broken.error for broken in catalog.broken] == ["SystemExit: 3"]


def test_a_benchmark_can_stand_alone_beside_the_same_plugins(tests_tools, good):
    alone = Benchmark(name="alone", title="", rules={}, open=lambda root, partial: [])
    view = Catalog.load([good]).with_benchmark(alone, Source("alone", "alone", "tests", "0"))
    assert (view.benchmarks.names(), view.methods.names()) == (["alone"], ["alpha"])
