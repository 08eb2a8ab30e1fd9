"""A match judged: the ratio of each clock, the change of each figure, and which rules of a gate hold.

A speed rule fails only where the ratio is beyond the limit, its interval leaves out 1 and the difference is more than
a clock's own; memory only where every fresh process of head took more than every one of base; and either only where a
second match finds it too. A process of equal code may be slower than another for as long as it lives, which no number
of rounds shows: other processes do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from harness.ab.match import Match
from harness.api.dataclass import dataclass
from harness.api.tasks import TASKS
from harness.catalog import Catalog
from harness.ranking.compare import Comparison, Ruling, compare
from harness.ranking.gate import AccuracyRule, ClockName, Gate, SpeedRule
from harness.ranking.rounds import FEWEST_ROUNDS, Ratio, ratio_of_rounds
from harness.running.finished import columns_of

CPU_LOSS = 0.07
"""What equal code may differ by on a CPU that others use too: docs/ci-gate.md has the trials."""
GPU_LOSS = 0.03
MEMORY_LOSS = 0.10
LEAST_MEMORY_MIB = 4.0
"""A difference below it is the allocator's own: four runs of one method differed by 2.6 (docs/timing.md)."""
LEAST_MS = 0.02
"""A difference of a frame below it is the clock's and the caches' own: equal code of 0.02 ms differed by 0.003."""
ACCURACY_LOSS = 0.005
_MEMORY: ClockName = "added_memory_mib"


@dataclass(frozen=True)
class Verdict:
    """Everything to be said about a match; ``rulings`` are the gate's, those on accuracy first.

    ``to_confirm`` are the clocks, and memory, by which this match was lost; ``again`` is the match that was played for
    them with other processes, and the rulings rest on both.
    """

    match: Match
    comparison: Comparison
    ratios: Mapping[str, Ratio]
    rulings: tuple[Ruling, ...]
    to_confirm: tuple[ClockName, ...] = ()
    again: Match | None = None

    @property
    def passed(self) -> bool:
        """Whether every rule of the gate holds."""
        return all(ruling.passed for ruling in self.rulings)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON: each turn's clocks too."""
        found = {
            "passed": self.passed,
            "rulings": [asdict(ruling) for ruling in self.rulings],
            "terms": asdict(self.match.terms),
            "identical": self.match.identical,
            "differing": dict(self.match.differing),
            "unsteady": list(self.match.unsteady),
            **_tell_measured(self.match),
            "again": None if self.again is None else _tell_measured(self.again),
            "notes": list(self.match.notes),
            "conditions": self.match.head.conditions.model_dump(),
        }
        return found | {"comparison": asdict(self.comparison)}


def judge(match: Match, catalog: Catalog, gate: Gate | None = None, again: Match | None = None) -> Verdict:
    """Judge a match by a gate; without one by ``default_gate``.

    Where it was lost ``to_confirm`` something, that stands only if ``again``, a second match, is lost by it too.
    """
    gate = gate or default_gate(match)
    columns = columns_of(match.base, catalog)
    found = compare(
        match.base,
        match.head,
        Gate(accuracy=gate.accuracy),
        lower_is_better={column.name for column in columns if not column.higher_is_better},
        no_means={column.name for column in columns if not column.averaged},
    )
    comparison = replace(found, notes=())  # its clocks are told of here, and were read in turns
    ratios = read_ratios(match)
    measured = {clock: _rule_measured(clock, rule, match, ratios) for clock, rule in gate.speed.items()}
    to_confirm = tuple(clock for clock, ruling in measured.items() if ruling is not None and not ruling.passed)
    if again is not None:
        others = read_ratios(again)
        for clock in to_confirm:
            measured[clock] = _confirm(measured[clock], _rule_measured(clock, gate.speed[clock], again, others))
    clocks = tuple(ruling or _rule_missing(clock, gate, match) for clock, ruling in measured.items())
    return Verdict(match, comparison, ratios, (*comparison.rulings, *clocks), to_confirm, again)


