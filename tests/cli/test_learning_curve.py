"""``harness learning-curve`` as a user types it: table, files, exit codes; and once for real."""

import json

import pytest

from harness.cli import main
from harness.cli.learning_curve import tell_best
from harness.learning_curve.curve import Point

PLUGIN = """
import functools
from harness import DAVIS_2017, Benchmark, Method, Sample, Snapshot, hookimpl
import numpy as np

def truth(t):
    mask = np.zeros((24, 32), np.uint8)
    mask[6:16, 4 + t : 16 + t] = 1
    return mask

class Learning:
    def propagate(self, video, prompts):
        yield from [prompts[0]] * len(video)

    def snapshots(self, video, prompts, every):
        yield Snapshot(0, [prompts[0]] * len(video))
        yield Snapshot(every, [prompts[0].roll(t, 1) for t in range(len(video))])

class Still:
    def propagate(self, video, prompts):
        yield from [prompts[0]] * len(video)

@hookimpl
def harness_methods():
    return [Method(name="learning", tasks=("one-shot",), build=lambda context: Learning()),
            Method(name="still", tasks=("one-shot",), build=lambda context: Still())]

def samples(root, partial):
    frames = tuple(f"{t:05d}" for t in range(5))
    return [Sample(name=name, length=5, height=24, width=32, frame_names=frames, read_truth=truth, read_prompt=truth,
                   read_frame=lambda t: np.repeat(truth(t)[..., None] * 200, 3, axis=2), prompt_frames=(0,),
                   digest=lambda: "0" * 64) for name in ("one", "two")]

@hookimpl
def harness_benchmarks():
    return [Benchmark(name="moving", title="Moving", rules={"one-shot": DAVIS_2017}, open=samples, needs_root=False)]
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A method that learns, one that does not, and a benchmark of two videos, on the path."""
    site = tmp_path / "site"
    (site / "moving-1.0.dist-info").mkdir(parents=True)
    (site / "moving_plugin.py").write_text(PLUGIN)
    (site / "moving-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: moving\nVersion: 1.0\n")
    (site / "moving-1.0.dist-info/entry_points.txt").write_text("[harness]\nmoving = moving_plugin\n")
    monkeypatch.syspath_prepend(site)


def harness(capsys, *arguments):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as stop:
        main(["learning-curve", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_a_curve_is_a_table_a_picture_and_json(installed, capsys, tmp_path):
    out = tmp_path / "curve"
    code, told, _ = harness(
        capsys, "--plugin", "learning", "--bench", "moving", "--every", 7, "--seeds", 2, "--out", out
    )
    assert code == 0
    rows = [line.split() for line in told.splitlines()]
    assert ["7", "1.0000", "1.0000", "1.0000", "0.0000"] in [row[:5] for row in rows]
    assert "best after 7 iterations" in told
    written = json.loads((out / "curve.json").read_text())
    start, learnt = written["points"]
    assert start["truth"]["J&F"] < 1 == learnt["truth"]["J&F"]
    assert learnt["learnt"]["J&F"] == pytest.approx(start["truth"]["J&F"])
    assert set(written["videos"]) == {"one", "two"}
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_what_is_written(installed, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_RUNS", str(tmp_path))
    code, told, err = harness(capsys, "--plugin", "learning", "--bench", "moving", "--limit", 1, "--json")
    assert code == 0
    (written,) = (tmp_path / "learning-curve" / "moving").glob("learning-*/curve.json")
    assert json.loads(told) == json.loads(written.read_text())
    assert str(written.parent) in err


def test_a_curve_takes_the_place_of_nothing_else(installed, capsys, tmp_path):
    asked = ("--plugin", "learning", "--bench", "moving", "--every", 7)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text("{}")
    code, _, err = harness(capsys, *asked, "--out", tmp_path / "run")
    assert (code, sorted(path.name for path in (tmp_path / "run").iterdir())) == (2, ["record.json"])
    assert "is no learning curve folder: found record.json" in err
    for _ in range(2):  # the same curve is measured anew
        assert harness(capsys, *asked, "--out", tmp_path / "curve")[0] == 0
    before = (tmp_path / "curve" / "curve.json").read_bytes()
    code, _, err = harness(capsys, *asked, "--limit", 1, "--out", tmp_path / "curve")
    assert code == 2
    assert "holds another curve: partial, videos differ" in err
    assert (tmp_path / "curve" / "curve.json").read_bytes() == before
    for video, expected in (("one", 0), ("two", 2)):
        code, _, err = harness(capsys, *asked, "--videos", video, "--out", tmp_path / "part")
        assert code == expected
    assert "holds another curve: videos differ" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--plugin", "still", "--bench", "moving"), 2, "still has no snapshots()"),
        (("--plugin", "lerning", "--bench", "moving"), 4, "learning"),
        (("--plugin", "learning", "--bench", "nothing"), 2, "nothing"),
        (("--plugin", "learning", "--bench", "moving", "--seeds", "0"), 2, "'--seeds': 0 is not"),
        (("--plugin", "learning", "--bench", "moving", "--every", "0"), 2, "'--every': 0 is not"),
        (("--plugin", "learning", "--bench", "moving", "--videos", "three"), 2, "three"),
    ],
)
def test_a_wrong_choice_says_what_is_wrong(installed, capsys, tmp_path, arguments, code, message):
    found, _, err = harness(capsys, *arguments, "--out", tmp_path / "curve")
    assert found == code
    assert message in err


@pytest.mark.slow
def test_adaptation_on_generated_video(capsys, tmp_path):
    settings = ("unet_size=64", "unet_width=16", "iterations=6", "short_side=48")
    code, told, _ = harness(
        capsys,
        *("--plugin", "selfsup-adapted", "--preset", "cpu", "--bench", "mini-small", "--limit", 1, "--every", 3),
        *(word for setting in settings for word in ("--set", setting)),
        *("--out", tmp_path, "--json"),
    )
    assert code == 0
    points = json.loads(told)["points"]
    assert [point["iteration"] for point in points] == [0, 3, 6]
    assert points[0]["learnt"]["J&F"] == 1
    assert points[-1]["truth"]["J&F"] is not None


def test_a_curve_that_only_falls_says_that_its_start_is_best():
    points = [Point(iteration, {"J&F": figure}, {}) for iteration, figure in ((0, 0.75), (2, 0.5), (4, 0.25))]
    said = "best at iteration 0, what is learnt from; best of the later ones after 2 iterations, -0.2500 J&F"
    assert tell_best(points, "J&F") == [said]
