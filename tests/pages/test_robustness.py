"""Curves over severity as pages and pictures: what is plotted, what links where, what strangers wrote is escaped."""

import json
import re

import pytest

from harness.api.records import WeightsInfo
from harness.cli import main
from harness.pages.leaderboard import write_leaderboard
from harness.pages.robustness import APART, plot_curves
from harness.ranking.robustness import robustness_of


@pytest.fixture
def records(make_record):
    weights = WeightsInfo(name="<b>w</b>", sha256="1" * 64)
    benches = (("toy-val", 0.8), ("toy-val+blur-1", 0.6), ("toy-val+blur-5", 0.2), ("toy-val+rate-2", 0.7))
    return [
        make_record(
            {"a": [(value, value)], "b": [(value, value - 0.1)], "c": [(value, value)]}, bench=bench, weights=weights
        )
        for bench, value in benches
    ]


def test_the_page_has_a_plot_a_corruption_and_the_overview_leads_there(records, tmp_path):
    write_leaderboard(records, [], tmp_path / "site")
    page = (tmp_path / "site" / "robustness" / "toy-val" / "one-shot.html").read_text()
    specs = [
        json.loads(found) for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    ]
    assert [spec["description"].split()[4] for spec in specs] == ["blur,", "rate,"]
    assert [point["severity"] for point in specs[0]["data"]["values"]] == [0, 1, 5]
    assert "<b>w</b>" not in page
    assert "Gaussian blur: 1, 2, 3, 4, 6 pixels" in page
    for link in re.findall(r'href="(\.\./\.\./(?:runs|boards)/[^"]+)"', page):
        assert (tmp_path / "site" / "robustness" / "toy-val" / link).is_file(), link
    overview = (tmp_path / "site" / "index.html").read_text()
    assert 'href="robustness/toy-val/one-shot.html"' in overview
    assert "boards/toy-val+blur-1/one-shot.html" not in overview  # no card each
    assert "boards/toy-val/one-shot.html" in overview


def draw(*words):
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "robustness", *map(str, words)])
    return end.value.code


def test_the_command_draws_runs_and_records_and_refuses_what_holds_none(records, tmp_path, capsys):
    for number, record in enumerate(records):
        (tmp_path / "runs" / str(number)).mkdir(parents=True)
        (tmp_path / "runs" / str(number) / "record.json").write_text(record.to_json())
    assert draw(tmp_path / "runs", "--out", tmp_path / "curves.csv") == 0
    lines = (tmp_path / "curves.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 + 2  # blur at 0, 1, 5; rate at 0, 2
    assert lines[1].split(",")[:4] == ["toy-val", "one-shot", "blur", "0"]
    assert draw(tmp_path / "runs", "--out", tmp_path / "curves.svg") == 0
    assert b"<svg" in (tmp_path / "curves.svg").read_bytes()[:600]
    assert draw(tmp_path / "runs" / "0", "--out", tmp_path / "none.csv") == 3
    assert draw(tmp_path / "runs", "--out", tmp_path / "curves.doc") == 2
    assert "expected .png, .svg or .csv" in capsys.readouterr().err


def test_all_plots_of_a_page_have_one_scale_and_one_colour_a_method(make_record):
    records = [
        make_record({"a": [(value, value)]}, bench=bench, method=method)
        for bench, method, value in (
            ("toy-val+blur-1", "ours", 0.62),
            ("toy-val+noise-1", "other", 0.3),
            ("toy-val+noise-1", "ours", 0.5),
        )
    ]
    (found,) = robustness_of(records)
    specs = [plot_curves(found, name, curves) for name, curves in found.by_corruption().items()]
    assert len(specs) == 2
    for spec in specs:
        for layer in spec["layer"]:
            assert layer["encoding"]["y"]["scale"]["domain"] == [0, 70.0]
            assert [name.partition(",")[0] for name in layer["encoding"]["color"]["scale"]["domain"]] == [
                "other",
                "ours",
            ]
    places = {point["method"].partition(",")[0]: point["place"] for point in specs[0]["data"]["values"]}
    assert places["ours"] - places["other"] == pytest.approx(APART)
