"""The leaderboard's own records, one command: ``make records``, or ``python -m benchmarks.records --only mini-small``.

Every method that ships what it needs, on every benchmark it can do, each run in a process of its own; and a few methods
on benchmarks made worse (``--only corrupted``), for the curves of robustness. What leaderboard/ holds is
left as it is, and an interrupted run goes on where it stopped; ``--again`` measures anew. The clocks of a run that
began on a machine busier than its cores are left out of its record: they would stand beside quiet ones. Records of
corrupted benchmarks hold none at all: nobody asks them for speed, so their runs share this process.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness.api.contracts import Benchmark, Method
from harness.api.errors import DataError, HarnessError
from harness.api.records import RunRecord
from harness.api.tasks import TaskName
from harness.catalog import Catalog
from harness.corruptions.names import Setting, add_to_name, split_name
from harness.corruptions.table import CORRUPTIONS
from harness.evaluation import run
from harness.files import write_atomically
from harness.leaderboard.records import add_record, file_name_of
from harness.leaderboard.verification import read_record
from harness.machine import describe_load

ROOT = Path(__file__).resolve().parents[1]
CLEAN = ("mini-small", "mini", "davis16-val", "davis17-val", "davis17-unsup-val")
CORRUPTED = tuple(
    add_to_name("mini-small", Setting(corruption, severity))
    for corruption in CORRUPTIONS.values()
    for severity in (1, 3, 5)
)
BENCHES = (*CLEAN, *CORRUPTED)
ALL_CORRUPTED = "corrupted"
"""The word of ``--only`` for the latter."""
NEEDS_NO_WEIGHTS = (
    "copyfirst",
    "centre-prior",
    "flow-threshold",
    "flow-threshold-online",
    "boundary-saliency",
    "moving-components",
)
TOO_SLOW = ("selfsup-adapted", "selfsup-causal")
"""They learn while they run, for minutes a video; ``--method NAME`` runs them all the same."""

ROBUSTNESS: dict[TaskName, tuple[str, ...]] = {
    "one-shot": ("copyfirst", "tvos", "selfsup", "mug"),
    "instance-zvos": ("moving-components", "dtnet"),
    "object-zvos": ("flow-threshold", "imas"),
}
"""Whose records of corrupted benchmarks are made; ``--method NAME`` makes those of any other."""


@dataclass(frozen=True)
class Form:
    """One way to run a method: ``options`` of harness run, ``name`` the ending of its record's file."""

    options: tuple[str, ...] = ()
    name: str = ""


FORMS: dict[tuple[str, str], tuple[Form, ...]] = {
    ("tvos", "mini-small"): (Form(name="lite0"), Form(("--preset", "small-videos"))),
    ("tvos", "*"): (Form(name="lite0"),),
    ("selfsup", "mini-small"): (Form(),),
    ("selfsup", "*"): (Form(("--set", "short_side=240"), "240-lines"),),
    ("imas", "*"): (Form(("--preset", "small")),),
}
"""By method and benchmark, ``*`` for all others: the forms that a CPU has time for. Any other method runs as it is.

On a corrupted benchmark the first form of the clean one.
"""


@dataclass(frozen=True)
class Case:
    """One record to be made, and the file it comes into."""

    method: Method
    bench: Benchmark
    task: TaskName
    form: Form

    @property
    def words(self) -> str:
        """As it is spoken of."""
        return " ".join([self.method.name, *self.form.options, "on", self.bench.name, f"({self.task})"])

    @property
    def folder(self) -> str:
        """Where its run lies."""
        preset = "-".join(option for option in self.form.options if not option.startswith("--"))
        return "-".join(part for part in (self.bench.name, self.task, self.method.name, preset) if part)

    @property
    def ending(self) -> str:
        """What the file's name ends with: the form's own name, or the preset."""
        options = self.form.options
        return self.form.name or (options[options.index("--preset") + 1] if "--preset" in options else "")

    @property
    def is_corrupted(self) -> bool:
        """Whether its video was made worse on purpose."""
        return split_name(self.bench.name)[1] is not None

    def record_in(self, leaderboard: Path) -> Path:
        """The file in that leaderboard."""
        name = f"{self.method.name}-{self.ending}.json" if self.ending else f"{self.method.name}.json"
        return leaderboard / "records" / self.bench.name / self.task / name


def list_cases(catalog: Catalog, benches: Sequence[str], methods: Sequence[str]) -> Iterator[Case]:
    """Every case, the cheap methods first; why a method is left out is said once."""
    cards = [catalog.methods.get(name) for name in methods] if methods else list(_choose(catalog))
    for bench in (catalog.benchmarks.get(name) for name in benches):
        base, corruption = split_name(bench.name)
        for card in cards:
            forms = FORMS.get((card.name, base)) or FORMS.get((card.name, "*")) or (Form(),)
            for task in (task for task in bench.tasks if task in card.tasks):
                if corruption is None:
                    yield from (Case(card, bench, task, form) for form in forms)
                elif task in ROBUSTNESS and (methods or card.name in ROBUSTNESS[task]):
                    yield Case(card, bench, task, forms[0])


