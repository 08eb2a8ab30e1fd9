"""Mutated zips: either every file lies below the folder with the bytes said, or a refusal; never a file outside."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api.errors import DataError, EnvironmentProblem, VerificationFailed
from harness.data import archives
from harness.data.archives import extract
from harness.predictions.found import find_predictions

FUZZ = settings.get_profile(os.environ.get("HARNESS_FUZZ", "fuzz"))
pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")

PARTS = st.one_of(
    st.sampled_from(["a", "A", "b", "..", ".", "", "ä", "a\u0308", "\u212a", "k", "ß", "SS", "C:", "con", "a ", "a."]),
    st.sampled_from(["\\..", "..\\..\\x", "\x00", "\x1b[31m", "\u202e", "x" * 300, "ä" * 130, "~", "-rf", "DAVIS"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
)
NAMES = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from(["", "", "", "/", "//", "DAVIS/", "DAVIS//", "DAVIS/../"]),
    st.lists(PARTS, min_size=1, max_size=4),
    st.sampled_from(["", "", "/"]),
)
MODES = st.sampled_from([0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFSOCK, stat.S_IFIFO])


@st.composite
def members(draw: st.DrawFn) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo("name")
    info.filename = draw(NAMES)  # past the constructor, which cuts at a zero byte
    info.external_attr = (draw(MODES) | 0o777) << 16
    info.compress_type = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    if draw(st.integers(0, 5)) == 0:  # another name in the extra field that newer readers believe
        other = draw(NAMES).encode(errors="replace")
        info.extra = struct.pack("<HHBL", 0x7075, 5 + len(other), 1, 0) + other
    return info, draw(st.sampled_from([b"", b"x", b"../../target", b"many " * 50]))


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    """A zip of odd names and kinds; then perhaps cut, with bytes changed, or with what its tables say changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in draw(st.lists(members(), min_size=1, max_size=4)):
            archive.writestr(info, content)
    content = bytearray(buffer.getvalue())
    match draw(st.sampled_from(["whole", "whole", "cut", "bytes", "tables", "flags"])):
        case "cut":
            del content[draw(st.integers(0, len(content))) :]
        case "bytes":
            for _ in range(draw(st.integers(1, 5))):
                content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        case "tables":  # the directory and the end record: sizes, offsets, numbers of files
            start = content.rfind(b"PK\x01\x02")
            for _ in range(draw(st.integers(1, 3))):
                place = draw(st.integers(start, len(content) - 4))
                content[place : place + 4] = struct.pack("<I", draw(st.sampled_from([0, 1, 2**31, 2**32 - 1])))
        case "flags":
            place = content.find(b"PK\x01\x02") + 8
            content[place : place + 2] = struct.pack("<H", draw(st.integers(0, 2**16 - 1)))
    return bytes(content)


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder in which the archive and, three levels deeper, the folder to find_predictions into lie."""
    return tmp_path_factory.mktemp("ground")


def empty_out(folder: Path) -> Path:
    """The folder to find_predictions into, empty."""
    place = folder / "one" / "two" / "data"
    for path in sorted(place.rglob("*"), reverse=True) if place.exists() else ():
        path.rmdir() if path.is_dir() else path.unlink()
    place.mkdir(parents=True, exist_ok=True)
    return place


def outside(folder: Path) -> list[str]:
    """Everything below the ground but not below the folder to find_predictions into."""
    inside = str(folder / "one" / "two" / "data")
    return sorted(str(path) for path in folder.rglob("*") if not str(path).startswith(inside))


@FUZZ
@given(content=zips(), strip=st.sampled_from(["", "DAVIS/"]))
def test_a_mutated_zip_is_unpacked_inside_or_refused(ground, value_or_refusal, content, strip):
    archive = ground / "archive.zip"
    archive.write_bytes(content)
    place = empty_out(ground)
    before = outside(ground)
    kinds = (DataError, VerificationFailed)
    written = value_or_refusal(lambda: extract(archive, place, strip=strip), archive, *kinds)
    assert outside(ground) == before
    found = list(place.rglob("*"))
    assert all(path.is_dir() or path.is_file() for path in found)
    assert not any(path.is_symlink() for path in found)
    if written is not None:
        assert len([path for path in found if path.is_file()]) == written


@FUZZ
@given(content=zips())
def test_a_mutated_zip_of_predictions_is_unpacked_inside_or_refused(ground, tests_tools, value_or_refusal, content):
    archive = ground / "archive.zip"
    archive.write_bytes(content)
    samples = [tests_tools.tiny_sample("a")]
    before = outside(ground)

    def locate() -> None:
        with find_predictions(archive, samples, "one-shot") as found:
            assert found.place.is_dir()

    value_or_refusal(locate, archive, DataError, VerificationFailed)
    assert outside(ground) == before


def zip_names(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo("name")
            info.filename = name
            archive.writestr(info, b"x")
    return path


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("dog/0.png", "Dog/0.png"),  # one file on macOS and Windows
        ("\u00e4.png", "a\u0308.png"),  # one file on macOS
        ("dog/0.png", "dog/./0.png"),
        ("dog/0.png", "dog//0.png"),
    ],
)
def test_two_names_of_one_file_are_refused(tmp_path, first, second):
    archive = zip_names(tmp_path / "a.zip", first, second)
    with pytest.raises(DataError, match="the same name twice"):
        extract(archive, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*"))


@pytest.mark.parametrize("name", ["DAVIS//etc/passwd", "DAVIS//x", "DAVIS/"])
def test_what_is_left_of_a_name_without_its_top_folder_cannot_lead_out(tmp_path, name):
    archive = zip_names(tmp_path / "a.zip", name + "/../x" if name == "DAVIS/" else name)
    with pytest.raises(DataError, match="leads out"):
        extract(archive, tmp_path / "data", strip="DAVIS/")


@pytest.mark.parametrize("name", ["a\x1b[2J.png", "a\u202egnp.exe", "a\u2028b", "a\nb", "a\x7fb"])
def test_names_that_cannot_be_shown_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="control"):
        extract(zip_names(tmp_path / "a.zip", name), tmp_path / "data")


def test_a_second_name_that_newer_readers_believe_is_checked_too(tmp_path, monkeypatch):
    read = zipfile.ZipFile.infolist

    def infolist(self):  # as Python 3.13 does for the unicode path field 0x7075
        infos = read(self)
        infos[0].filename = "../../out.txt"
        return infos

    archive = zip_names(tmp_path / "a.zip", "good.txt")
    monkeypatch.setattr(zipfile.ZipFile, "infolist", infolist)
    with pytest.raises(DataError, match="leads out"):
        extract(archive, tmp_path / "one" / "two" / "data")


def test_a_name_that_is_no_utf_8_is_a_broken_archive(tmp_path):
    archive = zip_names(tmp_path / "a.zip", "\u00e4\u00e4.png")
    archive.write_bytes(archive.read_bytes().replace("\u00e4\u00e4".encode(), b"\xff\xfe\xff\xfe"))
    with pytest.raises(DataError, match="broken archive"):
        extract(archive, tmp_path / "data")


def test_a_size_that_lies_is_a_refusal_and_not_a_full_disk(tmp_path):
    archive = zip_names(tmp_path / "a.zip", "a.png")
    content = bytearray(archive.read_bytes())
    directory = content.find(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2**31)  # unpacked size, of one stored byte
    archive.write_bytes(content)
    with pytest.raises((DataError, EnvironmentProblem)):
        extract(archive, tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*"))


def test_a_file_that_holds_more_than_it_says_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", bytes(archives.SMALL))
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.find(signature) + place
        content[start : start + 4] = struct.pack("<I", 10)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="broken archive"):
        extract(tmp_path / "a.zip", tmp_path / "data")
    assert sum(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file()) == 0


def test_no_name_survives_that_is_not_below_the_folder():
    for name in ("/x", "../x", "a/../../x", "//x", "DAVIS/../../x"):
        assert "leads out" in archives._problem_of_name(name)
