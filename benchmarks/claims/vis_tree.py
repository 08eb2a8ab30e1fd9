"""Generated videos in YouTube-VIS's own folders: python -m benchmarks.claims.vis_tree --out DIR.

For ``harness run --bench youtube-vis19-train --data-root DIR --allow-partial``: tracks with categories, as a video
instance segmenter is trained and measured on, of videos that no training of this project saw.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from PIL import Image

from harness.datasets.mini import CATEGORIES, MiniVideo
from harness.datasets.mini.stories import STORIES

QUALITY = 95
"""Of the JPEGs."""


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--seeds", type=int, default=2, show_default=True, help="Videos a story.")
@click.option("--frames", type=int, default=12, show_default=True)
@click.option("--lines", type=int, default=240, show_default=True)
def main(out: Path, seeds: int, frames: int, lines: int) -> None:
    """Write frames and one table of tracks, laid out as the data set is unpacked."""
    table: dict[str, list[dict[str, object]]] = {
        "videos": [],
        "annotations": [],
        "categories": [{"id": place, "name": name} for place, name in enumerate(CATEGORIES, 1)],
    }
    for story in STORIES:
        for seed in range(seeds):
            add_video(MiniVideo(f"{story}-{seed}", story, f"vis-{seed}", frames, lines, lines * 16 // 9), out, table)
    (out / "train.json").write_text(json.dumps(table))
    click.echo(f"{len(table['videos'])} videos, {len(table['annotations'])} tracks in {out}")


def add_video(video: MiniVideo, out: Path, table: dict[str, list[dict[str, object]]]) -> None:
    """Write the frames of a video and add its tracks to the table."""
    sample = video.sample()
    names = [f"{video.name}/{t:05d}.jpg" for t in range(sample.length)]
    folder = out / "train" / "JPEGImages"
    (folder / video.name).mkdir(parents=True, exist_ok=True)
    for t, name in enumerate(names):
        Image.fromarray(sample.read_frame(t)).save(folder / name, quality=QUALITY)
    number = len(table["videos"]) + 1
    size = {"width": sample.width, "height": sample.height}
    table["videos"].append({"id": number, "file_names": names, "length": sample.length, **size})
    for track in sample.extra["tracks"]:
        codes = track["segmentations"]
        masks = [None if code is None else {"size": list(code.size), "counts": code.counts.decode()} for code in codes]
        table["annotations"].append(
            {
                "id": len(table["annotations"]) + 1,
                "video_id": number,
                "category_id": track["category_id"],
                "iscrowd": 0,
                "areas": track["areas"],
                "segmentations": masks,
                **size,
            }
        )


if __name__ == "__main__":
    main()
