"""An outcome as a table, measured beside published, and in words what differs from the paper's conditions."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.dataclass import dataclass
from harness.api.records import Interval
from harness.experiments.format import STAGE
from harness.experiments.grid import Choice
from harness.experiments.outcome import CellOutcome, Outcome
from harness.predictions.scoring import MADE_ELSEWHERE

SECONDS_DIGITS = 4
MOST_COLUMNS = 12
"""A table with more figures a row is turned: a line a figure, a column a row of the paper."""
_STATES = {"needs-weights": "needs weights", "failed": "failed", "not-scored": "not scored"}


@dataclass(frozen=True)
class Told:
    """A table and the lines below it, in plain text."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[str, ...]

    def as_markdown(self) -> str:
        """The whole as a Markdown page."""
        table = [self.heads, tuple("---" for _ in self.heads), *self.rows]
        cells = "\n".join("| " + " | ".join(_escape(cell) for cell in row) + " |" for row in table)
        return (
            "\n".join([f"# {_escape(self.title)}", "", cells, "", *(f"- {_escape(line)}" for line in self.lines)])
            + "\n"
        )


def tabulate(outcome: Outcome, choice: Choice) -> Told:
    """Each cell as ``measured [95 % interval] | published``, a row of the paper a row; only what was run."""
    experiment = outcome.experiment
    rows = list(dict.fromkeys(cell.row for cell in outcome.cells))
    columns = list(dict.fromkeys(cell.column for cell in outcome.cells))
    pairs = [(column, metric) for column in columns for metric in experiment.metrics]
    heads = [_head(outcome, column, metric) for column, metric in pairs]
    body = [[_write(outcome, outcome.cell(row, column), metric) for column, metric in pairs] for row in rows]
    if len(pairs) > MOST_COLUMNS:
        rows, heads, body = heads, rows, [list(line) for line in zip(*body, strict=True)]
    paper = experiment.paper
    where = f"{paper.where} of {paper.title} ({paper.authors} {paper.year})"
    return Told(
        title=experiment.title,
        heads=("", *heads),
        rows=tuple((name, *line) for name, line in zip(rows, body, strict=True)),
        lines=(
            f"{where}; each cell: measured [95 % interval over videos] / published",
            *_conditions(outcome, choice),
            *_weights(outcome),
            *_needs(outcome),
            *_problems(outcome),
            *([experiment.note] if experiment.note else []),
        ),
    )


def _head(outcome: Outcome, column: str, metric: str) -> str:
    if metric.startswith(STAGE):
        metric = f"{metric.removeprefix(STAGE)}, s a frame"
    if not column:
        return metric
    return column if len(outcome.experiment.metrics) == 1 else f"{column}, {metric}"


def _write(outcome: Outcome, cell: CellOutcome | None, metric: str) -> str:
    if cell is None:
        return ""
    experiment = outcome.experiment
    printed = cell.published.get(metric)
    is_stage = metric.startswith(STAGE)
    published = "-" if printed is None else f"{printed:g}" if is_stage else f"{printed:.{experiment.digits}f}"
    figure = cell.figure(metric)
    if figure is None or figure.value is None:
        state = "needs masks" if _is_masks(cell) else _STATES.get(cell.state, "-")
        return f"{state} / {published}"
    return f"{_write_measured(outcome, cell, metric, figure)} / {published}"


def _write_measured(outcome: Outcome, cell: CellOutcome, metric: str, figure: Interval) -> str:
    scale, digits = outcome.experiment.scale, outcome.experiment.digits
    if metric.startswith(STAGE):
        scale, digits = 1.0, SECONDS_DIGITS

    def number(value: float) -> str:
        return f"{scale * value:.{digits}f}"

    words = number(figure.value or 0.0)
    spread = cell.spread(metric)
    if spread is not None:
        words += f" ± {number(spread)} ({len(cell.seeds)} seeds)"
    elif figure.low is not None and figure.high is not None:
        words += f" [{number(figure.low)}, {number(figure.high)}]"
    return words + ("*" if cell.problem else "")


