"""Data roots by name: which one a benchmark gets, and what a config file cannot mean."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.api.errors import UsageError
from harness.catalog import Catalog
from harness.planning.places import config_file, find_data_root, read_data_roots

NAMES = ["davis16-val", "davis17-val", "fbms59", "mini"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the config file."""
    monkeypatch.setenv("HARNESS_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.delenv("HARNESS_DATA", raising=False)

    def write(text):
        (tmp_path / "config.toml").write_text(text)
        return tmp_path

    return write


@pytest.fixture
def davis17(tests_tools):
    """A benchmark named ``davis17-val``, whose data lie somewhere."""
    return tests_tools.tiny_benchmark(name="davis17-val", needs_root=True)


@pytest.fixture
def catalog(tests_tools, davis17):
    return tests_tools.catalog_of(benchmark=davis17)


def test_the_file_is_the_one_named_or_lies_where_xdg_says(monkeypatch):
    monkeypatch.setenv("HARNESS_CONFIG", "~/mine.toml")
    assert config_file() == Path.home() / "mine.toml"
    monkeypatch.setenv("HARNESS_CONFIG", "")
    assert config_file() is None
    monkeypatch.delenv("HARNESS_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/xdg-of-mine")
    assert config_file() == Path("/etc/xdg-of-mine/harness/config.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert config_file() == Path.home() / ".config/harness/config.toml"


def test_a_name_goes_before_patterns_and_the_longest_pattern_before_others(write):
    place = write('[data]\n"*" = "/all"\n"davis*" = "~/davis"\ndavis17-val = "near"\n')
    roots = read_data_roots(NAMES)
    found = {name: roots.folders[roots.find(name)] for name in NAMES}
    assert found == {
        "davis16-val": Path.home() / "davis",
        "davis17-val": place / "near",
        "fbms59": Path("/all"),
        "mini": Path("/all"),
    }


def test_what_is_given_goes_before_the_environment_and_that_before_the_file(write, davis17, catalog, monkeypatch):
    (write('[data]\ndavis17-val = "near"\n') / "near").mkdir()
    assert find_data_root(davis17, None, catalog).name == "near"
    assert find_data_root(davis17, Path("/given"), catalog) == Path("/given")
    monkeypatch.setenv("HARNESS_DATA", "/of-the-shell")
    assert find_data_root(davis17, None, catalog) == Path("/of-the-shell")
    assert find_data_root(replace(davis17, needs_root=False), None, catalog) is None


def test_no_file_and_no_entry_are_no_root(tmp_path, monkeypatch, write, davis17, catalog):
    write("[data]\n")
    assert find_data_root(davis17, None, catalog) is None
    monkeypatch.delenv("HARNESS_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    assert find_data_root(davis17, None, catalog) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[data", "found no TOML"),
        ("a = 1", "has no key 'a'; known: data"),
        ("[dat]", r"has no key 'dat' \(did you mean 'data'\?\)"),
        ("data = 1", "data: found 1, expected a table"),
        ("[data]\ndavis-17-val = 'x'", r"data has no benchmark 'davis-17-val' \(did you mean 'davis17-val'\?\)"),
        ("[data]\n'devis*' = 'x'", r"data has no benchmark 'devis\*'"),
        ("[data]\ndavis17-val = 3", "data.davis17-val: found 3, expected the path of a folder"),
        ("[data]\ndavis17-val = ''", "data.davis17-val: found '', expected the path of a folder"),
        ("[data]\ndavis17-val = 'gone'", r"data.davis17-val: found nothing at .*gone, expected the folder of"),
        ("[data]\ndavis17-val = 'config.toml'", "data.davis17-val: found something else at"),
    ],
)
def test_what_the_file_cannot_mean_is_a_wrong_call_that_names_it(write, davis17, catalog, text, said):
    place = write(text)
    with pytest.raises(UsageError, match=said) as refused:
        find_data_root(davis17, None, catalog)
    assert str(place / "config.toml") in str(refused.value)


def test_a_file_that_is_named_and_not_there_or_no_file_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(UsageError, match=r"gone\.toml: found nothing, expected the file that HARNESS_CONFIG names"):
        read_data_roots(NAMES)
    monkeypatch.setenv("HARNESS_CONFIG", str(tmp_path))
    with pytest.raises(UsageError, match="found nothing readable"):
        read_data_roots(NAMES)


def test_a_folder_that_is_to_be_filled_may_be_missing(write, davis17, catalog):
    place = write("[data]\ndavis17-val = 'new'")
    assert find_data_root(davis17, None, catalog, to_fill=True) == place / "new"


@pytest.mark.parametrize("command", ["run", "score", "data check", "data fingerprint", "pack", "train"])
def test_every_command_takes_the_root_of_the_file(write, tmp_path, capsys, command):
    """The folder is there and empty: each command looks for the tree in it."""
    from harness.cli import main

    write('[data]\n"davis*" = "Empty"\n')
    (tmp_path / "Empty").mkdir()
    (tmp_path / "masks").mkdir()
    arguments = {
        "run": ["--plugin", "copyfirst", "--bench", "davis17-val", "--out", str(tmp_path / "run")],
        "score": [str(tmp_path / "masks"), "--bench", "davis17-val"],
        "data check": ["davis17-val"],
        "data fingerprint": ["davis17-val"],
        "pack": [str(tmp_path / "masks"), "--server", "davis17"],
        "train": ["--plugin", "tvos", "--data", "davis17-train", "--out", str(tmp_path / "training")],
    }[command]
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), *arguments])
    assert stop.value.code == 3
    told = capsys.readouterr()
    assert str(tmp_path / "Empty") in told.out + told.err


def test_the_names_of_the_real_catalog_can_be_written(write):
    write('[data]\n"davis*" = "/a"\n"youtube-vos*" = "/b"\nunlabelled = "/c"\n')
    roots = read_data_roots(Catalog.load().benchmarks.names())
    assert roots.find("youtube-vos18-val-all-frames") == "youtube-vos*"
