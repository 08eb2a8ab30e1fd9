"""The docs site: what is made of the pages before mkdocs sees them, and what a page must not be in the browser."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORIGIN = "http://127.0.0.1:1/"


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site_pages() -> ModuleType:
    return tool("site_pages")


@pytest.fixture(scope="module")
def check_site() -> ModuleType:
    return tool("check_site")


@pytest.mark.parametrize(
    ("page", "written", "wanted"),
    [
        ("index.md", "[a](commands.md#exit-codes)", "[a](commands.md#exit-codes)"),
        ("index.md", "[a](../CHANGELOG.md)", "[a](changes.md)"),
        ("index.md", "[a](../plugins/harness_tvos/README.md)", "[a](methods/tvos.md)"),
        ("index.md", "[a](../tests/conftest.py)", "[a](R/tree/main/tests/conftest.py)"),
        ("index.md", "[a](nowhere.md)", "[a](nowhere.md)"),
        ("look.md", "![a](assets/sheet.webp)", "![a](assets/sheet.webp)"),
        ("index.md", "[a](https://example.org/docs)", "[a](https://example.org/docs)"),
        ("contributing.md", "[a](docs/timing.md)", "[a](timing.md)"),
        ("methods/tvos.md", "[a](../../docs/timing.md)", "[a](../timing.md)"),
        ("methods/tvos.md", "[a](method.py)", "[a](R/tree/main/plugins/harness_tvos/method.py)"),
        ("index.md", "```console run\n$ ls\n```", "```console\n$ ls\n```"),
        ("index.md", "<!-- file: tests/third_party/a/b.py -->\n```python\n", '```python title="a/b.py"\n'),
    ],
)
def test_links_and_fences_are_put_right(site_pages, page, written, wanted):
    assert site_pages.for_site(written, page, site_pages.pages(), "R") == wanted


def test_a_star_in_the_navigation_stands_for_its_pages(site_pages):
    known = ["a.md", "b/2.md", "b/1.md", "c/1.md"]
    assert site_pages.expand([{"A": "a.md"}, {"More": [{"B": "b/*.md"}]}], known) == [
        {"A": "a.md"},
        {"More": [{"B": ["b/1.md", "b/2.md"]}]},
    ]


def make_page(**changes) -> dict:
    """A page as the browser sees a good one."""
    page = {
        "page": "index.html",
        "title": "Start",
        "heading": "Start",
        "words": 100,
        "width": 390,
        "anchors": ["here"],
        "links": [ORIGIN, f"{ORIGIN}index.html#here", "https://example.org/"],
        "fetched": [[f"{ORIGIN}site.css", 200]],
    }
    return {**page, **changes}


def test_a_good_site_has_no_problems(check_site):
    pages = [make_page(), make_page(page="other.html", title="Other")]
    assert check_site.problems({"pages": pages, "hits": 3}, ORIGIN, []) == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (make_page(title=" "), "title"),
        (make_page(heading=""), "heading"),
        (make_page(words=3), "3 words"),
        (make_page(width=391), "391 pixels wide"),
        (make_page(links=[f"{ORIGIN}gone.html"]), "gone.html, no page of the site"),
        (make_page(links=[f"{ORIGIN}index.html#gone"]), "no such heading"),
        (make_page(links=["http://example.org/"]), "expected https"),
        (make_page(fetched=[["https://fonts.example.org/a.css", 200]]), "nothing from elsewhere"),
        (make_page(fetched=[[f"{ORIGIN}a.png", 404]]), "answers 404"),
    ],
)
def test_what_is_wrong_with_a_page_is_said(check_site, page, said):
    found = check_site.problems({"pages": [page], "hits": 1}, ORIGIN, [])
    assert len(found) == 1
    assert said in found[0]


def test_two_pages_of_one_title_are_said(check_site):
    pages = [make_page(), make_page(page="other.html")]
    assert len(check_site.problems({"pages": pages, "hits": 1}, ORIGIN, [])) == 2


def test_a_missing_file_and_a_search_without_answers_are_said(check_site):
    found = check_site.problems({"pages": [make_page()], "hits": 0}, ORIGIN, ["/gone.js"])
    assert [line.split(":")[0] for line in found] == ["/gone.js", "index.html"]
