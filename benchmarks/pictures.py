"""The pictures of README and docs: ``make pictures``, or ``python -m benchmarks.pictures``.

Two runs on ``mini``, made anew in ``--runs``, give the strip; a board of the leaderboard gives the plot, drawn by its
page in Chromium (``pip install -e '.[dev]'``). Both are written as WebP into ``--out``.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from PIL import Image

from harness.api.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
VIDEO = "mini-return"
STRIP = {"tvos": ("--plugin", "tvos"), "copyfirst": ("--plugin", "copyfirst")}
BOARD = "boards/mini/object-zvos.html"
LOOK = {"width": 900, "height": 900}


@click.command()
@click.option("--runs", type=click.Path(path_type=Path), default=ROOT / "runs" / "pictures", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "docs" / "assets", show_default=True)
@click.option("--video", default=VIDEO, show_default=True, help="Of mini, for the strip.")
@click.option("--board", default=BOARD, show_default=True, help="The page of the leaderboard with the plot.")
def main(runs: Path, out: Path, video: str, board: str) -> None:
    """Make both pictures anew."""
    out.mkdir(parents=True, exist_ok=True)
    _save(draw_strip(runs, video), out / "strip.webp")
    _save(draw_plot(board), out / "plot.webp")


def draw_strip(runs: Path, video: str) -> bytes:
    """The contact sheet of both runs on that video, as a PNG."""
    for name, options in STRIP.items():
        _harness(
            "run",
            *options,
            "--bench",
            "mini",
            "--videos",
            video,
            "--threads",
            "1",
            "--out",
            str(runs / name),
            "--resume",
            "never",
        )
    _harness("view", *(str(runs / name) for name in STRIP), "--sheet", "--columns", "5")
    return (runs / "tvos" / "sheet.png").read_bytes()


def draw_plot(board: str) -> bytes:
    """The first plot of a board of this leaderboard, as a PNG, twice as fine as a screen needs."""
    from playwright.sync_api import sync_playwright

    program = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if program is None:
        raise UsageError("found no Chromium, expected one to draw the plot", hint="apt-get install chromium")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as play:
        _harness("leaderboard", "build", "--site", "--out", place)
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport=LOOK, device_scale_factor=2)
        page = context.new_page()
        page.goto((Path(place) / "site" / board).as_uri())
        plot = page.locator(".plot[data-spec]").first
        if not plot.count():
            raise UsageError(
                f"{board} has no plot, expected two records with clocks of one machine", hint="make records"
            )
        plot.locator("svg").first.wait_for()
        picture = plot.screenshot()
        browser.close()
    return picture


def _harness(*command: str) -> None:
    ended = subprocess.run([sys.executable, "-m", "harness", *command], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode:
        raise click.ClickException(f"harness {' '.join(command)}: {ended.stderr.strip()[-2000:]}")


def _save(png: bytes, path: Path) -> None:
    Image.open(io.BytesIO(png)).convert("RGB").save(path, quality=80, method=6)
    click.echo(f"wrote {path}, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
