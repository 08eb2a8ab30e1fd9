"""A plugin from another distribution is listed, runs and keeps its promises like one of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import Prompts, Video

EXAMPLE = Path(__file__).parent / "third_party" / "vos-colours"


def harness(*arguments: str, path: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})


def test_it_is_listed_with_its_distribution(third_party_path, tmp_path):
    listed = harness("ls", "plugins", "--json", path=third_party_path, cwd=tmp_path)
    rows = {row["method"]: row for row in json.loads(listed.stdout)}
    assert rows["colours"]["from"] == "vos-colours 1.0"
    assert rows["tvos"]["from"].startswith("vos-harness ")


def test_it_runs_and_is_scored(third_party_path, tmp_path):
    ran = harness(
        *("run", "--plugin", "colours", "--bench", "mini-small", "--limit", "1", "--out", "run", "--json"),
        path=third_party_path,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    record = json.loads(ran.stdout)
    assert record["plugin"]["distribution"] == "vos-colours"
    assert len(record["plugin"]["code_sha256"]) == 64
    assert record["config"] == {"bins": 16, "reach": 15}
    assert set(record["timing"]["stages"]) == {"likelihood", "reach"}
    assert record["timing"]["kernels"]["likelihood"]["calls"] > 0
    assert 0.2 < record["scores"]["j_and_f"]["J&F"]["value"] <= 1


def test_breaking_it_stops_nobody_else(third_party_path, tmp_path):
    broken = tmp_path / "broken"
    (broken / "vos_colours-2.0.dist-info").mkdir(parents=True)
    (broken / "vos_colours-2.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: vos-colours\nVersion: 2.0\n"
    )
    (broken / "vos_colours-2.0.dist-info" / "entry_points.txt").write_text("[harness]\ncolours = vos_colours_gone\n")
    listed = harness("ls", "plugins", "--json", path=str(broken), cwd=tmp_path)
    assert listed.returncode == 0
    assert "tvos" in {row["method"] for row in json.loads(listed.stdout)}
    assert "vos-colours 2.0" in listed.stderr
    assert "ModuleNotFoundError" in listed.stderr
    asked = harness("run", "--plugin", "colours", "--bench", "mini-small", path=str(broken), cwd=tmp_path)
    assert asked.returncode == 4
    assert "vos-colours 2.0 is broken" in asked.stderr


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    import vos_colours.kernels
    import vos_colours.method

    return vos_colours


def test_it_follows_a_square_of_its_own_colour(colours):
    """A red square of 10 x 10 moves 3 pixels a frame over blue; colour alone finds it exactly."""

    def frame(t: int) -> torch.Tensor:
        image = torch.zeros(40, 60, 3, dtype=torch.uint8)
        image[:, :, 2] = 200
        image[10:20, 5 + 3 * t : 15 + 3 * t, 0] = 250
        return image

    def square(t: int) -> torch.Tensor:
        mask = torch.zeros(40, 60, dtype=torch.uint8)
        mask[10:20, 5 + 3 * t : 15 + 3 * t] = 1
        return mask

    video = Video(name="v", length=4, height=40, width=60, read=frame)
    masks = colours.method.Colours(colours.Config()).propagate(video, Prompts({0: square(0)}))
    assert all(torch.equal(mask, square(t)) for t, mask in enumerate(masks))


def test_its_kernel_equals_its_reference(colours):
    small = colours.kernels.likelihood.example("cpu")[0]
    found = colours.kernels.likelihood(*small.args)
    assert torch.equal(found, colours.kernels.likelihood.reference(*small.args))
