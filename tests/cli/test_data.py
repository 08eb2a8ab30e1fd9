"""``harness data`` reads everything, lists every problem and says by its exit code whether there was one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api.contracts import DAVIS_2017, YOUTUBE_VIS, Benchmark
from harness.api.mask_files import write_mask
from harness.catalog import Catalog, Source
from harness.cli import main
from harness.datasets.davis import Split, open_split
from harness.files import digest_of

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = {"bear": 2, "dog": 2}
SPLIT = Split("tiny", ("ImageSets/2017/val.txt",), sequences=NAMES)


def open_tiny(root, partial):
    return open_split(SPLIT, root, partial)


@pytest.fixture
def tree(tmp_path):
    for name, length in NAMES.items():
        frames, masks = tmp_path / "JPEGImages/480p" / name, tmp_path / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(length):
            Image.new("RGB", (8, 8)).save(frames / f"{t:05d}.jpg")
            write_mask(masks / f"{t:05d}.png", np.eye(8, dtype=np.uint8))
    (tmp_path / "ImageSets/2017").mkdir(parents=True)
    (tmp_path / "ImageSets/2017/val.txt").write_text("bear\ndog\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _catalog_with_tiny(monkeypatch):
    def load():
        catalog = Catalog()
        bench = Benchmark("tiny", "Tiny", {"one-shot": DAVIS_2017}, open_tiny, expected=tuple(NAMES))
        catalog.benchmarks._add("tiny", bench, Source("tiny", "tiny", "test", "0"))
        return catalog

    monkeypatch.setattr(Catalog, "load", load)


def _harness(*arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["data", *map(str, arguments)])
    return exit_.value.code or 0


def test_whole_data_are_counted_and_pass(tree, capsys):
    assert _harness("check", "tiny", "--data-root", tree) == 0
    assert "tiny: 2 of 2 videos, 4 frames, 4 truths, 2 prompts; no problems" in capsys.readouterr().out


def test_every_problem_is_listed_and_the_exit_code_is_3(tree, capsys):
    frame = tree / "JPEGImages/480p/bear/00001.jpg"
    frame.write_bytes(frame.read_bytes()[:-40])
    Image.new("RGB", (8, 8)).save(tree / "Annotations/480p/bear/00001.png")
    (tree / "Annotations/480p/dog/00001.png").unlink()
    assert _harness("check", "tiny", "--data-root", tree) == 3
    out = capsys.readouterr().out
    assert "3 problems" in out
    assert "bear/00001.jpg: found a truncated or corrupt image" in out
    assert "bear/00001.png: found a PNG of kind 8-bit RGB" in out
    assert "dog: found 1 frames without mask: 00001" in out
    assert "next: " in out


def test_a_file_that_is_truth_and_prompt_is_named_once(tree, capsys):
    mask = tree / "Annotations/480p/bear/00000.png"
    whole = mask.read_bytes()
    mask.write_bytes(whole[:-5])
    assert _harness("check", "tiny", "--data-root", tree, "--json") == 3
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 1


def test_a_missing_video_is_a_problem_unless_partial_is_allowed(tree, capsys):
    for path in (tree / "JPEGImages/480p/dog").iterdir():
        path.unlink()
    (tree / "JPEGImages/480p/dog").rmdir()
    assert _harness("check", "tiny", "--data-root", tree, "--json") == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["videos"], report["videos_expected"], report["frames"]) == (1, 2, 2)
    assert "--allow-partial" in report["problems"][0]["hint"]
    assert _harness("check", "tiny", "--data-root", tree, "--allow-partial") == 0


def test_tracks_are_counted_where_a_sample_has_them(tree, capsys, monkeypatch):
    samples = [replace(sample, extra={"tracks": [{}, {}, {}]}) for sample in open_tiny(tree, False)]
    bench = Benchmark("vis", "VIS", {"vis": YOUTUBE_VIS}, lambda root, partial: samples)
    catalog = Catalog()
    catalog.benchmarks._add("vis", bench, Source("vis", "vis", "test", "0"))
    monkeypatch.setattr(Catalog, "load", lambda: catalog)
    assert _harness("check", "vis") == 0
    assert "2 prompts, 6 tracks; no problems" in capsys.readouterr().out


def test_no_root_is_a_problem_with_the_layout(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    assert _harness("check", "tiny") == 3
    assert "JPEGImages/480p/<sequence>/00000.jpg" in capsys.readouterr().out


def test_the_fingerprint_is_that_of_the_videos_digests_in_order(tree, capsys):
    assert _harness("fingerprint", "tiny", "--data-root", tree) == 0
    expected = digest_of([(sample.name, sample.digest()) for sample in open_tiny(tree, False)])
    assert capsys.readouterr().out.strip() == expected
    write_mask(tree / "Annotations/480p/dog/00001.png", np.ones((8, 8), np.uint8))
    assert _harness("fingerprint", "tiny", "--data-root", tree, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fingerprint"] != expected
    assert list(report["videos"]) == ["bear", "dog"]


def test_a_partial_fingerprint_says_so_on_standard_error(tree, capsys):
    (tree / "ImageSets/2017/val.txt").write_text("dog\n")
    assert _harness("fingerprint", "tiny", "--data-root", tree) == 3
    assert "found 1 of 2 videos" in capsys.readouterr().err
    assert _harness("fingerprint", "tiny", "--data-root", tree, "--allow-partial") == 0
    assert "partial: 1 of 2 videos" in capsys.readouterr().err


def test_an_unknown_benchmark_gets_a_guess(capsys):
    assert _harness("check", "tyni") == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_what_is_odd_is_noted_once_a_kind_and_is_no_problem(tree, capsys):
    for name in NAMES:
        for path in (tree / "Annotations/480p" / name).iterdir():
            write_mask(path, np.eye(8, dtype=np.uint8) * 3)
    assert _harness("check", "tiny", "--data-root", tree) == 0
    head, note = capsys.readouterr().out.strip().splitlines()
    assert head.endswith("no problems")
    assert note.startswith("- note: ids with holes in the first mask in 2 videos: bear (3), dog (3); rules that count")
    assert _harness("check", "tiny", "--data-root", tree, "--json") == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [note.removeprefix("- ")]
