"""``python -m benchmarks.gpu`` (``make gpu``): run every step within a budget, write one folder of at most eight files.

Nothing needs to be installed but what the harness depends on; without a GPU it runs through on the CPU with tiny sizes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.pace import Budget
from benchmarks.gpu.report import remove_earlier, write_report
from benchmarks.gpu.rows import FORMS
from benchmarks.gpu.site import ROOT, missing_packages, write_site
from benchmarks.gpu.steps import Outcome, Step, all_steps, run_step

BUDGET = 480.0


def main(arguments: list[str] | None = None) -> int:
    """0 if every step that ran passed, else 1."""
    told = _parse(arguments)
    budget = Budget(told.budget)
    folder = told.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    remove_earlier(folder)
    device = told.device or _device()
    tiny = not device.startswith("cuda")
    missing = missing_packages()
    for row in missing:
        print(f"missing: {row['package']}, needed by {row['needed_by']}: {row['install']}", flush=True)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="harness-gpu-") as name:
        scratch = Path(name)
        environment = _environment(scratch) | {FORMS: told.forms} | ({"OMP_NUM_THREADS": "1"} if tiny else {})
        steps = all_steps(device, tiny=tiny, folder=folder, train_seconds=told.train_seconds, tests=told.tests.split())
        for step in in_order(steps, told.steps):
            limit = step.limit * (2 if tiny else 1)
            seconds = budget.grant(limit)
            why = _why_not(step, told, seconds)
            if why:
                outcomes.append(Outcome(step, "skipped", reason=why))
            else:
                print(f"{step.name}: at most {seconds:.0f} s", flush=True)
                outcomes.append(
                    run_step(step, seconds, device, tiny=tiny, folder=folder, scratch=scratch, environment=environment)
                )
                budget.note(limit, outcomes[-1].seconds)
            outcome = outcomes[-1]
            print(f"{step.name}: {outcome.status} in {outcome.seconds:.0f} s {outcome.reason}", flush=True)
            write_report(folder, outcomes, missing, device=device, budget=told.budget, ended=False)
        write_report(folder, outcomes, missing, device=device, budget=told.budget, ended=True)
    print((folder / "report.md").read_text(encoding="utf-8") if told.print else f"{folder}/report.md", flush=True)
    return int(any(outcome.status in ("failed", "timed out") for outcome in outcomes))


def in_order(steps: Sequence[Step], asked: str) -> list[Step]:
    """The steps asked for in the order they are named, each with its own limit where one is given; or all of them."""
    if not asked:
        return list(steps)
    known = {step.name: step for step in steps}
    chosen = []
    for entry in asked.split(","):
        name, _, limit = entry.partition("=")
        if name not in known:
            raise SystemExit(f"no step named {name!r}; known: {', '.join(known)}")
        chosen.append(replace(known[name], limit=float(limit)) if limit else known[name])
    return chosen


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "gpu", help="folder of the report")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"seconds in all; default: {BUDGET:.0f}")
    parser.add_argument("--device", default="", help="cuda:N or cpu; default: cuda:0 where there is one")
    parser.add_argument(
        "--steps", default="", help="only these steps, in this order, comma-separated; NAME=SECONDS limits one"
    )
    parser.add_argument("--forms", default="", help="of whole frames, only forms that this regular expression finds")
    parser.add_argument("--tests", default="", help="only these test files, separated by blanks")
    parser.add_argument("--skip", default=os.environ.get("HARNESS_GPU_SKIP", ""), help="steps to leave out")
    parser.add_argument("--train-seconds", type=float, default=60.0, help="of training, over all learners")
    parser.add_argument("--print", action="store_true", help="print the report at the end")
    return parser.parse_args(arguments)


def _device() -> str:
    """cuda:0 where torch finds it; in a word of its own, so that a torch that cannot be imported is a failed step."""
    try:
        import torch

        return "cuda:0" if torch.cuda.is_available() else "cpu"
    except Exception as error:
        print(f"torch: {type(error).__name__}: {error}", file=sys.stderr)
        return "cpu"


def _environment(scratch: Path) -> dict[str, str]:
    """Where the project is found, and where compilers keep what they make: shared by the steps, gone afterwards."""
    path = [*write_site(scratch / "site"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONUNBUFFERED": "1",
        "TRITON_CACHE_DIR": str(scratch / "triton"),
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
        "NUMBA_CACHE_DIR": str(scratch / "numba"),
        "HARNESS_RUNS": str(scratch / "runs"),
    }


def _why_not(step: Step, told: argparse.Namespace, seconds: float) -> str:
    """Why a step is not begun; empty if it is."""
    if step.name in told.skip.split(","):
        return "left out as asked"
    return "" if seconds else "the budget is spent"


if __name__ == "__main__":
    sys.exit(main())
