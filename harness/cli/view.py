"""``harness view``: a finished run to look at, as pages, as a video or as a contact sheet."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.api.errors import DataError, UsageError, find_near
from harness.catalog import Catalog
from harness.cli import options
from harness.cli.terminal import count, say

if TYPE_CHECKING:
    from harness.viewing.gather import Footage, Viewed

SHEET = "sheet.png"


@click.command("view")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN [RUN2]...")
@options.names("--videos", "Draw the frames of these videos, by name. May be repeated; a comma in a name is \\,.")
@click.option(
    "--limit",
    type=options.NUMBER,
    metavar="N",
    default=5,
    show_default=True,
    help="Without --videos: draw the frames of so many videos, those the first run is worst on.",
)
@options.data_root
@click.option("--video", "as_video", is_flag=True, help="Write the masks over the frames as one animation a video.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["mp4", "webp", "gif"]),
    help="With --video: default mp4 where PyAV is installed, else webp.",
)
@click.option("--sheet", is_flag=True, help=f"Write a contact sheet, {SHEET} in the run's folder.")
@click.option(
    "--columns",
    type=click.IntRange(1, 64),
    default=6,
    show_default=True,
    metavar="N",
    help="With --sheet: frames a video.",
)
@click.option(
    "--out", type=options.PATH, metavar="DIR", help="Where the pages lie; default: view in the folder of the first run."
)
@click.option("--serve", is_flag=True, help="Show the pages on 127.0.0.1 until Ctrl-C, rather than from disk.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="With --serve: default a free one.")
@click.option("--no-open", is_flag=True, help="Open no browser; say where the pages are.")
@options.as_json
def command(
    runs: Sequence[Path],
    videos: tuple[str, ...],
    limit: int,
    data_root: Path | None,
    as_video: bool,
    form: Any,
    sheet: bool,
    columns: int,
    out: Path | None,
    serve: bool,
    port: int,
    no_open: bool,
    as_json: bool,
) -> None:
    """Look at RUN, or at several runs beside each other: pages with frames, masks, truth and curves.

    RUN is a run's folder, or a record file (no frames then). The pages are for you: they hold frames of your data, and
    are not to be published. With --video or --sheet that is written, and no pages.
    """
    _refuse_contradictions(as_video=as_video, sheet=sheet, form=form, serve=serve)
    from harness.viewing.gather import find_footage, read_viewed

    catalog = Catalog.load()
    viewed = read_viewed(runs)
    footage = find_footage(viewed[0].record, data_root, catalog)
    chosen = _choose(viewed, videos, limit)
    if footage.missing:
        say(f"no frames: {footage.missing}", err=True)
    if as_video or sheet:
        written = [str(path) for path in _write_pictures(viewed, footage, chosen, form, columns, as_video, sheet, out)]
        if as_json:
            say(json.dumps({"written": written}))
        return
    from harness.viewing.run_pages import FOLDER, write_pages

    place = out or (viewed[0].folder or Path()) / (FOLDER if viewed[0].folder else "harness-view")
    drawn = write_pages(viewed, footage, catalog, place, chosen)
    say(f"wrote {drawn.pages} files, frames of {count(len(chosen), 'video')} ({', '.join(chosen) or 'none'})", err=True)
    if as_json:
        say(json.dumps({"start": str(drawn.start), "videos": list(chosen)}))
    if serve:
        _serve(place, port, opens=not no_open)
    else:
        say(f"pages {drawn.start}", err=True)
        if not no_open and not webbrowser.open(drawn.start.resolve().as_uri()):
            say("no browser could be opened here; open that file, or add --serve", err=True)


def _refuse_contradictions(*, as_video: bool, sheet: bool, form: Any, serve: bool) -> None:
    if form and not as_video:
        raise UsageError("--format belongs to --video", hint="add --video, or leave it out")
    if serve and (as_video or sheet):
        raise UsageError("--serve shows pages; --video and --sheet write none", hint="leave one of them out")


def _choose(viewed: Sequence[Viewed], videos: tuple[str, ...], limit: int) -> list[str]:
    """The videos whose frames are drawn: those named, or those the first run is worst on."""
    from harness.viewing.run_pages import sort_videos

    there = sort_videos(viewed[0].record)
    for name in videos:
        if name not in there:
            near = find_near(name, there)
            raise UsageError(
                f"the run has no video {name!r}" + (f"; did you mean {near!r}?" if near else ""),
                hint=f"it has {', '.join(there[:8])}{' ...' if len(there) > 8 else ''}",
            )
    return list(dict.fromkeys(videos)) or there[:limit]


def _write_pictures(
    viewed: Sequence[Viewed],
    footage: Footage,
    chosen: Sequence[str],
    form: Any,
    columns: int,
    as_video: bool,
    sheet: bool,
    out: Path | None,
) -> list[Path]:
    """Animations in the runs' folders, and the sheet."""
    written = []
    folders = [run.folder for run in viewed if run.folder is not None]
    if not folders:
        raise UsageError("a record alone holds no masks to draw", hint="give the run's folder")
    if as_video:
        if footage.missing:
            raise DataError(f"no frames to draw over: {footage.missing}", hint="--data-root DIR")
        from harness.overlays.write import write_overlay
        from harness.viewing.gather import check_size

        for run in viewed:
            for name in chosen:
                if run.folder is not None and name in run.results and name in footage.samples:
                    check_size(footage.samples[name], run.results[name])
                    written.append(write_overlay(run.folder, footage.samples[name], form))
                    say(f"wrote {written[-1]}", err=True)
    if sheet:
        from harness.files import write_atomically
        from harness.viewing.sheet import make_sheet

        path = (out or folders[0]) / SHEET
        write_atomically(path, make_sheet(viewed, footage, chosen, columns))
        written.append(path)
        say(f"wrote {path}", err=True)
    return written


def _serve(place: Path, port: int, *, opens: bool) -> None:
    """Show the pages until Ctrl-C."""
    from harness.viewing.serve import PageServer

    with PageServer(place, port) as server:
        say(f"pages {server.address} until Ctrl-C", err=True)
        if opens:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("", err=True)
