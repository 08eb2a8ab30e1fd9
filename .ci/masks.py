"""Hold a run's masks against those in .ci/masks.json: python .ci/masks.py RUN..., or --update to keep them anew.

Masks are the same byte for byte where they were made by the same torch on the same kind of processor; there one other
digest is an error. Sums of floats depend on the instruction set, so elsewhere a pixel may be decided otherwise: there
the figures of each video must lie within BOUND of those kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

KEPT = Path(__file__).with_name("masks.json")
BENCH = "mini-small"
METHODS = ("tvos", "selfsup", "flow-threshold")
BOUND = 0.005
"""Half a point: what ``harness ab`` lets a figure lose."""
_MADE_BY = ("torch", "numpy", "scipy", "opencv-contrib-python-headless")


def describe_machine() -> str:
    """What the last bits of a sum depend on: the packages that compute, and the kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told = [line for line in dict.fromkeys(lines) if line.startswith(("model", "vendor_id", "cpu family", "flags"))]
    processor = hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
    return " ".join([platform.machine(), processor, *(f"{name}-{version(name)}" for name in _MADE_BY)])


def read_videos(run: Path) -> dict[str, dict[str, Any]]:
    """Of each video of a run folder the digest of its masks, and its figures."""
    from harness.api.records import VideoResult
    from harness.running.mask_digests import read_digests_of_masks

    found = {}
    for path in sorted((run / "videos").glob("[!.]*.json")):
        result = VideoResult.model_validate_json(path.read_bytes())
        names = sorted(path.stem for path in (run / result.masks).glob("*.png"))
        digests = "\n".join(read_digests_of_masks(run, result, names))
        figures = {
            f"{id_} {name}": value
            for scores in result.scores.values()
            for id_, by_name in scores.summary.items()
            for name, value in by_name.items()
            if name in ("J-mean", "F-mean") and value is not None
        }
        found[result.video] = {"masks": hashlib.sha256(digests.encode()).hexdigest(), "figures": figures}
    return found


def compare_videos(
    kept: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], machine: str
) -> tuple[list[str], str]:
    """What is wrong with the found videos of a method, and by which of both measures that was decided."""
    digests = kept["machines"].get(machine)
    unknown = [f"{video}: not kept" for video in found if video not in kept["figures"]]
    known = [video for video in found if video in kept["figures"]]
    if digests is not None:
        other = [video for video in known if found[video]["masks"] != digests[video]]
        return [*unknown, *(f"{video}: the masks are others than those kept" for video in other)], "byte for byte"
    wrong = []
    for video in known:
        for name, value in kept["figures"][video].items():
            now = found[video]["figures"].get(name)
            if now is None or abs(now - value) > BOUND:
                wrong.append(f"{video}, object {name}: {now}, kept {value}; expected within {BOUND:g}")
    return [*unknown, *wrong], f"within {BOUND:g} of each figure, since masks of this machine and torch are not kept"


def keep_videos(kept: Mapping[str, Any] | None, found: Mapping[str, Mapping[str, Any]], machine: str) -> dict[str, Any]:
    """The entry of a method with what was found; other machines' digests stay while this one's masks are no others."""
    digests = {video: one["masks"] for video, one in found.items()}
    figures = {video: one["figures"] for video, one in found.items()}
    if kept is None or set(kept["figures"]) != set(found):
        return {"figures": figures, "machines": {machine: digests}}
    changed = bool(compare_videos(kept, found, machine)[0])
    machines = {} if changed else kept["machines"]
    return {"figures": figures if changed else kept["figures"], "machines": {**machines, machine: digests}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the runs that are named, or keep all methods anew; 1 where one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--update", action="store_true", help="run every method and keep its masks")
    asked = parser.parse_args(arguments)
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    return update(kept) if asked.update else check(asked.runs, kept)


def check(runs: Sequence[Path], kept: Mapping[str, Any]) -> int:
    """Check each run; 1 where the masks of one are not those kept."""
    code = 0
    for run in runs:
        plugin = json.loads((run / "record.json").read_text(encoding="utf-8"))["plugin"]["name"]
        if plugin not in kept:
            print(f"- {plugin}: no masks are kept")
            code = 1
            continue
        found = read_videos(run)
        wrong, how = compare_videos(kept[plugin], found, describe_machine())
        for words in wrong:
            print(f"- {plugin}, {words}")
        if wrong:
            print(f"- {plugin}: {len(wrong)} differ ({how}); where that is meant: python .ci/masks.py --update")
            code = 1
        else:
            print(f"- {plugin}: the masks of {len(found)} videos are those kept ({how})")
    return code


def update(kept: Mapping[str, Any]) -> int:
    """Run every method and write the file."""
    import harness

    entries = {}
    with tempfile.TemporaryDirectory() as scratch:
        for plugin in METHODS:
            out = Path(scratch) / plugin
            harness.run(plugin, BENCH, threads=1, out=out).raise_failures()
            entries[plugin] = keep_videos(kept.get(plugin), read_videos(out), describe_machine())
    KEPT.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {KEPT}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
