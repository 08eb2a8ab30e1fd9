"""Mutated lists, definitions and images of datasets: samples below the root, or a refusal that names the file."""

import io
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.api.errors import DataError
from harness.api.mask_files import MAX_PIXELS
from harness.datasets import davis, fbms
from harness.datasets.files import image_size, read_image

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
NAMES = st.one_of(
    st.sampled_from(
        ["bear", "..", ".", "../..", "/etc", "a/b", "a\\b", "~", "-rf", "x" * 300, "ä" * 120, "C:", "bear."]
    ),
    st.sampled_from(
        ["\ufeffbear", "be\x00ar", "\x1b[31mbear", "\u202ebear", "bear\u2028", "be\x85ar", "\x7f", "\ud800"]
    ),
    st.sampled_from(
        ["/JPEGImages/480p/bear/00000.jpg /Annotations/480p/bear/00000.png", "JPEGImages/../../bear/0.jpg"]
    ),
    st.text(max_size=8),
)
LISTS = st.builds(
    lambda start, lines, ending, more: start + ending.join(lines).encode("utf-8", "surrogatepass") + more,
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"]),
    st.lists(NAMES, max_size=5),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\x0b", "\u2028"]),
    st.one_of(st.just(b""), st.binary(max_size=6), st.just(b"a" * 100_000)),
)


def jpeg(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@FUZZ
@given(content=LISTS)
def test_a_mutated_list_gives_samples_of_the_tree_or_is_refused(tmp_path, value_or_refusal, content):
    frames = tmp_path / "root" / "JPEGImages" / "480p" / "bear"
    frames.mkdir(parents=True, exist_ok=True)
    (frames / "00000.jpg").write_bytes(jpeg())
    (tmp_path / "root" / "JPEGImages" / "00000.jpg").write_bytes(jpeg())  # what "../.." would find
    path = tmp_path / "root" / "ImageSets" / "list.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    split = davis.Split("tiny", ("ImageSets/list.txt",), truth="none", size=1)
    root = tmp_path / "root"
    samples = value_or_refusal(lambda: davis.open_split(split, root, True), root, DataError)
    assert {sample.name for sample in samples or ()} <= {"bear", "bear."}


DEFINITION = """Total number of regions
2
0
16777215
Total number of frames
1
Total number of labeled frames
1
Frame number
0
File name
a/0_gt.ppm
Input file name
a/0.jpg
"""


@st.composite
def definitions(draw: st.DrawFn) -> bytes:
    lines = DEFINITION.splitlines()
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        lines[place : place + draw(st.integers(0, 2))] = draw(
            st.one_of(
                st.just([]),
                st.sampled_from(
                    [["-1"], ["9" * 5000], ["9" * 30], ["1e3"], ["NaN"], [".."], ["a/.."], ["\x00"], ["\ufeff0"]]
                ),
                st.lists(st.text(max_size=5), max_size=2),
            )
        )
    return "\n".join(lines).encode("utf-8", "surrogatepass") + draw(st.one_of(st.just(b""), st.binary(max_size=4)))


@FUZZ
@given(content=definitions())
def test_a_mutated_definition_is_read_or_refused(tmp_path, value_or_refusal, content):
    path = tmp_path / "aDef.dat"
    path.write_bytes(content)
    found = value_or_refusal(lambda: fbms.read_definition(path), path, DataError)
    if found is not None:
        assert found.colours
        assert all("/" not in name for _, *names in found.annotated for name in names)


def image(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


SEEDS = [
    image("JPEG"),
    image("JPEG", "L", progressive=True),
    image("PNG"),
    image("PNG", "P"),
    image("BMP"),
    image("BMP", "P"),
    image("PPM"),
    image("PPM", "L"),
]


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    if draw(st.booleans()):
        return content[: draw(st.integers(0, len(content)))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 6))):
        changed[draw(st.integers(0, min(len(changed), 200) - 1))] = draw(st.one_of(st.integers(0, 255), st.just(255)))
    return bytes(changed)


@FUZZ
@given(content=st.sampled_from(SEEDS).flatmap(spoilt), mode=st.sampled_from(["RGB", "L"]))
@pytest.mark.filterwarnings("ignore")
def test_a_mutated_image_is_pixels_or_refused(tmp_path, value_or_refusal, content, mode):
    path = tmp_path / "00000.jpg"
    path.write_bytes(content)
    size = value_or_refusal(lambda: image_size(path), path, DataError)
    pixels = value_or_refusal(lambda: read_image(path, mode), path, DataError)
    if pixels is not None:
        assert pixels.dtype == np.uint8
        assert pixels.shape == ((*size, 3) if mode == "RGB" else size)


def test_a_chunk_that_claims_more_than_memory_holds_is_pixels_or_refused(tmp_path, value_or_refusal):
    content = bytearray(image("PNG"))
    content[content.index(b"IDAT") - 4] = 255  # the highest byte of its length
    path = tmp_path / "00000.png"
    path.write_bytes(content)
    pixels = value_or_refusal(lambda: read_image(path, "RGB"), path, DataError)
    assert pixels is None or pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("content", SEEDS, ids=lambda content: content[:4].hex())
def test_the_seeds_are_read(tmp_path, content):
    (tmp_path / "0.png").write_bytes(content)
    assert read_image(tmp_path / "0.png", "RGB").shape == (8, 8, 3)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PSD", "TIFF", "WEBP", "ICNS"])
def test_a_file_that_a_frame_cannot_be_is_not_given_to_its_decoder(tmp_path, kind):
    """Pillow starts Ghostscript for an EPS file, whatever the file is called."""
    path = tmp_path / "00000.jpg"
    path.write_bytes(b"8BPS\x00\x01" + bytes(60) if kind == "PSD" else image(kind))
    for read in (image_size, lambda path: read_image(path, "RGB")):
        with pytest.raises(DataError, match=r"00000\.jpg: found a truncated or corrupt image \(cannot identify"):
            read(path)


@pytest.mark.parametrize("side", [8193, 30000])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path, side):
    path = tmp_path / "00000.ppm"
    path.write_bytes(b"P6 %d %d 255\n" % (side, side) + bytes(100))
    with pytest.raises(DataError, match=str(side) if side * side < 2 * 89478485 else "bomb"):
        image_size(path)
    assert side * side > MAX_PIXELS


def test_a_pipe_or_device_in_place_of_a_file_does_not_hang(tmp_path):
    root = tmp_path / "root"
    (root / "ImageSets").mkdir(parents=True)
    os.mkfifo(root / "ImageSets" / "list.txt")
    assert stat.S_ISFIFO(Path(root / "ImageSets" / "list.txt").stat().st_mode)
    split = davis.Split("tiny", ("ImageSets/list.txt",), truth="none", size=1)
    with pytest.raises(DataError):
        davis.open_split(split, root, True)
    frames = root / "JPEGImages" / "480p" / "bear"
    frames.mkdir(parents=True)
    os.mkfifo(frames / "00000.jpg")
    (root / "ImageSets" / "list.txt").unlink()
    (root / "ImageSets" / "list.txt").write_text("bear\n")
    with pytest.raises(DataError, match="00000"):
        davis.open_split(split, root, True)
