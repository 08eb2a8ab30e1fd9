"""Kills a run at seeded moments, again and again, and looks at what is there after each: run as a program by a test.

python kill_trials.py FOLDER TRIALS. One process is made ready and forked for each trial, so that a trial takes
milliseconds. What is printed at the end is one line of JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from harness.api.contracts import Method
from harness.api.mask_files import read_mask
from harness.api.records import VideoResult
from harness.planning.plan import resolve
from harness.planning.request import Request
from harness.running.runner import run

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
from conftest import catalog_of, tiny_benchmark, tiny_sample  # noqa: E402

VIDEOS = [f"v{number}" for number in range(4)]


class Copy:
    def propagate(self, video, prompts):
        for _ in range(len(video)):
            yield prompts[0].clone()


def work(catalog, out):
    return run(resolve(Request(plugin="copy", bench="tiny", threads=1), catalog), out, catalog)


def start(catalog, out):
    """A process that works into ``out``."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work(catalog, out)
        status = 0
    finally:
        os._exit(status)


def time_whole(catalog, out):
    """Seconds that a whole run into ``out`` takes now, forked as each trial is."""
    began = time.perf_counter()
    assert os.waitpid(start(catalog, out), 0)[1] == 0
    return time.perf_counter() - began


def look(out):
    """What is whole must be whole: every result that is there is readable and has all of its masks."""
    for path in (out / "videos").glob("[!.]*.json"):
        result = VideoResult.model_validate_json(path.read_bytes())
        assert result.seal, path
        for frame in range(result.length):
            assert read_mask(out / result.masks / f"{frame:05d}.png").shape == (8, 8)
    if (out / "record.json").exists():
        json.loads((out / "record.json").read_text())


def main(folder, trials):
    torch.set_num_threads(1)
    method = Method(name="copy", tasks=("one-shot",), build=lambda context: Copy())
    catalog = catalog_of(method, benchmark=tiny_benchmark([tiny_sample(name, length=6) for name in VIDEOS]))
    draw = random.Random(17)
    time_whole(catalog, folder / "first")  # what is made once is made in it
    seconds = time_whole(catalog, folder / "whole")
    killed = done = 0
    out = folder / "run-0"
    for trial in range(trials):
        child = start(catalog, out)
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(ended)
        look(out)
        if not os.WIFSIGNALED(ended) or trial == trials - 1:  # it came to its end: its record is that of a whole run
            assert os.waitpid(start(catalog, out), 0)[1] == 0
            scores, expected = (
                json.loads((place / "record.json").read_text())["scores"] for place in (out, folder / "whole")
            )
            assert scores == expected
            there = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
            whole = {str(p.relative_to(folder / "whole")) for p in (folder / "whole").rglob("*") if p.is_file()}
            assert there == whole, there ^ whole
            done += 1
            if done % 5 == 0:  # what else the machine does comes and goes
                seconds = time_whole(catalog, folder / f"whole-{done}")
            out = folder / f"run-{done}"
    print(json.dumps({"killed": killed, "compared": done}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
