"""``harness pack``: zips by each server's rules, read and scored again; what is not whole or right is refused."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from harness.api.mask_files import RunLength, read_mask, read_mask_header, write_mask
from harness.catalog import Catalog
from harness.cli import main
from harness.predictions import servers
from harness.predictions.servers import SERVERS, Server

PLUGIN = """
import functools
from harness import Benchmark, DAVIS_2017, DAVIS_2017_UNSUPERVISED, Method, Track, Tracks, hookimpl
from harness.api.contracts import YOUTUBE_VIS, YOUTUBE_VOS
from harness.datasets import youtube_vis, youtube_vos
from harness.datasets.davis import Split, open_split

def davis(name, rule, truth, **more):
    split = Split(name, ("ImageSets/2017/val.txt",), truth=truth, **more)
    return Benchmark(name=name, title="Tiny", rules=rule, scored=truth == "all",
                     open=functools.partial(open_split, split))

def vos(name, frames):
    part = youtube_vos.Part(name, frames, "valid", 1, has_truth=False)
    return Benchmark(name=name, title="Tiny", rules={"one-shot": YOUTUBE_VOS}, scored=False,
                     open=functools.partial(youtube_vos.open_part, part))

def vis(name, has_truth):
    part = youtube_vis.Part(name, "train", ("train.json",), 2, has_truth)
    return Benchmark(name=name, title="Tiny", rules={"vis": YOUTUBE_VIS}, scored=has_truth,
                     open=functools.partial(youtube_vis.open_part, part))

class Finder:
    def segment_tracks(self, video):
        mask = video[0][..., 0] > 100
        return Tracks((Track(1, 0.5, [mask] + [None] * (len(video) - 1)), Track(2, 0.25, [mask] * len(video))))

@hookimpl
def harness_methods():
    return [Method(name="finder", tasks=("vis",), build=lambda context: Finder(), causality="offline")]

@hookimpl
def harness_benchmarks():
    return [davis("tiny-val", {"one-shot": DAVIS_2017}, "all"),
            davis("tiny-test", {"one-shot": DAVIS_2017}, "first"),
            davis("tiny-unsup", {"instance-zvos": DAVIS_2017_UNSUPERVISED}, "none"),
            vos("tiny-vos", "valid"), vos("tiny-vos-all", "valid_all_frames"),
            vis("tiny-vis", True), vis("tiny-vis-val", False)]
"""
VIDEOS = {"dog": 1, "gold-fish": 2}
LENGTH = 5


def squares(t, ids=1):
    mask = np.zeros((24, 32), np.uint8)
    for id_ in range(1, ids + 1):
        mask[4 * id_ : 4 * id_ + 6, 4 + t : 14 + t] = id_
    return mask


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """The plugin above, installed; the servers score its benchmarks in place of the real ones."""
    info = tmp_path / "site/tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site/tiny_servers.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\ntiny = tiny_servers\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    scores = {
        "davis17": ("tiny-test",),
        "davis17-unsup": ("tiny-unsup",),
        "youtube-vos": ("tiny-vos", "tiny-vos-all"),
        "youtube-vis": ("tiny-vis-val",),
    }
    changed = {n: Server(s.name, s.title, s.url, s.task, scores[n], s.folder) for n, s in SERVERS.items()}
    monkeypatch.setattr(servers, "SERVERS", changed)


@pytest.fixture
def davis(tmp_path):
    """A DAVIS 2017 tree of two videos, one with two objects."""
    root = tmp_path / "DAVIS"
    for name, ids in VIDEOS.items():
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(LENGTH):
            picture = np.repeat(squares(t, ids)[..., None] * 60, 3, axis=2)
            Image.fromarray(picture).save(frames / f"{t:05d}.jpg")
            write_mask(masks / f"{t:05d}.png", squares(t, ids))
    (root / "ImageSets/2017").mkdir(parents=True)
    (root / "ImageSets/2017/val.txt").write_text("".join(f"{name}\n" for name in VIDEOS))
    return root


@pytest.fixture
def masks(tmp_path):
    """Masks of the tree's videos, made elsewhere: grey PNGs."""
    for name, ids in VIDEOS.items():
        (tmp_path / "mine" / name).mkdir(parents=True)
        for t in range(LENGTH):
            Image.fromarray(squares(t, ids)).save(tmp_path / "mine" / name / f"{t:05d}.png")
    return tmp_path / "mine"


