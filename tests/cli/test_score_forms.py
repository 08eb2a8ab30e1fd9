"""``harness score`` of zips and of results.json, as a user types it."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from harness.api.mask_files import RunLength, write_mask
from harness.cli import main

PLUGIN = """
import functools
from harness import Benchmark, DAVIS_2017, hookimpl
from harness.api.contracts import YOUTUBE_VIS
from harness.datasets import youtube_vis
from harness.datasets.davis import Split, open_split

def vis(name, has_truth):
    part = youtube_vis.Part(name, "train", ("train.json",), 2, has_truth)
    return Benchmark(name=name, title="Tiny", rules={"vis": YOUTUBE_VIS}, size=2, scored=has_truth,
                     open=functools.partial(youtube_vis.open_part, part))

@hookimpl
def harness_benchmarks():
    split = Split("tiny-val", ("ImageSets/2017/val.txt",))
    davis = Benchmark(name="tiny-val", title="Tiny", rules={"one-shot": DAVIS_2017},
                      open=functools.partial(open_split, split))
    return [davis, vis("tiny-vis", True), vis("tiny-vis-val", False)]
"""

ALMOST_ONE = pytest.approx(1, abs=1e-12)
"""cocoapi adds 2.2e-16 to a denominator, and so do we."""


def square(t):
    mask = np.zeros((12, 16), np.uint8)
    mask[3:9, 2 + t : 8 + t] = 1
    return mask


def code(t):
    return {"size": [12, 16], "counts": RunLength.encode(square(t)).counts.decode()}


@pytest.fixture(autouse=True)
def plugin(tmp_path, monkeypatch):
    """The benchmarks above, installed in a folder on the path."""
    info = tmp_path / "site/tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site/tiny_forms.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ntiny = tiny_forms\n")
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def davis(tmp_path):
    """A DAVIS 2017 tree of one video of four frames."""
    root = tmp_path / "DAVIS"
    for folder in ("JPEGImages/480p/dog", "Annotations/480p/dog", "ImageSets/2017"):
        (root / folder).mkdir(parents=True)
    for t in range(4):
        Image.fromarray(np.repeat(square(t)[..., None] * 200, 3, axis=2)).save(
            root / f"JPEGImages/480p/dog/{t:05d}.jpg"
        )
        write_mask(root / f"Annotations/480p/dog/{t:05d}.png", square(t))
    (root / "ImageSets/2017/val.txt").write_text("dog\n")
    return root


@pytest.fixture
def vis(tmp_path):
    """A YouTube-VIS tree of two videos, one track each."""
    root = tmp_path / "VIS"
    videos, annotations = [], []
    for number, name in enumerate(("a1", "b2"), 1):
        folder = root / "train/JPEGImages" / name
        folder.mkdir(parents=True)
        for t in range(3):
            Image.new("RGB", (16, 12)).save(folder / f"{t:05d}.jpg")
        files = [f"{name}/{t:05d}.jpg" for t in range(3)]
        videos.append({"id": number, "width": 16, "height": 12, "length": 3, "file_names": files})
        track = {"id": number, "video_id": number, "category_id": number, "iscrowd": 0, "areas": [36] * 3}
        annotations.append({**track, "segmentations": [code(t) for t in range(3)]})
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    table = {"videos": videos, "categories": categories, "annotations": annotations}
    (root / "train.json").write_text(json.dumps(table))
    return root


def results(path, shift=0):
    """Perfect tracks of both videos, moved by ``shift`` pixels."""
    entries = [
        {"video_id": n, "category_id": n, "score": 0.5, "segmentations": [code(t + shift) for t in range(3)]}
        for n in (1, 2)
    ]
    path.write_text(json.dumps(entries))
    return path


def score(capsys, bench, root, predictions, *more):
    """Run ``harness score``; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in ("score", predictions, "--bench", bench, "--data-root", root, *more)])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def zip_masks(path, davis, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for t in range(4):
            archive.write(davis / f"Annotations/480p/dog/{t:05d}.png", f"{prefix}dog/{t:05d}.png")
    return path


@pytest.mark.parametrize("prefix", ["", "Annotations/", "results/"])
def test_a_zip_scores_as_its_folder_does(capsys, tmp_path, davis, prefix):
    path = zip_masks(tmp_path / "mine.zip", davis, prefix)
    code, out, err = score(capsys, "tiny-val", davis, path)
    assert code == 0
    assert "J&F       1.0000" in out
    assert (f"predictions found in {path}/{prefix.strip('/')}" in err) == bool(prefix)


def test_a_place_for_tables_that_cannot_be_is_refused_before_anything_is_scored(capsys, tmp_path, davis):
    path = zip_masks(tmp_path / "mine.zip", davis)
    code, out, err = score(capsys, "tiny-val", davis, path, "--csv", path)
    assert (code, out) == (6, "")
    assert f"--csv: {path} is no folder" in err
    assert "give --csv another place" in err
    assert "[1/" not in err


def test_a_zip_without_a_frame_is_incomplete_and_its_own_path_is_named(capsys, tmp_path, davis):
    path = zip_masks(tmp_path / "mine.zip", davis)
    with zipfile.ZipFile(tmp_path / "short.zip", "w") as archive, zipfile.ZipFile(path) as whole:
        for name in whole.namelist()[:2]:
            archive.writestr(name, whole.read(name))
    code, out, err = score(capsys, "tiny-val", davis, tmp_path / "short.zip")
    assert (code, out) == (7, "")
    assert f"1 mask is missing in {tmp_path}/short.zip: dog/00002.png" in err


def test_a_hostile_zip_is_refused(capsys, tmp_path, davis):
    path = zip_masks(tmp_path / "mine.zip", davis)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../out.png", b"x")
    code, out, err = score(capsys, "tiny-val", davis, path)
    assert (code, out) == (3, "")
    assert "entry '../../out.png': found a name that leads out of the folder" in err


@pytest.mark.parametrize("form", ["json", "zip", "folder"])
def test_perfect_tracks_have_an_average_precision_of_one(capsys, tmp_path, vis, form):
    path = results(tmp_path / "results.json")
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "results.zip", "w") as archive:
            archive.write(path, "results.json")
        path = tmp_path / "results.zip"
    elif form == "folder":
        (tmp_path / "mine").mkdir()
        path = path.rename(tmp_path / "mine/results.json").parent
    code, out, _ = score(capsys, "tiny-vis", vis, path, "--json")
    assert code == 0
    assert json.loads(out)["scores"]["track_ap"]["AP"]["value"] == ALMOST_ONE


