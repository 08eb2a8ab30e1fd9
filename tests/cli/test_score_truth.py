"""``harness score --truth``: a folder of truth against one of predictions, dense or sparse, or with one an object."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.api.mask_files import write_mask
from harness.cli import main


def box(at, number=1):
    mask = np.zeros((10, 20), np.uint8)
    mask[2:8, at : at + 8] = number
    return mask


def score(capsys, predictions, truth, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["score", str(predictions), "--truth", str(truth), *arguments])
    out, err = capsys.readouterr()
    return end.value.code, out, err


def write(folder, masks):
    folder.mkdir(parents=True, exist_ok=True)
    for t, mask in masks.items():
        write_mask(folder / f"{t:05d}.png", mask)


def test_masks_are_needed_where_the_truth_has_some_and_others_are_passed_over(tmp_path, capsys):
    write(tmp_path / "truth/a", {t: box(0) for t in (0, 5, 10, 15)})
    write(tmp_path / "sparse/a", {t: box(2) for t in (5, 10)})
    write(tmp_path / "dense/a", {t: box(2) for t in range(16)})
    said = []
    for name in ("sparse", "dense"):
        code, out, err = score(capsys, tmp_path / name, tmp_path / "truth", "--protocol", "vos-benchmark", "--json")
        assert code == 0, err
        assert "note" not in err
        said.append(json.loads(out))
    assert said[0]["scores"] == said[1]["scores"]
    assert said[0]["videos"][0]["frames"] == 2
    assert said[0]["scores"]["j_and_f"]["J-mean"]["value"] == pytest.approx(6 / 10)
    (tmp_path / "sparse/a/00010.png").unlink()
    code, _, err = score(capsys, tmp_path / "sparse", tmp_path / "truth", "--protocol", "vos-benchmark")
    assert code == 7
    assert "a/00010.png" in err


@pytest.mark.parametrize("arguments", [[], ["--protocol", "youtube-vis"]])
def test_a_rule_for_masks_has_to_be_named(tmp_path, capsys, arguments):
    code, _, err = score(capsys, tmp_path, tmp_path, *arguments)
    assert code == 2
    assert "expected the rule to score masks by" in err


def write_objects(folder, at_by_object, frames=(0, 4, 8, 12)):
    for number, at in at_by_object.items():
        write(folder / f"{number:03d}", {t: box(at) * 255 for t in frames})


def test_objects_in_folders_of_their_own_may_overlap_and_are_measured_one_by_one(tmp_path, capsys):
    write_objects(tmp_path / "truth/a", {0: 0, 1: 4})  # they share half of each
    write_objects(tmp_path / "same/a", {0: 0, 1: 4})
    write_objects(tmp_path / "moved/a", {0: 0, 1: 6})
    found = []
    for name in ("same", "moved"):
        code, out, err = score(capsys, tmp_path / name, tmp_path / "truth", "--protocol", "vos-benchmark", "--json")
        assert code == 0, err
        found.append({id_: row["J-mean"] for id_, row in json.loads(out)["videos"][0]["objects"].items()})
    assert found == [{"0": 1.0, "1": 1.0}, {"0": 1.0, "1": pytest.approx(6 / 10)}]


def test_an_object_that_lacks_and_an_id_map_of_object_0_are_named(tmp_path, capsys):
    write_objects(tmp_path / "truth/a", {0: 0, 1: 4})
    write_objects(tmp_path / "half/a", {0: 0})
    code, _, err = score(capsys, tmp_path / "half", tmp_path / "truth", "--protocol", "vos-benchmark")
    assert code == 7
    assert "a/001/00004.png" in err
    write(tmp_path / "maps/a", {t: box(0) for t in (0, 4, 8, 12)})
    code, _, err = score(capsys, tmp_path / "maps", tmp_path / "truth", "--protocol", "vos-benchmark")
    assert code == 3
    assert "has an object 0" in err


def test_folders_an_object_are_read_against_a_truth_of_id_maps(tmp_path, capsys):
    write(tmp_path / "truth/a", {t: np.maximum(box(0, 1), box(10, 2)) for t in range(4)})
    write_objects(tmp_path / "predictions/a", {1: 0, 2: 12}, frames=range(4))
    given = (tmp_path / "predictions", tmp_path / "truth", "--protocol", "davis-2017", "--json")
    code, out, err = score(capsys, *given)
    assert code == 0, err
    rows = json.loads(out)["videos"][0]["objects"]
    assert {id_: row["J-mean"] for id_, row in rows.items()} == {"1": 1.0, "2": pytest.approx(6 / 10)}


def test_folders_from_000_on_both_sides_are_put_together_by_a_rule_that_matches(tmp_path, capsys):
    """An object 0 that comes later: the other has the same id in the frames before it."""
    write_objects(tmp_path / "truth/a", {0: 0}, frames=(8, 12))
    write_objects(tmp_path / "truth/a", {1: 10}, frames=(0, 4, 8, 12))
    given = (tmp_path / "truth", tmp_path / "truth", "--protocol", "davis-2017-unsupervised", "--json")
    code, out, err = score(capsys, *given)
    assert code == 0, err
    video = json.loads(out)["videos"][0]
    assert [row["J-mean"] for row in video["objects"].values()] == [1.0, 1.0]


def test_masks_of_an_object_are_found_in_whatever_case(tmp_path, capsys):
    write_objects(tmp_path / "truth/a", {0: 0, 1: 4})
    write_objects(tmp_path / "loud/a", {0: 0, 1: 4})
    for path in list((tmp_path / "loud/a").glob("*/*.png")):
        path.rename(path.with_suffix(".PNG"))
    code, out, err = score(capsys, tmp_path / "loud", tmp_path / "truth", "--protocol", "vos-benchmark", "--json")
    assert code == 0, err
    assert [row["J-mean"] for row in json.loads(out)["videos"][0]["objects"].values()] == [1.0, 1.0]


def test_a_folder_above_that_of_the_videos_is_told_where_they_lie(tmp_path, capsys):
    write(tmp_path / "Annotations/480p/a", {0: box(0), 1: box(1)})
    code, _, err = score(capsys, tmp_path, tmp_path / "Annotations", "--protocol", "davis-2016")
    assert code == 3
    assert "found folders alone: a, expected" in err
    assert f"give {tmp_path / 'Annotations/480p'} in place of {tmp_path / 'Annotations'}" in err


def test_a_table_of_scores_waits_for_nothing_that_it_does_not_need(tmp_path):
    for folder in ("truth", "masks"):
        for name in "ab":
            write(tmp_path / folder / name, {t: box(2) for t in range(4)})
    arguments = ["score", str(tmp_path / "masks"), "--truth", str(tmp_path / "truth"), "--protocol", "vos-benchmark"]
    slow = {"pydantic", "numpy.ma", "numba", "scipy", "torch", "cv2", "skimage", "PIL", "rich"}
    code = (
        "import sys\nfrom harness.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(*({slow!r} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "J-mean" in ran.stdout
    assert ran.stderr.splitlines()[-1] == ""
