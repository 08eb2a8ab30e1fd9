"""Step ``records``: whole runs of benchmark ``mini``, whose records can be added to the leaderboard as they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.gpu.pace import Pace
from benchmarks.gpu.rows import Task, task_of

RUNS = (("tvos", "bf16"), ("selfsup", "bf16"), ("tvos", "fp32"), ("selfsup", "fp32"))


def main(task: Task) -> None:
    """One record file a run, named after method and precision, and a row with its figures."""
    from harness.api.records import RunRecord

    pace = Pace(task.seconds)
    for plugin, precision in (("tvos", "fp32"),) if task.tiny else RUNS:
        if not pace.fits:
            task.rows.add("skipped", what=f"record of {plugin} {precision}", why="out of time")
            continue
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "run"
            command = [sys.executable, "-m", "harness", "run", "--plugin", plugin, "--bench"]
            command += ["mini-small", "--limit", "1"] if task.tiny else ["mini"]
            command += ["--device", task.device, "--precision", precision, "--out", str(out)]
            try:
                with pace.time_one():
                    done = subprocess.run(command, check=False, timeout=max(1.0, pace.left))
            except subprocess.TimeoutExpired:
                task.rows.add(
                    "skipped", what=f"record of {plugin} {precision}", why=f"not done after {pace.last:.0f} s"
                )
                continue
            made = out / "record.json"
            if not made.exists():
                task.rows.add("records", method=plugin, precision=precision, problem=f"exit {done.returncode}")
                continue
            record = RunRecord.model_validate_json(made.read_text(encoding="utf-8"))
            kept = task.folder / f"record-{plugin}-{precision}.json"
            shutil.copy(made, kept)
        figures = {
            name: None if interval.value is None else round(interval.value, 4)
            for columns in record.scores.values()
            for name, interval in columns.items()
            if name in ("J&F", "J-mean", "F-mean")
        }
        timing = record.timing
        task.rows.add(
            "records",
            method=plugin,
            precision=precision,
            file=kept.name,
            **figures,
            tf32=record.conditions.tf32,
            model_fps=None if timing is None or timing.model.fps is None else round(timing.model.fps, 1),
            model_p50_ms=None if timing is None or timing.model.p50_ms is None else round(timing.model.p50_ms, 3),
            e2e_fps=None if timing is None or timing.e2e.fps is None else round(timing.e2e.fps, 1),
            peak_mib=None if timing is None else timing.added_memory_mib,
            exit=done.returncode,
        )


if __name__ == "__main__":
    main(task_of())
