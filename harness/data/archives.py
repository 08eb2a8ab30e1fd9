"""Zip files from elsewhere, unpacked without trusting them: no way out of the folder, no links, no bombs."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from harness.api.errors import DataError, EnvironmentProblem, VerificationFailed

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
        hint = f"delete {archive} and get it again"
        raise DataError.at(archive, found=f"a broken archive ({error})", expected="a whole zip", hint=hint) from error


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
        problem = _problem_of(info) or _problem_of_name(info.orig_filename) or _problem_of_name(info.filename)
        name = info.filename.removeprefix(strip)
        is_left_out = problem or info.is_dir() or name.startswith("__MACOSX/") or name.endswith(".DS_Store")
        problem = problem if is_left_out else _problem_of_name(name)
        if problem:
            expected = "plain files and folders below the folder it is unpacked into"
            raise DataError.at(f"{archive}, entry {info.orig_filename!r}", found=problem, expected=expected)
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


def _key_of(place: PurePosixPath) -> PurePosixPath:
    """Equal for names that are one file where case or the spelling of accents does not count (macOS, Windows)."""
    return PurePosixPath(unicodedata.normalize("NFC", str(place)).casefold())


def _problem_of_name(name: str) -> str:
    if "\\" in name or "\0" in name or ":" in name.split("/")[0]:
        return "a name with a backslash, a drive or a zero byte"
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
        return f"compression method {info.compress_type} (neither stored nor deflated)"
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
