"""Two that add to one leaderboard at once: nothing newer is lost, and no run is stored twice."""

import json
import threading

import pytest

from harness.api.errors import UsageError
from harness.files import take_turn
from harness.leaderboard import records

GOOD = {"a": [(0.5, 0.75), (1.0, 0.25)], "b": [(0.25, 0.5)], "c": [(1.0, 0.0)]}
OLD, NEW = "2026-01-02T03:04:05+00:00", "2026-02-03T04:05:06+00:00"


@pytest.fixture
def add_between(monkeypatch, toy_catalog, tmp_path):
    """Add a first record, and a second one while the first stands between its check and its write.

    Gives what became of the second: an error, or None. The second has a second's time: by itself it needs hundredths,
    and where it has to wait it goes on when the first has written.
    """

    def add(first, second, names=("", "")):
        failures = []
        write = records.write_atomically

        def add_second():
            try:
                records.add_record(second, tmp_path, names[1], toy_catalog, replace=False)
            except UsageError as error:
                failures.append(error)

        other = threading.Thread(target=add_second)

        def pause_and_write(target, content):
            monkeypatch.setattr(records, "write_atomically", write)
            other.start()
            other.join(timeout=1)
            write(target, content)

        monkeypatch.setattr(records, "write_atomically", pause_and_write)
        records.add_record(first, tmp_path, names[0], toy_catalog, replace=False)
        other.join()
        return failures[0] if failures else None

    return add


def test_the_newer_record_stays_though_the_older_is_written_last(make_record, add_between, tmp_path):
    assert add_between(make_record(GOOD, created=OLD), make_record(GOOD, created=NEW)) is None
    (path,) = tmp_path.rglob("*.json")
    assert json.loads(path.read_text())["created"] == NEW


def test_an_older_record_that_waited_finds_the_newer_one(make_record, add_between, tmp_path):
    error = add_between(make_record(GOOD, created=NEW), make_record(GOOD, created=OLD))
    assert error is not None
    assert f"holds a newer record, of {NEW}" in error.message


def test_one_run_is_not_stored_under_two_names(make_record, add_between, tmp_path):
    error = add_between(make_record(GOOD), make_record(GOOD), names=("here", "there"))
    assert error is not None
    assert "ours-here.json holds the same record already" in error.message
    assert [path.name for path in tmp_path.rglob("*.json")] == ["ours-here.json"]


def test_who_waits_says_for_what_and_gives_up_with_nothing_touched(tmp_path):
    told = []
    with take_turn(tmp_path, work="leaderboard add", tell=told.append):
        with (
            pytest.raises(UsageError, match=r"another leaderboard add is writing into .*, after 0 s still") as error,
            take_turn(tmp_path, work="leaderboard add", tell=told.append, seconds=0),
        ):
            pytest.fail("two had their turn at once")
        assert error.value.exit_code == 2
    assert told == [f"waiting for another leaderboard add that is writing into {tmp_path}"]
    with take_turn(tmp_path, work="leaderboard add", tell=told.append, seconds=0):
        assert list(tmp_path.iterdir()) == []
    assert len(told) == 1


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.warns(RuntimeWarning, match="without locks .*: nothing keeps a second leaderboard add out"),
        take_turn(tmp_path, work="leaderboard add", tell=pytest.fail),
    ):
        pass
