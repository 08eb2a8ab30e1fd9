"""A machine that others keep busy is told of before clocks are read."""

from harness.machine import describe_load, free_mib
from harness.ranking.compare import compare


def test_a_load_above_the_cores_is_said_and_one_below_is_not():
    assert describe_load(7.5, 2).startswith("load 7.5 on 2 cores: clocks say as much")
    assert [describe_load(*given) for given in ((2.0, 2), (None, 2), (9.0, None))] == ["", "", ""]


def test_compare_says_which_run_began_on_a_busy_machine(make_record):
    base, head = (make_record({"a": [(0.5, 0.5)], "b": [(0.6, 0.6)]}) for _ in range(2))
    busy = head.conditions.model_copy(update={"load_average": 6.0, "cores": 4})
    notes = compare(base, head.model_copy(update={"conditions": busy})).notes
    assert notes[0] == "note: head began at load 6.0 on 4 cores: clocks say as much of what else runs as of the method"
    assert not any("load" in note for note in compare(base, head).notes)


def test_what_is_free_is_known_where_the_system_tells():
    free = free_mib("cpu")
    assert free is None or free > 0