def test_moved_tracks_lose_the_strict_thresholds(capsys, tmp_path, vis):
    code, out, _ = score(capsys, "tiny-vis", vis, results(tmp_path / "results.json", shift=1), "--json")
    assert code == 0
    # 5 of 7 columns are common: 5 / 7 = 0.71 passes the thresholds 0.5, 0.55, 0.6, 0.65, 0.7 of ten
    assert json.loads(out)["scores"]["track_ap"]["AP"]["value"] == pytest.approx(5 / 10)


def test_some_videos_alone(capsys, tmp_path, vis):
    path = results(tmp_path / "results.json", shift=1)
    code, out, err = score(capsys, "tiny-vis", vis, path, "--videos", "b2")
    assert code == 0
    assert "PARTIAL (1 of 2 videos were chosen)" in out
    assert "1 entries of other videos were left out" in err


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"video_id": 3}, 3, "entry 1: found video_id 3, expected one of the 2 videos' ids, 1 to 2"),
        ({"segmentations": [None]}, 7, "entry 1: found 1 segmentations, expected 3, one a frame"),
        ({"category_id": 9}, 3, "entry 1: found category_id 9, expected one of [1, 2]"),
        ({"score": float("nan")}, 3, "entry 1: found score nan, expected a finite number"),
        ({"segmentations": [None, None, {"size": [6, 8], "counts": "0"}]}, 3, "entry 1, frame 2: a mask: found 8 x 6"),
        (
            {"segmentations": [None, {"size": [12, 16], "counts": "12"}, None]},
            3,
            "entry 1, frame 1: a run-length code: found runs that add up to 3, expected 12 x 16",
        ),
    ],
)
def test_wrong_entries_are_named_and_nothing_is_scored(capsys, tmp_path, vis, change, code, message):
    path = results(tmp_path / "results.json")
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([entries[0], {**entries[1], **change}]))
    found, out, err = score(capsys, "tiny-vis", vis, path)
    assert (found, out) == (code, "")
    assert message in err


