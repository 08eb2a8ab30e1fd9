"""Names are cheap: importing the contract, asking for help and listing import no torch and no array library."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "numba", "scipy", "skimage", "cv2", "pycocotools"}


def heavy_modules_after(code: str) -> set[str]:
    """What of HEAVY a fresh interpreter has imported after running this."""
    tell = "import sys; sys.stderr.write('HEAVY ' + ' '.join(set(sys.modules) & set(sys.argv[1:])))"
    ran = subprocess.run(
        [sys.executable, "-c", f"try:\n    {code}\nfinally:\n    {tell}", *sorted(HEAVY)],
        capture_output=True,
        text=True,
    )
    assert "HEAVY " in ran.stderr, ran.stderr
    return set(ran.stderr.rpartition("HEAVY ")[2].split("\n")[0].split())


@pytest.mark.parametrize("module", ["harness", "harness.api.mask_files", "harness.catalog", "harness.cli"])
def test_importing_the_face_the_catalog_and_the_command_line_is_light(module):
    assert heavy_modules_after(f"import {module}") == set()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["ls", "plugins"], ["ls", "benches"], ["ls", "metrics"], ["ls", "runs"], ["schema"]],
    ids=" ".join,
)
def test_helping_and_listing_is_light(arguments):
    assert heavy_modules_after(f"from harness.cli import main; main({arguments!r})") == set()


@pytest.mark.parametrize("verb", ["run", "score"])
def test_a_wrong_name_is_answered_before_torch_is_imported(verb):
    arguments = {
        "run": ["run", "--plugin", "tovs", "--bench", "mini"],
        "score": ["score", "masks", "--bench", "mimi"],
    }[verb]
    assert heavy_modules_after(f"from harness.cli import main; main({arguments!r})") == set()


def test_the_measure_sees_torch_when_it_is_imported():
    assert "torch" in heavy_modules_after("import torch")
