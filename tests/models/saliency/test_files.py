"""Maps made elsewhere are read as they were written, and refused where they do not fit the frame."""

import numpy as np
import pytest
import torch
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import write_mask
from harness.models.frame_files import Place, content_name
from harness.models.saliency import saliency_provider

FRAME = torch.zeros(2, 3, 3, dtype=torch.uint8)
GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
PLACE = Place("dog", "00001")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dog").mkdir()
    return tmp_path


def read(folder):
    return saliency_provider(f"files:{folder}").rate(FRAME, PLACE)


def test_a_grey_png_is_read_in_255ths_and_a_bit_as_it_is(folder):
    Image.fromarray(GREY).save(folder / "dog" / "00001.png")
    assert torch.allclose(read(folder), torch.tensor([[0, 0.2, 0.4], [0.6, 0.8, 1]]))
    Image.fromarray(GREY > 100).save(folder / "dog" / "00001.png")
    assert read(folder).tolist() == [[0, 0, 1], [1, 1, 1]]


def test_an_npy_is_read_as_it_is(folder):
    np.save(folder / "dog" / "00001.npy", GREY / 255)
    assert torch.allclose(read(folder), torch.from_numpy(GREY / 255).float())


def test_where_names_are_made_up_the_content_names_the_file(tmp_path):
    (tmp_path / "content").mkdir()
    np.save(tmp_path / "content" / f"{content_name(FRAME)}.npy", np.ones((2, 3), np.float32))
    assert saliency_provider(f"files:{tmp_path}").rate(FRAME).min() == 1


def test_a_frame_without_file_is_named(folder):
    with pytest.raises(DataError, match=r"dog: found nothing, expected one file 00001\.png or 00001\.npy"):
        read(folder)


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: Image.fromarray(GREY.T).save(path), "found 3 x 2 pixels, 8-bit grey"),
        (lambda path: write_mask(path, GREY), "8-bit palette, expected 2 x 3 (rows x columns) in grey"),
        (lambda path: path.write_bytes(b"no picture"), "a file that is not a PNG"),
        (lambda path: Image.fromarray(np.stack([GREY] * 3, 2)).save(path), "8-bit RGB"),
    ],
)
def test_a_png_that_does_not_fit_is_refused(folder, write, told):
    write(folder / "dog" / "00001.png")
    with pytest.raises(DataError) as refused:
        read(folder)
    assert told in refused.value.message
    assert "00001.png" in refused.value.message


@pytest.mark.parametrize("values", [np.full((2, 3), 1.5), np.full((2, 3), -0.1), np.full((2, 3), np.nan), GREY])
def test_an_npy_beyond_the_range_is_refused(folder, values):
    np.save(folder / "dog" / "00001.npy", values)
    with pytest.raises(DataError, match=r"00001\.npy"):
        read(folder)
