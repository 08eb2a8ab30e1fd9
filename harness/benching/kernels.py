"""Each kernel of a card on each of its examples: time, roofline, memory and error, beside its plain reference."""

from __future__ import annotations

import ctypes
import datetime as dt
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch

from harness.api.contracts import Method
from harness.api.dataclass import dataclass
from harness.api.errors import UsageError
from harness.api.foreign import describe_error, is_interrupt
from harness.api.records import Precision
from harness.api.timing import Example, Kernel, Stopwatch
from harness.benching.machine import cache_cooler, counts_processor_time, measure_limits
from harness.benching.report import Form, KernelReport, Limits, Row, Spread, rates_of
from harness.hosting.here import kind_of
from harness.machine import PeakMemory, conditions, free_mib, work_on
from harness.models.precision import DTYPES
from harness.ops.kernels import OWNER
from harness.version import __version__

ENOUGH_SECONDS = 2.0
FEWEST_ROUNDS, MOST_ROUNDS = 3, 50
WARM_UP_CALLS = {"cpu": 1, "cuda": 3}

Announce = Callable[[str], None]
Work = Callable[[], Any]


@dataclass(frozen=True)
class Wish:
    """What is to be benched, and how."""

    device: str = "cpu"
    precision: Precision = "fp32"
    kernels: tuple[str, ...] = ()
    """Only kernels of these names; empty: all."""
    sizes: Literal["small", "all"] = "all"
    """small: the first example of each kernel only."""
    rounds: int | None = None
    """None: as many as take two seconds, 3 to 50."""


def bench_kernels(
    methods: Sequence[Method],
    wish: Wish,
    announce: Announce = lambda line: None,
    *,
    shared: Sequence[Kernel[..., Any]] = (),
) -> KernelReport:
    """Measure every kernel of these cards, then those of no card (``shared``).

    What a kernel does wrong is in its row, nothing is raised for it.
    """
    found = conditions(wish.device, wish.precision, resolutions=[], objects=[], executor="inline")  # before any load
    chosen = list(_choose(methods, shared, wish))
    announce("the machine's limits")
    rows = []
    with work_on(wish.device):
        limits = measure_limits(wish.device, wish.precision)
        cool = cache_cooler(wish.device)
        for plugin, kernel in chosen:
            examples = kernel.example(wish.device)
            for example in examples[:1] if wish.sizes == "small" else examples:
                announce(f"{plugin} {kernel.name}: {example.name}")
                rows.append(_Bench(plugin, kernel, example, wish, limits, cool).row())
    return KernelReport(
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        harness_version=__version__,
        conditions=found,
        limits=limits,
        rows=rows,
    )


def _choose(
    methods: Sequence[Method], shared: Sequence[Kernel[..., Any]], wish: Wish
) -> Iterator[tuple[str, Kernel[..., Any]]]:
    """Each kernel once, under the first card that names it; UsageError where none is left."""
    everything: dict[int, tuple[str, Kernel[..., Any]]] = {}
    for method in methods:
        for kernel in method.kernels():
            everything.setdefault(id(kernel), (method.name, kernel))
    for kernel in shared:
        everything.setdefault(id(kernel), (OWNER, kernel))
    names = {kernel.name for _, kernel in everything.values()}
    unknown = [name for name in wish.kernels if name not in names]
    if unknown or not everything:
        cards = ", ".join([*(method.name for method in methods), *([OWNER] if shared else [])])
        hint = "docs/bench.md says how a card names its kernels"
        if unknown:
            raise UsageError.unknown("kernel", unknown, sorted(names), of=cards, hint=hint)
        raise UsageError(f"{cards}: found no kernel on the card, expected at least one", hint=hint)
    return (entry for entry in everything.values() if not wish.kernels or entry[1].name in wish.kernels)


