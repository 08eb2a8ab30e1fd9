"""Object files laid out in memory: what they hold is run, and what is not known is refused before anything is."""

import ctypes
import platform
import struct
import sys

import pytest

from harness.api.object_code import Image, UnknownObjectFile

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="machine code for x86-64 Linux"
)

READ = bytes.fromhex("48b8 0000000000000000 488b00 c3")
"""mov rax, ADDRESS; mov rax, [rax]; ret"""
CONSTANT, COMMON, ABSOLUTE = 3, 0xFFF2, 0xFFF1


def object_file(
    *, section: int = CONSTANT, value: int = 0, kind: int = 1, place: int = 2, processor: int = 62
) -> bytes:
    """An ELF object file whose function ``read`` gives the 8 bytes at symbol ``number``, which lies in ``section``."""
    names = b"\0read\0number\0"
    symbols = struct.pack("<IBBHQQ", 0, 0, 0, 0, 0, 0)
    symbols += struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0, len(READ))
    symbols += struct.pack("<IBBHQQ", 6, 0x11, 0, section, value, 8)
    changes = struct.pack("<QQq", place, 2 << 32 | kind, 0)
    bodies = [READ, changes, struct.pack("<q", 4711), symbols, names]
    starts = [64 + sum(len(body) for body in bodies[:n]) for n in range(len(bodies))]
    heads = [(0, 0, 0, 0, 0, 0, 0), (1, 6, 0, 0, 16, 0, 0), (4, 0, 4, 1, 8, 24, 1), (1, 2, 0, 0, 8, 0, 2)]
    heads += [(2, 0, 5, 1, 8, 24, 3), (3, 0, 0, 0, 1, 0, 4)]
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", 0, type_, flags, 0, starts[n], len(bodies[n]) if type_ else 0, link, to, align, each)
        for type_, flags, link, to, align, each, n in heads
    )
    content = b"".join(bodies)
    counts = (64 + len(content), 0, 64, 0, 0, 64, len(heads), 5)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, processor, 1, 0, 0, *counts)
    return head + content + table


def nowhere(name: str) -> None:
    return None


def run(image: Image) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(image.address_of("read"))()


def test_a_function_reads_the_constants_of_its_file() -> None:
    assert run(Image(object_file(), nowhere)) == 4711
    with pytest.raises(KeyError):
        Image(object_file(), nowhere).address_of("write")


def test_what_the_file_does_not_define_is_asked_for() -> None:
    outside = ctypes.c_int64(-3)
    asked = []

    def find(name: str) -> int:
        asked.append(name)
        return ctypes.addressof(outside)

    assert run(Image(object_file(section=0), find)) == -3
    assert asked == ["number"]
    with pytest.raises(UnknownObjectFile, match="'number', which is not here"):
        Image(object_file(section=0), nowhere)


def test_room_of_its_own_begins_as_zero_and_may_be_written() -> None:
    image = Image(object_file(section=COMMON, value=8), nowhere)
    assert run(image) == 0
    ctypes.c_int64.from_address(image.address_of("number")).value = 5
    assert run(image) == 5


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"processor": 183}, "not an ELF object file for x86-64"),
        ({"kind": 4}, "a relocation of kind 4"),
        ({"place": len(READ)}, "a relocation of kind 1"),
        ({"section": 0xFF05}, "a symbol of section 0xff05"),
        ({"section": ABSOLUTE}, "'number', which is not here"),
    ],
)
def test_what_is_not_known_is_refused(changed: dict[str, int], words: str) -> None:
    with pytest.raises(UnknownObjectFile, match=words):
        Image(object_file(**changed), nowhere)


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    whole = object_file()
    for length in range(len(whole)):
        with pytest.raises(UnknownObjectFile):
            Image(whole[:length], nowhere)


def test_code_can_no_longer_be_written() -> None:
    image = Image(object_file(), nowhere)
    with open("/proc/self/maps", encoding="ascii") as maps:
        rights = [line.split()[1] for line in maps if covers(line, image.address_of("read"))]
    assert rights == ["r-xp"]


def covers(line: str, address: int) -> bool:
    low, high = (int(part, 16) for part in line.split()[0].split("-"))
    return low <= address < high
