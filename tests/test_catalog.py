"""One broken plugin stops nobody else; names that clash or do not exist are explained."""

import pytest

from harness.api.contracts import Method
from harness.api.errors import PluginError, UsageError
from harness.api.foreign import hear_interrupts
from harness.catalog import Catalog


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
