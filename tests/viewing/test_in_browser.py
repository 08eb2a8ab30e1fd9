"""The frame viewer in Chromium, from disk and with the network off."""

import shutil

import pytest

from harness.cli import main

pytestmark = pytest.mark.browser


def test_frames_are_stepped_through_and_layers_changed_by_the_keyboard(lay_run):
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install chromium")
    run, other = lay_run("run"), lay_run("other", method="theirs")
    with pytest.raises(SystemExit):
        main(["view", str(run), str(other), "--no-open"])
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((run / "view/videos/first.html").as_uri())
        told = page.locator("#viewer output")
        assert told.text_content().startswith("Frame 2 of 4")  # the worst one
        page.keyboard.press("ArrowRight")
        assert told.text_content().startswith("Frame 3 of 4")
        over = page.locator("#viewer .over")
        sources = []
        for key in ("p", "t", "d"):
            page.keyboard.press(key)
            sources.append(over.get_attribute("src").split("/")[1])
            assert over.evaluate("one => one.decode().then(() => one.naturalWidth)") == 8
        assert sources == ["masks", "truth", "differences"]
        page.keyboard.press("s")
        assert "inset" in over.evaluate("one => one.style.clipPath")
        assert page.locator("#viewer .under").get_attribute("src").split("/")[1] == "truth"
        page.locator("#viewer select[name=run]").select_option("1")
        assert over.get_attribute("src").split("/")[2] == "1"
        page.locator("#curves svg").first.wait_for()
        browser.close()
    assert wrong == []
