"""The JSON files: stable, one a benchmark and task, speeds with their conditions beside them."""

import json

from harness.reporters.json import Json

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}


def test_one_file_a_benchmark_and_task(make_record, tmp_path):
    paths = Json().report([make_record(THREE, bench="z-val"), make_record(THREE, bench="a-val")], tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "json/a-val/one-shot.json",
        "json/z-val/one-shot.json",
    ]


def test_the_order_of_records_changes_nothing(make_record, tmp_path):
    records = [make_record(THREE, method=name, fps=fps) for name, fps in (("x", 3.0), ("y", 2.0), ("z", 1.0))]
    (one,) = Json().report(records, tmp_path / "one")
    (two,) = Json().report(records[::-1], tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


def test_a_row_holds_rank_figures_clocks_and_conditions(make_record, tmp_path):
    record = make_record(THREE)
    (path,) = Json().report([record], tmp_path)
    content = json.loads(path.read_text())
    ((row,),) = [board["rows"] for board in content["measured"]]
    assert (row["rank"], row["best_rank"], row["worst_rank"]) == (1, 1, 1)
    assert row["scores"]["j_and_f"]["J-mean"] == {"value": 0.75, "low": 0.5, "high": 1.0}
    assert row["record"] == record.id
    assert row["clocks"]["model"]["fps"] == 10.0
    assert row["conditions"]["device"] == "Toy CPU"
    assert content["measured"][0]["speeds"][0]["rows"][0]["on_pareto_front"] is True


def test_a_replay_has_no_clocks(make_record, tmp_path):
    (path,) = Json().report([make_record(THREE, replays=True)], tmp_path)
    (board,) = json.loads(path.read_text())["measured"]
    assert board["rows"][0]["clocks"] is None
    assert board["speeds"] == []


def test_a_partial_record_is_not_ranked_and_keeps_its_figures(make_record, tmp_path):
    (path,) = Json().report([make_record({"a": [(0.5, 0.25)]}, expected=3)], tmp_path)
    content = json.loads(path.read_text())
    assert content["measured"] == []
    (row,) = content["not_ranked"]
    assert row["reason"] == "partial: 1 of 3 videos"
    assert row["scores"]["j_and_f"]["J&F"]["value"] == 0.375


def test_what_is_gone_is_removed_and_strange_files_stay(make_record, tmp_path):
    Json().report([make_record(THREE, bench="old-val")], tmp_path)
    stranger = tmp_path / "json" / "old-val" / "mine.json"
    stranger.write_text('{"mine": true}')
    Json().report([make_record(THREE, bench="new-val")], tmp_path)
    assert sorted(path.name for path in (tmp_path / "json" / "old-val").iterdir()) == ["mine.json"]
    assert (tmp_path / "json" / "new-val" / "one-shot.json").exists()


def test_hostile_text_is_plain_json_text(make_record, tmp_path):
    (path,) = Json().report([make_record(THREE, preset="</script><script>\u2028")], tmp_path)
    assert json.loads(path.read_text())["measured"][0]["rows"][0]["preset"] == "</script><script>\u2028"
    assert path.read_bytes().isascii()