@dataclass
class _Bench:
    """One kernel on one example."""

    plugin: str
    kernel: Kernel[..., Any]
    example: Example
    wish: Wish
    limits: Limits
    cool: Work

    def row(self) -> Row:
        """Measure both forms; the fast one first: pages that the plain one gave back would hide what it takes."""
        made: dict[str, Any] = {}
        problems: list[str] = []
        notes: list[str] = []
        args, kwargs = round_arguments(self.example, DTYPES[self.wish.precision])
        for name, function in (("fast", self.kernel.function), ("plain", self.kernel.reference)):
            try:
                with torch.inference_mode():
                    made[name] = self._measure(functools.partial(function, *args, **kwargs))
            except BaseException as error:
                if is_interrupt(error):
                    raise
                wants_memory = name == "plain" and kind_of(error) == "out-of-memory"
                (notes if wants_memory else problems).append(f"{name} form: {_summarise_error(error)}")
        exact = self._exact(made.get("plain"), notes)
        forms = {name: self._form(measured, exact) for name, measured in made.items()}
        difference = self._difference(made, problems)
        flops, traffic = self._work(args, kwargs, problems)
        fast = forms.get("fast")
        return Row(
            plugin=self.plugin,
            kernel=self.kernel.name,
            example=self.example.name,
            tolerance=self.kernel.tolerance,
            flops=flops,
            bytes=traffic,
            rates=None if fast is None else rates_of(self.limits, self._seconds(fast), flops, traffic),
            difference=difference,
            problem="; ".join(problems),
            notes=notes,
            **forms,
        )

    def _seconds(self, form: Form) -> float:
        processor = form.cpu_seconds if counts_processor_time(self.wish.device) else None
        return (processor or form.seconds).median

    def _measure(self, work: Work) -> _Measured:
        device = self.wish.device
        memory = ExtraMemory(device)
        answer = work()
        mib = memory.read()
        once = [_time(work, device, self.cool, 1)[0][0] for _ in range(WARM_UP_CALLS[device.partition(":")[0]])][-1]
        rounds = self.wish.rounds or min(MOST_ROUNDS, max(FEWEST_ROUNDS, int(ENOUGH_SECONDS / max(once, 1e-9))))
        wall, processor = _time(work, device, self.cool, rounds)
        return _Measured(answer, wall, processor, mib)

    def _exact(self, plain: _Measured | None, notes: list[str]) -> Any:
        """What the reference gives in float64 on the example as it is; None, with a note, where it cannot."""
        needed = 2 * (plain.mib or 0.0) if plain else 0.0
        free = free_mib(self.wish.device)
        if free is not None and needed > 0.8 * free:
            notes.append(f"no error: the reference in float64 needs some {needed:.0f} MiB, {free:.0f} MiB are free")
            return None
        try:
            args, kwargs = _cast((self.example.args, dict(self.example.kwargs)), torch.float64)
            with torch.inference_mode():
                exact = self.kernel.reference(*args, **kwargs)
        except BaseException as error:
            if is_interrupt(error):
                raise
            notes.append(f"no error: the reference does not run in float64: {_summarise_error(error)}")
            return None
        kinds = {tensor.dtype for tensor in _tensors(exact) if tensor.is_floating_point()} - {torch.float64}
        if kinds:
            notes.append(f"no error: the reference, given float64, answers in {', '.join(map(str, kinds))}")
            return None
        return exact

    def _form(self, measured: _Measured, exact: Any) -> Form:
        return Form(
            seconds=Spread.of(measured.wall),
            cpu_seconds=Spread.of(measured.processor) if self.wish.device == "cpu" else None,
            extra_mib=measured.mib,
            error=None if exact is None else largest_difference(measured.answer, exact),
        )

    def _difference(self, made: Mapping[str, _Measured], problems: list[str]) -> float | None:
        """Of the two forms; beyond the tolerance it is a problem, where both compute in full precision."""
        if len(made) < 2:
            return None
        difference = largest_difference(made["fast"].answer, made["plain"].answer)
        if difference is None:
            problems.append("the two forms answer with tensors of other shapes, or with NaN in other places")
        elif self.wish.precision == "fp32" and not difference <= self.kernel.tolerance:
            problems.append(f"the forms differ by {difference:.2g}, expected at most {self.kernel.tolerance:.2g}")
        return difference

    def _work(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], problems: list[str]
    ) -> tuple[float | None, float | None]:
        try:
            flops = None if self.kernel.flops is None else float(self.kernel.flops(*args, **kwargs))
            traffic = None if self.kernel.bytes is None else float(self.kernel.bytes(*args, **kwargs))
        except BaseException as error:
            if is_interrupt(error):
                raise
            problems.append(f"flops or bytes: {_summarise_error(error)}")
            return None, None
        return flops, traffic


@dataclass(frozen=True)
class _Measured:
    answer: Any
    wall: list[float]
    processor: list[float]
    mib: float | None


def _time(work: Work, device: str, cool: Work, rounds: int) -> tuple[list[float], list[float]]:
    """Wall (or event) and processor seconds of each round; on CUDA nothing waits for the device in between."""
    watch = Stopwatch(device)
    processor = []
    for _ in range(rounds):
        cool()
        start = time.process_time()
        with watch.lap():
            work()
        processor.append(time.process_time() - start)
    return watch.read().laps, processor


class ExtraMemory:
    """Peak memory beyond what is held now, in MiB; on a CPU free pages are given back first, or they would hide it."""

    def __init__(self, device: str) -> None:
        self._before = torch.cuda.memory_allocated(device) / 2**20 if device.startswith("cuda") else 0.0
        if device == "cpu":
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
            if trim is not None:
                trim(0)
        self._peak = PeakMemory(device)

    def read(self) -> float | None:
        """MiB at the peak since this object was made; None where the system cannot tell."""
        peak = self._peak.read()
        return None if peak is None else max(0.0, peak - self._before)


def round_arguments(example: Example, dtype: torch.dtype) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example's arguments in a method of precision ``dtype``: those that follow the precision are in it."""
    follow = example.rounded

    def cast(place: int | str, value: Any) -> Any:
        return _cast(value, dtype) if follow is None or place in follow else value

    args = tuple(cast(place, value) for place, value in enumerate(example.args))
    return args, {name: cast(name, value) for name, value in example.kwargs.items()}


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """The same with every floating tensor, however deep, in ``dtype``."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        items = [_cast(item, dtype) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: _cast(item, dtype) for key, item in value.items()}
    return value


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


def largest_difference(one: Any, other: Any) -> float | None:
    """The largest absolute difference of two answers; None where shapes differ, or only one holds NaN at a place."""
    pairs = [list(_tensors(one)), list(_tensors(other))]
    if [tensor.shape for tensor in pairs[0]] != [tensor.shape for tensor in pairs[1]]:
        return None
    largest = 0.0
    for left, right in zip(*pairs, strict=True):
        same = (left == right) | (left.isnan() & right.isnan())  # infinities of one sign are equal
        differences = (left.double() - right.double()).abs()[~same]
        if differences.isnan().any():
            return None
        largest = max(largest, float(differences.max()) if differences.numel() else 0.0)
    return largest


def _summarise_error(error: BaseException) -> str:
    return describe_error(error).splitlines()[0][:300]
