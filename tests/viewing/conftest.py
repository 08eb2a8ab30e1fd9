"""A finished run of two tiny videos in a folder, and a catalog in which commands find its data."""

import numpy as np
import pytest

from harness.api.mask_files import write_mask
from harness.api.records import VideoResult, VideoScores
from harness.catalog import Catalog

FIGURES = {"first": [(0.25, 0.5)], "second": [(0.75, 1.0)]}


def result_of(sample, values=(0.9, 0.1, 0.5)):
    frames = list(range(1, 1 + len(values)))
    scores = VideoScores(
        metric="j_and_f",
        frames=frames,
        series={"J": {"1": list(values)}, "F": {"1": list(values)}},
        summary={"1": {"J-mean": 0.5, "F-mean": 0.5}},
    )
    return VideoResult(
        video=sample.name,
        key="0" * 64,
        digest=sample.digest(),
        length=sample.length,
        height=sample.height,
        width=sample.width,
        objects=[1],
        scores={"j_and_f": scores},
        masks=f"masks/{sample.name}",
    )


@pytest.fixture
def make_result():
    """``make_result(sample, values)``: J and F of one object, a value a frame from the second on."""
    return result_of


@pytest.fixture
def samples(toy_catalog):
    return toy_catalog.benchmarks.get("toy-val").open(None, False)


@pytest.fixture
def lay_run(tmp_path, monkeypatch, toy_catalog, samples, make_record):
    """``lay_run(name, method)``: the folder of a run of two videos; commands see the toy catalog."""
    monkeypatch.setattr(Catalog, "load", classmethod(lambda cls: toy_catalog))

    def lay(name, method="ours", **fields):
        folder = tmp_path / name
        (folder / "videos").mkdir(parents=True)
        record = make_record(FIGURES, method=method, expected=3, **fields)
        (folder / "record.json").write_text(record.to_json())
        for sample in samples:
            (folder / "masks" / sample.name).mkdir(parents=True)
            for frame, file in enumerate(sample.frame_names):
                mask = np.zeros((sample.height, sample.width), np.uint8)
                mask[frame % sample.height] = 1
                write_mask(folder / "masks" / sample.name / f"{file}.png", mask)
            content = result_of(sample).model_dump_json(by_alias=True)
            (folder / "videos" / f"{sample.name}.json").write_text(content)
        return folder

    return lay
