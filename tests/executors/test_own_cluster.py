"""A Ray cluster of our own ends with its run, also where that is killed; no stranger's process is taken for one."""

import os
import secrets
import select
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from harness.executors import keeper, own_cluster

needs_proc = pytest.mark.skipif(not keeper.mark_of(os.getpid()), reason="this system has no /proc")
HERE = keeper.mark_of(os.getpid()) if os.path.exists("/proc/self/stat") else ""


@pytest.fixture
def begin():
    """``begin(mark)``: a process that sleeps and has that mark; what still runs at the end is ended."""
    begun = []

    def begin_one(mark):
        process = subprocess.Popen(["sleep", "600"], env={keeper.MARK: mark}, start_new_session=True)
        begun.append(process)
        return process

    yield begin_one
    for process in begun:
        process.kill()
        process.wait()


def end_of(process, seconds=60.0):
    """How a process ended; None where it has not."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


@needs_proc
def test_what_carries_the_mark_is_ended_with_all_below_it_and_nothing_else(begin):
    mark = f"1-2-{secrets.randbits(32)}"  # tests that run beside these have another
    ours, other = begin(mark), begin(f"{mark}0")
    command = ["/bin/sh", "-c", "env -i sleep 600 & echo $!; wait"]
    above = subprocess.Popen(command, env={**os.environ, keeper.MARK: mark}, stdout=subprocess.PIPE)
    below = os.pidfd_open(int(above.stdout.readline()))  # its environment is empty
    keeper.end_marked(mark)
    assert end_of(ours) == end_of(above) == -signal.SIGKILL
    assert select.select([below], [], [], 60)[0] == [below]
    os.close(below)
    above.stdout.close()
    assert other.poll() is None


@needs_proc
def test_a_parent_is_ended_before_its_child(monkeypatch):
    mark = f"1-2-{secrets.randbits(32)}"
    command = ["/bin/sh", "-c", "sleep 600 & echo $!; wait"]
    above = subprocess.Popen(command, env={**os.environ, keeper.MARK: mark}, stdout=subprocess.PIPE)
    below = int(above.stdout.readline())
    kill, ended = os.kill, []
    monkeypatch.setattr(os, "kill", lambda process, number: (ended.append(process), kill(process, number)))
    keeper.end_marked(mark)
    above.wait()
    above.stdout.close()
    assert ended[:2] == [above.pid, below]


@needs_proc
def test_remains_of_a_run_that_is_no_more_are_ended_and_those_of_one_that_runs_or_of_elsewhere_are_not(begin):
    space, process, since = HERE.split("-")
    dead = subprocess.Popen(["true"])
    dead.wait()
    gone, reused = begin(f"{space}-{dead.pid}-{since}"), begin(f"{space}-{process}-{int(since) + 1}")
    runs, elsewhere, odd = begin(HERE), begin(f"{int(space) + 1}-{dead.pid}-{since}"), begin("anything")
    keeper.end_abandoned()
    assert end_of(gone) == end_of(reused) == -signal.SIGKILL
    assert [lives.poll() for lives in (runs, elsewhere, odd)] == [None, None, None]


@needs_proc
def test_a_killed_process_is_none_before_its_parent_has_looked():
    process = subprocess.Popen(["sleep", "600"])
    assert keeper.mark_of(process.pid).split("-")[1] == str(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert keeper.mark_of(process.pid) == ""
    process.wait()


@needs_proc
@pytest.mark.parametrize(("said", "is_kept"), [(keeper.ENDED, True), (b"", False)])
def test_a_run_that_says_nothing_was_killed_even_where_it_is_not_gone_yet(said, is_kept, tmp_path):
    (tmp_path / "cluster").mkdir()
    command = [sys.executable, "-I", "-S", keeper.__file__, HERE, str(tmp_path / "cluster")]
    subprocess.run(command, input=said, check=True, timeout=60)
    assert (tmp_path / "cluster").exists() == is_kept


@needs_proc
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_a_cluster_ends_with_its_run(how, tmp_path, monkeypatch):
    monkeypatch.setattr(keeper, "QUIET_SECONDS", 0.1)
    folder = tmp_path / "cluster"
    folder.mkdir()
    told, telling = os.pipe()
    run = os.fork()
    if not run:
        with own_cluster.keep(folder):
            (folder / "session").mkdir()
            helper = subprocess.Popen(["sleep", "600"], env={keeper.MARK: keeper.mark_of(os.getpid())})
            os.write(telling, f"{helper.pid}\n".encode())
            signal.pause() if how == "killed" else None
        os._exit(0)
    helper = os.pidfd_open(int(os.read(told, 20)))
    if how == "killed":
        os.kill(run, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(run, 0)[1]) == (-signal.SIGKILL if how == "killed" else 0)
    assert select.select([helper], [], [], 60)[0] == [helper]
    deadline = time.monotonic() + 60
    while how == "killed" and folder.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert folder.exists() == (how == "ended")  # the run itself made it, and removes it
    assert not (folder / "session").exists()
    for end in (told, telling, helper):
        os.close(end)


class FakeRay:
    """What is asked of it, with the environment that its processes would have."""

    def init(self, **options):
        self.options, self.environment = options, dict(os.environ)


@pytest.fixture
def auth(monkeypatch):
    """How often Ray was let read again whether tokens are asked for."""
    read = []
    fake = SimpleNamespace(
        Config=SimpleNamespace(initialize=lambda text: read.append(os.environ.get("RAY_AUTH_MODE"))),
        AuthenticationTokenLoader=SimpleNamespace(instance=lambda: SimpleNamespace(reset_cache=lambda: None)),
    )
    monkeypatch.setitem(sys.modules, "ray._raylet", fake)
    for name in own_cluster.AUTH:
        monkeypatch.delenv(name, raising=False)
    return read


def test_a_cluster_of_our_own_has_a_token_of_its_own_and_this_process_is_as_before_afterwards(auth, tmp_path):
    ray = FakeRay()
    with own_cluster.auth_as_before():
        own_cluster.start(ray, tmp_path, 3, log_to_driver=False)
        assert keeper.MARK not in os.environ
    assert (ray.environment["RAY_AUTH_MODE"], len(ray.environment["RAY_AUTH_TOKEN"])) == ("token", 64)
    assert ray.environment[keeper.MARK] == HERE
    assert (ray.options["address"], ray.options["num_cpus"], ray.options["log_to_driver"]) == ("local", 3, False)
    assert {name for name in own_cluster.AUTH if name in os.environ} == set()
    assert auth == ["token", None]


def test_a_cluster_that_had_no_time_to_come_up_is_begun_again_and_one_that_cannot_is_not(auth, tmp_path, monkeypatch):
    raised = [RuntimeError("The current node timed out during startup."), RuntimeError("no such folder")]
    ended, begun = [], len(raised)

    class Late(FakeRay):
        def init(self, **options):
            raise raised.pop(0)

        def shutdown(self):
            ended.append("shutdown")

    monkeypatch.setattr(keeper, "end_marked", ended.append)
    with own_cluster.auth_as_before(), pytest.raises(RuntimeError, match="no such folder"):
        own_cluster.start(Late(), tmp_path, 1)
    assert (begun - len(raised), ended) == (2, ["shutdown", HERE])


def test_what_the_user_says_of_tokens_is_left_alone(auth, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray = FakeRay()
    with own_cluster.auth_as_before():
        own_cluster.start(ray, tmp_path, 1)
    assert (ray.environment["RAY_AUTH_MODE"], "RAY_AUTH_TOKEN" in ray.environment) == ("disabled", False)
    assert auth == []


def test_a_mode_that_ray_turned_on_for_itself_is_turned_off(auth):
    with own_cluster.auth_as_before():
        os.environ["RAY_AUTH_MODE"] = "token"
    assert ("RAY_AUTH_MODE" in os.environ, auth) == (False, [None])