def harness(capsys, *arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def pack(capsys, run, server, root, *more):
    return harness(capsys, "pack", run, "--server", server, "--data-root", root, *more)


def run(capsys, bench, root, out, *more, plugin="copyfirst"):
    code, _, err = harness(
        capsys, "run", "--plugin", plugin, "--bench", bench, "--data-root", root, "--out", out, *more
    )
    assert code == 0, err
    return out


def names(path):
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_a_run_is_packed_as_the_davis_server_wants_it(capsys, davis, tmp_path):
    run(capsys, "tiny-test", davis, tmp_path / "run")
    code, out, _ = pack(capsys, tmp_path / "run", "davis17", davis)
    assert code == 0
    path = tmp_path / "run-davis17.zip"
    assert names(path) == [f"{name}/{t:05d}.png" for name in VIDEOS for t in range(LENGTH)]
    assert f"{path}: 10 masks of 2 videos" in out
    assert hashlib.sha256(path.read_bytes()).hexdigest() in out
    assert "not scored again: the truth is on the server" in out


def test_grey_masks_become_palette_masks_with_the_same_ids(capsys, davis, masks, tmp_path):
    assert pack(capsys, masks, "davis17", davis, "--out", tmp_path / "out.zip")[0] == 0
    zipfile.ZipFile(tmp_path / "out.zip").extractall(tmp_path / "x")
    path = tmp_path / "x/gold-fish/00003.png"
    assert read_mask_header(masks / "gold-fish/00003.png").kind == "8-bit grey"
    assert read_mask_header(path).kind == "8-bit palette"
    assert np.array_equal(read_mask(path), squares(3, 2))


def test_equal_predictions_make_equal_bytes_whatever_they_were_packed_from(capsys, davis, masks, tmp_path):
    for number, source in enumerate((masks, masks, tmp_path / "0.zip")):
        assert pack(capsys, source, "davis17", davis, "--out", tmp_path / f"{number}.zip")[0] == 0
        (masks / "dog/00000.png").touch()
    assert len({(tmp_path / f"{number}.zip").read_bytes() for number in range(3)}) == 1


def test_a_forced_run_with_truth_is_scored_again_and_equals_its_record(capsys, davis, tmp_path):
    run(capsys, "tiny-val", davis, tmp_path / "run")
    code, _, err = pack(capsys, tmp_path / "run", "davis17", davis)
    assert code == 2
    assert "server davis17 scores tiny-test; found predictions of tiny-val" in err
    _, out, _ = pack(capsys, tmp_path / "run", "davis17", davis, "--force")
    record = json.loads((tmp_path / "run/record.json").read_text())
    figure = record["scores"]["j_and_f"]["J&F"]["value"]
    assert 0 < figure < 1
    assert f"scored again: J&F {figure:.4f}; every figure equals the run's record" in out
    assert "in the form of server davis17, which does not score tiny-val" in out
    code, out, _ = harness(capsys, "score", tmp_path / "run-davis17.zip", "--bench", "tiny-val", "--data-root", davis)
    assert code == 0
    assert f"J&F       {figure:.4f}" in out
    told = json.loads(
        pack(capsys, tmp_path / "run", "davis17", davis, "--force", "--json", "--out", tmp_path / "b.zip")[1]
    )
    assert (told["zip"], told["files"], told["is_scored_by_server"]) == (str(tmp_path / "b.zip"), 2 * LENGTH, False)
    assert told["sha256"] == hashlib.sha256((tmp_path / "b.zip").read_bytes()).hexdigest()
    assert told["scores"]["J&F"] == figure


def test_a_changed_mask_or_record_is_found_by_scoring_again(capsys, davis, tmp_path):
    run(capsys, "tiny-val", davis, tmp_path / "run")
    write_mask(tmp_path / "run/masks/dog/00002.png", squares(2))
    code, _, err = pack(capsys, tmp_path / "run", "davis17", davis, "--force")
    assert code == 8
    assert "the zip scores" in err
    assert not (tmp_path / "run-davis17.zip").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_record_made_on_other_data_is_named(capsys, davis, tmp_path):
    run(capsys, "tiny-val", davis, tmp_path / "run")
    write_mask(davis / "Annotations/480p/dog/00002.png", squares(1))
    code, _, err = pack(capsys, tmp_path / "run", "davis17", davis, "--force")
    assert code == 8
    assert "the record was made on other data" in err


def test_a_record_scored_by_another_rule_is_scored_by_that_rule_again(capsys, davis, masks, tmp_path):
    arguments = ("score", masks, "--bench", "tiny-val", "--data-root", davis, "--rule", "vos-benchmark")
    assert harness(capsys, *arguments, "--out", tmp_path / "run")[0] == 0
    masks.rename(tmp_path / "run/masks")
    code, out, _ = pack(capsys, tmp_path / "run", "davis17", davis, "--force")
    assert code == 0
    assert "every figure equals the run's record" in out


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (lambda p: p.unlink(), 7, "1 mask is missing"),
        (lambda p: p.write_bytes(p.read_bytes()[:60]), 3, "truncated"),
        (lambda p: Image.new("RGB", (32, 24)).save(p), 3, "RGB"),
        (lambda p: write_mask(p, np.zeros((12, 16), np.uint8)), 3, "12 x 16"),
        (lambda p: write_mask(p, squares(0, 2)), 3, "found the ids [2], expected 0 and the ids [1]"),
        (lambda p: write_mask(p, squares(0) * 255), 3, "found the ids [255]"),
    ],
)
@pytest.mark.parametrize("frame", [0, 2])
def test_what_breaks_the_servers_rules_is_refused_and_leaves_no_zip(
    capsys, davis, masks, tmp_path, spoil, code, message, frame
):
    spoil(masks / f"dog/{frame:05d}.png")
    found, out, err = pack(capsys, masks, "davis17", davis, "--out", tmp_path / "out.zip")
    assert (found, out) == (code, "")
    assert message in err
    assert f"dog/{frame:05d}.png" in err
    assert not (tmp_path / "out.zip").exists()


