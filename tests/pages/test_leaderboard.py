"""The leaderboard's pages: what stands on them, what folds away, what a stranger's record cannot do to them."""

import json
import re
from html.parser import HTMLParser

import pytest

from harness.api.errors import UsageError
from harness.api.published import PublishedPaper, PublishedRow
from harness.api.records import StageTime
from harness.pages.house import MARK
from harness.pages.leaderboard import write_leaderboard

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}
HOSTILE = [
    "<script>document.title='taken'</script>",
    "</script><script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=1">',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
]


def make_paper(benchmark, **figures):
    row = PublishedRow(benchmark=benchmark, task="one-shot", supervision="none", source="Table 3", figures=figures)
    return PublishedPaper(plugin="ours", method="Theirs", title="T", authors="A", venue="CVPR", year=2020, rows=[row])


class Seen(HTMLParser):
    """What a browser would take for elements: their names, links and handlers; and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers, self.links, self.words, self.inside = [], [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.links += [value for name, value in attributes if name in ("href", "src")]
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        self.words += data if self.inside not in ("script", "style") else ""


def pages(place):
    return {path.relative_to(place).as_posix(): path.read_text(encoding="utf-8") for path in place.rglob("*.html")}


def test_a_board_shows_figures_intervals_clocks_and_where_it_comes_from(make_record, tmp_path):
    record = make_record(THREE, fps=10.0)
    about = record.about.model_copy(
        update={
            "licence": "MIT",
            "paper": "A paper",
            "authors": "A. One, B. Two",
            "year": 2020,
            "url": "https://e.org/p",
        }
    )
    weights = record.weights.model_copy(update={"parameters": 11_200_000})
    write_leaderboard([record.model_copy(update={"about": about, "weights": weights})], [], tmp_path / "site")
    seen = Seen(pages(tmp_path / "site")["boards/toy-val/one-shot.html"])
    for told in ("12.9 to 100.0", "steady", "C1", "100", "11.2 M", "self-supervised", "online", "MIT", "A. One 2020"):
        assert told in seen.words
    assert "https://e.org/p" in seen.links


def test_what_is_measured_comes_first_and_what_is_empty_is_folded_away(make_record, tmp_path):
    write_leaderboard([make_record(THREE)], [make_paper("alone-val", **{"J&F": 72.3})], tmp_path / "site")
    text = pages(tmp_path / "site")["index.html"]
    assert text.index("toy-val") < text.index("<details>") < text.index("alone-val")
    assert text.index("One-shot VOS") < text.index("Object-level")


def test_reported_rows_stand_apart_and_the_best_first(make_record, tmp_path):
    papers = [make_paper("toy-val", **{"J&F": 60.0}), make_paper("toy-val", **{"J&F": 72.3})]
    write_leaderboard([make_record(THREE)], papers, tmp_path / "site")
    text = pages(tmp_path / "site")["boards/toy-val/one-shot.html"]
    measured, _, reported = text.partition('<section class="reported"')
    assert "Theirs" not in measured
    assert reported.index("72.3") < reported.index("60.0")


def test_the_overview_says_that_rows_of_another_rule_stand_after_the_best(make_record, tmp_path):
    own, other = make_paper("toy-val", **{"J&F": 60.0}), make_paper("toy-val", **{"J&F": 72.3})
    other = other.model_copy(update={"rows": [row.model_copy(update={"rule": "davis-2016"}) for row in other.rows]})
    for papers, shown in (([own, other], True), ([own], False)):
        write_leaderboard([make_record(THREE)], papers, tmp_path / "site")
        words = Seen(pages(tmp_path / "site")["index.html"]).words
        assert "best J&F 60.0 by Theirs" in words
        assert ("rows averaged by another rule stand after it" in words) is shown


def test_the_tables_of_a_record_head_its_stages_and_kernels_with_whole_words(make_record, tmp_path):
    record, spent = make_record(THREE), StageTime(calls=2, seconds=0.5)
    timing = record.timing.model_copy(update={"stages": {"backbone": spent}, "kernels": {"embed": spent}})
    write_leaderboard([record.model_copy(update={"timing": timing})], [], tmp_path / "site")
    (text,) = [text for page, text in pages(tmp_path / "site").items() if page.startswith("runs/")]
    for head in ("stage", "kernel"):
        assert f'<th scope="col">{head}</th>' in text


def test_seeds_stand_on_the_board_as_a_spread_and_not_as_videos(make_record, tmp_path):
    lower = {video: [(j - 0.25, f) for j, f in objects] for video, objects in THREE.items()}
    records = [make_record(THREE), make_record(lower).model_copy(update={"seed": 7, "id": "e" * 64})]
    write_leaderboard(records, [], tmp_path / "site")
    seen = Seen(pages(tmp_path / "site")["boards/toy-val/one-shot.html"])
    _, _, told = seen.words.partition("Several seeds")
    for figure in ("0, 7", "43.8", "8.8", "37.5", "50.0"):
        assert figure in told
    write_leaderboard(records[:1], [], tmp_path / "alone")
    assert "Several seeds" not in Seen(pages(tmp_path / "alone")["boards/toy-val/one-shot.html"]).words


def test_speeds_are_drawn_in_groups_of_equal_conditions(make_record, tmp_path):
    records = [
        make_record(THREE, method="one", device="CPU", fps=2.0),
        make_record(THREE, method="two", device="CPU", fps=4.0),
        make_record(THREE, method="far", device="GPU", fps=50.0),
    ]
    write_leaderboard(records, [], tmp_path / "site")
    text = pages(tmp_path / "site")["boards/toy-val/one-shot.html"]
    specs = [json.loads(found) for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', text)]
    assert [[point["method"] for point in spec["data"]["values"]] for spec in specs] == [["two", "one"]]
    assert [point["method"] for point in specs[0]["layer"][0]["data"]["values"]] == ["two"]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_record_full_of_markup_stays_text(make_record, tmp_path, hostile):
    record = make_record({f"v{number}": objects for number, objects in enumerate(THREE.values())}, fps=2.0)
    record = record.model_copy(
        update={
            "preset": hostile,
            "config": {hostile: hostile},
            "about": record.about.model_copy(
                update={"paper": hostile, "authors": hostile, "url": "javascript:alert(1)"}
            ),
            "plugin": record.plugin.model_copy(update={"supervision": hostile, "version": hostile}),
            "weights": record.weights.model_copy(update={"name": hostile, "trained_on": hostile, "licence": hostile}),
            "conditions": record.conditions.model_copy(update={"device": hostile, "torch": hostile}),
            "partial_reason": hostile,
        }
    )
    other = make_record({f"v{number}": objects for number, objects in enumerate(THREE.values())}, fps=4.0)
    other = other.model_copy(update={"conditions": record.conditions})
    part = record.model_copy(update={"partial": True, "id": "f" * 64})
    write_leaderboard([record, other, part], [], tmp_path / "site")
    harmless = tmp_path / "harmless"
    plain = {"preset": "p", "config": {"c": "c"}, "conditions": other.conditions.model_copy(update={"device": "D"})}
    calm = [
        one.model_copy(update=plain if one is not other else {"conditions": plain["conditions"]})
        for one in (record, other, part)
    ]
    calm = [
        one.model_copy(update={"about": record.about.model_copy(update={"paper": "p", "authors": "a", "url": ""})})
        if one.preset
        else one
        for one in calm
    ]
    write_leaderboard(calm, [], harmless)
    found, expected = pages(tmp_path / "site"), pages(harmless)
    assert set(found) == set(expected)
    for page, text in found.items():
        seen = Seen(text)
        assert sorted(seen.tags) == sorted(Seen(expected[page]).tags), page
        assert seen.handlers == []
        assert not any(link.startswith(("javascript:", "http:")) for link in seen.links)
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_no_page_asks_for_anything_from_elsewhere(make_record, tmp_path):
    write_leaderboard([make_record(THREE)], [make_paper("toy-val", **{"J&F": 60.0})], tmp_path / "site")
    for page, text in pages(tmp_path / "site").items():
        assert "default-src 'none'" in text, page
        assert all(not link.startswith(("http:", "//")) for link in Seen(text).links)
        sources = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]*)"', text)
        assert all((tmp_path / "site" / page).parent.joinpath(one).exists() for one in sources if one != "data:,"), page


def test_every_link_leads_to_a_page_of_the_folder(make_record, tmp_path):
    records = [make_record(THREE, method="one", fps=2.0), make_record(THREE, method="two", fps=4.0)]
    write_leaderboard(records, [], tmp_path / "site")
    for page, text in pages(tmp_path / "site").items():
        for link in Seen(text).links:
            if not link.startswith(("#", "https:", "data:")):
                target = (tmp_path / "site" / page).parent / link.partition("#")[0]
                assert target.is_file(), (page, link)


def test_a_name_that_is_no_file_name_has_a_page_all_the_same(make_record, tmp_path):
    write_leaderboard([make_record({"größe 5 <b>": [(1.0, 1.0)], "plain": [(1.0, 0.0)]})], [], tmp_path / "site")
    videos = [page for page in pages(tmp_path / "site") if page.startswith("videos/toy-val/one-shot/")]
    assert len(videos) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9/._-]+", page) for page in videos)


def test_pages_take_the_place_of_earlier_pages_and_of_nothing_else(make_record, tmp_path):
    site = tmp_path / "site"
    write_leaderboard([make_record(THREE, method="gone")], [], site)
    before = set(pages(site))
    write_leaderboard([make_record(THREE, method="here")], [], site)
    assert set(pages(site)) - before != set()
    assert not any("gone" in text for text in pages(site).values())
    (site / MARK).unlink()
    with pytest.raises(UsageError, match="holds something else"):
        write_leaderboard([], [], site)
    assert (site / "index.html").is_file()


def test_no_picture_is_in_the_published_pages(make_record, tmp_path):
    write_leaderboard([make_record(THREE, fps=2.0)], [make_paper("toy-val", **{"J&F": 60.0})], tmp_path / "site")
    kinds = {path.suffix for path in (tmp_path / "site").rglob("*") if path.is_file()}
    assert kinds == {".html", ".css", ".js", ".LICENSE", ""}
    assert not any("img" in Seen(text).tags for text in pages(tmp_path / "site").values())
