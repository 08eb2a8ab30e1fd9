"""The Ray executor on a cluster of two nodes on this machine: what inline makes, whoever is killed on the way."""

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness
from harness.api.errors import DataError, EnvironmentProblem, MethodFailed, UsageError
from harness.api.foreign import Interrupted
from harness.executors import own_cluster
from harness.executors import ray as executor

ASKED = {"plugin": "copyfirst", "bench": "mini-small", "task": "one-shot", "threads": 1}
VIDEOS = 4
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra ray)")


def recipe_at(address):
    return SimpleNamespace(address=address, threads=1, needs_gpu=False)


def connect(address):
    with executor._cluster(recipe_at(address), 1):
        pass


def test_without_ray_the_command_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr(executor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"needs the package ray\n  next: pip install 'vos-harness\[ray\]'"):
        connect(None)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ":"])
def test_an_address_that_is_none_is_said(address):
    with pytest.raises(UsageError, match="expected HOST:PORT of the cluster's head, or auto"):
        executor._refuse_unreachable(address)


def test_an_address_where_nobody_is_is_said():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"no cluster answers at 127.0.0.1:{port}"):
            executor._refuse_unreachable(f"127.0.0.1:{port}")


def test_what_goes_wrong_on_a_node_is_raised_here_under_its_name():
    with pytest.raises(DataError, match="worker on n7: DAVIS: found nothing") as raised:
        executor._raise_as_here(executor._tell(DataError("DAVIS: found nothing", hint="--data-root")), "n7")
    assert raised.value.hint == "--data-root"
    with pytest.raises(MethodFailed, match="worker on n7: KeyError: 'layer7'"):
        executor._raise_as_here(executor._tell(KeyError("layer7")), "n7")


def test_an_actor_that_cannot_open_tells_why_and_one_that_can_passes_on_what_it_made():
    worker = executor.Worker()
    told = json.loads(worker.open(json.dumps({"opener": "harness.no_such:thing"})))
    assert told["family"] == "ModuleNotFoundError"
    worker._session = SimpleNamespace(work_through=lambda video: ("{}", [("0.png", b"mask")]))
    assert worker.work_through("v") == ("", "{}", [("0.png", b"mask")])
    del worker._session
    assert json.loads(worker.work_through("v")[0])["family"] == "AttributeError"


class FakeRay:
    """The few calls of Ray that the crew makes; ``answers`` maps a call to what it gives, or raises."""

    class exceptions:
        class RayError(Exception):
            pass

    def __init__(self, answers):
        self.answers, self.killed, self.options = answers, [], {}

    def remote(self, **options):
        self.options = options
        return lambda actor: SimpleNamespace(remote=self._make)

    def _make(self):
        return SimpleNamespace(
            **{
                name: SimpleNamespace(remote=functools.partial(self._call, name))
                for name in ("describe_place", "open", "work_through")
            }
        )

    def _call(self, name, *given):
        return name, given

    def wait(self, refs, *, num_returns, timeout):
        return refs[:1], refs[1:]

    def get(self, ref):
        found = self.answers[ref[0]]
        if isinstance(found, BaseException):
            raise found
        return found

    def kill(self, actor, *, no_restart):
        self.killed.append(actor)


def test_ray_restarts_nothing_and_an_actor_out_of_reach_is_killed():
    ray = FakeRay({"describe_place": "n7", "open": "", "work_through": FakeRay.exceptions.RayError("unavailable")})
    crew = executor.RayCrew(ray, SimpleNamespace(threads=3, needs_gpu=True, text="{}"))
    worker = crew.hire()
    assert ray.options == {"num_cpus": 3, "num_gpus": 1, "max_restarts": 0, "max_task_retries": 0}
    assert [crew.wait_for_event(1).kind, crew.wait_for_event(1).kind] == ["placed", "ready"]
    crew.give(worker, "v")
    lost = crew.wait_for_event(1)
    assert (lost.kind, lost.why) == ("lost", "worker on n7: RayError: unavailable")
    crew.dismiss(worker)
    assert len(ray.killed) == 1


def test_a_cluster_that_takes_this_process_for_dead_is_not_waited_for(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    gone = FakeRay.exceptions.RayError("The actor is dead because all references to the actor were removed including")
    crew = executor.RayCrew(FakeRay({"describe_place": gone}), SimpleNamespace(threads=1, needs_gpu=False, text="{}"))
    for _ in range(2):
        crew.hire()
        assert crew.wait_for_event(1).kind == "lost"
    crew.hire()
    with pytest.raises(EnvironmentProblem, match=r"cannot call back(.|\n)*RAY_AUTH_MODE as .* \(now token\)"):
        crew.wait_for_event(1)


def test_a_ctrl_c_that_ray_heard_first_is_one_and_every_actor_ends(monkeypatch):
    ray = FakeRay({"describe_place": KeyboardInterrupt()})

    @contextlib.contextmanager
    def cluster(recipe, workers):
        yield ray

    monkeypatch.setattr(executor, "_cluster", cluster)
    recipe = SimpleNamespace(threads=1, needs_gpu=False, text="{}", method="ours", build_seconds=9)
    recipe.seconds_for, recipe.receive, recipe.tell = lambda video: 9, None, None
    sessions = SimpleNamespace(devices=("cpu", "cpu"), recipe=lambda: recipe)
    with pytest.raises(Interrupted):
        list(executor.Ray().execute(sessions, ["v", "w"]))
    assert len(ray.killed) == 2


def test_a_ctrl_c_amid_coming_up_is_heard_once_ray_is_up():
    before, steps = signal.getsignal(signal.SIGINT), []
    with pytest.raises(Interrupted), executor._hold_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.001)
        steps.append("up")
    assert steps == ["up"]
    assert signal.getsignal(signal.SIGINT) is before


