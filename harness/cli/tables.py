"""A record as text tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.records import Interval, Latency, RunRecord, Timing, VideoSummary
from harness.cli.terminal import one_line, table
from harness.ranking.speeds import timing_of


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def videos_table(record: RunRecord) -> str:
    """One row an object of each video; ``frames`` are those on which the object is scored."""
    columns = _columns(record)
    if not columns:
        return ""
    rows = [
        [
            row.video,
            name,
            row.scored_frames.get(name, row.frames),
            *(_number(figures.get(column)) for column in columns),
        ]
        for row in record.videos
        for name, figures in row.objects.items()
    ]
    return table(rows, ["video", "object", "frames", *columns], align="right")


def scores_table(record: RunRecord) -> str:
    """The overall figures with their intervals."""
    bench = one_line(f"{record.benchmark.full_name} ({record.benchmark.task}, rule {record.benchmark.scoring})")
    if not record.scores:
        why = (
            "no video was scored" if record.benchmark.scored else "no public truth: masks were written, nothing scored"
        )
        return f"{bench}: {why}"
    rows = [
        [column, _number(interval.value, 4), _range(interval)]
        for columns in record.scores.values()
        for column, interval in columns.items()
    ]
    title = f"{one_line(_describe_record(record))} on {bench}"
    if record.partial:
        title += f"\nPARTIAL ({one_line(record.partial_reason)}): not comparable with full runs"
    return title + "\n" + table(rows, ["figure", "value", "95 % interval"])


def _describe_record(record: RunRecord) -> str:
    if record.plugin.replays:
        return f"masks of {record.config.get('directory', record.plugin.name)}"
    return f"{record.plugin.name}, weights {record.weights.name},"


def _range(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return ""
    return f"[{interval.low:.4f}, {interval.high:.4f}]"


def attributes_table(record: RunRecord) -> str:
    """One row an attribute of the dataset: each figure's mean over the videos that have it, by the record's rule."""
    columns = [name for name in _columns(record) if name.endswith(("J&F", "mean", "T"))]
    rows = []
    for attribute in sorted({name for row in record.videos for name in row.attributes}):
        videos = [row for row in record.videos if attribute in row.attributes]
        rows.append([attribute, len(videos), *(_number(_mean(videos, column, record)) for column in columns)])
    if not rows:
        return ""
    return table(rows, ["attribute", "videos", *columns], align="right")


def _mean(videos: Sequence[VideoSummary], column: str, record: RunRecord) -> float | None:
    from harness.ranking.figures import mean_of  # with the statistics, which few tables need

    return mean_of(record.model_copy(update={"videos": list(videos)}), column, samples=1).value


def _columns(record: RunRecord) -> list[str]:
    return list(dict.fromkeys(name for row in record.videos for figures in row.objects.values() for name in figures))


def speed_table(record: RunRecord) -> str:
    """Clocks, stages and kernels, with the conditions beside them."""
    timing = timing_of(record)
    if timing is None:
        return ""
    clocks = [
        ("model, steady", timing.model),
        ("model, first frame", timing.model_first_frame),
        ("e2e, steady", timing.e2e),
        ("e2e, first frame", timing.e2e_first_frame),
    ]
    rows = [[name, *_latency_cells(latency)] for name, latency in clocks]
    rows += _throughput_rows(timing)
    clocks_table = table(rows, ["clock", "frames", "fps", "mean ms", "p50 ms", "p90 ms", "p99 ms"])
    parts = [
        [kind, name, time.calls, _number(1e3 * time.seconds / max(1, time.calls), 2)]
        for kind, section in (("stage", timing.stages), ("kernel", timing.kernels))
        for name, time in section.items()
    ]
    if parts:
        clocks_table += "\n\n" + table(parts, ["part", "name", "calls", "mean ms"])
    return clocks_table + "\n" + conditions_line(record)


def _throughput_rows(timing: Timing) -> list[list[str]]:
    """The speed of what works by whole videos: on the model clock, and on the e2e clock."""
    found = timing.throughput
    if found is None:
        return []
    cold = "" if found.is_warm else ", warm-up included"
    figures = {"model": found.model_fps, "e2e": found.e2e_fps}
    return [
        [f"{clock}, throughput{cold}", str(found.frames), _number(fps, 2), *["-"] * 4] for clock, fps in figures.items()
    ]


def _latency_cells(latency: Latency) -> list[str]:
    figures = (latency.mean_ms, latency.p50_ms, latency.p90_ms, latency.p99_ms)
    return [str(latency.frames), _number(latency.fps, 2), *(_number(ms, 2) for ms in figures)]


def conditions_line(record: RunRecord) -> str:
    """The conditions of the speed figures in one line."""
    c = record.conditions
    threads = f", {c.threads} threads" if c.threads else ""
    threads += f", {c.workers} videos at a time" if c.workers > 1 else ""
    taken = record.timing.added_memory_mib if record.timing else None
    memory = f", memory taken {taken:.1f} MiB" if taken is not None else ""
    spent = record.timing.model_cpu_ms if record.timing else None
    memory += f", CPU time {spent:.2f} ms a frame" if spent is not None else ""
    sizes = ", ".join(c.resolutions)
    return one_line(f"on {c.device}{threads}, {c.precision}, torch {c.torch}, batch {c.batch}, {sizes}{memory}")


def failures_table(record: RunRecord) -> str:
    """One line a failed video; further lines of a message are indented below it."""
    lines = [f"{one_line(failure.video)}: {failure.kind}: {failure.message}" for failure in record.failures]
    listed = "\n".join("  " + line.replace("\n", "\n      ") for line in lines)
    return f"{len(lines)} videos failed (tracebacks are in the record):\n{listed}"
