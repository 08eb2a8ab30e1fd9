"""Where faults are played: one small run that never breaks, and others held against it, with all that they leave."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import harness
from harness.api.errors import HarnessError
from harness.api.records import RunRecord
from harness.running.folder import RunFolder

ASKED = {"plugin": "copyfirst", "bench": "mini-small", "task": "one-shot", "threads": 1}
OPTIONS = ("--plugin", "copyfirst", "--bench", "mini-small", "--task", "one-shot", "--threads", "1")
"""The same, as typed."""
COMPARED = ("plugin", "config", "weights", "benchmark", "scores", "videos", "failures", "partial", "seed")
"""Of a record. The rest is when it was made, under which load, and how fast."""
BROKEN = 70
"""Exit code of a child that ended with what is no HarnessError."""
PR_SET_CHILD_SUBREAPER = 36
"""Of linux/prctl.h: orphans come to this process, which can then see that they are left."""
SECONDS_TO_DIE = 20.0
"""How long a process whose run was killed may take to follow it."""


@dataclass(frozen=True)
class Trial:
    """One fault: what was done, whether a run was held against the unbroken one afterwards, what was wrong or left."""

    kind: str
    what: str
    compared: bool = False
    wrong: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass
class Stage:
    """Run folders under one folder, which is also where temporary files go; ``whole`` is the unbroken run."""

    folder: Path
    seconds: float = field(default=0.0, init=False)
    """What the unbroken run took, under today's load."""
    _made: int = field(default=0, init=False)
    _known: set[int] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError("this system does not let orphans be seen (prctl)")
        self.temporary = self.folder / "tmp"
        self.temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.temporary)
        os.environ["HARNESS_CONFIG"] = ""
        self.whole = self.folder / "whole"
        self.run(self.folder / "first")  # imports and compiles: children that are forked need not
        began = time.monotonic()
        self.run(self.whole)
        self.seconds = time.monotonic() - began

    def new(self) -> Path:
        """The folder of one more run, not there yet."""
        self._made += 1
        return self.folder / f"run-{self._made}"

    def run(self, out: Path, **asked: object) -> RunRecord:
        """The run into ``out``, or on from what lies there, in this process."""
        return harness.run(**{**ASKED, **asked, "out": out}).record  # type: ignore[arg-type]

    def start(self, out: Path, prepare: Callable[[], None] = lambda: None) -> int:
        """The same in a child; it ends with the exit code of the command, and BROKEN for what that would not catch."""
        child = os.fork()
        if child:
            return child
        status = BROKEN
        try:
            prepare()
            self.run(out)
            status = 0
        except HarnessError as error:
            status = error.exit_code
        finally:
            os._exit(status)

    def finish(self, out: Path, prepare: Callable[[], None] = lambda: None) -> int:
        """Let the run into ``out`` go on to its end; its exit code."""
        return os.waitstatus_to_exitcode(os.waitpid(self.start(out, prepare), 0)[1])

    def look(self, out: Path) -> list[str]:
        """What is there but not whole: a result whose masks are not those it was written with."""
        found = [
            f"{path.name} is not whole"
            for path in (out / "videos").glob("[!.]*.json")
            if RunFolder(out).read_result(path.stem) is None
        ]
        if (out / "record.json").exists():
            RunRecord.model_validate_json((out / "record.json").read_bytes())
        return found

    def compare(self, out: Path) -> list[str]:
        """In what a finished run differs from the unbroken one: record, masks, results, names of files."""
        ours, whole = (json.loads((run / "record.json").read_text(encoding="utf-8")) for run in (out, self.whole))
        wrong = [f"record: {part}" for part in COMPARED if ours[part] != whole[part]]
        wrong += self.look(out)
        masks, expected = (
            {path.relative_to(run): path.read_bytes() for path in (run / "masks").rglob("*") if path.is_file()}
            for run in (out, self.whole)
        )
        return wrong + [f"{name}: other masks" for name in masks if masks[name] != expected.get(name)]

    def list_left(self, out: Path) -> list[str]:
        """What an ended run left that an unbroken one does not: files, processes, a lock that is held."""
        ours, whole = (
            {str(path.relative_to(run)) for path in run.rglob("*") if path.relative_to(run).parts[0] != "logs"}
            for run in (out, self.whole)
        )
        left = [f"file {name}" for name in sorted(ours ^ whole)]
        left += [f"temporary {path.name}" for path in self.temporary.iterdir()]
        left += [f"process {command}" for command in self.wait_for_processes()]
        try:
            with RunFolder(out):
                pass
        except HarnessError as error:
            left.append(f"lock: {error.message}")
        return left

    def know_processes(self) -> None:
        """What runs below this process now is nobody's leaving, nor is what a cluster keeps ready there."""
        self._known = set(list_below(os.getpid()))

    def forget_processes(self) -> None:
        """The same, once all of that has ended."""
        self._known = set()

    def wait_for_processes(self) -> list[str]:
        """The commands of processes below this one that do not end; those that are ending are waited for."""
        deadline = time.monotonic() + SECONDS_TO_DIE
        while True:
            known = list_processes()
            there = {
                process: told
                for process, told in list_below(os.getpid()).items()
                if told
                and process not in self._known
                and not (known.get(process, (0, ""))[0] in self._known and not told.startswith("ray::Worker"))
            }
            if not there or time.monotonic() > deadline:
                return sorted(there.values())
            time.sleep(0.1)


def list_processes() -> dict[int, tuple[int, str]]:
    """Process -> its parent and its command, empty for one that has ended."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parent = int((place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
                command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except (OSError, IndexError):
                continue
            found[int(place.name)] = parent, command
    return found


def list_below(root: int) -> dict[int, str]:
    """The processes that came from ``root``, with their commands."""
    known, found, fresh = list_processes(), dict[int, str](), {root}
    while fresh:
        fresh = {process for process, (parent, _) in known.items() if parent in fresh}
        found |= {process: known[process][1] for process in fresh}
    return found
