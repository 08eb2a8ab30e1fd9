"""The Markdown page: what stands in the tables, what is kept apart, what a hostile record cannot do to it."""

import html

import pytest

from harness.api.published import PublishedPaper, PublishedRow, PublishedSpeed
from harness.reporters.markdown import Markdown, cell, percent

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}

PAPER = PublishedPaper(
    plugin="ours",
    method="Ours",
    title="A paper",
    authors="A. Author",
    venue="CVPR",
    year=2020,
    rows=[
        PublishedRow(
            benchmark="toy-val",
            task="one-shot",
            supervision="supervised",
            source="Table 3",
            figures={"J-mean": 69.9, "F-mean": 74.7, "J&F": 72.3},
            speed=PublishedSpeed(fps=37, source="Table 3", conditions="one Titan Xp"),
        )
    ],
)


def page(tmp_path, records, published=()):
    (path,) = Markdown().report(records, tmp_path, published)
    assert path == tmp_path / "README.md"
    return path.read_text(encoding="utf-8")


def tables(text):
    """Every table as a list of rows, each a list of cells; a stray pipe would give a row of another length."""
    found, current = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            current.append([part.strip() for part in line.strip("|").split("|")])
        elif current:
            found.append([current[0], *current[2:]])
            current = []
    return found


def test_a_row_shows_figures_with_intervals_and_speed_with_clock_and_conditions(make_record, tmp_path):
    text = page(tmp_path, [make_record(THREE, fps=10.0)])
    heads, row = tables(text)[0]
    shown = dict(zip(heads, row, strict=True))
    # J is 0.5, 0.75, 1.0, F one minus J: J&F is 0.5 on every video, so its interval is a point.
    assert shown["J&F"] == "50.0 [50.0, 50.0]"
    assert shown["J"] == "75.0 [12.9, 100.0]"
    assert shown["F"] == "25.0 [0.0, 87.1]"
    assert shown["rank"] == "1"
    assert shown["weights"] == "default, trained on toys"
    assert shown["supervision"] == "self-supervised"
    assert shown["causality"] == "online"
    assert shown["speed (model clock)"] == "10.00 fps (steady)"
    assert shown["conditions"] == "C1: Toy CPU, fp32"
    assert shown["first frame (model clock)"] == "200.0 ms"
    assert shown["memory taken"] == "100 MiB"
    assert shown["date"] == "2026-01-02"
    assert "- C1: Toy CPU; fp32; batch 1; torch 2.13.0; Python 3.11" in text


def test_speeds_of_two_devices_stand_in_two_tables(make_record, tmp_path):
    records = [
        make_record(THREE, method="slow", device="CPU", fps=2.0),
        make_record(THREE, method="fast", device="GPU", fps=50.0),
    ]
    text = page(tmp_path, records)
    assert text.index("Speed under C1:") < text.index("Speed under C2:")
    _, first, second = tables(text)
    assert [[row[0] for row in table[1:]] for table in (first, second)] == [["slow"], ["fast"]]


def test_measured_and_reported_rows_are_in_different_tables(make_record, tmp_path):
    text = page(tmp_path, [make_record(THREE)], [PAPER])
    measured, _, reported = tables(text)
    assert [row[1] for row in measured[1:]] == ["ours"]
    assert [row[0] for row in reported[1:]] == ["Ours"]
    shown = dict(zip(*reported, strict=True))
    assert (shown["J&F"], shown["J"], shown["F"]) == ("72.3", "69.9", "74.7")
    assert shown["speed as printed"] == "37 fps (one Titan Xp; Table 3)"
    assert shown["source"] == "CVPR 2020, Table 3"
    assert "- Ours: A. Author, A paper, CVPR 2020." in text


def test_what_only_papers_speak_of_has_its_section_too(tmp_path):
    text = page(tmp_path, [], [PAPER])
    assert "## toy-val, one-shot VOS\n\nNo measured record yet." in text


def test_no_record_at_all_is_said(tmp_path):
    assert "No record yet." in page(tmp_path, [])


def test_a_partial_record_stands_under_not_ranked(make_record, tmp_path):
    part = make_record({"a": [(1.0, 1.0)]}, method="part", expected=3, partial_reason="1 of 3 videos were chosen")
    text = page(tmp_path, [make_record(THREE), part])
    board, _, apart = tables(text)
    assert [row[1] for row in board[1:]] == ["ours"]
    assert text.index("Not ranked, and not comparable") > text.index("| rank")
    why = "partial: 1 of 3 videos (1 of 3 videos were chosen)"
    assert apart[1] == ["part", "default", "100.0", "100.0", "100.0", "2026-01-02", why]


