"""Files that somebody cut short or put there, two runs in one folder, a disk that fills, clocks that jump."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.faults.stage import Stage, Trial
from harness.api.errors import CannotWrite, UsageError
from harness.running import record as record_module

PAGE = 4096
ROOM = "64m"
"""Of a file system that was full and is made larger."""


def cut_files(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """One file of a finished run is cut short, or has one bit of it turned; the run goes on over it."""
    for _ in range(trials):
        out = Path(shutil.copytree(stage.whole, stage.new()))
        files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.stat().st_size]
        kind = draw.choice(sorted({_kind_of(out, path) for path in files}))  # else almost all would be masks
        victim = draw.choice([path for path in files if _kind_of(out, path) == kind])
        content = bytearray(victim.read_bytes())
        place = draw.randrange(len(content))
        if draw.random() < 0.5:
            del content[place:]
            what = f"{victim.relative_to(out)} cut to {place} bytes"
        else:
            content[place] ^= 1 << draw.randrange(8)
            what = f"{victim.relative_to(out)}, one bit of byte {place} turned"
        victim.write_bytes(bytes(content))
        yield _go_on(stage, out, "cut", what)
        shutil.rmtree(out)


def _kind_of(run: Path, path: Path) -> str:
    return path.relative_to(run).parts[0]


def _go_on(stage: Stage, out: Path, kind: str, what: str, *, is_a_run: bool = True) -> Trial:
    """Run on; what is refused in words is begun anew: a run by ``--resume never``, what may be none by removing it."""
    before = _snapshot(out)
    wrong: list[str] = []
    try:
        stage.run(out)
    except UsageError as error:
        what += f"; refused: {error.message.replace(str(out), 'RUN')[:60]}"
        wrong += [] if _snapshot(out) == before else ["something was touched before it was refused"]
        if not is_a_run:
            shutil.rmtree(out)
        stage.run(out, resume="never")
    wrong += stage.compare(out)
    return Trial(kind, what, True, tuple(wrong), tuple(stage.list_left(out)))


def _snapshot(run: Path) -> dict[str, bytes]:
    """Every file but the lock, which says who looked last."""
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}


def put_foreign_files(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """Files of nobody's lie in a run that was interrupted, or where one is to begin."""
    ways: list[tuple[str, Callable[[Path], None]]] = [
        ("a result that is none", lambda out: (out / "videos" / "small-cross.json").write_bytes(draw.randbytes(200))),
        ("a mask too many", lambda out: (out / "masks" / "small-cross" / "00099.png").write_bytes(b"\x89PNG")),
        ("half a result", lambda out: (out / "videos" / ".small-cross.json.1.tmp").write_bytes(b"{")),
        ("masks half made", lambda out: _fill(out / "masks" / ".small-cross.building")),
        ("a result of another video", lambda out: _swap_results(out)),
        ("a lock that names a process", lambda out: (out / "lock").write_text("1")),
        ("no plan", lambda out: (out / "plan.json").unlink()),
        ("a plan of another run", lambda out: (out / "plan.json").write_text('{"harness": "0.0.1"}')),
        ("a link in place of masks", lambda out: _link_masks(out)),
        ("a record of somebody's", lambda out: (out / "record.json").write_bytes(draw.randbytes(99))),
    ]
    for trial in range(trials):
        out = Path(shutil.copytree(stage.whole, stage.new()))
        what, put = ways[trial % len(ways)]
        (out / "videos" / f"{draw.choice(['small-crowd', 'small-deform'])}.json").unlink()
        put(out)
        yield _go_on(stage, out, "foreign", what, is_a_run=False)
        shutil.rmtree(out)
        shutil.rmtree(stage.folder / "elsewhere", ignore_errors=True)


def _fill(folder: Path) -> None:
    folder.mkdir()
    (folder / "00000.png").write_bytes(b"half")


def _swap_results(out: Path) -> None:
    shutil.copyfile(out / "videos" / "small-cross.json", out / "videos" / "small-return.json")


def _link_masks(out: Path) -> None:
    shutil.move(out / "masks" / "small-cross", out.parent / "elsewhere")
    (out / "masks" / "small-cross").symlink_to(out.parent / "elsewhere")