def test_runs_that_are_not_whole_are_refused_naming_what_is_missing(capsys, davis, tmp_path):
    out = run(capsys, "tiny-test", davis, tmp_path / "run", "--limit", "1")
    code, _, err = pack(capsys, out, "davis17", davis)
    assert code == 7
    assert "1 of 2 videos have no folder" in err
    assert "gold-fish" in err
    (out / "masks/gold-fish").mkdir()
    for t in range(LENGTH):
        write_mask(out / f"masks/gold-fish/{t:05d}.png", squares(0, 2))
    code, _, err = pack(capsys, out, "davis17", davis)
    assert code == 7
    assert "of a part only (1 of 2 videos were chosen); 1 of 2 videos are not in it: gold-fish" in err
    (out / "record.json").unlink()
    code, _, err = pack(capsys, out, "davis17", davis)
    assert code == 7
    assert "is not finished: found no record.json" in err


def test_a_record_of_masks_elsewhere_says_what_to_pack(capsys, davis, masks, tmp_path):
    arguments = ("score", masks, "--bench", "tiny-val", "--data-root", davis, "--out", tmp_path / "run")
    assert harness(capsys, *arguments)[0] == 0
    code, _, err = pack(capsys, tmp_path / "run", "davis17", davis, "--force")
    assert code == 7
    assert f"harness pack {masks}" in err


