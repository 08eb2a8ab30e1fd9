"""``harness leaderboard``: what is taken in, what is refused and with which exit code, what check notices."""

import json
from pathlib import Path

import pytest

from harness.catalog import Catalog
from harness.cli import main

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}
BETTER = {video: [(j, j) for j, _ in objects] for video, objects in THREE.items()}
PUBLISHED = Path(__file__).resolve().parents[2] / "leaderboard" / "published"


@pytest.fixture
def place(tmp_path, monkeypatch, toy_catalog):
    """A folder with an empty leaderboard, in which commands run with the toy catalog."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: toy_catalog))
    (tmp_path / "leaderboard" / "published").mkdir(parents=True)
    return tmp_path


def run(*arguments):
    """The exit code of ``harness leaderboard ...``."""
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", *map(str, arguments)])
    return end.value.code


def save(place, record, name="run"):
    folder = place / name
    folder.mkdir(exist_ok=True)
    (folder / "record.json").write_text(record.to_json())
    return folder


def test_add_build_check(place, make_record, capsys):
    assert run("add", save(place, make_record(THREE)), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"record": "leaderboard/records/toy-val/one-shot/ours.json", "replaced": False, "partial": False}
    assert run("build", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"written": ["leaderboard/README.md", "leaderboard/json/toy-val/one-shot.json"]}
    assert "75.0 [12.9, 100.0]" in (place / "leaderboard/README.md").read_text()
    assert run("check", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"records": 1, "papers": 0}


def test_without_json_standard_output_stays_empty(place, make_record, capsys):
    run("add", save(place, make_record(THREE)))
    run("build")
    run("check")
    assert capsys.readouterr().out == ""


def test_a_record_file_is_taken_like_its_folder(place, make_record):
    assert run("add", save(place, make_record(THREE)) / "record.json") == 0
    assert (place / "leaderboard/records/toy-val/one-shot/ours.json").exists()


def test_the_preset_or_the_given_name_ends_the_file_name(place, make_record):
    assert run("add", save(place, make_record(THREE, preset="paper"))) == 0
    assert run("add", save(place, make_record(THREE, preset="paper", device="GPU")), "--name", "gpu") == 0
    names = sorted(path.name for path in (place / "leaderboard/records/toy-val/one-shot").iterdir())
    assert names == ["ours-gpu.json", "ours-paper.json"]


@pytest.mark.parametrize("name", ["../../../evil", "a/b", "a b", ".hidden", "x\n", "-"])
def test_a_name_that_leaves_its_folder_is_refused(place, make_record, name, capsys):
    assert run("add", save(place, make_record(THREE)), f"--name={name}") == 2
    assert "as the ending of a file name" in capsys.readouterr().err
    assert not (place / "leaderboard/records").exists()


def test_a_partial_record_needs_the_flag_and_is_listed_apart(place, make_record, capsys):
    part = save(place, make_record({"a": [(1.0, 1.0)]}, expected=3, partial_reason="--limit 1"))
    assert run("add", part) == 2
    assert "holds 1 of 3 videos of toy-val (--limit 1), expected all of them" in capsys.readouterr().err
    assert run("add", part, "--partial") == 0
    assert run("build") == 0
    text = (place / "leaderboard/README.md").read_text()
    assert "Not ranked, and not comparable" in text
    assert "| rank" not in text


def test_a_replay_goes_by_the_name_of_what_made_its_masks(place, make_record, capsys):
    record = make_record(THREE, method="replay", replays=True, config={"directory": "/home/me/masks", "binary": True})
    assert run("add", save(place, record)) == 2
    assert "a replay was given without a name" in capsys.readouterr().err
    assert run("add", save(place, record), "--name", "segflow") == 0
    text = (place / "leaderboard/records/toy-val/one-shot/replay-segflow.json").read_text()
    assert "/home/me" not in text
    assert run("build") == 0
    assert "| replay (segflow) " in (place / "leaderboard/README.md").read_text()


def test_a_newer_equal_or_better_record_takes_the_place(place, make_record):
    old = make_record(THREE, created="2026-01-01T00:00:00+00:00")
    new = make_record(BETTER, created="2026-02-01T00:00:00+00:00")
    assert run("add", save(place, old)) == 0
    assert run("add", save(place, new)) == 0
    assert new.id in (place / "leaderboard/records/toy-val/one-shot/ours.json").read_text()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"created": "2026-02-01T00:00:00+00:00"}, {}, "holds a newer record, of 2026-02-01"),
        ({"videos": BETTER}, {"created": "2026-02-01T00:00:00+00:00"}, "holds a better record, 0.7500 against 0.5"),
        ({"config": {"topk": 5}}, {"config": {"topk": 3}}, "holds another preset, constants"),
        ({"device": "CPU"}, {"device": "GPU"}, "holds speeds under other conditions"),
    ],
)
def test_nothing_worth_keeping_is_lost_without_replace(place, make_record, capsys, first, second, said):
    records = [make_record(**{"videos": THREE, **fields}) for fields in (first, second)]
    target = place / "leaderboard/records/toy-val/one-shot/ours.json"
    assert run("add", save(place, records[0])) == 0
    assert run("add", save(place, records[1])) == 2
    assert said in capsys.readouterr().err
    assert records[0].id in target.read_text()
    assert run("add", save(place, records[1]), "--replace") == 0
    assert records[1].id in target.read_text()


def test_a_partial_record_never_takes_the_place_of_a_whole_one(place, make_record, capsys):
    part = make_record({"a": [(1.0, 1.0)]}, expected=3, created="2026-03-01T00:00:00+00:00")
    assert run("add", save(place, make_record(THREE))) == 0
    assert run("add", save(place, part), "--partial") == 2
    assert "holds a record of all videos" in capsys.readouterr().err


def test_a_forged_record_is_not_added(place, make_record, capsys):
    folder = save(place, make_record(THREE))
    forged = json.loads((folder / "record.json").read_text())
    forged["scores"]["j_and_f"]["J&F"]["value"] = 0.99
    (folder / "record.json").write_text(json.dumps(forged))
    assert run("add", folder) == 8
    told = capsys.readouterr().err
    assert "record.json: scores.j_and_f.J&F.value: found 0.99, expected 0.5" in told
    assert not (place / "leaderboard/records").exists()


def test_a_missing_record_is_missing_data(place, capsys):
    assert run("add", "nowhere") == 3
    assert "nowhere: found nothing" in capsys.readouterr().err


def test_add_refuses_what_build_would_refuse_and_leaves_nothing(place, make_record, capsys):
    record = make_record(THREE)
    assert run("add", save(place, record)) == 0
    assert run("add", save(place, record), "--name", "again") == 2  # build refuses two records of one id
    assert "holds the same record already" in capsys.readouterr().err
    wide = make_record(THREE, config={"a": [0] * 1_200_000}, method="wide")
    (save(place, record) / "record.json").write_text(wide.model_dump_json(by_alias=True))
    assert run("add", place / "run") == 8  # 2 MB as it came, more than 8 MiB once it is indented
    assert "at most 8388608" in capsys.readouterr().err
    assert [path.name for path in (place / "leaderboard/records").rglob("*") if path.is_file()] == ["ours.json"]


def test_what_a_killed_add_left_is_swept_before_git_takes_it(place, make_record):
    run("add", save(place, make_record(THREE)))
    left = place / "leaderboard/records/toy-val/one-shot" / f".ours.json.{2**22 + 1}.tmp"
    left.write_bytes(b"half")
    assert run("build") == 0
    assert not left.exists()


def test_check_names_every_bad_file_at_once_and_build_writes_nothing(place, make_record, capsys):
    assert run("add", save(place, make_record(THREE))) == 0
    folder = place / "leaderboard/records/toy-val/one-shot"
    (folder / "theirs.json").write_text((folder / "ours.json").read_text())
    (folder / "notes.txt").write_text("hello")
    (folder / "away.json").symlink_to("/etc/passwd")
    (folder / ".gitkeep").write_text("")
    for verb in ("check", "build"):
        assert run(verb) == 8
        told = capsys.readouterr().err
        assert "3 of 4 files below leaderboard/records are refused" in told
        assert "theirs.json: file name: found theirs.json, expected ours.json" in told
        assert "notes.txt: found no readable JSON" in told
        assert "away.json: found a link" in told
    assert not (place / "leaderboard/README.md").exists()


def test_the_same_run_twice_is_refused(place, make_record, capsys):
    assert run("add", save(place, make_record(THREE))) == 0
    folder = place / "leaderboard/records/toy-val/one-shot"
    (folder / "ours-again.json").write_text((folder / "ours.json").read_text())
    assert run("check") == 8
    assert "ours.json: id: found the id of" in capsys.readouterr().err


def test_check_notices_edited_missing_and_left_over_files(place, make_record, capsys):
    run("add", save(place, make_record(THREE)))
    run("build")
    readme, table = place / "leaderboard/README.md", place / "leaderboard/json/toy-val/one-shot.json"
    readme.write_text(readme.read_text().replace("75.0 [12.9, 100.0]", "99.9 [12.9, 100.0]"))
    table.rename(table.with_name("vis.json"))
    capsys.readouterr()
    assert run("check") == 8
    told = capsys.readouterr().err
    assert "3 generated files are not what the records say" in told
    assert "leaderboard/README.md: 2 lines differ, the first: found '" in told
    assert "one-shot.json: found nothing, expected it" in told
    assert "vis.json: found it, expected nothing" in told
    assert "next: harness leaderboard build" in told
    assert run("build") == 0
    assert run("check") == 0


def test_check_notices_a_record_that_was_added_without_build(place, make_record, capsys):
    run("build")
    run("add", save(place, make_record(THREE)))
    capsys.readouterr()
    assert run("check") == 8
    assert "json/toy-val/one-shot.json: found nothing, expected it" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--records", "recods"), ("--published", "publishd")])
def test_a_mistyped_folder_does_not_empty_the_page(place, make_record, capsys, options):
    run("add", save(place, make_record(THREE)))
    run("build")
    before = (place / "leaderboard/README.md").read_text()
    assert run("build", *options) == 3
    assert f"{options[1]}: found no such folder" in capsys.readouterr().err
    assert (place / "leaderboard/README.md").read_text() == before


def test_where_there_is_no_leaderboard_nothing_is_built(place, monkeypatch):
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert run("build") == 3
    assert list((place / "elsewhere").iterdir()) == []


def test_an_unknown_reporter_is_a_usage_error(place, capsys):
    assert run("build", "--reporter", "markdwon") == 2
    assert "did you mean 'markdown'" in capsys.readouterr().err


def test_the_leaderboard_in_this_repository_is_sound(monkeypatch):
    monkeypatch.chdir(PUBLISHED.parents[1])
    assert run("check") == 0


def test_after_adding_elsewhere_the_next_command_names_that_place(place, make_record, capsys):
    run("add", save(place, make_record(THREE)), "--to", "mine")
    told = capsys.readouterr().err
    assert "next: harness leaderboard build --records mine/records --out mine" in told
