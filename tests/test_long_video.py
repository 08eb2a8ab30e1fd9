"""``python -m benchmarks.long_video``: every method that answers frame by frame has a row, and what a row says."""

import pytest
from click.testing import CliRunner

from benchmarks import long_video
from benchmarks.long_video import LARGE_CASES, LONG_CASES, Case, describe, main
from harness.benching.clip import Clip
from harness.benching.methods import MethodRow
from harness.catalog import Catalog
from harness.planning.plan import resolve


def test_every_online_method_is_there_long_and_large():
    online = {card.name for card in Catalog.load().methods if card.causality == "online" and not card.replays}
    assert {case.plugin for case in LONG_CASES} == {case.plugin for case in LARGE_CASES} == online
    assert all(case.clip.frames == 10_000 for case in LONG_CASES)
    assert all((case.clip.height, case.clip.width) == (2160, 3840) for case in LARGE_CASES)


@pytest.mark.parametrize("case", [*LONG_CASES, *LARGE_CASES], ids=lambda case: f"{case.words} {case.clip.name}")
def test_a_case_can_be_planned(case):
    from harness.benching.methods import catalog_with

    assert resolve(case.request, catalog_with(case.clip, Catalog.load())).samples[0].length == case.clip.frames


def test_a_row_says_what_was_held_at_each_quarter(make_record):
    timing = make_record({"a": [(1.0, 1.0)]}).timing
    looks = [(done, float(done)) for done in range(1, 9)]
    row = MethodRow(plugin="toy", timing=timing, process_mib=looks, cpu_seconds=12.4)
    cells = describe(Case("toy", Clip(16, 29, 8, 2), overrides=("tau=1",)), row)
    assert cells == ["toy (`--set tau=1`)", "8, 29x16, 2", "2.0", "4.0", "6.0", "8.0", "100.0", "12", ""]
    failed = describe(Case("toy", Clip(16, 29, 8, 2)), MethodRow(plugin="toy", problem="out-of-memory", exit_code=5))
    assert (failed[0], failed[-1]) == ("toy", "out-of-memory")


def test_what_is_measured_is_kept_and_shown(make_record, monkeypatch, tmp_path):
    timing, asked = make_record({"a": [(1.0, 1.0)]}).timing, []

    def measure(request, clip, seconds):
        asked.append(request.plugin)
        return MethodRow(plugin=request.plugin, timing=timing, process_mib=[(10_000, 170.0)])

    monkeypatch.setattr(long_video, "measure_point", measure)
    words = ["--method", "copyfirst", "--kind", "long", "--out", str(tmp_path)]
    for options in (words, words, [*words, "--kept"]):
        ended = CliRunner().invoke(main, options, catch_exceptions=False)
        assert "| copyfirst | 10000, 57x32, 2 " in ended.output.replace("  ", " ")
    assert asked == ["copyfirst"]