def _conditions(outcome: Outcome, choice: Choice) -> list[str]:
    """What the runs and the paper do not share, and that nothing is known to differ where nothing is."""
    cells = [cell for cell in outcome.cells if cell.seeds]
    differs = []
    if choice.bench and any(choice.bench != paper for paper in _papers_benchmarks(outcome)):
        differs.append(f"benchmark {choice.bench}, the paper's is {', '.join(_papers_benchmarks(outcome))}")
    reasons = dict.fromkeys(seed.partial_reason for cell in cells for seed in cell.seeds if seed.partial_reason)
    differs += [f"partial: {reason}" for reason in reasons]
    if choice.overrides:
        differs.append(f"constants changed: {', '.join(choice.overrides)}")
    if choice.precision != "fp32":
        differs.append(f"precision {choice.precision}")
    if not cells:
        return ["nothing was measured"]
    counts = sorted({(seed.videos_done, seed.videos_expected) for cell in cells for seed in cell.seeds})
    videos = ", ".join(f"{done} of {expected} videos" for done, expected in counts)
    measured = f"measured on {', '.join(dict.fromkeys(cell.benchmark for cell in cells))}, {videos}"
    if differs:
        return [measured, "NOT the paper's conditions: " + "; ".join(differs)]
    return [f"{measured}: the paper's benchmark, whole"]


def _papers_benchmarks(outcome: Outcome) -> list[str]:
    experiment = outcome.experiment
    parts = [*experiment.rows, *experiment.columns]
    return list(dict.fromkeys([experiment.benchmark, *(part.benchmark for part in parts if part.benchmark)]))


def _weights(outcome: Outcome) -> list[str]:
    """A line a row that was run: the weights here and, where the file says so, the paper's."""
    lines = []
    for row in outcome.experiment.rows:
        used = list(
            dict.fromkeys(_with_origin(cell) for cell in outcome.cells if cell.row == row.name and cell.weights)
        )
        if used:
            papers = f"; the paper's: {row.trained}" if row.trained else "" if row.published else "; not in the paper"
            note = f"; {row.note}" if row.note else ""
            lines.append(f"{row.name}: weights {', '.join(used)}{papers}{note}")
    return lines


def _with_origin(cell: CellOutcome) -> str:
    if cell.training:
        return f"{cell.weights} (trained here, {cell.training})"
    return f"{cell.weights} (trained on {cell.trained_on})" if cell.trained_on else cell.weights


def _needs(outcome: Outcome) -> list[str]:
    found = {cell.row: cell for cell in outcome.cells if cell.state == "needs-weights"}
    return [
        f"{row}: needs {cell.problem}"
        if _is_masks(cell)
        else f"{row}: needs weights: {cell.problem}; then --weights '{row}=FILE'"
        for row, cell in found.items()
    ]


def _is_masks(cell: CellOutcome) -> bool:
    """Whether what a cell waits for are masks made elsewhere, which no weights give."""
    return cell.state == "needs-weights" and cell.method == MADE_ELSEWHERE


def _problems(outcome: Outcome) -> list[str]:
    """What went wrong, each message once with the cells it is about."""
    by_problem: dict[str, list[str]] = {}
    for cell in outcome.cells:
        if cell.problem and cell.state != "needs-weights":
            by_problem.setdefault(cell.problem, []).append(cell.name)
    return [f"{_some(cells)}: {problem}" for problem, cells in by_problem.items()]


def _some(names: Sequence[str]) -> str:
    return "; ".join(names) if len(names) <= 3 else f"{'; '.join(names[:3])} and {len(names) - 3} more cells"


def _escape(text: str) -> str:
    """One line of Markdown in which nothing is markup."""
    plain = " ".join(text.split())
    return "".join(f"\\{character}" if character in "\\|*_`<>[]#" else character for character in plain)
