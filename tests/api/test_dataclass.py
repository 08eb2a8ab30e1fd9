"""Our dataclasses compare, hash and print as those of the standard library do."""

import abc
import copy
import dataclasses
import math
import pickle
import re
from dataclasses import FrozenInstanceError, field
from pathlib import Path

import pytest

import harness
from harness.api.dataclass import dataclass


def make_kinds(dataclass):
    """The same classes by one decorator or the other."""

    @dataclass(frozen=True)
    class Point:
        x: float
        y: list = field(default_factory=list)
        unseen: int = field(default=0, repr=False, compare=False)

    @dataclass(frozen=True, kw_only=True)
    class Named(Point):
        name: str = "a"

    @dataclass
    class Loose:
        x: float

    @dataclass(frozen=True)
    class Empty:
        pass

    @dataclass(frozen=True)
    class Keyed:
        key: int
        value: list = field(hash=False)

    @dataclass(frozen=True, eq=False)
    class Itself:
        x: float

    @dataclass(frozen=True)
    class Own:
        x: float

        def __eq__(self, other):
            return True

        def __repr__(self):
            return "own"

    @dataclass(frozen=True)
    class OwnHash:
        x: float

        def __hash__(self):
            return 7

    return Point, Named, Loose, Empty, Keyed, Itself, Own, OwnHash


OURS, THEIRS = make_kinds(dataclass), make_kinds(dataclasses.dataclass)


def instances(kinds):
    Point, Named, Loose, Empty, Keyed, Itself, Own, OwnHash = kinds
    nan = math.nan
    made = [Point(1, [2]), Point(1, [2], 5), Point(2), Point(nan), Point(nan), Named(x=1, y=[2]), Named(x=1, name="b")]
    made += [Loose(1), Loose(1), Loose(nan), Loose(nan), Empty(), Empty(), Keyed(1, [2]), Keyed(1, [2]), Keyed(1, [3])]
    made += [Itself(1), Itself(1), Own(1), Own(2), OwnHash(1), OwnHash(1), Point(1, Point(2, ())), Point(1, ())]
    return made


def try_hash(thing):
    try:
        return hash(thing)
    except TypeError as error:
        return str(error)


def test_they_print_compare_and_hash_alike():
    ours, theirs = instances(OURS), instances(THEIRS)
    assert [repr(one).replace("make_kinds.<locals>.", "") for one in ours if type(one) is not OURS[5]] == [
        repr(one).replace("make_kinds.<locals>.", "") for one in theirs if type(one) is not THEIRS[5]
    ]
    assert [[one == other for other in ours] for one in ours] == [[one == other for other in theirs] for one in theirs]
    by_place = [place for place, one in enumerate(ours) if type(one) is not OURS[5]]  # the others hash by identity
    assert [try_hash(ours[place]) for place in by_place] == [try_hash(theirs[place]) for place in by_place]
    assert OURS[3]() != THEIRS[3]()
    assert OURS[0](1) != 1


def test_a_class_below_compares_by_the_fields_of_the_one_above_as_the_library_has_it():
    for decorate in (dataclass, dataclasses.dataclass):

        @decorate(frozen=True)
        class Above:
            x: int

        @dataclasses.dataclass(frozen=True, eq=False, repr=False)
        class Below(Above):
            y: list

        assert Below(1, [1]) == Below(1, [2])
        assert hash(Below(1, [1])) == hash((1,))
        assert repr(Below(1, [1])).endswith("Below(x=1)")


def test_other_options_are_taken_or_refused_by_name():
    @dataclass(repr=False, kw_only=True)
    class Quiet:
        x: int

    assert "object at" in repr(Quiet(x=1))
    for name in ("order", "unsafe_hash"):
        with pytest.raises(TypeError, match=f"has {name}"):
            dataclass(**{name: True})


def test_an_abstract_comparison_is_given():
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def __eq__(self, other): ...

        __hash__ = None

    @dataclass
    class Given(Abstract):
        x: int

    assert Given(1) == Given(1)


def test_one_that_holds_itself_is_printed():
    loop = OURS[2](0)
    loop.x = loop
    assert repr(loop).endswith("Loose(x=...)")


def test_a_frozen_one_stays_as_it_is_and_can_be_copied_and_replaced():
    point = OURS[0](1, [2])
    with pytest.raises(FrozenInstanceError):
        point.x = 2
    assert copy.deepcopy(point) == point
    assert dataclasses.replace(point, x=3) == OURS[0](3, [2])
    assert dataclasses.astuple(point) == (1, [2], 0)


def test_the_harness_has_no_other():
    root = Path(harness.__file__).parent
    files = [path for path in root.rglob("*.py") if path != root / "api" / "dataclass.py"]
    others = re.compile(r"^from dataclasses import .*\bdataclass\b|dataclasses\.dataclass\b", re.MULTILINE)
    assert [
        str(path) for path in files if "templates" not in path.parts and others.search(path.read_text(encoding="utf-8"))
    ] == []


@dataclass(frozen=True)
class Sent:
    x: int


def test_one_survives_being_sent():
    assert pickle.loads(pickle.dumps(Sent(3))) == Sent(3)
    assert {Sent(3): "a"}[Sent(3)] == "a"