def test_without_public_truth_nothing_is_scored(capsys, tmp_path, vis):
    code, out, err = score(capsys, "tiny-vis-val", vis, results(tmp_path / "results.json"))
    assert (code, out) == (3, "")
    assert "tiny-vis-val has no public truth" in err
    assert "harness pack" in err


def test_a_rule_of_masks_does_not_fit_tracks(capsys, tmp_path, vis):
    code, _, err = score(capsys, "tiny-vis", vis, results(tmp_path / "results.json"), "--rule", "davis-2017")
    assert code == 2
    assert "rule davis2017-semi/1 measures masks" in err


def test_a_rule_of_tracks_does_not_fit_masks(capsys, tmp_path, davis):
    for rule, measured in (("youtube-vis", "track_ap"), ("coco-class-agnostic", "image_ap")):
        code, out, err = score(capsys, "tiny-val", davis, davis / "Annotations/480p", "--rule", rule)
        assert (code, out) == (2, "")
        assert f"measures tracks ({measured}), and one-shot returns masks" in err


def test_tracks_are_scored_by_class_agnostic_rules_by_name(capsys, tmp_path, vis):
    path = results(tmp_path / "results.json", shift=1)
    entries = json.loads(path.read_text())
    path.write_text(json.dumps([{**entry, "category_id": 2} for entry in entries]))
    code, out, _ = score(capsys, "tiny-vis", vis, path, "--rule", "youtube-vis-class-agnostic", "--json")
    assert code == 0
    assert json.loads(out)["benchmark"]["scoring"] == "youtube-vis-class-agnostic/1"
    assert json.loads(out)["scores"]["track_ap"]["AP"]["value"] == pytest.approx(5 / 10)
    code, out, _ = score(capsys, "tiny-vis", vis, path, "--rule", "coco-class-agnostic", "--json")
    assert code == 0
    assert json.loads(out)["scores"]["image_ap"]["AP"]["value"] == pytest.approx(5 / 10)


@pytest.mark.parametrize("rule", ["youtube-vis", "coco-class-agnostic"])
def test_a_broken_code_is_named_by_every_rule(capsys, tmp_path, vis, rule):
    path = results(tmp_path / "results.json")
    entries = json.loads(path.read_text())
    entries[1]["segmentations"][1] = {"size": [12, 16], "counts": "zz"}
    path.write_text(json.dumps(entries))
    code, out, err = score(capsys, "tiny-vis", vis, path, "--rule", rule)
    assert (code, out) == (3, "")
    assert "entry 1, frame 1" in err


def test_replay_runs_saved_tracks(capsys, tmp_path, vis):
    (tmp_path / "tracks").mkdir()
    for number, entry in enumerate(json.loads(results(tmp_path / "r.json").read_text())):
        (tmp_path / "tracks" / f"{('a1', 'b2')[number]}.json").write_text(json.dumps([entry]))
    arguments = ["run", "--plugin", "replay", "--bench", "tiny-vis", "--data-root", vis, "--out", tmp_path / "run"]
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in (*arguments, "--set", f"directory={tmp_path / 'tracks'}", "--json")])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out)["scores"]["track_ap"]["AP"]["value"] == ALMOST_ONE
    code, out, err = score(capsys, "tiny-vis", vis, tmp_path / "run", "--json")
    assert code == 0
    assert f"predictions found in {tmp_path / 'run/tracks'}" in err
    assert json.loads(out)["scores"]["track_ap"]["AP"]["value"] == ALMOST_ONE


def test_predictions_that_are_a_link_to_themselves_are_missing(capsys, davis, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for more, expected in (((), 3), (("--out", tmp_path / "out"), 3), (("--out", tmp_path / "loop"), 2)):
        code, out, err = score(capsys, "tiny-val", davis, tmp_path / "loop", *more)
        assert (code, out) == (expected, "")
        assert "loop" in err
