"""``harness view``: pages with frames and curves, a sheet, an animation; what is not here is said, never guessed."""

import json
import re

import pytest
from PIL import Image

from harness.api.errors import UsageError
from harness.cli import main
from harness.pages.leaderboard import write_leaderboard
from harness.running.finished import read_results_under, read_run
from harness.viewing.footage_pages import read_names, sort_worst


def view(*arguments):
    """The exit code of ``harness view ...``."""
    with pytest.raises(SystemExit) as end:
        main(["view", *map(str, arguments)])
    return end.value.code


def read_embedded(text, name):
    return json.loads(re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', text)[1])


def test_a_run_has_a_page_a_video_with_frames_masks_truth_and_curves(lay_run, samples, capsys):
    run = lay_run("run")
    assert view(run, "--no-open", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["videos"] == ["first", "second"]
    assert told["start"] == str(run / "view/index.html")
    text = (run / "view/videos/first.html").read_text()
    footage = read_embedded(text, "footage")
    assert len(footage["frames"]) == samples[0].length
    for frame in footage["frames"]:
        for path in (frame["image"], frame["truth"], *frame["masks"], *frame["differences"]):
            assert not path or (run / "view/videos" / path).is_file()
    assert all(frame["image"] and frame["masks"] for frame in footage["frames"])
    assert footage["runs"][0]["worst"] == [2, 3, 1]
    values = read_embedded(text, "curves-spec")["data"]["values"]
    assert {(value["figure"], value["frame"]) for value in values} == {(f, t) for f in "JF" for t in (1, 2, 3)}


def test_two_runs_stand_beside_each_other_and_are_compared(lay_run, capsys):
    base, head = lay_run("base"), lay_run("head", method="theirs", fps=20.0)
    assert view(base, head, "--no-open") == 0, capsys.readouterr().err
    compared = (base / "view/compared/1.html").read_text()
    assert "theirs" in compared
    assert "no difference shown" in compared
    footage = read_embedded((base / "view/videos/first.html").read_text(), "footage")
    assert [run["label"] for run in footage["runs"]] == ["ours", "theirs"]
    assert all(len(frame["masks"]) == 2 for frame in footage["frames"])


def test_frames_are_drawn_of_the_worst_videos_or_of_those_named(lay_run, capsys):
    run = lay_run("run")
    assert view(run, "--no-open", "--limit", "1") == 0
    assert [path.name for path in (run / "view/frames").iterdir()] == ["first"]
    assert view(run, "--no-open", "--videos", "second") == 0
    assert [path.name for path in (run / "view/frames").iterdir()] == ["second"]
    assert view(run, "--no-open", "--videos", "secnd") == 2
    assert "did you mean 'second'" in capsys.readouterr().err


def test_without_the_data_there_are_masks_and_no_frames_and_it_is_said(lay_run, capsys):
    run = lay_run("run")
    record = json.loads((run / "record.json").read_text())
    record["benchmark"]["name"] = "elsewhere-val"
    (run / "record.json").write_text(json.dumps(record))
    assert view(run, "--no-open") == 0
    assert "no frames: " in capsys.readouterr().err
    footage = read_embedded((run / "view/videos/first.html").read_text(), "footage")
    assert not any(frame["image"] or frame["truth"] for frame in footage["frames"])
    assert all(frame["masks"] for frame in footage["frames"])


def test_without_the_data_masks_stand_in_the_order_of_their_numbers(make_result, samples, tmp_path):
    result = make_result(samples[0])
    (tmp_path / result.masks).mkdir(parents=True)
    for name in ("8", "9", "10"):
        (tmp_path / result.masks / f"{name}.png").touch()
    assert read_names(tmp_path, result) == ("8", "9", "10")


def test_data_of_another_size_than_the_runs_are_refused(lay_run, make_result, samples, capsys):
    run = lay_run("run")
    longer = make_result(samples[0]).model_copy(update={"length": 6})
    (run / "videos/first.json").write_text(longer.model_dump_json(by_alias=True))
    assert view(run, "--no-open") == 3
    assert "'first' here is (5, 8, 8) (frames, rows, columns), that of the run was (6, 8, 8)" in capsys.readouterr().err
    assert not (run / "view").exists()


def test_a_record_alone_has_figures_and_no_video_pages(lay_run, tmp_path, monkeypatch):
    run = lay_run("run")
    monkeypatch.chdir(tmp_path)
    assert view(run / "record.json", "--no-open") == 0
    assert "first" in (tmp_path / "harness-view/runs/0.html").read_text()
    assert not (tmp_path / "harness-view/videos").exists()


def test_a_sheet_has_a_row_of_truth_and_a_row_a_run_for_each_video(lay_run):
    from harness.viewing.sheet import CAPTION, GAP, WIDTH

    run = lay_run("run")
    assert view(run, "--sheet", "--columns", "3") == 0
    sheet = Image.open(run / "sheet.png")
    assert sheet.width == GAP + 3 * (WIDTH + GAP)
    tall = (sheet.height - GAP) / 4 - GAP - 2 * CAPTION  # two videos, truth and prediction
    assert tall == int(tall) > 0


@pytest.mark.parametrize("form", ["webp", "gif"])
def test_an_animation_has_as_many_pictures_as_the_video_frames(lay_run, samples, form):
    run = lay_run("run")
    assert view(run, "--video", "--format", form, "--videos", "first") == 0
    with Image.open(run / f"overlays/first.{form}") as animation:
        assert animation.n_frames == samples[0].length


def test_what_is_no_finished_run_is_said(tmp_path, capsys):
    assert view(tmp_path, "--no-open") == 2
    assert "holds no record.json: no run" in capsys.readouterr().err


def test_runs_of_two_benchmarks_are_not_looked_at_together(lay_run, capsys):
    base, head = lay_run("base"), lay_run("head", method="theirs", bench="other-val")
    assert view(base, head, "--no-open") == 2
    assert "toy-val one-shot and other-val one-shot" in capsys.readouterr().err


def test_the_worst_frame_is_the_one_with_the_lowest_mean_of_its_figures(make_result, samples):
    assert sort_worst(make_result(samples[0], (0.5, 0.9, 0.2))) == [3, 1, 2]


def test_the_leaderboards_pages_draw_curves_of_runs_at_hand(lay_run, tmp_path):
    run, other = read_run(lay_run("runs/deep/run")), read_run(lay_run("elsewhere", method="theirs"))
    results = read_results_under([tmp_path / "runs"], {run.id, other.id})
    assert list(results) == [run.id]
    write_leaderboard([run, other], [], tmp_path / "site", results)
    texts = [path.read_text() for path in sorted((tmp_path / "site/videos").rglob("first.html"))]
    assert len(texts) == 1
    values = read_embedded(texts[0], "curves-spec")["data"]["values"]
    assert {value["run"] for value in values} == {"ours"}
    assert {(value["figure"], value["frame"]) for value in values} == {(f, t) for f in "JF" for t in (1, 2, 3)}
    with pytest.raises(UsageError, match="no such folder"):
        read_results_under([tmp_path / "gone"], {run.id})
