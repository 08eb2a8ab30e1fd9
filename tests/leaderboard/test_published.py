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