def run_two(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """Two runs begin in one folder, one a moment after the other; every other time the first is then killed."""
    for trial in range(trials):
        out, after = stage.new(), draw.uniform(0, stage.seconds)
        first = stage.start(out)
        time.sleep(after)
        second = stage.start(out)
        if trial % 2:
            time.sleep(draw.uniform(0, 0.2))
            os.kill(first, signal.SIGKILL)
        ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in (first, second)]
        allowed = (0, UsageError.exit_code, -signal.SIGKILL)
        wrong = [f"one ended with {code}" for code in ended if code not in allowed]
        wrong += [] if 0 in ended or trial % 2 else ["neither came to its end"]
        wrong += stage.look(out)
        wrong += [] if stage.finish(out) == 0 else ["it did not go on"]
        what = f"second {after:.2f} s later, exit codes {ended[0]} and {ended[1]}"
        yield Trial("two", what, True, (*wrong, *stage.compare(out)), tuple(stage.list_left(out)))
        shutil.rmtree(out)


def fill_disks(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """The disk under a run's folder is full after so many bytes; once there is room the same command goes on."""
    pages = sum(1 + path.stat().st_size // PAGE for path in stage.whole.rglob("*"))
    for _ in range(trials):
        out, room = stage.new(), draw.randrange(2, pages)
        with _small_disk(out, room) as (fill, make_room, how):
            ended = stage.finish(out, fill)
            wrong = [] if ended in (0, CannotWrite.exit_code) else [f"it ended with {ended}"]
            wrong += [f"left of a full disk: {path.name}" for path in out.rglob(".*")]
            wrong += stage.look(out)
            make_room()
            wrong += [] if stage.finish(out) == 0 else ["it did not go on"]
            wrong += stage.compare(out)
            left = stage.list_left(out)
        yield Trial("disk", f"{room * PAGE >> 10} KiB of {how}, exit code {ended}", True, tuple(wrong), tuple(left))
        shutil.rmtree(out)


@contextlib.contextmanager
def _small_disk(out: Path, pages: int) -> Iterator[tuple[Callable[[], None], Callable[[], None], str]]:
    """A file system of so many pages at ``out``; where none may be mounted, writes that fail after so much."""
    out.mkdir()
    size = f"size={pages * PAGE}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(out)], capture_output=True, check=False)
    if mounted.returncode:
        yield lambda: _fail_writes_after(pages * PAGE), lambda: None, "pretended disk"
        return

    def make_room() -> None:
        subprocess.run(["mount", "-o", f"remount,size={ROOM}", str(out)], check=True)

    try:
        yield lambda: None, make_room, "tmpfs"
    finally:
        subprocess.run(["umount", str(out)], check=True)


def _fail_writes_after(room: int) -> None:
    """In this process: what is written to files by name fails once ``room`` bytes are spent."""
    spent, write_bytes, replace = 0, pathlib.Path.write_bytes, pathlib.Path.replace

    def spend(size: int) -> None:
        nonlocal spent
        spent += size
        if spent > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_some(path: Path, content: Any) -> int:
        spend(len(content))
        return write_bytes(path, content)

    def replace_some(path: Path, target: Any) -> Path:
        spend(path.stat().st_size if path.is_file() else 0)
        return replace(path, target)

    pathlib.Path.write_bytes = write_some  # type: ignore[method-assign]
    pathlib.Path.replace = replace_some  # type: ignore[method-assign, assignment]


def turn_clocks(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """The clock jumps to and fro by years while a run goes on; it is killed, its files get odd dates, it goes on."""
    for _ in range(trials):
        out, seed, after = stage.new(), draw.randrange(1 << 30), draw.uniform(0, stage.seconds)
        child = stage.start(out, lambda seed=seed: _jump(seed))  # type: ignore[misc]
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        for path in [*out.rglob("*"), out] if out.exists() else []:
            stamp = draw.uniform(0, 4e9)  # 1970 to 2096
            os.utime(path, (stamp, stamp))
        wrong = stage.look(out)
        wrong += [] if stage.finish(out, lambda seed=seed: _jump(seed + 1)) == 0 else ["it did not go on"]  # type: ignore[misc]
        what = f"killed after {after:.2f} s, dates from 1970 to 2096"
        yield Trial("clocks", what, True, (*wrong, *stage.compare(out)), tuple(stage.list_left(out)))
        shutil.rmtree(out)


def _jump(seed: int) -> None:
    """In this process: each look at the clock of the day gives another time, later or earlier."""
    draw = random.Random(seed)

    class Jumps(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return dt.datetime.fromtimestamp(draw.uniform(0, 4e9), tz)

    time.time = lambda: draw.uniform(0, 4e9)
    time.time_ns = lambda: draw.randrange(4 * 10**18)
    record_module.dt = SimpleNamespace(datetime=Jumps, UTC=dt.UTC)  # type: ignore[assignment]