def _choose(catalog: Catalog) -> Iterator[Method]:
    for card in sorted(catalog.methods, key=lambda card: (card.name not in NEEDS_NO_WEIGHTS, card.name)):
        if card.replays:
            continue
        if card.name in TOO_SLOW:
            click.echo(f"skipped {card.name}: learns while it runs, minutes a video; --method {card.name} runs it")
        elif not card.default_weights and card.name not in NEEDS_NO_WEIGHTS:
            click.echo(f"skipped {card.name}: ships no weights, and what random ones say is no record")
        else:
            yield card


def make(case: Case, data: Path, out: Path, to: Path) -> str:
    """Run one case and put its record into the leaderboard ``to``; returns what became of it."""
    folder = out / case.folder
    command = ["run", "--plugin", case.method.name, "--bench", case.bench.name, "--task", case.task]
    command += ["--threads", "1", "--out", str(folder), *case.form.options]
    command += ["--data-root", str(data), "--allow-partial"] if case.bench.needs_root else []
    ended = subprocess.run([sys.executable, "-m", "harness", *command], cwd=ROOT, capture_output=True, text=True)
    if ended.returncode == DataError.exit_code:
        return f"skipped: {ended.stderr.strip().splitlines()[0].removeprefix('error: ')[:300]}"
    if ended.returncode:
        return f"FAILED ({ended.returncode}): {ended.stderr.strip()[-2000:]}"
    record, source = read_record(folder / "record.json"), folder / "record.json"
    busy = describe_load(record.conditions.load_average, record.conditions.cores)
    if busy:
        record, source = record.model_copy(update={"timing": None}), folder / "record-without-clocks.json"
        write_atomically(source, record.to_json().encode())
    ending = ["--name", case.ending] if case.ending else []
    add = ["leaderboard", "add", str(source), "--to", str(to), "--partial", "--replace", *ending]
    added = subprocess.run([sys.executable, "-m", "harness", *add], cwd=ROOT, capture_output=True, text=True)
    if added.returncode:
        return f"FAILED to be added ({added.returncode}): {added.stderr.strip()}"
    assert case.record_in(to).name == file_name_of(record, case.ending)
    return f"{_tell(record)}, {f'no clocks, since it began at {busy}' if busy else 'with clocks'}"


def make_without_clocks(case: Case, out: Path, to: Path, catalog: Catalog) -> str:
    """The same in this process, for a record that holds no clocks: half of a short run is starting a process."""
    options = case.form.options
    given = dict(zip(options[::2], options[1::2], strict=True))
    constants = [given["--set"]] if "--set" in given else []
    try:
        outcome = run(
            case.method.name,
            case.bench.name,
            task=case.task,
            preset=given.get("--preset", ""),
            constants=constants,
            threads=1,
            out=out / case.folder,
        )
        outcome.raise_failures()
        record = outcome.record.model_copy(update={"timing": None})
        add_record(record, to / "records", case.ending, catalog, replace=True)
    except HarnessError as error:
        return f"FAILED ({error.exit_code}): {error}"
    return f"{_tell(record)}, no clocks"


def _tell(record: RunRecord) -> str:
    column, figure = next(iter(next(iter(record.scores.values())).items()))
    return f"{column} {figure.value}, {record.partial_reason or 'all videos'}"


@click.command()
@click.option(
    "--only", "benches", multiple=True, metavar="BENCH", help=f"Of {', '.join(CLEAN)}, {ALL_CORRUPTED}; default: all."
)
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Default: all that ship what they need.")
@click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared/data/DAVIS", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / "runs/records", show_default=True)
@click.option("--to", type=click.Path(path_type=Path), default=ROOT / "leaderboard", show_default=True)
@click.option("--again", is_flag=True, help="Measure what the leaderboard holds already, too, and replace it.")
@click.option("--list", "is_list", is_flag=True, help="Say what would be done.")
def main(
    benches: Sequence[str], methods: Sequence[str], data: Path, out: Path, to: Path, again: bool, is_list: bool
) -> None:
    """Make the records that are not there, then rebuild the pages."""
    data, out, to = data.resolve(), out.resolve(), to.resolve()
    catalog, failed = Catalog.load(), 0
    wanted = [name for one in benches or BENCHES for name in (CORRUPTED if one == ALL_CORRUPTED else (one,))]
    for case in list_cases(catalog, wanted, methods):
        there = case.record_in(to)
        if case.bench.needs_root and not data.is_dir():
            click.echo(f"skipped {case.words}: no data at {data}")
        elif there.exists() and not again:
            click.echo(f"there is {there.relative_to(to)}")
        elif is_list:
            click.echo(f"to do: {case.words}")
        else:
            told = make_without_clocks(case, out, to, catalog) if case.is_corrupted else make(case, data, out, to)
            failed += told.startswith("FAILED")
            click.echo(f"{case.words}: {told}")
    if not is_list:
        places = ["--records", str(to / "records"), "--published", str(to / "published"), "--out", str(to)]
        for folder in ("records", "published"):
            (to / folder).mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "harness", "leaderboard", "build", *places], cwd=ROOT, check=True)
    if failed:
        raise click.ClickException(f"{failed} records were not made")


if __name__ == "__main__":
    main()
