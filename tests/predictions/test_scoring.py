"""Which masks made elsewhere must be there: those of frames that are scored, and no others."""

from dataclasses import replace

import numpy as np
import pytest

from harness.api.contracts import DAVIS_2017
from harness.api.errors import IncompletePredictions, UsageError
from harness.api.mask_files import write_mask
from harness.api.mask_runs import MaskRuns
from harness.api.video import Sample
from harness.catalog import Catalog
from harness.datasets.mask_folders import NAME
from harness.metrics.j_and_f import JAndF
from harness.metrics.j_and_f.measurement import JFMeasurement
from harness.predictions.scoring import list_scored_frames, look_over, plan_scoring, score
from harness.version import __version__

ALL = replace(DAVIS_2017, frames="all")


def video(truth_frames=None):
    return Sample(
        name="shot",
        length=5,
        height=4,
        width=6,
        frame_names=("a", "b", "c", "d", "e"),
        read_frame=lambda t: np.zeros((4, 6, 3), np.uint8),
        digest=lambda: "0" * 64,
        truth_frames=truth_frames,
    )


def test_frames_without_a_truth_need_no_prediction():
    assert list(list_scored_frames(video(), ALL)) == [0, 1, 2, 3, 4]
    assert list(list_scored_frames(video((1, 3)), ALL)) == [1, 3]
    assert list(list_scored_frames(video((1, 3)), replace(ALL, frames="annotated"))) == [1, 3]


def test_the_inner_frames_are_needed_whole_because_t_looks_at_all_of_them():
    assert list(list_scored_frames(video(), DAVIS_2017)) == [1, 2, 3]
    assert list(list_scored_frames(video((0, 2)), DAVIS_2017)) == [1, 2, 3]


def test_a_missing_mask_of_a_frame_with_truth_is_still_named(tmp_path):
    (tmp_path / "shot").mkdir()
    write_mask(tmp_path / "shot/b.png", np.zeros((4, 6), np.uint8))
    look_over(tmp_path, [video((1,))], lambda masks: list_scored_frames(masks.sample, ALL))
    with pytest.raises(IncompletePredictions, match=r"1 mask is missing in .*: shot/d\.png"):
        look_over(tmp_path, [video((1, 3))], lambda masks: list_scored_frames(masks.sample, ALL))


def test_a_record_of_scores_says_what_it_said_of_a_replay(tests_tools, tmp_path):
    """No method is in the catalog: the record names the masks as a replay all the same, and can be ranked."""
    benchmark = tests_tools.tiny_benchmark()
    for sample in benchmark.open(None, False):
        (tmp_path / sample.name).mkdir()
        for t, name in enumerate(sample.frame_names):
            write_mask(tmp_path / sample.name / f"{name}.png", tests_tools.moving_square(t))
    catalog = tests_tools.catalog_of(benchmark=benchmark)
    trial = plan_scoring(tmp_path, benchmark, catalog, "one-shot")
    record, results = score(trial, tmp_path, catalog)
    assert [result.video for result in results] == ["first", "second"]
    said = record.model_dump(exclude={"id", "created", "conditions", "videos", "scores"})
    assert len(said["plugin"].pop("code_sha256")) == len(said["benchmark"].pop("fingerprint")) == 64
    assert said == {
        "schema_": "harness.run/1",
        "harness_version": __version__,
        "plugin": {
            "name": "replay",
            "distribution": "vos-harness",
            "version": __version__,
            "causality": "offline",
            "lookahead": 0,
            "supervision": "unknown (masks made elsewhere)",
            "replays": True,
        },
        "about": {"authors": "", "licence": "", "paper": "", "url": "", "year": None},
        "preset": "",
        "config": {"directory": str(tmp_path), "binary": False, "frames": "inner"},
        "weights": {"name": "none", "sha256": "", "licence": "", "trained_on": "", "parameters": None},
        "benchmark": {
            "name": "tiny",
            "choice": "",
            "tree": "",
            "task": "one-shot",
            "scoring": "tiny/1",
            "own_rule": True,
            "scored": True,
            "average": "objects",
            "videos_expected": 2,
            "videos_done": 2,
        },
        "providers": {},
        "partial": False,
        "partial_reason": "",
        "seed": 0,
        "timing": None,
        "reused": [],
        "failures": [],
    }
    assert record.scores["share_right"]["share"].value == 1
    assert (record.conditions.executor, record.conditions.precision) == ("inline", "fp32")


def test_a_task_the_benchmark_does_not_score_is_refused(tests_tools, tmp_path):
    benchmark = tests_tools.tiny_benchmark()
    with pytest.raises(UsageError, match="tiny scores one-shot, object-zvos, instance-zvos; --task vis is not among"):
        plan_scoring(tmp_path, benchmark, tests_tools.catalog_of(), "vis")


@pytest.mark.parametrize("objects", [1, 4])
def test_masks_are_scored_the_same_as_pixels_and_as_runs(tmp_path, monkeypatch, objects):
    rng = np.random.default_rng(objects)
    masks = np.kron(rng.integers(0, objects + 1, (2, 6, 9, 14)), np.ones((7, 11))).astype(np.uint8)
    masks[1, 0] = objects  # the first truth says how many there are
    for place, files in zip(("predicted", "true"), masks, strict=True):
        (tmp_path / place / "shot").mkdir(parents=True)
        for number, mask in enumerate(files):
            write_mask(tmp_path / place / "shot" / f"{number:05}.png", mask)
    catalog = Catalog.load()
    ways = {}
    for takes_runs in (True, False):
        monkeypatch.setattr(JAndF, "takes_runs", takes_runs)
        given = []
        monkeypatch.setattr(JFMeasurement, "add", _note_kinds(given))
        benchmark = catalog.benchmarks.get(NAME)
        trial = plan_scoring(tmp_path / "predicted", benchmark, catalog, data_root=tmp_path / "true", rule=ALL)
        record, results = score(trial, tmp_path / "predicted", catalog)
        assert set(given) == {MaskRuns if takes_runs else np.ndarray}
        ways[takes_runs] = [record.scores, results[0].scores, results[0].objects]
        monkeypatch.undo()
    assert ways[True] == ways[False]
    assert ways[True][2] == list(range(1, objects + 1))


def _note_kinds(given, add=JFMeasurement.add):
    def add_noting(self, frame, prediction, truth):
        given.extend([type(prediction), type(truth)])
        add(self, frame, prediction, truth)

    return add_noting


def test_small_masks_are_kept_from_the_look_at_them_once_and_within_a_limit(tmp_path):
    (tmp_path / "shot").mkdir()
    for name in "abcde":
        write_mask(tmp_path / "shot" / f"{name}.png", np.full((4, 6), ord(name), np.uint8))
    size = (tmp_path / "shot" / "a.png").stat().st_size
    masks = look_over(tmp_path, [video()], lambda masks: range(5), most_kept=2 * size + 1)["shot"]
    for path in (tmp_path / "shot").iterdir():
        path.unlink()
    assert [masks.read_runs(frame).ids for frame in (0, 1)] == [(ord("a"),), (ord("b"),)]
    for frame in (0, 2):
        with pytest.raises(IncompletePredictions, match="no mask"):
            masks.read_runs(frame)
