"""A video's bytes are hashed once, where a result exists or is stored; what takes long is said."""

import hashlib
import time
from collections import Counter

import numpy as np
import pytest

from harness.api.contracts import Method
from harness.api.mask_files import write_mask
from harness.datasets import files
from harness.datasets.files import VideoFiles
from harness.planning.plan import Request, resolve
from harness.running import digests
from harness.running.digests import hash_video, tell_if_slow
from harness.running.runner import run


class CopyFirst:
    def propagate(self, video, prompts):
        for t in range(len(video)):
            assert video[t].shape == (8, 8, 3)
            yield prompts[0].clone()


def card(build=lambda context: CopyFirst()):
    return Method(name="copy", tasks=("one-shot",), build=build)


def run_on(tools, samples, out, method=None, **options):
    catalog = tools.catalog_of(method or card(), benchmark=tools.tiny_benchmark(samples))
    names = options.pop("videos", ())
    return run(resolve(Request(plugin="copy", bench="tiny", videos=names), catalog), out, catalog, **options)


def count(tools, asked):
    """Two videos whose digests are counted."""

    def sample(name):
        def digest():
            asked[name] += 1
            return hashlib.sha256(name.encode()).hexdigest()

        return tools.tiny_sample(name, digest=digest)

    return [sample("first"), sample("second")]


def test_a_fresh_run_hashes_each_video_once(tests_tools, tmp_path):
    asked = Counter()
    run_on(tests_tools, count(tests_tools, asked), tmp_path)
    assert asked == {"first": 1, "second": 1}


def test_a_resumed_run_hashes_what_a_result_exists_for_and_what_it_stores(tests_tools, tmp_path):
    asked = Counter()
    samples = count(tests_tools, asked)
    run_on(tests_tools, samples, tmp_path, videos=("first",))
    asked.clear()
    assert run_on(tests_tools, samples, tmp_path).reused == ["first"]
    assert asked == {"first": 1, "second": 1}


def test_a_video_that_fails_is_not_hashed(tests_tools, tmp_path):
    class Fails:
        def propagate(self, video, prompts):
            raise RuntimeError("lost it")
            yield

    asked = Counter()
    record = run_on(tests_tools, count(tests_tools, asked), tmp_path, card(lambda context: Fails()))
    assert len(record.failures) == 2
    assert asked == {}


@pytest.fixture
def video_on_disk(tmp_path):
    """Five frames and truths as files, and the sample that reads them."""
    frames, truths = tmp_path / "frames", tmp_path / "truths"
    for folder in (frames, truths):
        folder.mkdir()
    paths = [frames / f"{t:05d}.png" for t in range(5)], [truths / f"{t:05d}.png" for t in range(5)]
    for t in range(5):
        from PIL import Image

        Image.fromarray(np.full((8, 8, 3), 40 * t, np.uint8)).save(paths[0][t])
        write_mask(paths[1][t], np.eye(8, dtype=np.uint8))
    truth_files = {t: (path,) for t, path in enumerate(paths[1])}
    found = VideoFiles("shot", tuple(paths[0]), (8, 8), truths=truth_files, prompts={0: (paths[1][0],)})
    return found.sample(), [*paths[0], *paths[1]]


def test_a_fresh_run_reads_each_file_once_to_decode_it_and_once_to_hash_it(
    tests_tools, tmp_path, video_on_disk, monkeypatch
):
    """The first mask is a prompt besides: it is decoded and hashed as such too."""
    sample, paths = video_on_disk
    hashed, read_plain, digest = Counter(), files.read_plain, sample.digest
    is_hashing = False

    def read(path, **limits):
        hashed[path] += is_hashing
        return read_plain(path, **limits)

    def hash_all():
        nonlocal is_hashing
        is_hashing = True
        found = digest()
        is_hashing = False
        return found

    monkeypatch.setattr(files, "read_plain", read)
    object.__setattr__(sample, "digest", hash_all)
    decoded = Counter()
    read_frame = sample.read_frame

    def decode(t):
        decoded[t] += 1
        return read_frame(t)

    object.__setattr__(sample, "read_frame", decode)
    run_on(tests_tools, [sample], tmp_path / "run")
    assert decoded == dict.fromkeys(range(5), 1)
    assert {path: hashed[path] for path in paths} == {path: 1 + (path == paths[5]) for path in paths}


@pytest.mark.parametrize("which", [3, 8], ids=["frame", "truth"])
def test_a_video_whose_files_change_while_it_is_worked_on_fails(tests_tools, tmp_path, video_on_disk, which):
    """Its digest would be of bytes that no mask was made from, or scored by."""
    sample, paths = video_on_disk

    class Meddles(CopyFirst):
        def propagate(self, video, prompts):
            yield from super().propagate(video, prompts)
            paths[which].write_bytes(paths[which - 1].read_bytes() + b"another file")

    if which == 8:
        assert sample.read_truth(3).any()
    record = run_on(tests_tools, [sample], tmp_path / "run", card(lambda context: Meddles()))
    (failure,) = record.failures
    assert "other data than were read of video shot before" in failure.message
    assert str(paths[which]) in failure.message
    assert not list((tmp_path / "run").rglob("videos/*.json"))


def test_hashing_that_takes_long_is_said_and_short_hashing_is_not(tests_tools, monkeypatch):
    monkeypatch.setattr(digests, "QUIET_SECONDS", 0.05)
    notes = []

    def digest():
        deadline = time.monotonic() + 60
        while not notes and time.monotonic() < deadline:
            time.sleep(0.01)
        return "0" * 64

    hash_video(tests_tools.tiny_sample("long", digest=digest), notes.append)
    assert notes == ["hashing the data of long"]
    monkeypatch.setattr(digests, "QUIET_SECONDS", 60)
    hash_video(tests_tools.tiny_sample("short"), notes.append)
    assert len(notes) == 1


def test_what_goes_on_is_said_again_with_how_far_it_is(monkeypatch):
    monkeypatch.setattr(digests, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(digests, "AGAIN_SECONDS", 0.01)
    notes, done = [], 0
    with tell_if_slow(lambda: f"{done} done", notes.append):
        for done in range(1, 4):
            deadline = time.monotonic() + 60
            while f"{done} done" not in notes and time.monotonic() < deadline:
                time.sleep(0.005)
    assert [f"{n} done" in notes for n in (1, 2, 3)] == [True] * 3