def default_gate(match: Match) -> Gate:
    """What must hold where no gate is named: half a point of accuracy, and the limits that the trials allow.

    On a CPU of the CPU clock; where one side's harness is too old to have it, and on a GPU, of the wall clock.
    """
    record = match.base
    main = TASKS[record.benchmark.task].main_metric
    figures = [name for columns in record.scores.values() for name in columns if name in (main, "J-mean", "F-mean")]
    on_cpu = record.conditions.device_type == "cpu"
    wall: ClockName = "throughput_fps" if "throughput_fps" in match.clocks else "model_fps"
    clock: ClockName = "model_cpu_ms" if on_cpu and "model_cpu_ms" in match.clocks else wall
    speed: dict[ClockName, SpeedRule] = (
        {clock: SpeedRule(max_loss=CPU_LOSS if on_cpu else GPU_LOSS)} if clock in match.clocks else {}
    )
    if match.memory is not None:
        speed[_MEMORY] = SpeedRule(max_loss=MEMORY_LOSS)
    return Gate(accuracy={name: AccuracyRule(max_loss=ACCURACY_LOSS) for name in figures}, speed=speed)


def read_ratios(match: Match) -> dict[str, Ratio]:
    """How much longer head took, by each clock that both sides have."""
    return {clock: ratio_of_rounds(*pair) for clock, pair in match.clocks.items()}


def _rule_measured(clock: ClockName, rule: SpeedRule, match: Match, ratios: Mapping[str, Ratio]) -> Ruling | None:
    """What a rule says of what the turns measured; None where they did not measure it."""
    if clock == _MEMORY and match.memory is not None:
        base, head = match.memory.medians
        is_more = head > base * (1 + rule.max_loss) and head - base > LEAST_MEMORY_MIB and match.memory.is_clear
        return Ruling(_name(clock, rule), not is_more, f"{base:.1f} MiB, then {head:.1f}")
    if clock not in ratios:
        return None
    ratio = ratios[clock]
    found = f"takes {describe_ratio(ratio)} as long"
    if ratio.value <= 1 + rule.max_loss or ratio.low <= 1:
        return Ruling(_name(clock, rule), True, found)
    if ratio.rounds < FEWEST_ROUNDS:
        return Ruling(_name(clock, rule), True, f"{found}; --rounds {ratio.rounds} cannot tell, {FEWEST_ROUNDS} can")
    if ratio.longer_by_ms < LEAST_MS:
        return Ruling(_name(clock, rule), True, f"{found}, by less than {LEAST_MS} ms, which says nothing")
    return Ruling(_name(clock, rule), False, found)


def _rule_missing(clock: ClockName, gate: Gate, match: Match) -> Ruling:
    there = ", ".join([*match.clocks, *([] if match.memory is None else [_MEMORY])])
    found = f"not measured in turns; measured: {there or 'nothing'}"
    return Ruling(_name(clock, gate.speed[clock]), gate.when_not_comparable == "skip", found)


def _name(clock: ClockName, rule: SpeedRule) -> str:
    return f"{clock} worse by at most {100 * rule.max_loss:.3g} %, if clear"


def _confirm(first: Ruling | None, second: Ruling | None) -> Ruling | None:
    """A loss that a second match must find too; where that one did not measure it, the first has the word."""
    if first is None or second is None:
        return first
    return replace(first, passed=second.passed, found=f"{first.found}; in other processes {second.found}")


def _tell_measured(match: Match) -> dict[str, Any]:
    return {
        "ratios": {clock: asdict(ratio) for clock, ratio in read_ratios(match).items()},
        "rounds": {clock: {"base": pair[0], "head": pair[1]} for clock, pair in match.clocks.items()},
        "memory": None if match.memory is None else asdict(match.memory),
    }


def describe_ratio(ratio: Ratio) -> str:
    """``1.153 [1.140, 1.171]``."""
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