def test_a_replay_shows_no_speed(make_record, tmp_path):
    text = page(tmp_path, [make_record(THREE, method="replay", replays=True)])
    ((heads, row),) = tables(text)
    shown = dict(zip(heads, row, strict=True))
    assert [
        shown[head] for head in ("speed (model clock)", "conditions", "first frame (model clock)", "memory taken")
    ] == [
        "–",
        "replay",
        "–",
        "–",
    ]
    assert "Speed under" not in text


def test_places_the_videos_cannot_tell_apart_are_in_brackets(make_record, tmp_path):
    text = page(tmp_path, [make_record(THREE, method="one"), make_record(THREE, method="two")])
    assert [row[0] for row in tables(text)[0][1:]] == ["1 (1-2)", "1 (1-2)"]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "a | b | c",
        "`code` and *stars* and _lines_ and ~~gone~~",
        "[click](javascript:alert(1))",
        "![x](http://evil/x.png)",
        "line\nbreak\r\nand\u2028more",
        "\\| escaped",
        "&lt;b&gt;",
        "$\\frac{1}{2}$",
        "# heading",
    ],
)
def test_text_of_a_record_cannot_leave_its_cell(make_record, tmp_path, hostile):
    record = make_record(THREE)
    record = record.model_copy(
        update={
            "preset": hostile,
            "plugin": record.plugin.model_copy(update={"supervision": hostile}),
            "weights": record.weights.model_copy(update={"name": hostile, "trained_on": hostile}),
            "conditions": record.conditions.model_copy(update={"device": hostile, "torch": hostile}),
            "benchmark": record.benchmark.model_copy(update={"scoring": hostile}),
        }
    )
    partial = record.model_copy(update={"partial": True, "partial_reason": hostile})
    clean = tables(page(tmp_path, [make_record(THREE), make_record({"a": [(1.0, 1.0)]}, expected=3)]))
    text = page(tmp_path, [record, partial])
    # Same tables, same rows, same number of cells as for harmless records.
    assert [[len(row) for row in table] for table in tables(text)] == [[len(row) for row in table] for table in clean]
    body = text.split("docs/leaderboard.md).")[1]
    for sign in ("<", ">", "`c", "*s", "_l", "~~", "](", "![", "\\", "$", "\u2028", "\r"):
        assert sign not in body
    assert sum(line.startswith("#") for line in text.splitlines()) == 2


def test_a_cell_keeps_the_words():
    assert html.unescape(cell("<b> a|b & `c` [d] $e$")) == "<b> a|b & `c` [d] $e$"


def test_a_cell_has_no_invisible_signs_and_an_end():
    assert cell("a\x00b\u202ec\u200bd\te") == "a b c d e"
    assert len(cell("x" * 2000)) == 120
    assert cell("x" * 2000).endswith("…")


def test_a_figure_without_interval_or_value():
    from harness.api.records import Interval

    assert percent(Interval(value=0.1234)) == "12.3"
    assert percent(Interval(value=None)) == "–"
    assert percent(None) == "–"


def test_throughput_is_named_and_has_no_percentiles(make_record, tmp_path):
    text = page(tmp_path, [make_record(THREE, causality="offline", fps=1000.0, throughput=2.0)])
    board, speed = tables(text)
    assert dict(zip(*board, strict=True))["speed (model clock)"] == "2.00 fps (throughput)"
    assert speed[1][2:5] == ["2.00 (throughput)", "–", "1.60"]


def test_corrupted_boards_are_one_table_beside_the_clean_one(make_record, tmp_path):
    severities = {"toy-val": 0.8, "toy-val+blur-1": 0.6, "toy-val+blur-5": 0.2, "toy-val+noise-5-s7": 0.3}
    records = [make_record({"a": [(value, value)]}, bench=bench) for bench, value in severities.items()]
    records.append(make_record({"a": [(0.9, 0.9)]}, bench="toy-val+jpeg-4", expected=3))
    text = page(tmp_path, records)
    (told,) = [table for table in tables(text) if table[0][0] == "corruption"]
    assert told[0] == ["corruption", "method", "clean", "severity 1", "severity 5"]
    assert [(row[0], *row[2:]) for row in told[1:]] == [
        ("noise, seed 7", "80.0", "–", "30.0"),
        ("blur", "80.0", "60.0", "20.0"),
    ]
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    # What is on no curve, since it is partial, is told as ever.
    assert headings == ["## toy-val, one-shot VOS", "## toy-val+jpeg-4, one-shot VOS"]
