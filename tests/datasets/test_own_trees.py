"""Anybody's tree in a layout of DAVIS or YouTube: any list or none, sparse masks, never taken for the official set."""

import json

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError, UsageError
from harness.api.mask_files import RunLength, write_mask
from harness.catalog import Catalog
from harness.cli import main

LENGTH = 6


def square(t, number=1):
    mask = np.zeros((12, 16), np.uint8)
    mask[2:8, 1 + t : 6 + t] = number
    return mask


def write_video(root, name, masks, frames="JPEGImages", annotations="Annotations"):
    """Six frames, and the masks of those that are named, by frame."""
    for t in range(LENGTH):
        path = root / frames / name / f"{t:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (40 * t, 0, 0)).save(path)
    for t, mask in masks.items():
        path = root / annotations / name / f"{t:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mask(path, mask)


@pytest.fixture
def tree(tmp_path):
    """Two videos without a folder of a resolution: every frame annotated, and every second one."""
    write_video(tmp_path, "dense", {t: square(t) for t in range(LENGTH)})
    write_video(tmp_path, "sparse", {t: square(t) for t in (0, 2, 4)})
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "mine.txt").write_text("sparse\n")
    return tmp_path


def open_all(name, root):
    return list(Catalog.load().benchmarks.get(name).open(root, False))


def test_a_list_is_taken_by_name_or_path_and_without_one_all_folders(tree):
    assert [sample.name for sample in open_all("davis17-layout", tree)] == ["dense", "sparse"]
    for choice in ("mine", "ImageSets/mine.txt", str(tree / "ImageSets" / "mine.txt")):
        assert [sample.name for sample in open_all(f"davis17-layout:{choice}", tree)] == ["sparse"]
    with pytest.raises(DataError, match=r"found the lists ImageSets/mine.txt, expected yours"):
        open_all("davis17-layout:yours", tree)


def test_without_frames_where_they_belong_the_tree_that_is_needed_is_shown(tmp_path):
    with pytest.raises(DataError, match="JPEGImages: found no such folder, expected folders of frames") as caught:
        open_all("davis17-layout", tmp_path)
    assert caught.value.hint is not None
    assert "JPEGImages/480p/<sequence>/00000.jpg" in caught.value.hint


def test_nothing_is_chosen_in_a_benchmark_whose_videos_are_fixed():
    with pytest.raises(UsageError, match=r"davis17-val has videos of its own: found the choice 'mine'"):
        Catalog.load().benchmarks.get("davis17-val:mine")


@pytest.mark.parametrize("resolution", ["480p", "Full-Resolution"])
def test_the_one_resolution_there_is_is_found(tmp_path, resolution):
    write_video(tmp_path, "a", {0: square(0), 1: square(1)}, f"JPEGImages/{resolution}", f"Annotations/{resolution}")
    (sample,) = open_all("davis17-layout", tmp_path)
    assert (sample.length, sample.truth_frames) == (LENGTH, (0, 1))


def test_a_video_begins_with_its_first_mask_and_says_so(tmp_path):
    write_video(tmp_path, "late", {t: square(t) for t in (2, 3, 4, 5)})
    (sample,) = open_all("davis17-layout", tmp_path)
    assert (sample.frame_names[0], sample.length, sample.prompt_frames) == ("00002", 4, (0,))
    assert [oddity.what for oddity in sample.oddities] == ["frames before the first mask"]


