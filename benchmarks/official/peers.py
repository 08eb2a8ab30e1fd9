"""How each official program is typed, and how its scoring alone is timed: small drivers, none of its code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.official.inputs import Tree
from benchmarks.official.race import Command

DAVIS, VOS, COCO = "davis2017-evaluation", "vos-benchmark", "cocoapi"
TASKS = {"davis17-val": "semi-supervised", "davis17-unsup-val": "unsupervised"}

REPEATS = 2
"""Of scoring alone in one process, of which the quicker counts: for all programs the first finds nothing in memory."""
USED = """
import os, time
def used():
    return time.process_time() + sum(os.times()[2:4])
"""
"""CPU seconds of a process, which a system counts finely, and of its children, in hundredths."""
OUR_ALONE = f"""{USED}
import sys
from pathlib import Path
from harness.catalog import Catalog
from harness.predictions.scoring import plan_scoring, score
bench, data, masks = sys.argv[1:]
catalog = Catalog.load()
trial = plan_scoring(Path(masks), catalog.benchmarks.get(bench), catalog, data_root=Path(data), allow_partial=True)
for _ in range({REPEATS}):
    start = used()
    score(trial, Path(masks), catalog)
    print("alone", used() - start)
"""
DAVIS_ALONE = f"""{USED}
import sys
from davis2017.evaluation import DAVISEvaluation
data, masks, task = sys.argv[1:]
evaluation = DAVISEvaluation(davis_root=data, task=task, gt_set="val")
for _ in range({REPEATS}):
    start = used()
    evaluation.evaluate(masks)
    print("alone", used() - start)
"""
VOS_ALONE = f"""{USED}
import sys
from vos_benchmark.benchmark import benchmark
for _ in range({REPEATS}):
    start = used()
    benchmark([sys.argv[1]], [sys.argv[2]], False, 1, verbose=False)
    print("alone", used() - start)
"""
TRACKS = """
import importlib.util, sys
import numpy
numpy.float, spaced = float, numpy.linspace  # names and whole floats that later releases of NumPy no longer take
numpy.linspace = lambda low, high, count, **more: spaced(low, high, int(count), **more)
def load(name):
    place = f"{sys.argv[1]}/PythonAPI/pycocotools/{name}.py"
    spec = importlib.util.spec_from_file_location(f"pycocotools.{name}", place)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
truth = load("ytvos").YTVOS(sys.argv[2])
evaluation = load("ytvoseval").YTVOSeval(truth, truth.loadRes(sys.argv[3]), "segm")
evaluation.evaluate()
evaluation.accumulate()
evaluation.summarize()
"""


@dataclass(frozen=True)
class Peers:
    """Where the repositories lie, and a Python that has what they import."""

    folder: Path
    python: str

    def missing(self, name: str) -> str:
        """Why a program cannot be run, in words; empty where it can."""
        return "" if (self.folder / name).is_dir() else f"{self.folder / name} is not there"

    def ours(self, bench: str, data: Path, masks: Path, *more: str) -> Command:
        """``harness score`` as typed."""
        typed = ("score", str(masks), "--bench", bench, "--data-root", str(data), "--allow-partial", *more)
        return Command((sys.executable, "-m", "harness", *typed), data.parent, {})

    def ours_alone(self, bench: str, tree: Tree) -> Command:
        """The scoring in a process that has scored before."""
        return Command((sys.executable, "-c", OUR_ALONE, bench, str(tree.data), str(tree.masks)), tree.data.parent, {})

    def davis(self, bench: str, tree: Tree) -> Command:
        """davis2017-evaluation as typed; the table it leaves beside the masks would be read again, so it goes first."""
        program = self.folder / DAVIS / "evaluation_method.py"
        told = f"--davis_path {tree.data} --set val --task {TASKS[bench]} --results_path {tree.masks}"
        line = f"rm -f {tree.masks}/*.csv; exec {self.python} {program} {told}"
        return Command(("sh", "-c", line), tree.data.parent, self._path(DAVIS))

    def davis_alone(self, bench: str, tree: Tree) -> Command:
        """Its evaluation without start and reports."""
        told = (str(tree.data), str(tree.masks), TASKS[bench])
        return Command((self.python, "-c", DAVIS_ALONE, *told), tree.data.parent, self._path(DAVIS))

    def vos(self, tree: Tree) -> Command:
        """vos-benchmark as typed, in one process."""
        program = str(self.folder / VOS / "benchmark.py")
        told = ("-g", str(tree.data / "Annotations" / "480p"), "-m", str(tree.masks), "-n", "1")
        return Command((self.python, program, *told), tree.data.parent, self._path(VOS))

    def vos_alone(self, tree: Tree) -> Command:
        """Its evaluation without start."""
        told = (str(tree.data / "Annotations" / "480p"), str(tree.masks))
        return Command((self.python, "-c", VOS_ALONE, *told), tree.data.parent, self._path(VOS))

    def tracks(self, tree: Path) -> Command:
        """The evaluation of YouTube-VIS in cocoapi, by its own classes."""
        told = (str(self.folder / COCO), str(tree / "train.json"), str(tree / "results.json"))
        return Command((self.python, "-c", TRACKS, *told), tree, {})

    def _path(self, name: str) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder / name)}
