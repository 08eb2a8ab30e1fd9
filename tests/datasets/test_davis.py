"""DAVIS trees are read as they are; whatever is missing or malformed is named with what was found and expected."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.api.errors import DataError, DataProblems
from harness.api.mask_files import read_mask, write_mask
from harness.datasets.davis import Split, harness_benchmarks, official_sequences, open_split, read_names

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real sequences at {SHARED}")
NAMES = {"bear": 3, "dog": 2}
IDS_2017 = Split("tiny17", ("ImageSets/2017/val.txt",), sequences=NAMES)
BINARY_2016 = Split("tiny16", ("ImageSets/2016/val.txt", "ImageSets/480p/val.txt"), kind="binary", sequences=NAMES)
BENCHMARKS = {benchmark.name: benchmark for benchmark in harness_benchmarks()}


def _mask(value):
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 2:5] = value
    mask[5, 5] = 255
    return mask


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "DAVIS"
    for name, length in NAMES.items():
        frames, masks = root / "JPEGImages/480p" / name, root / "Annotations/480p" / name
        frames.mkdir(parents=True)
        masks.mkdir(parents=True)
        for t in range(length):
            Image.new("RGB", (10, 8), (10 * t, 200, 30)).save(frames / f"{t:05d}.jpg")
            write_mask(masks / f"{t:05d}.png", _mask(t + 1))
    for place in ("2016", "2017"):
        (root / "ImageSets" / place).mkdir(parents=True)
        (root / "ImageSets" / place / "val.txt").write_text("bear\ndog\n")
    return root


def _problem(split, root, partial=False):
    with pytest.raises(DataError) as caught:
        open_split(split, root, partial)
    return str(caught.value)


def test_a_tree_is_read_frame_by_frame(tree):
    bear, dog = open_split(IDS_2017, tree, False)
    assert (bear.name, bear.length, bear.height, bear.width) == ("bear", 3, 8, 10)
    assert bear.frame_names == ("00000", "00001", "00002")
    assert bear.read_frame(2).shape == (8, 10, 3)
    assert abs(int(bear.read_frame(2)[0, 0, 1]) - 200) < 4
    assert bear.read_truth(2).tolist() == _mask(3).tolist()
    assert dog.prompt_frames == (0,)


def test_void_is_background_in_the_prompt_and_kept_in_the_truth(tree):
    bear = open_split(IDS_2017, tree, False)[0]
    assert set(np.unique(bear.read_prompt(0))) == {0, 1}
    assert set(np.unique(bear.read_truth(0))) == {0, 1, 255}


def test_2016_masks_are_one_object_wherever_they_are_not_zero(tree):
    bear = open_split(BINARY_2016, tree, False)[0]
    assert bear.read_truth(1).tolist() == (_mask(2) != 0).astype(int).tolist()
    assert set(np.unique(bear.read_prompt(0))) == {0, 1}


def test_samples_and_benchmarks_can_be_pickled(tree):
    sample = pickle.loads(pickle.dumps(open_split(IDS_2017, tree, False)[0]))
    assert sample.read_truth(0).max() == 255
    assert pickle.loads(pickle.dumps(BENCHMARKS["davis17-val"])).name == "davis17-val"


def at_another_resolution(tree, name="240p"):
    for kind in ("JPEGImages", "Annotations"):
        (tree / kind / "480p").rename(tree / kind / name)
    return tree


def test_a_split_for_learning_is_read_at_the_only_resolution_there_is(tree):
    any_resolution = replace(IDS_2017, any_resolution=True)
    at_480p = open_split(any_resolution, tree, False)[0]
    assert at_480p.digest() == open_split(IDS_2017, tree, False)[0].digest()
    bear, dog = open_split(any_resolution, at_another_resolution(tree), False)
    assert (bear.length, dog.length) == (3, 2)
    assert bear.read_truth(2).tolist() == _mask(3).tolist()


def test_480p_is_preferred_and_two_other_resolutions_are_not_guessed_between(tree):
    any_resolution = replace(IDS_2017, any_resolution=True)
    for kind in ("JPEGImages", "Annotations"):
        (tree / kind / "240p").mkdir()
    assert len(open_split(any_resolution, tree, False)) == 2
    at_another_resolution(tree, "1080p")
    assert "480p/bear: found no such folder" in _problem(any_resolution, tree)


def test_a_split_that_is_compared_is_read_at_480p_alone(tree):
    assert "480p/bear: found no such folder" in _problem(IDS_2017, at_another_resolution(tree))
    assert {name for name in BENCHMARKS if BENCHMARKS[name].open.args[0].any_resolution} == {
        "davis16-train",
        "davis17-train",
        "davis17-unsup-train",
    }


@pytest.mark.data
@needs_data
def test_the_training_sequences_at_240p_open():
    samples = BENCHMARKS["davis16-train"].open(SHARED / "DAVIS-train-240p", False)
    assert len(samples) == 30
    assert {sample.height for sample in samples} == {240}
    assert set(np.unique(samples[0].read_truth(0))) == {0, 1}


def test_the_digest_changes_with_any_frame_mask_or_name(tree):
    def digest():
        return open_split(IDS_2017, tree, False)[0].digest()

    before = digest()
    assert digest() == before
    write_mask(tree / "Annotations/480p/bear/00001.png", _mask(7))
    with_other_mask = digest()
    frame = tree / "JPEGImages/480p/bear/00002.jpg"
    frame.write_bytes(frame.read_bytes() + b"\0")
    assert len({before, with_other_mask, digest()}) == 3


def test_the_list_may_name_sequences_or_pairs_of_files(tree):
    pairs = tree / "ImageSets" / "480p" / "val.txt"
    pairs.parent.mkdir()
    lines = [f"/JPEGImages/480p/{n}/{t:05d}.jpg /Annotations/480p/{n}/{t:05d}.png" for n in NAMES for t in range(2)]
    pairs.write_text("\n".join(lines) + "\n")
    assert read_names(pairs) == ("bear", "dog")
    (tree / "ImageSets/2016/val.txt").unlink()
    assert [sample.name for sample in open_split(BINARY_2016, tree, False)] == ["bear", "dog"]


def test_no_root_and_a_missing_root_say_what_is_needed(tmp_path):
    assert "pass --data-root DIR" in _problem(IDS_2017, None)
    message = _problem(IDS_2017, tmp_path / "none")
    assert f"{tmp_path / 'none'}: found no such folder, expected the data root of tiny17" in message
    assert "JPEGImages/480p/<sequence>/00000.jpg" in message


def test_the_folder_above_the_tree_is_recognised(tree):
    assert f"--data-root {tree}" in _problem(IDS_2017, tree.parent)


def test_a_2016_tree_without_the_2017_list_is_told_apart(tree):
    (tree / "ImageSets/2017/val.txt").unlink()
    message = _problem(IDS_2017, tree)
    assert "found lists ImageSets/2016/val.txt, expected ImageSets/2017/val.txt" in message


@pytest.mark.parametrize("as_palette", [False, True])
def test_grey_0_255_masks_are_refused_for_a_2017_benchmark(tree, as_palette):
    path = tree / "Annotations/480p/bear/00000.png"
    mask = np.where(_mask(1) > 0, 255, 0).astype(np.uint8)
    if as_palette:
        write_mask(path, mask)
    else:
        Image.fromarray(mask).save(path)
    message = _problem(IDS_2017, tree)
    assert f"{path}: found a 0/255 mask as of DAVIS 2016, expected object ids 1, 2, ... as of DAVIS 2017" in message
    assert "davis16" in message


def test_an_empty_first_mask_is_refused_for_one_shot(tree):
    write_mask(tree / "Annotations/480p/bear/00000.png", np.zeros((8, 10), np.uint8))
    assert "a mask without objects" in _problem(IDS_2017, tree)


def _remove(path):
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    else:
        path.unlink()


def test_a_missing_sequence_is_an_error_unless_partial(tree):
    _remove(tree / "JPEGImages/480p/dog")
    message = _problem(IDS_2017, tree)
    assert "found 1 of 2 videos" in message
    assert "480p/dog: found no such folder, expected the frames of 'dog'" in message
    assert "--allow-partial" in message
    assert [sample.name for sample in open_split(IDS_2017, tree, True)] == ["bear"]


def test_a_shortened_list_is_an_error_unless_partial(tree):
    (tree / "ImageSets/2017/val.txt").write_text("dog\n")
    assert "val.txt: found no such line, expected a line with 'bear'" in _problem(IDS_2017, tree)
    assert [sample.name for sample in open_split(IDS_2017, tree, True)] == ["dog"]


def test_a_tree_without_any_sequence_is_an_error_even_if_partial(tree):
    for name in NAMES:
        _remove(tree / "JPEGImages/480p" / name)
    assert "found 0 of 2 videos" in _problem(IDS_2017, tree, partial=True)


def test_an_unofficial_name_in_the_list_is_refused(tree):
    (tree / "ImageSets/2017/val.txt").write_text("bear\ndog\nmy-own\n")
    assert "found the sequences my-own, expected names of the official sequences" in _problem(IDS_2017, tree)


@pytest.mark.parametrize("name", ["../secret", "..", "a/b", "/etc", ".hidden"])
def test_names_that_lead_out_of_the_root_are_refused(tree, name):
    (tree / "ImageSets/2017/val.txt").write_text(f"bear\n{name}\n")
    assert "expected a plain folder name" in _problem(Split("open", ("ImageSets/2017/val.txt",)), tree)


@pytest.mark.parametrize(
    ("missing", "found"),
    [
        ("JPEGImages/480p/bear/00001.jpg", "found 2 frames, without 00001, expected 3 frames from 00000"),
        ("JPEGImages/480p/bear/00002.jpg", "found 2 frames, without 00002, expected 3 frames from 00000"),
        ("Annotations/480p/bear/00001.png", "found 1 frames without mask: 00001, expected 3 masks"),
        ("Annotations/480p/bear/00000.png", "found no such file, expected the first frame's mask"),
        ("Annotations/480p/bear", "found no such folder, expected the masks of 'bear'"),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_a_sequence_with_something_missing_is_an_error_even_if_partial(tree, missing, found, partial):
    _remove(tree / missing)
    message = _problem(IDS_2017, tree, partial)
    assert found in message
    assert str(tree) in message


def test_a_mask_without_frame_is_an_error(tree):
    write_mask(tree / "Annotations/480p/bear/00003.png", _mask(1))
    assert "found 1 masks without frame: 00003, expected 4 frames" in _problem(IDS_2017, tree)


def test_an_empty_folder_is_an_error(tree):
    for path in (tree / "JPEGImages/480p/bear").iterdir():
        path.unlink()
    assert "found no files, expected the frames of 'bear' (.jpg)" in _problem(IDS_2017, tree)


def test_a_first_mask_of_another_size_is_found_when_the_tree_is_opened(tree):
    write_mask(tree / "Annotations/480p/bear/00000.png", np.ones((4, 5), np.uint8))
    assert "found 5 x 4 pixels, expected 10 x 8, the size of the first frame of 'bear'" in _problem(IDS_2017, tree)


def test_later_masks_and_frames_are_checked_when_they_are_read(tree):
    write_mask(tree / "Annotations/480p/bear/00001.png", np.ones((4, 5), np.uint8))
    Image.new("RGB", (4, 8)).save(tree / "JPEGImages/480p/bear/00002.jpg")
    bear = open_split(IDS_2017, tree, False)[0]
    with pytest.raises(DataError, match=r"00001\.png: found 5 x 4 pixels, expected 10 x 8"):
        bear.read_truth(1)
    with pytest.raises(DataError, match=r"00002\.jpg: found 4 x 8 pixels, expected 10 x 8"):
        bear.read_frame(2)


def test_a_truncated_frame_and_an_rgb_mask_are_refused(tree):
    frame = tree / "JPEGImages/480p/bear/00001.jpg"
    frame.write_bytes(frame.read_bytes()[:-30])
    Image.new("RGB", (10, 8)).save(tree / "Annotations/480p/bear/00001.png")
    bear = open_split(IDS_2017, tree, False)[0]
    with pytest.raises(DataError, match=r"00001\.jpg: found a truncated or corrupt image"):
        bear.read_frame(1)
    with pytest.raises(DataError, match="8-bit RGB"):
        bear.read_truth(1)


def test_an_rgb_first_mask_and_a_broken_first_frame_are_found_when_the_tree_is_opened(tree):
    Image.new("RGB", (10, 8)).save(tree / "Annotations/480p/bear/00000.png")
    (tree / "JPEGImages/480p/dog/00000.jpg").write_bytes(b"not a jpeg")
    with pytest.raises(DataProblems) as caught:
        open_split(IDS_2017, tree, False)
    first, second = caught.value.problems
    assert "8-bit RGB" in first.message
    assert "truncated or corrupt image" in second.message
    assert caught.value.usable == ()


def test_what_is_broken_is_told_before_what_is_absent(tree):
    _remove(tree / "Annotations/480p/dog/00001.png")
    _remove(tree / "JPEGImages/480p/bear")
    with pytest.raises(DataProblems) as caught:
        open_split(IDS_2017, tree, False)
    broken, absent = caught.value.problems
    assert "dog" in broken.message
    assert "no such folder" in absent.message
    assert caught.value.hint == "extract the official archive again"  # --allow-partial would not help


def test_what_could_be_opened_beside_a_problem_stays_usable(tree):
    _remove(tree / "Annotations/480p/dog/00001.png")
    with pytest.raises(DataProblems) as caught:
        open_split(IDS_2017, tree, False)
    assert [sample.name for sample in caught.value.usable] == ["bear"]


def test_a_split_without_public_truth_needs_only_first_masks(tree):
    for name in NAMES:
        for path in sorted((tree / "Annotations/480p" / name).iterdir())[1:]:
            path.unlink()
    split = Split("tiny-test", ("ImageSets/2017/val.txt",), truth="first", sequences=NAMES)
    bear = open_split(split, tree, False)[0]
    assert bear.read_truth is None
    assert bear.read_prompt(0).max() == 1
    assert len(bear.digest()) == 64


def test_unsupervised_truth_lies_in_its_own_folder_and_may_start_empty(tree):
    (tree / "Annotations").rename(tree / "Annotations_unsupervised")
    write_mask(tree / "Annotations_unsupervised/480p/bear/00000.png", np.zeros((8, 10), np.uint8))
    split = Split("tiny-unsup", ("ImageSets/2017/val.txt",), masks="Annotations_unsupervised", sequences=NAMES)
    assert open_split(split, tree, False)[0].read_truth(1).max() == 255


def test_a_split_without_any_masks_reads_frames_only(tree):
    split = Split("tiny-unsup-test", ("ImageSets/2017/val.txt",), truth="none")
    bear = open_split(split, tree, False)[0]
    assert (bear.read_truth, bear.read_prompt, bear.prompt_frames) == (None, None, ())


def test_the_official_splits_have_their_official_sizes():
    sizes = {name: len(benchmark.expected) for name, benchmark in BENCHMARKS.items()}
    assert sizes == {
        "davis16-val": 20,
        "davis16-train": 30,
        "davis17-val": 30,
        "davis17-train": 60,
        "davis17-test-dev": 30,
        "davis17-unsup-val": 30,
        "davis17-unsup-train": 60,
        "davis17-frames-val": 30,
        "davis17-unsup-test-dev": 0,
    }
    assert sum(official_sequences()[name]["objects"] for name in BENCHMARKS["davis17-val"].expected) == 61
    assert not BENCHMARKS["davis17-test-dev"].scored
    assert BENCHMARKS["davis17-val"].scored


def test_attributes_come_with_the_sequences_of_2016(tree):
    bear = open_split(BINARY_2016, tree, False)[0]
    assert bear.extra == {"attributes": ["DEF"], "eval_t": True}


@needs_data
@pytest.mark.data
def test_the_real_sequences_of_2016_open_as_a_partial_benchmark():
    with pytest.raises(DataError, match="found 10 of 20 videos"):
        BENCHMARKS["davis16-val"].open(SHARED / "DAVIS", False)
    samples = BENCHMARKS["davis16-val"].open(SHARED / "DAVIS", True)
    assert [sample.name for sample in samples][:3] == ["blackswan", "bmx-trees", "car-shadow"]
    assert (len(samples), samples[1].length, samples[1].read_frame(79).shape) == (10, 80, (480, 854, 3))
    assert set(np.unique(samples[1].read_truth(79))) == {0, 1}


@needs_data
@pytest.mark.data
def test_the_real_2016_tree_is_refused_for_2017():
    for partial in (True, False):
        with pytest.raises(DataError, match="a 0/255 mask as of DAVIS 2016") as caught:
            BENCHMARKS["davis17-val"].open(SHARED / "DAVIS", partial)
        assert "pass the root of a DAVIS 2017 tree" in caught.value.hint


@needs_data
@pytest.mark.data
def test_every_real_mask_is_read_as_pillow_reads_it():
    for path in sorted((SHARED / "DAVIS-2017-fragments").rglob("*.png")):
        assert (read_mask(path) == np.asarray(Image.open(path))).all()
