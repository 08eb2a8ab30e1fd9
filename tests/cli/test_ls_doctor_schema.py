"""``harness ls``, ``doctor`` and ``schema``: what is installed, what is broken, what is written."""

import json

import pytest

from harness.api.providers import Offer
from harness.api.records import RunRecord
from harness.cli import doctor, main


def harness(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture
def broken_plugin(tmp_path, monkeypatch):
    """An installed plugin whose module cannot be imported."""
    site = tmp_path / "site"
    (site / "rotten-2.0.dist-info").mkdir(parents=True)
    (site / "rotten.py").write_text("raise RuntimeError('needs torch 1.4')")
    (site / "rotten-2.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: rotten\nVersion: 2.0\n")
    (site / "rotten-2.0.dist-info/entry_points.txt").write_text("[harness]\nrotten = rotten\n")
    monkeypatch.syspath_prepend(site)


def test_plugins_benches_and_metrics_are_listed(capsys):
    code, out, _ = harness(capsys, "ls", "plugins", "--json")
    assert code == 0
    assert {"tvos", "replay", "copyfirst"} <= {row["method"] for row in json.loads(out)}
    assert "davis17-test-dev" in harness(capsys, "ls", "benches")[1]
    assert "J-recall" in harness(capsys, "ls", "metrics")[1]


@pytest.mark.usefixtures("broken_plugin")
def test_a_broken_plugin_is_named_by_ls_and_doctor_and_stops_nobody(capsys):
    code, out, err = harness(capsys, "ls", "plugins")
    assert code == 0
    assert "copyfirst" in out
    assert "broken: rotten 2.0 (rotten = rotten): RuntimeError: needs torch 1.4" in err
    code, out, _ = harness(capsys, "doctor")
    assert code == 4
    assert "Traceback" in out
    code, _, err = harness(capsys, "run", "--plugin", "rotten", "--bench", "mini")
    assert code == 4
    assert "plugin 'rotten' of rotten 2.0 is broken: RuntimeError: needs torch 1.4" in err


def test_a_sound_installation_has_a_doctor_with_nothing_to_say(capsys):
    code, out, _ = harness(capsys, "doctor")
    assert code == 0
    assert "0 broken" in out


def test_runs_are_listed_with_their_state(capsys, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/plan.json").write_text("{}")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/plan.json").write_text("{}")
    (tmp_path / "b/record.json").write_text('{"schema": "harness.run/9"}')
    _, out, _ = harness(capsys, "ls", "runs", "--runs", tmp_path, "--json")
    states = [row["state"] for row in json.loads(out)]
    assert states[0] == "unfinished (0 videos done)"
    assert states[1].startswith("unreadable: ")
    assert harness(capsys, "ls", "runs", "--runs", tmp_path / "none")[1].strip() == f"no runs below {tmp_path / 'none'}"


def test_the_schema_is_the_record_s(capsys):
    code, out, _ = harness(capsys, "schema", "run")
    assert code == 0
    assert json.loads(out) == RunRecord.model_json_schema(by_alias=True)


def test_an_unknown_verb_gets_a_did_you_mean(capsys):
    code, _, err = harness(capsys, "scroe")
    assert code == 2
    assert "did you mean 'score'?" in err


def test_doctor_lists_the_providers_that_can_be_named_and_what_the_others_lack(capsys, monkeypatch):
    monkeypatch.setattr(Offer, "is_installed", property(lambda offer: not offer.package))
    _, out, _ = harness(capsys, "doctor")
    assert "flow: dis, dis:fast, files:DIR, truth-flow; raft:FILE needs torchvision" in out
    assert "proposals: components, edgebox+grabcut, files:DIR; maskrcnn:FILE needs torchvision" in out


@pytest.mark.parametrize("listing", ["plugins", "benches", "metrics", "experiments"])
@pytest.mark.parametrize("width", [80, 120])
def test_a_listing_fits_the_terminal(capsys, monkeypatch, listing, width):
    monkeypatch.setenv("COLUMNS", str(width))
    _, out, err = harness(capsys, "ls", listing)
    assert max(map(len, out.splitlines())) <= width
    whole = json.loads(harness(capsys, "ls", listing, "--json")[1])
    heads = out.splitlines()[0].split()
    gone = err.partition(": ")[2].partition(" (")[0].split(", ") if err else []
    assert sorted([*heads, *gone]) == sorted(whole[0])
    names = {line.split()[0] for line in out.splitlines()[2:] if not line.startswith(" ")}
    assert names == {row[heads[0]] for row in whole}


def test_a_listing_into_a_pipe_has_one_line_a_row(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    _, out, err = harness(capsys, "ls", "benches")
    assert len(out.splitlines()) == 2 + len(json.loads(harness(capsys, "ls", "benches", "--json")[1]))
    assert err == ""


def test_plugins_show_presets_and_licence(capsys):
    rows = {row["method"]: row for row in json.loads(harness(capsys, "ls", "plugins", "--json")[1])}
    assert "small-videos" in rows["tvos"]["presets"].split(", ")
    assert rows["tvos"]["licence"] == "Apache-2.0"
    assert rows["copyfirst"]["presets"] == "-"


def test_runs_show_method_and_benchmark_finished_or_not(capsys, tmp_path, make_record):
    plan = {"plugin": {"name": "tvos"}, "bench": "mini", "task": "one-shot"}
    for name, content in (("a", plan), ("b", plan), ("c", {"plugin": "x"}), ("d", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plan.json").write_text(json.dumps(content))
    (tmp_path / "b/record.json").write_text(make_record({"v": [(0.5, 0.5)]}, preset="fast").to_json())
    rows = json.loads(harness(capsys, "ls", "runs", "--runs", tmp_path, "--json")[1])
    assert [(row["method"], row["benchmark"]) for row in rows] == [
        ("tvos", "mini (one-shot)"),
        ("ours (fast)", "toy-val (one-shot)"),
        ("-", "-"),
        ("-", "-"),
    ]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The config file that commands read, in an empty folder; not there yet."""
    monkeypatch.setenv("HARNESS_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path / "config.toml"


def test_doctor_shows_data_roots_and_which_are_not_there(capsys, config, tmp_path):
    config.write_text(f'[data]\n"davis1*" = "{tmp_path}"\nfbms59 = "gone"\n')
    code, out, _ = harness(capsys, "doctor")
    assert code == 0
    assert f"config: {config}; data roots:\n  davis1*: {tmp_path}\n  fbms59: {tmp_path / 'gone'} (NOT THERE)\n" in out
    told = json.loads(harness(capsys, "doctor", "--json")[1])["config"]
    assert [(row["key"], row["is_there"]) for row in told["data"]] == [("davis1*", True), ("fbms59", False)]


def test_doctor_says_what_is_wrong_with_the_config_file(capsys, config):
    config.write_text("[data]\nfbms = 'x'\n")
    code, out, _ = harness(capsys, "doctor")
    assert code == 2
    assert f"config: {config}: data has no benchmark 'fbms' (did you mean 'fbms59'?)" in out


def test_doctor_as_json_says_what_each_package_unlocks(capsys):
    found = json.loads(harness(capsys, "doctor", "--json")[1])
    numba = next(row for row in found["packages"] if row["package"] == "numba")
    assert (numba["state"], numba["extra"]) == ("yes", "")
    assert found["problems"] == []
    assert {"provider": "dis", "needs": "", "is_installed": True} in found["providers"]["flow"]


def test_a_package_that_is_there_and_cannot_be_imported_is_no_package(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", (doctor.Optional("rotten_vision", "nothing"),))
    (tmp_path / "rotten_vision.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    assert "broken: RuntimeError: operator nms does not exist" in harness(capsys, "doctor")[1]
