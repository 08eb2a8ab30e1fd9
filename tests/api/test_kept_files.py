"""Files kept for later processes: who may have written what is read, and what is left where nothing can be written."""

import os
from pathlib import Path

import pytest

from harness.api.kept_files import keep_file, read_kept, user_cache


def test_a_file_is_read_as_it_was_kept_by_those_who_may_have_written_it(tmp_path):
    assert keep_file(tmp_path / "new" / "folder", "name", b"content")
    place = tmp_path / "new" / "folder" / "name"
    own = os.getuid()
    assert read_kept(place, {own}) == b"content"
    with pytest.raises(PermissionError, match="another user"):
        read_kept(place, {own + 1})
    for mode in (0o664, 0o646):
        place.chmod(mode)
        with pytest.raises(PermissionError, match="another user"):
            read_kept(place, {own})


def test_where_nothing_can_be_written_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    assert not keep_file(tmp_path / "file" / "folder", "name", b"")
    (tmp_path / "taken").mkdir()
    assert not keep_file(tmp_path, "taken", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_the_cache_is_where_the_system_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache("digests") == tmp_path / "vos-harness" / "digests"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache("digests") == Path.home() / ".cache" / "vos-harness" / "digests"
