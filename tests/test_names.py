"""Names from elsewhere: of videos, frames, plugins and presets; none leaves its folder, none steers a terminal."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.api.contracts import Method
from harness.api.errors import DataError
from harness.api.records import is_safe_video_name
from harness.catalog import Catalog
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.folder import RunFolder

ODD = [
    *("..", ".", "", ".hidden", "a/b", "/etc/passwd", "../../x", "a\\b", "..\\x", "a\x00b", "a\nb", "a\rb", "\x1b[2J"),
    *(
        "a\x7fb",
        "a\x85b",
        "a\x9b31m",
        "\u202egnp.exe",
        "a\u2028b",
        "\ufeffbear",
        "\ud800",
        "\U000e0001",
        "x" * 201,
        "ä" * 101,
    ),
]
PLAIN = [
    "bear",
    "dance-twirl",
    "0a49f5265b",
    "aeroplane_0001_2",
    "犬",
    "Zürich",
    "two words",
    "a.b",
    "x" * 200,
    "-rf",
    "~",
]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_an_odd_name_is_no_video_name(name):
    assert not is_safe_video_name(name)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_is_a_video_name(name):
    assert is_safe_video_name(name)


@settings(max_examples=300, deadline=None)
@given(name=st.text(max_size=250))
@example(name="ä" * 100)
def test_what_is_a_video_name_can_be_a_file_here_and_be_shown(tmp_path_factory, name):
    if not is_safe_video_name(name):
        return
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    path.write_text("{}")
    assert [entry.name for entry in folder.iterdir()] == [f"{name}.json"]
    path.unlink()
    assert name.isprintable()


def plan_still(tests_tools, *samples):
    method = Method(name="still", tasks=("one-shot",), build=lambda context: None)
    catalog = tests_tools.catalog_of(method, benchmark=tests_tools.tiny_benchmark(list(samples)))
    return resolve(Request(plugin="still", bench="tiny"), catalog)


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_dataset_with_an_odd_name_is_refused_before_anything_runs(tests_tools, name):
    with pytest.raises(DataError, match="cannot be a file name"):
        plan_still(tests_tools, tests_tools.tiny_sample("good"), tests_tools.tiny_sample(name))
    frames = (*(f"{t:05d}" for t in range(4)), name)
    with pytest.raises(DataError, match="cannot be a file name"):
        plan_still(tests_tools, tests_tools.tiny_sample("good", frame_names=frames))


def test_two_videos_of_one_name_would_overwrite_each_other_and_are_refused(tests_tools):
    with pytest.raises(DataError, match="two videos named 'a'"):
        plan_still(
            tests_tools, tests_tools.tiny_sample("a"), tests_tools.tiny_sample("b"), tests_tools.tiny_sample("a")
        )
    assert len(plan_still(tests_tools, tests_tools.tiny_sample("a"), tests_tools.tiny_sample("b")).samples) == 2


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", "a b", "\x1b[2J", "a\n", "-x", ".x", "x" * 101, 3])
def test_a_plugin_that_offers_an_odd_name_is_broken(tests_tools, name):
    method = Method(name=name, tasks=("one-shot",), build=lambda context: None)
    module = tests_tools.plugin_module("odd", harness_methods=lambda: [method])
    catalog = Catalog.load([tests_tools.point("odd", module)])
    assert catalog.methods.names() == []
    assert "expected letters, digits" in catalog.broken[0].error


@pytest.mark.parametrize("name", ["../../victim", "/victim", "a/b"])
def test_a_run_folder_looks_for_no_result_outside_itself(tmp_path, name):
    victim = tmp_path / "victim.json"
    victim.write_text("{}")
    with pytest.raises(DataError, match="cannot be a file name"):
        RunFolder(tmp_path / "run" / "one").read_result(name)
    assert Path(victim).read_text() == "{}"
