"""Machine code of an object file, linked and laid out in memory by hand: what LLVM needs 45 MiB and 50 ms for.

Knows what Numba's object files on x86-64 Linux hold, and refuses the rest: the caller then has LLVM load it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Callable, Iterator

from harness.api.dataclass import dataclass

_X86_64_RELOCATABLE = (b"\x7fELF\x02\x01\x01", 1, 62)
"""64 bits, low byte first; an object file; the processor (System V ABI, AMD64 supplement)."""
_PROGBITS, _SYMBOLS, _RELOCATIONS, _NO_BITS, _UNWINDING = 1, 2, 4, 8, 0x70000001
_WRITABLE, _LOADED = 1, 2
_UNDEFINED, _ABSOLUTE, _COMMON = 0, 0xFFF1, 0xFFF2
_ADDRESS_OF_64_BITS = 1
_HEADER, _SECTION, _SYMBOL, _RELOCATION = "<16sHHIQQQIHHHHHH", "<IIQQQQIIQQ", "<IBBHQQ", "<QQq"


class UnknownObjectFile(Exception):
    """An object file that is not of the one kind known here, or names what is nowhere to be found."""


@dataclass(frozen=True)
class _Section:
    name: int
    kind: int
    flags: int
    address: int
    start: int
    size: int
    link: int
    target: int
    """Of relocations: the section they belong to."""
    alignment: int
    entry_size: int


@dataclass(frozen=True)
class _Symbol:
    name: str
    section: int
    value: int
    """Its place in its section; of common room, its alignment."""
    size: int


class Image:
    """The functions of one object file, ready to be called; the memory is freed with it."""

    def __init__(self, code: bytes, find_external: Callable[[str], int | None]) -> None:
        """Lay it out; ``find_external`` gives the address of a name that the file does not define, or None.

        Raises UnknownObjectFile, or OSError where memory may not be made executable.
        """
        try:
            self._lay_out(code, find_external)
        except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
            raise UnknownObjectFile(f"an object file that is cut, or makes no sense ({error})") from error

    def _lay_out(self, code: bytes, find_external: Callable[[str], int | None]) -> None:
        sections = _read_sections(code)
        symbols = _read_symbols(code, sections)
        constant = [n for n, section in enumerate(sections) if section.flags & (_WRITABLE | _LOADED) == _LOADED]
        written = [n for n, section in enumerate(sections) if section.flags & _WRITABLE and section.flags & _LOADED]
        places: dict[int, int] = {}
        protected = _up(_place(constant, sections, places, 0), mmap.PAGESIZE)
        end = _place(written, sections, places, protected)
        common, end = _place_common(symbols, end)
        self._memory = mmap.mmap(-1, max(end, 1), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for n, place in places.items():
            section = sections[n]
            if section.kind != _NO_BITS:
                self._memory[place : place + section.size] = code[section.start : section.start + section.size]
        addresses: list[int | None] = []
        for n, symbol in enumerate(symbols):
            if n in common:
                addresses.append(base + common[n])
            elif symbol.section in places:
                addresses.append(base + places[symbol.section] + symbol.value)
            else:
                addresses.append(find_external(symbol.name) if symbol.section == _UNDEFINED and symbol.name else None)
        for place, number, addend in _list_changes(code, sections, places):
            target = addresses[number]
            if target is None:
                raise UnknownObjectFile(f"code that refers to {symbols[number].name or 'nothing'!r}, which is not here")
            struct.pack_into("<Q", self._memory, place, (target + addend) & (2**64 - 1))
        self._addresses = {symbol.name: address for symbol, address in zip(symbols, addresses, strict=True) if address}
        _protect(base, protected)

    def address_of(self, name: str) -> int:
        """Where the function of that name begins; KeyError where there is none."""
        return self._addresses[name]


def _up(value: int, alignment: int) -> int:
    return -(-value // max(alignment, 1)) * max(alignment, 1)


def _read_sections(code: bytes) -> list[_Section]:
    """Every section; UnknownObjectFile where this is no object file for this kind of processor."""
    ident, kind, processor, *_, entry, count, _ = struct.unpack_from(_HEADER, code)
    start = struct.unpack_from("<Q", code, 40)[0]
    if (ident[:7], kind, processor) != _X86_64_RELOCATABLE or entry != struct.calcsize(_SECTION):
        raise UnknownObjectFile("not an ELF object file for x86-64")
    sections = [
        _Section(name, kind, flags, address, begin, size, link, target, alignment, entry_size)
        for name, kind, flags, address, begin, size, link, target, alignment, entry_size in struct.iter_unpack(
            _SECTION, code[start : start + entry * count]
        )
    ]
    for section in sections:
        if section.kind != _NO_BITS and section.start + section.size > len(code):
            raise UnknownObjectFile("an object file that is cut")
    return sections


def _read_symbols(code: bytes, sections: list[_Section]) -> list[_Symbol]:
    (table,) = (section for section in sections if section.kind == _SYMBOLS)
    names = sections[table.link]

    def name_at(place: int) -> str:
        begin = names.start + place
        return code[begin : code.index(b"\0", begin)].decode()

    found = struct.iter_unpack(_SYMBOL, code[table.start : table.start + table.size])
    return [_Symbol(name_at(name), section, value, size) for name, _, _, section, value, size in found]


def _place(chosen: list[int], sections: list[_Section], places: dict[int, int], end: int) -> int:
    """Give each section a place behind ``end``; the new end. What tells debuggers how to unwind is left out."""
    for n in chosen:
        section = sections[n]
        if section.kind == _UNWINDING:
            continue
        if section.kind not in (_PROGBITS, _NO_BITS):
            raise UnknownObjectFile(f"a section of kind {section.kind}")
        places[n] = _up(end, section.alignment)
        end = places[n] + section.size
    return end


def _place_common(symbols: list[_Symbol], end: int) -> tuple[dict[int, int], int]:
    """A place for each symbol that asks for room of its own, which begins as zeros; the new end."""
    places = {}
    for n, symbol in enumerate(symbols):
        if symbol.section == _COMMON:
            places[n] = _up(end, symbol.value)
            end = places[n] + symbol.size
        elif symbol.section >= 0xFF00 and symbol.section != _ABSOLUTE:
            raise UnknownObjectFile(f"a symbol of section {symbol.section:#x}")
    return places, end


def _list_changes(code: bytes, sections: list[_Section], places: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Where an address is to be written, of which symbol, and what is added to it."""
    for section in sections:
        if section.kind == _RELOCATIONS and section.target in places:
            target = sections[section.target]
            for place, info, addend in struct.iter_unpack(
                _RELOCATION, code[section.start : section.start + section.size]
            ):
                if info & 0xFFFFFFFF != _ADDRESS_OF_64_BITS or place + 8 > target.size:
                    raise UnknownObjectFile(f"a relocation of kind {info & 0xFFFFFFFF}")
                yield places[section.target] + place, info >> 32, addend


def _protect(base: int, size: int) -> None:
    """Let the code be run and no longer be written."""
    library = ctypes.CDLL(None, use_errno=True)
    library.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    if size and library.mprotect(base, size, mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, f"memory may not be made executable: {os.strerror(number)}")
