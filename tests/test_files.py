"""Files of ours: written whole, read strictly, in folders that one process holds."""

import fcntl
import os

import pytest

from harness.api.errors import CannotWrite, DataError, UsageError, VerificationFailed
from harness.files import (
    HeldFolder,
    digest_of,
    read_json,
    refuse_foreign_files,
    refuse_unwritable,
    scratch_folder,
    sweep_abandoned,
    write_atomically,
)


def test_a_file_takes_its_place_whole_and_leaves_nothing_beside_it(tmp_path):
    write_atomically(tmp_path / "new" / "a.json", b"1")
    write_atomically(tmp_path / "new" / "a.json", b"2")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_bytes() == b"2"


def test_a_file_that_cannot_take_its_place_leaves_nothing_beside_it(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(CannotWrite, match=r"a[.]json cannot be written: Is a directory"):
        write_atomically(tmp_path / "a.json", b"1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 1.5})


def test_links_folders_and_pipes_are_refused_and_nothing_is_said_to_be_missing(tmp_path):
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(VerificationFailed, match="found a link"):
        read_json(tmp_path / "link.json", largest=100)
    with pytest.raises(VerificationFailed, match="found a folder"):
        read_json(tmp_path, largest=100)
    with pytest.raises(VerificationFailed, match="found something else"):
        read_json(tmp_path / "pipe.json", largest=100)
    with pytest.raises(DataError, match="found nothing"):
        read_json(tmp_path / "gone.json", largest=100)


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    def hold():
        return HeldFolder(tmp_path / "out", work="run", hint="choose another --out")

    with hold(), pytest.raises(UsageError, match=rf"another run \(process {os.getpid()}\) is writing into"), hold():
        raise AssertionError("held twice")
    with hold():
        pass


def test_a_folder_of_somebody_elses_is_refused_but_not_what_a_kill_leaves(tmp_path):
    for left in ("lock", ".plan.json.4711.tmp"):
        (tmp_path / left).touch()
    refuse_foreign_files(tmp_path, "plan.json", "run")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="is not empty and is no run folder: found thesis"):
        refuse_foreign_files(tmp_path, "plan.json", "run")
    (tmp_path / "plan.json").touch()
    refuse_foreign_files(tmp_path, "plan.json", "run")


NOBODY = 2**22 + 1
"""Beyond the largest number a process has."""


def test_files_of_writers_that_live_no_more_are_swept_and_those_of_others_are_not(tmp_path):
    (tmp_path / "bench").mkdir()
    dead, alive = (tmp_path / "bench" / f".tvos.json.{writer}.tmp" for writer in (NOBODY, os.getpid()))
    for path in (dead, alive):
        path.write_bytes(b"half")
    sweep_abandoned(tmp_path)
    assert [path.exists() for path in (dead, alive)] == [False, True]


def test_scratch_folders_of_killed_processes_go_when_the_next_is_made(tmp_path):
    dead, locked = tmp_path / f".packing-{NOBODY}-a", tmp_path / f".packing-{NOBODY}-b"
    for folder in (dead, locked):
        folder.mkdir()
        (folder / "half.zip").write_bytes(b"PK")
    descriptor = os.open(locked, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # a process of another machine or container
    with scratch_folder(".packing", tmp_path) as mine:
        assert mine.is_dir()
        assert [folder.exists() for folder in (dead, locked)] == [False, True]
    os.close(descriptor)
    assert not mine.exists()
    with scratch_folder(".packing", tmp_path):
        assert not locked.exists()


def test_a_folder_that_can_be_made_is_writable_and_is_not_made(tmp_path):
    refuse_unwritable(tmp_path / "new" / "deep", "--csv")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written_into_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, how: False)  # root may write everywhere
    with pytest.raises(CannotWrite, match=f"--csv: {tmp_path} cannot be written into"):
        refuse_unwritable(tmp_path / "new", "--csv")
