"""The leaderboard's pages in Chromium, from disk, the network off: what a reader can do and a stranger cannot."""

import shutil
import sys

import pytest

from harness.pages.leaderboard import write_leaderboard

pytestmark = pytest.mark.browser

THREE = {"a": [(0.5, 0.5)], "b": [(0.75, 0.25)], "c": [(1.0, 0.0)]}
HOSTILE = "</script><script>window.taken = 1</script><img src=x onerror='window.taken = 1'>\x1b[31m"
METHODS = 200
LARGEST_PAGE = 2 * 10**6
"""Bytes, with all that a page loads."""


@pytest.fixture(scope="module")
def chromium():
    """A browser without a network; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    program = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """``open_page(path, **look)``: the page, from disk; at the end nothing went wrong and nothing was fetched."""
    contexts, wrong = [], []

    def open_it(path, **look):
        context = chromium.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **look})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda told: wrong.append(told.text) if told.type in ("error", "warning") else None)
        page.on(
            "request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None
        )
        page.goto(path.as_uri())
        for plot in page.locator(".plot[data-spec]").all():
            plot.locator("svg").first.wait_for()
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def site(make_record, tmp_path):
    """Three records, one of them a stranger's."""
    good = [make_record(THREE, method=name, fps=fps) for name, fps in (("one", 2.0), ("two", 4.0))]
    bad = make_record(THREE, method="bad", fps=3.0)
    bad = bad.model_copy(
        update={
            "preset": HOSTILE,
            "config": {HOSTILE: HOSTILE},
            "about": bad.about.model_copy(
                update={"paper": HOSTILE, "authors": HOSTILE, "url": "javascript:window.taken=1"}
            ),
            "plugin": bad.plugin.model_copy(update={"supervision": HOSTILE}),
            "weights": bad.weights.model_copy(update={"name": HOSTILE, "licence": HOSTILE}),
        }
    )
    write_leaderboard([*good, bad], [], tmp_path / "site")
    return tmp_path / "site"


def all_pages(site):
    return sorted(site.rglob("*.html"))


def test_a_strangers_record_runs_nothing_and_stays_text(site, open_page):
    for path in all_pages(site):
        page = open_page(path)
        assert page.evaluate("window.taken") is None, path
        assert page.locator("img[src='x']").count() == 0
        assert page.locator("a[href^='javascript:']").count() == 0
    board = open_page(site / "boards/toy-val/one-shot.html")
    assert board.get_by_text("<script>window.taken").count() > 0


def test_a_policy_stops_a_script_that_would_stand_in_a_page(site, chromium):
    path = site / "index.html"
    path.write_text(path.read_text().replace("</main>", "<script>window.taken = 1</script></main>"))
    page = chromium.new_context(offline=True).new_page()
    page.goto(path.as_uri())
    assert page.evaluate("window.taken") is None


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 844}}])
def test_axe_finds_nothing_serious_and_a_phone_need_not_scroll_sideways(site, open_page, look):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install -e '.[dev]'").Axe()
    kinds = {path.relative_to(site).parts[0]: path for path in all_pages(site)}  # one page of each kind
    for path in kinds.values():
        page = open_page(path, **look)
        for details in page.locator("details").all():
            details.evaluate("one => one.open = true")
        found = axe.run(page, options={"preload": False}).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"], path


def test_a_table_is_sorted_and_filtered_by_the_keyboard_alone(site, open_page):
    page = open_page(site / "boards/toy-val/one-shot.html")
    speeds = "[...document.querySelectorAll('#board1 tbody tr')].map(row => row.cells[5].dataset.sort)"
    button = page.locator("#board1 th button", has_text="fps (model clock)")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        f"{speeds}.map(Number).join() === '2,3,4'"
    )  # rows move after the head says how they are sorted
    assert page.locator("#board1 th[aria-sort=ascending]").count() == 1
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(f"{speeds}.map(Number).join() === '4,3,2'")
    page.locator("input[name=words]").focus()
    page.keyboard.type("two")
    assert page.locator("#board1 tbody tr:visible").count() == 1
    assert page.locator("form.filters output").first.text_content() == "1 of 3 rows"


def test_the_theme_is_the_readers_choice_and_plots_follow(site, open_page):
    page = open_page(site / "boards/toy-val/one-shot.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "document.querySelector('.plot svg text').getAttribute('fill')"
    light = page.evaluate(ground), page.evaluate(ink)
    page.locator("#theme").click()
    page.wait_for_function(f"{ink} !== '{light[1]}'")  # plots are drawn anew after the page's own colours
    dark = page.evaluate(ground), page.evaluate(ink)
    assert light[0] != dark[0]
    assert light[1] != dark[1]


def test_a_plot_shows_every_record_of_equal_conditions_and_the_front(site, open_page):
    page = open_page(site / "boards/toy-val/one-shot.html")
    assert page.locator(".plot svg [aria-roledescription='point']").count() == 3
    assert (
        page.locator(".plot svg")
        .first.get_attribute("aria-label")
        .startswith("J&F against frames a second of 3 records")
    )


def test_a_page_of_two_hundred_methods_is_small(make_record, tmp_path, open_page):
    videos = {f"v{n:02d}": [(0.5, 0.5), (0.25, 0.75)] for n in range(30)}
    records = [make_record(videos, method=f"method-{n}", fps=1.0 + n) for n in range(METHODS)]
    write_leaderboard(records, [], tmp_path / "site")
    path = tmp_path / "site/boards/toy-val/one-shot.html"
    loaded = [path, *(p for p in (tmp_path / "site/static").iterdir() if p.suffix in (".js", ".css"))]
    assert sum(file.stat().st_size for file in loaded) < LARGEST_PAGE
    page = open_page(path)
    milliseconds = page.evaluate("""async () => {
      const table = document.getElementById("board1"), times = [];
      for (let turn = 0; turn < 5; turn++) {
        let started = 0;
        const done = new Promise(end => {
          table.addEventListener("sort-end", () => end(performance.now() - started), {once: true});
        });
        table.addEventListener("sort-start", () => { started = performance.now(); }, {once: true});
        table.querySelectorAll("th button")[3].click();
        times.push(await done);
      }
      return Math.min(...times);
    }""")
    print(f"{path.stat().st_size} bytes, sorted in {milliseconds:.1f} ms", file=sys.stderr)
    first = "document.querySelectorAll('#board1 tbody tr').length"
    assert page.evaluate(first) == METHODS