def test_wrong_calls_are_explained(capsys, davis, masks, tmp_path):
    code, _, err = pack(capsys, masks, "davis71", davis)
    assert code == 2
    assert "no server named 'davis71' (did you mean 'davis17'?)" in err
    code, _, err = pack(capsys, masks, "davis17", davis, "--bench", "tiny-vl")
    assert code == 2
    assert "did you mean 'tiny-val'" in err
    code, _, err = pack(capsys, masks, "davis17", davis, "--bench", "tiny-vis", "--force")
    assert code == 2
    assert "takes predictions of one-shot; found vis on tiny-vis" in err
    run(capsys, "tiny-test", davis, tmp_path / "run")
    code, _, err = pack(capsys, tmp_path / "run", "davis17", davis, "--bench", "tiny-val", "--force")
    assert code == 2
    assert "is a run on tiny-test, not on --bench tiny-val" in err
    (tmp_path / "text.zip").write_text("mine")
    for out in (tmp_path / "text.zip", tmp_path / "out.tar"):
        code, _, err = pack(capsys, masks, "davis17", davis, "--out", out)
        assert code == 2
        assert "expected a new file that ends in .zip, or a zip to replace" in err
    assert (tmp_path / "text.zip").read_text() == "mine"
    assert pack(capsys, tmp_path / "nowhere", "davis17", davis)[0] == 3


def test_unsupervised_masks_hold_twenty_proposals_at_most(capsys, davis, masks, tmp_path):
    write_mask(masks / "dog/00001.png", squares(1) * 20)
    assert pack(capsys, masks, "davis17-unsup", davis, "--out", tmp_path / "out.zip")[0] == 0
    write_mask(masks / "dog/00001.png", squares(1) * 21)
    code, _, err = pack(capsys, masks, "davis17-unsup", davis, "--out", tmp_path / "out.zip")
    assert code == 3
    assert "found the ids [21]" in err


@pytest.fixture
def youtube(tmp_path):
    """A YouTube-VOS tree: object 1 from frame 5, object 2 from frame 15, none in frame 0; all frames beside."""
    root = tmp_path / "YouTube"
    for part, stems in (("valid", range(0, 20, 5)), ("valid_all_frames", range(20))):
        (root / part / "JPEGImages/a1").mkdir(parents=True)
        for t in stems:
            Image.new("RGB", (32, 24)).save(root / part / f"JPEGImages/a1/{t:05d}.jpg")
    (root / "valid/Annotations/a1").mkdir(parents=True)
    write_mask(root / "valid/Annotations/a1/00005.png", squares(0))
    write_mask(root / "valid/Annotations/a1/00015.png", squares(0, 2))
    objects = {"1": {"frames": ["00005", "00010", "00015"]}, "2": {"frames": ["00015"]}}
    (root / "valid/meta.json").write_text(json.dumps({"videos": {"a1": {"objects": objects}}}))
    return root


@pytest.mark.parametrize(("bench", "left_out"), [("tiny-vos", 0), ("tiny-vos-all", 12)])
def test_youtube_vos_wants_the_annotated_rate_below_annotations(capsys, youtube, tmp_path, bench, left_out):
    run(capsys, bench, youtube, tmp_path / "run")
    code, _, err = pack(capsys, tmp_path / "run", "youtube-vos", youtube)
    assert code == 0
    assert names(tmp_path / "run-youtube-vos.zip") == [f"Annotations/a1/{t:05d}.png" for t in (5, 10, 15)]
    assert (f"{left_out} masks of frames that youtube-vos does not ask for are left out" in err) == bool(left_out)


def test_youtube_vos_takes_the_ids_of_all_prompts(capsys, youtube, tmp_path):
    (tmp_path / "mine/a1").mkdir(parents=True)
    for t in (5, 10, 15):
        write_mask(tmp_path / f"mine/a1/{t:05d}.png", squares(0, 2))
    assert pack(capsys, tmp_path / "mine", "youtube-vos", youtube)[0] == 0
    write_mask(tmp_path / "mine/a1/00010.png", squares(0, 3))
    code, _, err = pack(capsys, tmp_path / "mine", "youtube-vos", youtube)
    assert code == 3
    assert "found the ids [3], expected 0 and the ids [1, 2]" in err


