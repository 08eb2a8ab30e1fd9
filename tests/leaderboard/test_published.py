"""What papers print: the files' form, that figures can be, and, where the papers lie, that each stands in the text."""

import re
from pathlib import Path

import pytest

from harness.api.contracts import RULES
from harness.api.published import PublishedRow
from harness.catalog import Catalog
from harness.leaderboard.verification import read_published

ROOT = Path(__file__).resolve().parents[2]
PAPERS = ROOT.parent / "shared" / "papers"
TEXTS = {
    "dtnet": "dtnet.txt",
    "imas": "imas.txt",
    "mug": "mug.txt",
    "selfsup": "selfsup-memory.txt",
    "tvos": "tvos.txt",
}
FILES = {path.stem: read_published(path) for path in sorted((ROOT / "leaderboard/published").glob("*.json"))}


def figures_of(row: PublishedRow):
    """Every figure of a row, those of its videos too."""
    return [*row.figures.values(), *(value for video in row.by_video.values() for value in video.values())]


def test_the_five_papers_are_there():
    assert set(FILES) == set(TEXTS)
    assert all(paper.plugin == name for name, paper in FILES.items())


@pytest.mark.parametrize("name", FILES)
def test_each_row_has_a_place_in_the_paper_and_a_benchmark_of_the_harness(name):
    catalog = Catalog.load()
    for row in FILES[name].rows:
        assert re.search(r"Table \d|section \d", row.source), row.source
        assert row.task in catalog.benchmarks.get(row.benchmark).tasks
        assert not row.rule or row.rule in RULES
        assert row.figures


@pytest.mark.parametrize("name", FILES)
def test_no_row_stands_twice(name):
    places = [
        (row.benchmark, row.task, row.source, row.method, row.variant, row.supervision) for row in FILES[name].rows
    ]
    assert [place for place in places if places.count(place) > 1] == []


@pytest.mark.parametrize("name", FILES)
def test_figures_are_per_cent_and_only_decay_is_below_zero(name):
    for row in FILES[name].rows:
        for column, figure in row.figures.items():
            assert (-10 if column.endswith("decay") or row.method == "TSN" else 0) <= figure <= 100, (row, column)


@pytest.mark.parametrize("name", FILES)
def test_j_and_f_is_the_mean_of_the_two_or_said_to_be_a_misprint(name):
    for row in FILES[name].rows:
        if {"J&F", "J-mean", "F-mean"} <= set(row.figures) and not row.misprint:
            mean = (row.figures["J-mean"] + row.figures["F-mean"]) / 2
            # Each printed figure is rounded to 0.05, so an honest J&F is at most 0.1 from the mean of the printed two.
            assert abs(mean - row.figures["J&F"]) < 0.0999, (row.source, row.method, row.variant, row.figures)


@pytest.mark.parametrize(
    ("name", "source", "found", "place", "figures"),
    [  # typed from the papers' tables, one of each
        ("tvos", "Table 2", ("", "trained with 9 frames, tracking with sparse sample"), "davis17-val", "69.0"),
        ("tvos", "Table 3", ("CNN-MRF", ""), "davis17-val", "67.2 74.2 70.7"),
        ("tvos", "Table 4", ("", "trained on train and val"), "davis17-test-dev", "58.8 67.4 63.1"),
        ("tvos", "Table 5", ("OSVOS", ""), "youtube-vos18-val", "58.8 59.8 60.5 54.2 60.7"),
        ("selfsup", "Table 1", ("", "all modules"), "davis17-val", "70.7 68.2 73.1"),
        ("selfsup", "Table 2", ("", "5 reference frames"), "davis17-val", "68.2 66.5 69.9"),
        ("selfsup", "Table 3", ("", "100 videos, pairwise"), "davis17-val", "54.7 57.8"),
        ("selfsup", "Table 4", ("OSVOS-S", "VGG-16"), "davis17-val", "68.0 64.7 74.2 71.3 80.7"),
        ("mug", "Table 1", ("", "ablation: 1 iteration"), "davis16-val", "50.8"),
        ("mug", "Table 2", ("FST", ""), "davis16-val", "55.8 64.7 0.0 51.1 51.6 2.9 36.6"),
        ("mug", "Table 3", ("ARP", ""), "youtube-objects", "46.2"),
        ("mug", "Table 4", ("PDB", ""), "davis17-unsup-test-dev", "40.4 37.7 42.6 4.0 43.0 44.6 3.7"),
        ("mug", "Table 5", ("BVS", ""), "davis16-val", "60.0 66.9 28.9 58.8 67.9 21.3 34.7"),
        ("mug", "Table 6", ("mgPFF", ""), "davis17-val", "44.6 42.2 41.8 46.9 44.4"),
        ("dtnet", "Table 1", ("STEm-Seg", ""), "davis17-unsup-val", "64.7 61.5 70.4 -4.0 67.8 75.5 1.2"),
        ("dtnet", "Table 2", ("MaskTrack R-CNN", ""), "youtube-vis19-val", "30.3 51.1 32.6 31.0 35.5"),
        ("dtnet", "Table 3", ("", "D-Net"), "davis17-frames-val", "52.0 73.3 54.9 30.3 55.4 67.5"),
        ("dtnet", "Table 4", ("", "without memory updating"), "davis17-unsup-val", "61.2 59.4 62.8 66.3 69.2"),
        ("imas", "Table 2", ("", "CRF"), "segtrackv2", "72.7"),
        ("imas", "Table 3", ("", "ablation: feature merging"), "davis16-val", "71.0"),
        ("imas", "Table 4", ("", "motion pathway: pixel-wise scaling"), "davis16-val", "70.4"),
        ("imas", "Table 5", ("", "ablation: CRF after"), "davis16-val", "78.4"),
    ],
)
def test_a_row_of_each_table_is_as_typed_by_hand(name, source, found, place, figures):
    rows = [
        row
        for row in FILES[name].rows
        if (row.source, row.method, row.variant, row.benchmark) == (source, *found, place)
    ]
    printed = [sorted(str(figure) for figure in row.figures.values()) for row in rows]
    assert sorted(figures.split()) in printed


def test_what_the_paper_prints_of_a_rows_network_and_data_is_kept():
    (adaptation,) = [row for row in FILES["selfsup"].rows if row.method == "OnAVOS" and row.source == "Table 4"]
    assert (adaptation.backbone, adaptation.trained_on) == ("ResNet-38", "ImageNet, COCO, PASCAL VOC, DAVIS")
    assert {row.backbone for row in FILES["dtnet"].rows if row.source == "Table 3"} == {"ResNet-50"}
    assert all(row.backbone for name in FILES for row in FILES[name].rows if not row.method)


@pytest.mark.data
@pytest.mark.skipif(not PAPERS.is_dir(), reason=f"no texts of the papers at {PAPERS}")
@pytest.mark.parametrize("name", FILES)
def test_every_figure_stands_in_the_text_of_its_paper(name):
    text = (PAPERS / TEXTS[name]).read_text(encoding="utf-8")
    standing = {float(found) for found in re.findall(r"(?<![\d.])-?\d*\.?\d+(?!\d)", text.replace("−", "-"))}
    printed = [figure for row in FILES[name].rows for figure in figures_of(row)]
    printed += [
        figure
        for row in FILES[name].rows
        if row.speed
        for figure in (row.speed.fps, row.speed.seconds_per_frame)
        if figure is not None
    ]
    assert sorted({figure for figure in printed if figure not in standing}) == []
