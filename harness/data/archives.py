"""Zip files from elsewhere, unpacked without trusting them: no way out of the folder, no links, no bombs."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.api.errors import DataError, EnvironmentProblem, VerificationFailed
from harness.api.file_names import is_left_behind, spelling_key
from harness.data.contents import name_content

MOST_FILES = 4_000_000
MOST_BYTES = 1 << 40
HIGHEST_RATIO = 200
"""Frames and masks compress 1 to 60 times; a file above this ratio and above ``SMALL`` bytes is refused."""
SMALL = 1 << 24
LONGEST_NAME = 240
"""Bytes of one file's or folder's name that every file system takes, with room for a temporary ending."""
LONGEST_PATH = 2000
"""The same for a whole name with its folders."""
_BLOCK = 1 << 20
_DEFLATE64 = 9
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, RuntimeError)
"""What ``zipfile`` raises for tables, names and streams that make no sense."""


def extract(archive: Path, folder: Path, *, strip: str = "", most_bytes: int = MOST_BYTES) -> int:
    """Unpack ``archive`` into ``folder`` and return how many files were written; ``strip`` leaves out a top folder.

    Everything is checked before the first byte is written. A file that is there already with the same bytes is left
    alone, so a killed extraction goes on; one with other bytes is an error, nothing is overwritten.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = list(_check(archive, opened.infolist(), strip, most_bytes))
            root = folder.resolve()
            missing = [(info, root / place) for info, place in members if not _is_there(archive, info, root, place)]
            _check_space(root, sum(info.file_size for info, _ in missing))
            for info, target in missing:
                _write(opened, info, target)
            return len(missing)
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: offsets that lead out of the file
            raise EnvironmentProblem(f"{archive} cannot be unpacked into {folder}: {error}") from error
        found, hint = f"a broken archive ({error})", f"delete {archive} and get it again"
        if not zipfile.is_zipfile(archive):
            content = name_content(archive)
            found, hint = f"a broken archive: {content.what}", f"delete {archive}; {content.advice}"
        raise DataError.at(archive, found=found, expected="a whole zip", hint=hint) from error


def _check(
    archive: Path, infos: Sequence[zipfile.ZipInfo], strip: str, most_bytes: int
) -> Iterator[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """The files to write with their places; DataError for any entry that must not be written."""
    packed, unpacked = sum(info.compress_size for info in infos), sum(info.file_size for info in infos)
    if len(infos) > MOST_FILES or unpacked > most_bytes or packed > archive.stat().st_size:
        found = f"{len(infos)} files of {unpacked} bytes, {packed} packed, in {archive.stat().st_size} bytes"
        raise DataError.at(archive, found=found, expected="an archive that is no bomb")
    keys: dict[PurePosixPath, PurePosixPath] = {}
    for info in infos:
        whole, stored = _with_slashes(info.filename), _with_slashes(info.orig_filename)
        problem = _problem_of(info) or _problem_of_name(stored) or _problem_of_name(whole)
        name = whole.removeprefix(strip)
        is_left_out = (
            problem or whole.endswith("/") or any(part != "." and is_left_behind(part) for part in name.split("/"))
        )
        problem = problem if is_left_out else _problem_of_name(name)
        if problem:
            expected = "plain files and folders below the folder it is unpacked into"
            hint = "unpack it with the program that made it, and give the folder"
            raise DataError.at(f"{archive}, entry {info.orig_filename!r}", found=problem, expected=expected, hint=hint)
        if is_left_out:
            continue
        place = PurePosixPath(name)
        key = _key_of(place)
        if key in keys:
            found = f"the same name twice ({str(keys[key])!r} before it)"
            raise DataError.at(f"{archive}, entry {name!r}", found=found, expected="each file once")
        keys[key] = place
        yield info, place
    inside = next((place for key, place in keys.items() if not keys.keys().isdisjoint(key.parents)), None)
    if inside is not None:
        raise DataError.at(f"{archive}, entry {str(inside)!r}", found="a file inside a file", expected="folders")


def _with_slashes(name: str) -> str:
    """A name as zips have it; programs of Windows have written backslashes between folders."""
    return name.replace("\\", "/")


def _key_of(place: PurePosixPath) -> PurePosixPath:
    return PurePosixPath(spelling_key(str(place)))


def _problem_of_name(name: str) -> str:
    if "\0" in name or ":" in name.split("/")[0]:
        return "a name with a drive or a zero byte"
    if name.startswith("/") or ".." in name.split("/"):
        return "a name that leads out of the folder"
    if not name.isprintable():
        return "a name with control characters"
    sizes = [len(part.encode(errors="replace")) for part in name.split("/")]
    if max(sizes) > LONGEST_NAME or sum(sizes) > LONGEST_PATH:
        return f"a name of more than {LONGEST_NAME} bytes, or {LONGEST_PATH} with its folders"
    if not PurePosixPath(name).parts:
        return "an empty name"
    return ""


def _problem_of(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link" if kind == stat.S_IFLNK else "a device or socket"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        which = " (Deflate64, as Windows packs large files)" if info.compress_type == _DEFLATE64 else ""
        return f"compression method {info.compress_type}{which}, neither stored nor deflated"
    if info.flag_bits & 1:
        return "an encrypted file"
    if info.file_size > SMALL and info.file_size > HIGHEST_RATIO * max(1, info.compress_size):
        return f"{info.file_size} bytes packed into {info.compress_size}"
    return ""


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentProblem(
            f"{folder} has {free >> 20} MiB free, expected {needed >> 20} MiB for the unpacked files"
        )


def _is_there(archive: Path, info: zipfile.ZipInfo, root: Path, place: PurePosixPath) -> bool:
    """Whether the file has been written before; an error if other bytes, or a link, stand in its place."""
    target = root / place
    if target.is_symlink() or not target.parent.resolve().is_relative_to(root):
        raise DataError.at(target, found="a link in the folder", expected=f"plain folders below {root}")
    if not target.exists():
        return False
    if target.stat().st_size != info.file_size or _crc_of(target) != info.CRC:
        raise VerificationFailed(
            f"{target}: found a file with other bytes than in {archive.name}, expected none or the same",
            hint="unpack into an empty --data-root",
        )
    return True


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with opened.open(info) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, _BLOCK)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _crc_of(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc
