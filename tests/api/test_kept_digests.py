"""Digests that are kept: made once of files at rest, and anew after whatever may have changed one of them."""

import os
import time

import pytest

from harness.api import kept_digests
from harness.api.kept_digests import LEAST_BYTES, MOST_OF_A_FOLDER, SETTLED_NS, find_digest


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vos-harness" / "digests"


class Files:
    """Two files, one of them large; ``ask`` makes a digest, or not, and counts how often it was made."""

    def __init__(self, folder):
        self.paths = [folder / "large", folder / "small"]
        self.paths[0].write_bytes(b"x" * LEAST_BYTES)
        self.paths[1].write_bytes(b"y")
        self.made = 0

    def make(self):
        self.made += 1
        return f"{self.made:064x}"

    def ask(self, head="head", **options):
        return find_digest(head, [("frame", path) for path in self.paths], self.make, **options)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda now=time.time_ns: now() + 2 * SETTLED_NS)  # at rest for long
    return Files(tmp_path)


def test_a_digest_is_made_once_in_all_processes(cache, files):
    assert [files.ask(), files.ask()] == [f"{1:064x}"] * 2
    assert files.made == 1
    assert len(list(cache.glob("??/*"))) == 1


def test_many_small_files_are_kept_too_and_a_few_are_not(cache, files, tmp_path):
    files.paths = [tmp_path / f"{number}" for number in range(20)]
    for path in files.paths:
        path.write_bytes(b"x")
    assert [files.ask(), files.ask()] == [f"{1:064x}"] * 2
    del files.paths[3:]
    assert [files.ask(), files.ask()] == [f"{2:064x}", f"{3:064x}"]


def rewrite_in_place(path):
    before = path.stat()
    path.write_bytes(b"z")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if nothing had happened


def replace_by_another(path):
    other = path.with_name("other")
    other.write_bytes(b"z")
    other.rename(path)


@pytest.mark.parametrize("change", [rewrite_in_place, replace_by_another])
def test_it_is_made_anew_of_other_bytes_though_size_and_time_are_the_same(cache, files, change):
    files.ask()
    change(files.paths[1])
    files.ask()
    assert files.made == 2


def test_it_is_made_anew_of_other_names_and_facts(cache, files, tmp_path):
    files.ask()
    files.ask(head="another")
    files.paths[1] = files.paths[1].rename(tmp_path / "renamed")
    files.ask()
    assert files.made == 3


def test_files_written_just_now_are_read_again(cache, files, monkeypatch):
    """Their next change may fall into the same tick of the disk's clock."""
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    files.ask(), files.ask()
    assert files.made == 2


def test_what_is_read_soon_is_not_kept(cache, files):
    files.paths.pop(0)
    files.ask(), files.ask()
    assert files.made == 2
    assert not cache.exists()


def test_a_file_that_is_missing_is_left_to_its_reader(cache, files):
    files.paths[1].unlink()
    assert files.ask() == f"{1:064x}"
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"0" * 64 + b" " + b"1" * 64, b"STATE " + b"z" * 64])
def test_what_is_broken_in_the_cache_is_made_anew(cache, files, content):
    files.ask()
    (kept,) = cache.glob("??/*")
    kept.write_bytes(content.replace(b"STATE", kept.read_bytes().split(b" ")[0]))
    files.ask()
    assert files.made == 2


def test_one_that_others_may_have_written_is_made_anew(cache, files):
    files.ask()
    (kept,) = cache.glob("??/*")
    kept.chmod(0o666)
    files.ask()
    assert files.made == 2


def test_who_is_asked_may_refuse_a_file(cache, files):
    def refuse(path):
        raise ValueError(path.name)

    files.ask()
    with pytest.raises(ValueError, match="large"):
        files.ask(ask=refuse)


def test_a_folder_that_is_full_loses_those_made_first(cache, files, monkeypatch):
    files.ask()
    (kept,) = cache.glob("??/*")
    for number in range(MOST_OF_A_FOLDER + 3):
        old = kept.with_name(f"old{number}")
        old.write_text("")
        os.utime(old, (number, number))
    kept.unlink()
    files.ask()
    names = {path.name for path in kept.parent.iterdir()}
    assert len(names) == MOST_OF_A_FOLDER
    assert kept.name in names
    assert "old0" not in names


def test_without_a_clock_of_changes_nothing_is_kept(cache, files, monkeypatch):
    monkeypatch.setattr(kept_digests.os, "name", "nt")
    files.ask(), files.ask()
    assert files.made == 2