# What follows needs Ray and takes minutes.


def processes() -> dict[int, tuple[int, str]]:
    """Process id -> parent and command, of all that are."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(place.name)] = parent, (place / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except (OSError, IndexError):
                continue
    return found


def below(root: int) -> dict[int, str]:
    """The processes that came from ``root``, by id, with their commands."""
    known = processes()
    found: dict[int, str] = {}
    fresh = {root}
    while fresh:
        fresh = {process for process, (parent, _) in known.items() if parent in fresh}
        found |= {process: known[process][1] for process in fresh}
    return found


def actors(root: int, at: str = "") -> list[int]:
    """The actors of ours below a process; ``at``: those that are at this call of theirs."""
    title = f"ray::Worker.{at}" if at else "ray::Worker"
    return [process for process, command in below(root).items() if command.startswith(title)]


def digests(run: Path) -> dict[str, str]:
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "masks").rglob("*"))
        if path.is_file()
    }


def assert_as_inline(out: Path, inline: Path) -> None:
    """Masks, scores and rows are those of the run in this process, and each video is there once."""
    found, expected = (json.loads((run / "record.json").read_text()) for run in (out, inline))
    assert digests(out) == digests(inline)
    for part in ("scores", "videos", "failures", "partial", "benchmark"):
        assert found[part] == expected[part], part
    names = [row["video"] for row in found["videos"]]
    assert sorted(set(names)) == sorted(names)
    assert len(names) == VIDEOS
    assert {path.name for path in (out / "masks").iterdir()} == set(names)
    assert [path for path in out.rglob("*") if path.name.startswith(".")] == []


@pytest.fixture(scope="module")
def inline(tmp_path_factory):
    out = tmp_path_factory.mktemp("inline") / "run"
    harness.run(**ASKED, out=out)
    return out


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, of one CPU each; nothing is left of them."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS_SKIP_REGEX"] = ".*"
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    from ray.cluster_utils import Cluster

    place = Path(tempfile.mkdtemp(prefix="nodes", dir="/tmp"))  # the paths of sockets hold 107 bytes
    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 1 << 27, "temp_dir": str(place)}
    (Path(tempfile.gettempdir()) / "ray").mkdir(exist_ok=True)  # where Ray notes which cluster was the last
    made = Cluster(initialize_head=True, head_node_args=node)
    made.extra = made.add_node(**node)
    made.node_options = node
    yield made
    made.shutdown()
    own_cluster.empty(place)
    place.rmdir()


def run_on(cluster, out, **asked):
    return harness.run(**ASKED, executor="ray", address=cluster.address, workers=2, out=out, **asked)


def resume_until_whole(cluster, out) -> None:
    """Again, as long as kills cost a video both of its tries."""
    for _ in range(3):
        if not run_on(cluster, out).record.failures:
            return


@needs_ray
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
class TestCluster:
    def test_two_nodes_make_what_this_process_makes(self, cluster, inline, tmp_path):
        record = run_on(cluster, tmp_path / "run").record
        assert_as_inline(tmp_path / "run", inline)
        assert (record.conditions.executor, record.conditions.workers, record.timing) == ("ray", 2, None)

    def test_actors_killed_at_random_frames_cost_nothing(self, cluster, inline, tmp_path):
        draw, over, killed = random.Random(20), threading.Event(), []

        def kill_at_work():
            while not over.wait(0.02) and len(killed) < 3:
                working = [process for process in actors(os.getpid(), at="work_through") if process not in killed]
                if working and not over.wait(draw.uniform(0, 0.4)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(working[0], signal.SIGKILL)
                        killed.append(working[0])

        killer, runs = threading.Thread(target=kill_at_work), []
        killer.start()
        try:
            while len(killed) < 3 and len(runs) < 10:  # one run may be over before three were met at work
                runs.append(tmp_path / f"run-{len(runs)}")
                run_on(cluster, runs[-1])
        finally:
            over.set()
            killer.join()
        assert len(killed) == 3
        for run in runs:
            resume_until_whole(cluster, run)
            assert_as_inline(run, inline)

    def test_a_node_that_is_taken_away_costs_nothing(self, cluster, inline, tmp_path):
        over = threading.Event()

        def take_away():
            while not over.wait(0.05) and len(actors(os.getpid())) < 2:
                continue
            cluster.remove_node(cluster.extra, allow_graceful=False)

        taking = threading.Thread(target=take_away)
        taking.start()
        try:
            run_on(cluster, tmp_path / "run")
        finally:
            over.set()
            taking.join()
            cluster.extra = cluster.add_node(**cluster.node_options)
        resume_until_whole(cluster, tmp_path / "run")
        assert_as_inline(tmp_path / "run", inline)

    def test_a_driver_that_is_killed_goes_on(self, cluster, inline, tmp_path):
        out = tmp_path / "run"
        command = [sys.executable, "-m", "harness", "run", "--plugin", "copyfirst", "--bench", "mini-small"]
        command += ["--task", "one-shot", "--threads", "1", "--executor", "ray", "--address", cluster.address]
        driver = subprocess.Popen([*command, "--workers", "2", "--out", str(out)], stderr=subprocess.DEVNULL)
        while driver.poll() is None and not list(out.glob("videos/[!.]*.json")):
            time.sleep(0.05)
        driver.kill()
        driver.wait()
        deadline = time.monotonic() + 120
        while (left := actors(os.getpid())) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []  # the cluster ends the workers of a job whose driver is gone
        resume_until_whole(cluster, out)
        assert_as_inline(out, inline)

    def test_a_cluster_takes_a_process_in_that_had_one_of_its_own(self, cluster, inline, tmp_path):
        harness.run(**ASKED, executor="ray", workers=1, videos=["small-cross"], out=tmp_path / "own")
        assert {name for name in own_cluster.AUTH if name in os.environ} == set()
        run_on(cluster, tmp_path / "run")
        assert_as_inline(tmp_path / "run", inline)

    def test_each_run_of_a_matrix_makes_what_it_makes_inline(self, cluster, tmp_path):
        asked = [
            "--plugin",
            "copyfirst",
            "--bench",
            "mini-small",
            "--task",
            "one-shot",
            "--corrupt",
            "blur:1,mask-erode:2",
        ]
        how = ["--videos", "small-cross", "--threads", "1", "--executor", "ray", "--address", cluster.address]
        surroundings = {**os.environ, "HARNESS_RUNS": str(tmp_path / "ray")}
        command = [sys.executable, "-m", "harness", "run", *asked, *how]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings)
        assert done.returncode == 0, done.stderr
        runs = [path.parent for path in (tmp_path / "ray").rglob("record.json")]
        made = {json.loads((run / "record.json").read_text())["benchmark"]["name"]: digests(run) for run in runs}
        for bench in ("mini-small+blur-1", "mini-small+mask-erode-2"):
            harness.run(**{**ASKED, "bench": bench}, videos=["small-cross"], out=tmp_path / bench)
            assert made.pop(bench) == digests(tmp_path / bench)
        assert made == {}

    def test_helpers_that_hear_nothing_of_the_end_of_their_driver_are_ended(self, tmp_path):
        # They stand still while it is killed, as on a busy machine: with seed 21 of the faults they lived for minutes.
        command = [sys.executable, "-m", "harness", "run", "--plugin", "copyfirst", "--bench", "mini-small"]
        command += ["--task", "one-shot", "--executor", "ray", "--workers", "2", "--out", str(tmp_path / "run")]
        driver = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while not any("default_worker.py" in told for told in below(driver.pid).values()):
            assert driver.poll() is None
            time.sleep(0.02)
        of_it = below(driver.pid)
        late = [process for process, told in of_it.items() if "default_worker.py" in told or "agent" in told.lower()]
        for process in late:
            os.kill(process, signal.SIGSTOP)
        driver.kill()
        driver.wait()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            left = [process for process, (_, told) in processes().items() if process in of_it and told]
            folders = list(Path("/tmp").glob(f"harness-ray-{driver.pid}-*"))
            if not left and not folders:
                break
            time.sleep(0.1)
        for process in set(left) & set(late):
            os.kill(process, signal.SIGKILL)
        assert (left, folders) == ([], [])

    def test_a_cluster_of_our_own_leaves_no_process_and_no_folder(self, inline, tmp_path):
        before = {process for process, (_, told) in processes().items() if "/tmp/harness-ray-" in told}
        folders = {path.name for path in Path("/tmp").glob("harness-ray-*")}
        command = [sys.executable, "-m", "harness", "run", "--plugin", "copyfirst", "--bench", "mini-small"]
        command += ["--task", "one-shot", "--threads", "1", "--executor", "ray", "--workers", "2"]
        done = subprocess.run([*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert_as_inline(tmp_path / "run", inline)
        assert {path.name for path in Path("/tmp").glob("harness-ray-*")} <= folders
        assert {process for process, (_, told) in processes().items() if "/tmp/harness-ray-" in told} <= before
