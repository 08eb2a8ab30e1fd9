"""Zip files from elsewhere: what leads out, links, bombs and broken archives are refused before anything is written."""

import random
import stat
import zipfile

import pytest

from harness.api.errors import DataError, EnvironmentProblem, HarnessError, VerificationFailed
from harness.data import archives
from harness.data.archives import extract


def _zip(path, entries, *, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return path


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_are_written_below_the_folder_and_the_top_folder_is_left_out(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("DAVIS/README.md", "x"), ("DAVIS/JPEGImages/480p/bear/00000.jpg", b"jpeg")])
    assert extract(archive, tmp_path / "data", strip="DAVIS/") == 2
    assert _files(tmp_path / "data") == ["JPEGImages/480p/bear/00000.jpg", "README.md"]
    assert (tmp_path / "data/JPEGImages/480p/bear/00000.jpg").read_bytes() == b"jpeg"


def test_what_operating_systems_leave_in_archives_is_skipped(tmp_path):
    left = ["__MACOSX/._a.txt", "b/.DS_Store", "b/Thumbs.db", "b/desktop.ini", "b/._0.png"]
    archive = _zip(tmp_path / "a.zip", [("a.txt", "x"), ("c/", ""), *((name, "x") for name in left)])
    assert extract(archive, tmp_path / "data") == 1
    assert _files(tmp_path / "data") == ["a.txt"]


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "C:/out.txt", "a\\..\\out.txt", "DAVIS/../../out.txt"]
)
def test_names_that_lead_out_are_refused_and_nothing_is_written(tmp_path, name):
    archive = _zip(tmp_path / "a.zip", [("good.txt", "x"), (name, "x")])
    with pytest.raises(DataError, match="entry"):
        extract(archive, tmp_path / "data", strip="DAVIS/")
    assert _files(tmp_path / "data") == []
    assert not (tmp_path / "out.txt").exists()


def test_an_archive_of_windows_with_backslashes_is_unpacked_into_folders(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("DAVIS\\", ""), ("DAVIS\\bear\\", ""), ("DAVIS\\bear\\0.png", "x")])
    assert extract(archive, tmp_path / "data", strip="DAVIS/") == 1
    assert _files(tmp_path / "data") == ["bear/0.png"]


@pytest.mark.parametrize(
    ("content", "found", "step"),
    [
        (b"<!doctype html><html><body>Sign in", r"a web page \(HTML\)", "open the address in a browser"),
        (b"\x1f\x8b\x08" + bytes(40), r"a gzip file, as a \.tar\.gz is", "pack it again as a zip"),
        (b"PK\x03\x04" + bytes(40), "a zip that is cut", "get the rest"),
        (b"", "an empty file", "get it again"),
    ],
)
def test_what_is_no_archive_is_named_with_what_to_do(tmp_path, content, found, step):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=f"a broken archive: {found}") as caught:
        extract(tmp_path / "a.zip", tmp_path / "data")
    assert step in caught.value.hint


@pytest.mark.parametrize(("kind", "found"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device or socket")])
def test_links_and_devices_are_refused(tmp_path, kind, found):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    archive = _zip(tmp_path / "a.zip", [(info, "/etc/passwd")])
    with pytest.raises(DataError, match=found):
        extract(archive, tmp_path / "data")


def test_a_bomb_is_refused_by_its_ratio(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("zeros.bin", bytes(archives.SMALL + 1))])
    with pytest.raises(DataError, match=r"bytes packed into"):
        extract(archive, tmp_path / "data")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    archive = _zip(tmp_path / "a.zip", [(f"{n}.txt", "x") for n in range(3)])
    with pytest.raises(DataError, match="no bomb"):
        extract(archive, tmp_path / "data")


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("a.bin", bytes(range(256)) * 40)], method=zipfile.ZIP_STORED)
    with zipfile.ZipFile(archive, "a") as opened:
        for n in range(3):
            copy = zipfile.ZipInfo(f"copy{n}.bin")
            original = opened.getinfo("a.bin")
            copy.header_offset, copy.CRC = original.header_offset, original.CRC
            copy.compress_size = copy.file_size = original.file_size
            opened.filelist.append(copy)
            opened.NameToInfo[copy.filename] = copy
        opened._didModify = True
    with pytest.raises(DataError, match="no bomb"):
        extract(archive, tmp_path / "data")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_is_refused(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("a.txt", "x"), ("a.txt", "y")])
    with pytest.raises(DataError, match="the same name twice"):
        extract(archive, tmp_path / "data")


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    archive = _zip(tmp_path / "a.zip", [("a.txt", "x" * 10)])
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 9}))
    with pytest.raises(EnvironmentProblem, match="MiB free"):
        extract(archive, tmp_path / "data")