def test_first_masks_alone_are_run_and_not_scored(tmp_path, capsys):
    write_video(tmp_path, "a", {0: square(0)})
    arguments = ["run", "--plugin", "copyfirst", "--bench", "davis17-layout", "--data-root", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert end.value.code == 0
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert (record["benchmark"]["scored"], record["scores"]) == (False, {})
    with pytest.raises(SystemExit) as end:
        main(["score", str(tmp_path / "out"), "--bench", "davis17-layout", "--data-root", str(tmp_path)])
    assert end.value.code == 3
    assert "davis17-layout has no truth" in capsys.readouterr().err


def test_a_score_asks_for_masks_only_where_there_is_a_truth_and_agrees_with_the_run(tree, tmp_path):
    out = tmp_path / "run"
    common = ["--bench", "davis17-layout:mine", "--data-root", str(tree)]
    with pytest.raises(SystemExit):
        main(["run", "--plugin", "copyfirst", *common, "--out", str(out)])
    for t in (1, 3, 5):
        (out / "masks" / "sparse" / f"{t:05d}.png").unlink()
    with pytest.raises(SystemExit) as end:
        main(["score", str(out / "masks"), *common, "--out", str(tmp_path / "score")])
    assert end.value.code == 0
    ran, scored = (json.loads((tmp_path / name / "record.json").read_text()) for name in ("run", "score"))
    assert ran["scores"] == scored["scores"]
    assert scored["videos"][0]["frames"] == 2  # 2 and 4; the first is given, the last not annotated
    assert scored["scores"]["j_and_f"]["J-mean"]["value"] == pytest.approx((3 / 7 + 1 / 9) / 2)


def test_records_say_which_tree_and_are_added_with_a_note(tree, tmp_path, capsys):
    for name, bench in (("all", "davis17-layout"), ("mine", "davis17-layout:mine")):
        with pytest.raises(SystemExit):
            main(
                [
                    "run",
                    "--plugin",
                    "copyfirst",
                    "--bench",
                    bench,
                    "--data-root",
                    str(tree),
                    "--out",
                    f"{tmp_path}/{name}",
                ]
            )
    told = [json.loads((tmp_path / name / "record.json").read_text())["benchmark"] for name in ("all", "mine")]
    assert [(one["name"], one["choice"]) for one in told] == [("davis17-layout", ""), ("davis17-layout", "mine")]
    assert told[0]["tree"] != told[1]["tree"]
    assert told[0]["fingerprint"] != told[1]["fingerprint"]
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "add", str(tmp_path / "all"), "--to", str(tmp_path / "board")])
    assert end.value.code == 0
    assert "davis17-layout is any tree: ranked only beside records of the same videos" in capsys.readouterr().err
    record = tmp_path / "all" / "record.json"
    record.write_text(record.read_text().replace(told[0]["tree"], ""))
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "add", str(tmp_path / "all"), "--to", str(tmp_path / "board2")])
    assert end.value.code == 8
    assert "benchmark.tree: found no tree" in capsys.readouterr().err


def test_an_official_name_cannot_be_claimed_for_another_tree(tree, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(
            [
                "run",
                "--plugin",
                "copyfirst",
                "--bench",
                "davis17-layout",
                "--data-root",
                str(tree),
                "--out",
                f"{tmp_path}/r",
            ]
        )
    record = tmp_path / "r" / "record.json"
    record.write_text(record.read_text().replace('"davis17-layout"', '"davis17-val"'))
    with pytest.raises(SystemExit) as end:
        main(["leaderboard", "add", str(tmp_path / "r"), "--to", str(tmp_path / "board")])
    assert end.value.code == 8
    assert "expected none: its videos are fixed" in capsys.readouterr().err


def test_masks_of_youtube_vos_without_meta_json_tell_where_objects_enter(tmp_path):
    masks = {t: square(t) for t in range(LENGTH)}
    masks[3] = masks[3] + square(9, 7)
    write_video(tmp_path / "train", "a", masks)
    for name in ("youtube-vos-layout", "youtube-vos-layout:train"):
        (sample,) = open_all(name, tmp_path)
        assert sample.prompt_frames == (0, 3)
        assert set(np.unique(sample.read_prompt(3))) == {0, 7}
        assert sample.truth_frames == tuple(range(LENGTH))


def test_meta_json_says_where_objects_enter_and_first_masks_alone_are_no_truth(tmp_path):
    write_video(tmp_path, "a", {0: square(0)})
    objects = {"1": {"category": "cat", "frames": ["00000", "00005"]}}
    (tmp_path / "meta.json").write_text(json.dumps({"videos": {"a": {"objects": objects}}}))
    (sample,) = open_all("youtube-vos-layout", tmp_path)
    assert (sample.prompt_frames, sample.read_truth) == ((0,), None)


def test_a_part_is_named_where_there_are_several(tmp_path):
    for part in ("train", "valid"):
        write_video(tmp_path / part, part, {0: square(0)})
    with pytest.raises(DataError, match="found the parts train, valid, expected one part"):
        open_all("youtube-vos-layout", tmp_path)
    assert [sample.name for sample in open_all("youtube-vos-layout:valid", tmp_path)] == ["valid"]


@pytest.mark.parametrize("annotated", [True, False])
def test_a_table_of_youtube_vis_is_found_and_says_whether_there_is_a_truth(tmp_path, annotated):
    write_video(tmp_path, "a", {})
    code = {"size": [12, 16], "counts": RunLength.encode(square(0)).counts.decode()}
    video = {"id": 4, "height": 12, "width": 16, "file_names": [f"a/{t:05d}.jpg" for t in range(LENGTH)]}
    track = {"id": 1, "video_id": 4, "category_id": 1, "iscrowd": 0, "segmentations": [code] * LENGTH}
    table = {"videos": [video], "categories": [{"id": 1, "name": "cat"}], "annotations": [track] if annotated else []}
    (tmp_path / "mine.json").write_text(json.dumps(table))
    for name in ("youtube-vis-layout", "youtube-vis-layout:mine"):
        (sample,) = open_all(name, tmp_path)
        assert (sample.name, "tracks" in sample.extra) == ("a", annotated)
