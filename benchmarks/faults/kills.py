"""SIGKILL at seeded moments: of a run, its worker processes, actors on a Ray cluster, and the run that drives these."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.stage import OPTIONS, Stage, Trial, list_below, list_processes
from harness.api.errors import HarnessError
from harness.executors.own_cluster import AUTH

MOST_A_RUN = 5
"""Workers that are killed in one run, before it may go on to its end."""
TRIES = 6
"""How often a run is gone on with, where kills cost it videos."""
DRIVER_SECONDS = 12.0
"""Within so long of its start a driver is killed: it connects, its actors build, videos are worked through."""

SECONDS_TO_NOTICE = 180.0
"""Ray itself gives a head that is gone a minute, and its own processes half a minute to come up, three times."""
OF_A_CLUSTER = (
    "gcs_server",
    "raylet/raylet",
    "keeper.py",
    "log_monitor.py",
    "DashboardAgent",
    "RuntimeEnvAgent",
    "IDLE",
)
BY_RAY = (sys.executable, "-m", "harness", "run", *OPTIONS, "--executor", "ray", "--workers", "2")


class Skipped(Exception):
    """This machine cannot play the fault."""


def kill_runners(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """A run is killed, and again after it went on, until one comes to its end."""
    out = stage.new()
    for trial in range(trials):
        child, after = stage.start(out), draw.uniform(0, stage.seconds)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        wrong = stage.look(out)
        has_ended = not was_killed or trial == trials - 1
        if has_ended:
            wrong += [] if stage.finish(out) == 0 else ["it did not go on"]
            wrong += stage.compare(out)
        left = stage.list_left(out) if has_ended else []
        yield Trial("runner", f"after {after:.2f} s", has_ended, tuple(wrong), tuple(left))
        if has_ended:
            shutil.rmtree(out)
            out = stage.new()


def kill_workers(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """Worker processes of a run, and those that watch over them, are killed while they start, build and work."""

    def find() -> list[int]:
        return [process for process, told in list_below(os.getpid()).items() if "hosting/worker/start.py" in told]

    yield from _kill_helpers("worker", stage, draw, trials, find, {"executor": "process", "workers": 2})


def kill_actors(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """Actors on a cluster of two nodes are killed while they start, build and work."""
    with two_nodes(stage) as cluster:
        asked = {"executor": "ray", "workers": 2, "address": cluster.address}

        def find() -> list[int]:
            return [process for process, told in list_below(os.getpid()).items() if told.startswith("ray::Worker")]

        yield from _kill_helpers("actor", stage, draw, trials, find, asked)


def _kill_helpers(
    kind: str,
    stage: Stage,
    draw: random.Random,
    trials: int,
    find: Callable[[], list[int]],
    asked: dict[str, Any],
) -> Iterator[Trial]:
    done = 0
    while done < trials:
        out = stage.new()
        moments = [draw.uniform(0, 2 * stage.seconds) for _ in range(min(MOST_A_RUN, trials - done))]
        killed = _run_while_killing(stage, out, draw, find, moments, asked)
        if not killed:
            continue
        wrong: list[str] = []
        with contextlib.suppress(HarnessError):
            for _ in range(TRIES):
                if not stage.run(out, **asked).failures:
                    break
        wrong += stage.compare(out)
        left = stage.list_left(out)
        for number, what in enumerate(killed):
            is_last = number == len(killed) - 1
            yield Trial(kind, what, is_last, tuple(wrong) if is_last else (), tuple(left) if is_last else ())
        done += len(killed)
        shutil.rmtree(out)


def _run_while_killing(
    stage: Stage,
    out: Path,
    draw: random.Random,
    find: Callable[[], list[int]],
    moments: list[float],
    asked: dict[str, Any],
) -> list[str]:
    """Run into ``out``; at each moment after a helper is seen, one is killed. What was killed, in words."""
    over, killed = threading.Event(), list[str]()

    def kill_in_turn() -> None:
        for moment in moments:
            while not find():
                if over.wait(0.02):
                    return
            if over.wait(moment):
                return
            there = sorted(find())
            if there:
                victim = draw.choice(there)
                told = list_processes().get(victim, (0, ""))[1]
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(f"{moment:.2f} s after one was there: {told[:60]}")

    killer = threading.Thread(target=kill_in_turn)
    killer.start()
    try:
        for _ in range(TRIES):
            with contextlib.suppress(HarnessError):  # one that was building: the run ends, and says so
                stage.run(out, **asked)
            if not killer.is_alive():
                break
    finally:
        over.set()
        killer.join()
    return killed


def kill_drivers(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """The run that drives actors is killed; on a cluster that stays, and every other time on one of its own."""
    with two_nodes(stage) as cluster:
        done = 0
        while done < trials:
            out, is_alone = stage.new(), done % 2 == 1
            where = [] if is_alone else ["--address", cluster.address]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            driver = subprocess.Popen([*BY_RAY, *where, "--out", str(out)], **quiet)
            after = draw.uniform(0, DRIVER_SECONDS * (2 if is_alone else 1))
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(after)
            driver.kill()
            if driver.wait() != -signal.SIGKILL:  # it had come to its end
                shutil.rmtree(out)
                continue
            left = [f"process {told}" for told in stage.wait_for_processes()]
            left += [str(path) for path in Path("/tmp").glob(f"harness-ray-{driver.pid}-*")]
            left += [name for name in AUTH if name in os.environ]
            wrong = stage.look(out)
            stage.run(out, executor="ray", workers=2, address=None if is_alone else cluster.address)
            wrong += stage.compare(out)
            left += stage.list_left(out)
            on = "its own cluster" if is_alone else "a cluster that stays"
            yield Trial("driver", f"after {after:.2f} s, on {on}", True, tuple(wrong), tuple(left))
            shutil.rmtree(out)
            done += 1


def kill_clusters(stage: Stage, draw: random.Random, trials: int) -> Iterator[Trial]:
    """One process of a run's own cluster is killed, or what watches over it; then the same command goes on."""
    _refuse_without_ray()
    done = 0
    while done < trials:
        out, kind, after = stage.new(), draw.choice(OF_A_CLUSTER), draw.uniform(0, DRIVER_SECONDS)
        driver = subprocess.Popen([*BY_RAY, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there: list[int] = []
        while driver.poll() is None and not there:
            time.sleep(0.02)
            there = _find_of_cluster(driver.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(after)
        if driver.poll() is not None:  # it had come to its end
            shutil.rmtree(out)
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(there[0], signal.SIGKILL)
        wrong: list[str] = []
        try:
            driver.wait(SECONDS_TO_NOTICE)
        except subprocess.TimeoutExpired:
            wrong.append(f"the run does not end within {SECONDS_TO_NOTICE:.0f} s")
            driver.kill()
            driver.wait()
        left = [f"process {told}" for told in stage.wait_for_processes()]
        left += [str(path) for path in Path("/tmp").glob(f"harness-ray-{driver.pid}-*")]
        wrong += stage.look(out)
        stage.run(out, executor="ray", workers=2)
        wrong += stage.compare(out)
        left += stage.list_left(out)
        yield Trial("cluster", f"{kind}, {after:.2f} s after it was there", True, tuple(wrong), tuple(left))
        done += 1
        shutil.rmtree(out)


def _find_of_cluster(driver: int, kind: str) -> list[int]:
    """The processes below the driver whose program, as ``ps`` shows it before any option, is of this kind."""
    return sorted(process for process, told in list_below(driver).items() if kind in told.partition(" --")[0])


def _refuse_without_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        raise Skipped("Ray is not installed: pip install 'vos-harness[ray]'")


@contextlib.contextmanager
def two_nodes(stage: Stage) -> Iterator[Any]:
    """A cluster of two nodes on this machine, of one CPU each; Skipped where Ray is not installed."""
    _refuse_without_ray()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = ".*"
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    from ray.cluster_utils import Cluster

    place = tempfile.mkdtemp(prefix="nodes", dir="/tmp")  # the paths of sockets hold 107 bytes
    notes = stage.temporary / "ray"  # where Ray says which cluster was the last
    notes.mkdir()
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 1 << 27, "temp_dir": place}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    shutil.rmtree(notes)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=1 << 27, temp_dir=place)
        stage.know_processes()
        yield cluster
    finally:
        cluster.shutdown()
        stage.forget_processes()
        while any(Path(place).iterdir()):  # processes that end write still
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(place, exist_ok=True)
        os.rmdir(place)