def test_a_second_extraction_goes_on_and_rewrites_nothing(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("a.txt", "x"), ("b.txt", "y")])
    extract(archive, tmp_path / "data")
    (tmp_path / "data/b.txt").unlink()
    assert extract(archive, tmp_path / "data") == 1
    assert (tmp_path / "data/b.txt").read_text() == "y"


def test_a_file_with_other_bytes_is_never_overwritten(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("0.txt", "new"), ("a.txt", "x")])
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("mine")
    with pytest.raises(VerificationFailed, match="other bytes"):
        extract(archive, tmp_path / "data")
    assert _files(tmp_path / "data") == ["a.txt"]
    assert (tmp_path / "data/a.txt").read_text() == "mine"


def test_a_link_in_the_folder_does_not_lead_out(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sub").symlink_to(tmp_path / "outside")
    archive = _zip(tmp_path / "a.zip", [("sub/a.txt", "x")])
    with pytest.raises(DataError, match="a link in the folder"):
        extract(archive, tmp_path / "data")
    assert _files(tmp_path / "outside") == []


def test_broken_archives_are_refused(tmp_path):
    (tmp_path / "no.zip").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="a broken archive"):
        extract(tmp_path / "no.zip", tmp_path / "data")
    archive = _zip(tmp_path / "a.zip", [("a.txt", bytes(range(200)))], method=zipfile.ZIP_STORED)
    content = bytearray(archive.read_bytes())
    content[content.index(bytes(range(50, 60)))] ^= 255
    archive.write_bytes(content)
    with pytest.raises(DataError, match="a broken archive"):
        extract(archive, tmp_path / "data")
    assert _files(tmp_path / "data") == []


@pytest.mark.parametrize("names", [("a.png", "a.png/b"), ("a/b/c", "a/b"), ("n" * 300,), (".",)])
def test_names_that_cannot_be_files_side_by_side_are_refused(tmp_path, names):
    archive = _zip(tmp_path / "a.zip", [("good.txt", "x"), *((name, "x") for name in names)])
    with pytest.raises(DataError, match="entry"):
        extract(archive, tmp_path / "data")
    assert _files(tmp_path / "data") == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(tmp_path, method):
    with pytest.raises(DataError, match="compression method"):
        extract(_zip(tmp_path / "a.zip", [("a.txt", "x" * 100)], method=method), tmp_path / "data")


def test_a_limit_of_bytes_holds(tmp_path):
    archive = _zip(tmp_path / "a.zip", [("a.txt", "x" * 100)])
    with pytest.raises(DataError, match="no bomb"):
        extract(archive, tmp_path / "data", most_bytes=99)
    assert extract(archive, tmp_path / "data", most_bytes=100) == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_bytes_are_unpacked_or_refused(tmp_path):
    whole = _zip(tmp_path / "a.zip", [(f"dog/{n}.png", bytes(range(60)) * 3) for n in range(3)]).read_bytes()
    rng, refused = random.Random(0), 0
    for number in range(300):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "b.zip").write_bytes(content)
        try:
            extract(tmp_path / "b.zip", tmp_path / f"data{number}")
        except HarnessError:
            refused += 1
    assert 100 < refused < 300
