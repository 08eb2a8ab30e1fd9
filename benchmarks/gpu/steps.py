"""The steps in order of worth, each a command with its own time limit; one that fails or hangs costs itself only."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.pace import keep_back
from benchmarks.gpu.rows import Rows
from benchmarks.gpu.site import ROOT

JAXTYPING = (
    "--jaxtyping-packages=harness.ops,harness.models,harness.metrics,harness_tvos,harness_selfsup,beartype.beartype"
)


_HOW = r"(?P<how>PASSED|FAILED|ERROR|SKIPPED|XFAIL)"
_ENDED = re.compile(rf"^(?P<name>tests/\S+::.+?) {_HOW}\b", re.MULTILINE)  # pytest -v
_ENDED_FIRST = re.compile(rf"^\[gw\d+\] \[ *\d+%\] {_HOW} (?P<name>tests/\S+::.+?) *$", re.MULTILINE)  # with xdist


@dataclass(frozen=True)
class Step:
    """``limit`` is the most seconds it may take on a GPU; ``command`` follows the interpreter's name."""

    name: str
    title: str
    limit: float
    command: Sequence[str]
    own_rows: bool = True
    """Whether it is one of ours, that is told its task and writes rows; pytest and harness do not."""


@dataclass(frozen=True)
class Outcome:
    """What became of a step."""

    step: Step
    status: str
    """passed, failed, timed out, or skipped."""
    seconds: float = 0.0
    reason: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    log: str = ""


def all_steps(device: str, *, tiny: bool, folder: Path, train_seconds: float, tests: Sequence[str] = ()) -> list[Step]:
    """Every step, most worthy first; ``tests`` are the only test files to run, where some are named."""
    kernels = ["-m", "harness", "bench", "kernels", "--device", device, "--out", str(folder / "kernels.json")]
    kernels += ["--limit-size", "small", "--rounds", "1"] if tiny else ["--rounds", "20"]
    return [
        Step("facts", "The machine", 60, ["-m", "benchmarks.gpu.facts"]),
        Step(
            "tests", "Tests marked gpu", 150, _pytest(tests, collect_only=not device.startswith("cuda")), own_rows=False
        ),
        Step("decisions", "Kernels against float64, on what is decided", 75, ["-m", "benchmarks.gpu.decisions"]),
        Step("kernels", "Kernels against roofline and plain form", 75, kernels, own_rows=False),
        Step("frames-tvos", "Whole frames: TVOS, shipped weights", 100, ["-m", "benchmarks.gpu.frames", "tvos"]),
        Step("frames-selfsup", "Whole frames: selfsup", 60, ["-m", "benchmarks.gpu.frames", "selfsup"]),
        Step("tiles", "Tiles of the propagation, fused convolutions", 90, ["-m", "benchmarks.gpu.tiles"]),
        Step("e2e", "Where an e2e frame goes", 20, ["-m", "benchmarks.gpu.e2e"]),
        Step("clocks", "The clocks against each other", 40, ["-m", "benchmarks.gpu.clocks"]),
        Step(
            "frames-tvos-others",
            "Whole frames: TVOS, other networks",
            100,
            ["-m", "benchmarks.gpu.frames", "tvos-others"],
        ),
        Step("training", "AMP training of each learner", train_seconds + 60, ["-m", "benchmarks.gpu.learning"]),
        Step("records", "Runs of benchmark mini", 90, ["-m", "benchmarks.gpu.records"]),
        Step("frames-others", "Whole frames: every other method", 60, ["-m", "benchmarks.gpu.frames", "others"]),
    ]


def _pytest(files: Sequence[str], *, collect_only: bool) -> list[str]:
    """pytest as on any machine, but for what versions that are not pinned here would break: warnings are shown."""
    checks = JAXTYPING if importlib.util.find_spec("beartype") and importlib.util.find_spec("jaxtyping") else ""
    command = ["-m", "pytest", "-o", f"addopts=-ra --strict-markers --import-mode=importlib {checks}", "-W", "default"]
    command += ["-m", "gpu", *(files or gpu_files()), "-p", "no:cacheprovider"]
    if collect_only:
        return [*command, "--collect-only", "-q"]
    if importlib.util.find_spec("xdist"):
        command += ["-n", "6"]
    if importlib.util.find_spec("pytest_timeout"):
        command += ["--timeout", "100"]
    return [*command, "-v", "--tb=short", "--durations=12"]


def rows_of_tests(log: str) -> list[dict[str, Any]]:
    """How many tests ended how, and each that did not pass; also of a run that was cut short."""
    ended = {match["name"]: match["how"] for form in (_ENDED, _ENDED_FIRST) for match in form.finditer(log)}
    counts = {how: list(ended.values()).count(how) for how in dict.fromkeys(ended.values())}
    rows: list[dict[str, Any]] = [{"table": "tests", "ended": how, "tests": count} for how, count in counts.items()]
    bad = [name for name, how in ended.items() if how in ("FAILED", "ERROR")]
    return rows + [{"table": "tests that did not pass", "test": name, "problem": ended[name]} for name in bad]


def gpu_files() -> list[str]:
    """The test files that hold such a test: collecting all of them takes as long as running these."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "pytest.mark.gpu" in file.read_text(encoding="utf-8")]


def run_step(
    step: Step, seconds: float, device: str, *, tiny: bool, folder: Path, scratch: Path, environment: Mapping[str, str]
) -> Outcome:
    """Run one step for at most ``seconds``; its whole process group ends with it."""
    rows, log = Rows(scratch / f"{step.name}.jsonl"), scratch / f"{step.name}.log"
    if step.name == "tests":  # several at a time: each would start a thread a core
        environment = {"OMP_NUM_THREADS": "2", **environment}
    told = ["--device", device, "--until", str(time.time() + seconds - keep_back(seconds)), "--folder", str(folder)]
    told += ["--rows", str(rows.path), *(["--tiny"] if tiny else [])]
    command = [sys.executable, *step.command, *(told if step.own_rows else [])]
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code: int | None = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    status = "timed out" if code is None else "passed" if code == 0 else "failed"
    reason = f"ended after {seconds:.0f} s" if code is None else "" if code == 0 else f"exit code {code}"
    text = log.read_text(encoding="utf-8", errors="replace")
    found = rows_of_tests(text) if step.name == "tests" else rows.read()
    return Outcome(step, status, time.monotonic() - start, reason, found, text)