@pytest.fixture
def vis(tmp_path):
    """A YouTube-VIS tree of two videos, one track each."""
    root, table = tmp_path / "VIS", {"videos": [], "annotations": [], "categories": []}
    for number, name in enumerate(("b2", "a1"), 1):
        (root / "train/JPEGImages" / name).mkdir(parents=True)
        files = [f"{name}/{t:05d}.jpg" for t in range(3)]
        for file in files:
            Image.fromarray(np.repeat(squares(0)[..., None] * 250, 3, axis=2)).save(root / "train/JPEGImages" / file)
        code = {"size": [24, 32], "counts": RunLength.encode(squares(0)).counts.decode()}
        table["videos"].append({"id": number, "width": 32, "height": 24, "length": 3, "file_names": files})
        track = {"id": number, "video_id": number, "category_id": 2, "iscrowd": 0, "areas": [60] * 3}
        table["annotations"].append({**track, "segmentations": [code] * 3})
        table["categories"].append({"id": number, "name": name})
    (root / "train.json").write_text(json.dumps(table))
    return root


def test_tracks_become_one_results_json_without_a_folder(capsys, vis, tmp_path):
    run(capsys, "tiny-vis-val", vis, tmp_path / "run", plugin="finder")
    code, out, _ = pack(capsys, tmp_path / "run", "youtube-vis", vis)
    assert code == 0
    assert "1 file of tracks of 2 videos" in out
    with zipfile.ZipFile(tmp_path / "run-youtube-vis.zip") as archive:
        assert archive.namelist() == ["results.json"]
        entries = json.loads(archive.read("results.json"))
    assert [(e["video_id"], e["category_id"], e["score"]) for e in entries] == [
        (1, 1, 0.5),
        (1, 2, 0.25),
        (2, 1, 0.5),
        (2, 2, 0.25),
    ]
    assert entries[0]["segmentations"][1:] == [None, None]
    code, _, _ = pack(capsys, tmp_path / "run-youtube-vis.zip", "youtube-vis", vis, "--out", tmp_path / "2.zip")
    assert code == 0
    assert (tmp_path / "2.zip").read_bytes() == (tmp_path / "run-youtube-vis.zip").read_bytes()


def test_forced_tracks_with_truth_are_scored_again(capsys, vis, tmp_path):
    run(capsys, "tiny-vis", vis, tmp_path / "run", plugin="finder")
    code, out, _ = pack(capsys, tmp_path / "run", "youtube-vis", vis, "--force")
    assert code == 0
    assert "scored again: AP 1.0000; every figure equals the run's record" in out
    path = tmp_path / "run/tracks/a1.json"
    path.write_text(json.dumps([{**entry, "category_id": 1} for entry in json.loads(path.read_text())]))
    code, _, err = pack(capsys, tmp_path / "run", "youtube-vis", vis, "--force")
    assert code == 8
    assert "the zip scores" in err
    path.unlink()
    code, _, err = pack(capsys, tmp_path / "run", "youtube-vis", vis, "--force")
    assert code == 7
    assert "1 of 2 videos have no file" in err
    assert "a1" in err


def test_no_track_at_all_is_refused(capsys, vis, tmp_path):
    (tmp_path / "tracks").mkdir()
    for name in ("a1", "b2"):
        (tmp_path / f"tracks/{name}.json").write_text("[]")
    code, _, err = pack(capsys, tmp_path / "tracks", "youtube-vis", vis)
    assert code == 7
    assert "found no track in any video" in err


@pytest.mark.parametrize("server", SERVERS.values(), ids=lambda server: server.name)
def test_a_server_scores_benchmarks_that_are_there_have_its_task_and_hide_their_truth(server):
    benchmarks = Catalog.load().benchmarks
    for bench in server.benchmarks:
        assert server.task in benchmarks.get(bench).tasks
        assert not benchmarks.get(bench).scored
