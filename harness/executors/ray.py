"""The Ray executor: whole videos in workers on the nodes of a cluster; what they make is sent here and stored here."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from harness.api import errors
from harness.api.contracts import Executor, Sessions
from harness.api.errors import DataError, EnvironmentProblem, HarnessError, MethodFailed, UsageError
from harness.api.execution import Recipe, SessionElsewhere
from harness.api.foreign import Interrupted, describe_error
from harness.api.hookspecs import hookimpl
from harness.api.records import VideoFailure, VideoResult
from harness.executors import own_cluster
from harness.executors.dealing import Dealing, Event

CONNECT_SECONDS = 10.0
NO_WAY_IN = "ray status, on a node of the cluster; RAY_AUTH_MODE=token and its token, where that asks for one"
TAKEN_FOR_DEAD = ("all references to the actor were removed", "its owner has died")
"""What Ray says of an actor that somebody holds whom its head cannot reach."""
MOST_TAKEN_FOR_DEAD = 3
"""Actors lost so, one after the other, before the run stops: waiting helps nobody."""


class Ray:
    """Deals videos to ``--workers`` workers of a cluster; each builds the method once, with a GPU where it needs one.

    Nothing is restarted by Ray itself, and nothing of ours is pickled: texts and bytes go to and fro.
    """

    name = "ray"
    one_gpu_each = True

    def execute(self, sessions: Sessions, videos: Sequence[str]) -> Iterator[VideoResult | VideoFailure]:
        """Yield outcomes as videos end; whatever stops the run ends every worker, and a cluster of our own."""
        if not videos:
            return
        recipe = sessions.recipe()
        with _cluster(recipe, len(sessions.devices)) as ray:
            crew = RayCrew(ray, recipe)
            dealing = Dealing(
                crew,
                len(sessions.devices),
                recipe.method,
                recipe.seconds_for,
                recipe.build_seconds,
                recipe.receive,
                recipe.tell,
            )
            try:
                yield from dealing.deal(videos)
            except KeyboardInterrupt as error:  # Ray's own: it looks for signals while it waits
                raise Interrupted from error
            finally:
                crew.dismiss_all()


class Worker:
    """The actor: it is told a recipe and names of videos, and answers with text and bytes."""

    def describe_place(self) -> str:
        """Which node this is, for messages."""
        return f"{platform.node()} (process {os.getpid()})"

    def open(self, recipe: str) -> str:
        """Build the method; what went wrong as JSON, or nothing."""
        try:
            module, _, name = json.loads(recipe)["opener"].partition(":")
            self._session: SessionElsewhere = getattr(importlib.import_module(module), name)(recipe)
        except BaseException as error:  # raised again where the run is
            return _tell(error)
        return ""

    def work_through(self, video: str) -> tuple[str, str, list[tuple[str, bytes]]]:
        """What went wrong in the session itself, or nothing; its answer; the files."""
        try:
            answer, files = self._session.work_through(video)
        except BaseException as error:
            return _tell(error), "", []
        return "", answer, list(files)


def _tell(error: BaseException) -> str:
    """An error as JSON."""
    message = error.message if isinstance(error, HarnessError) else describe_error(error)
    return json.dumps({"family": type(error).__name__, "message": message, "hint": getattr(error, "hint", None)})


def _raise_as_here(told: str, place: str) -> None:
    """Raise what a worker met, naming its node."""
    found = json.loads(told)
    family: Any = getattr(errors, found["family"], None)
    is_ours = isinstance(family, type) and issubclass(family, HarnessError) and family is not errors.DataProblems
    kind = family if is_ours else DataError if family is errors.DataProblems else MethodFailed
    raise kind(f"worker on {place}: {found['message']}", hint=found["hint"])


class RayCrew:
    """Actors by number; each is asked one thing at a time."""

    def __init__(self, ray: Any, recipe: Recipe) -> None:
        self._ray = ray
        self._recipe = recipe
        self._needs = {"num_cpus": recipe.threads, "num_gpus": 1 if recipe.needs_gpu else 0}
        self._actor = ray.remote(**self._needs, max_restarts=0, max_task_retries=0)(Worker)
        self._actors: dict[int, Any] = {}
        self._places: dict[int, str] = {}
        self._asked: dict[Any, tuple[int, str]] = {}
        self._hired = 0
        self._taken_for_dead = 0

    def hire(self) -> int:
        """Ask for an actor; Ray makes it once there is room."""
        self._hired += 1
        actor = self._actors[self._hired] = self._actor.remote()
        self._asked[actor.describe_place.remote()] = self._hired, "placed"
        return self._hired

    def give(self, worker: int, video: str) -> None:
        """Have it work through a video."""
        self._asked[self._actors[worker].work_through.remote(video)] = worker, "answered"

    def dismiss(self, worker: int) -> None:
        """Kill the actor, also one that is only out of reach: it may come back and finish a video that another has."""
        actor = self._actors.pop(worker, None)
        self._asked = {ref: asked for ref, asked in self._asked.items() if asked[0] != worker}
        if actor is not None:
            with suppress(Exception):  # it is gone already, or the cluster is
                self._ray.kill(actor, no_restart=True)

    def dismiss_all(self) -> None:
        """Kill every actor."""
        for worker in list(self._actors):
            self.dismiss(worker)

    def wait_for_event(self, seconds: float) -> Event | None:
        """What the next actor answers; whatever Ray raises in its place means that the actor is lost."""
        if not self._asked:
            time.sleep(seconds)
            return None
        ended, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=seconds)
        if not ended:
            return None
        worker, kind = self._asked.pop(ended[0])
        place = self._places.get(worker, "a node")
        try:
            found = self._ray.get(ended[0])
        except self._ray.exceptions.RayError as error:
            self._refuse_to_be_dead(kind, describe_error(error))
            return Event(worker, "lost", why=f"worker on {place}: {describe_error(error)}")
        self._taken_for_dead = 0
        return self._take(worker, kind, found)

    def _refuse_to_be_dead(self, kind: str, why: str) -> None:
        """EnvironmentProblem where the cluster ends actors that have not begun: it cannot call this process back."""
        is_so = kind == "placed" and any(words in why for words in TAKEN_FOR_DEAD)
        self._taken_for_dead = self._taken_for_dead + 1 if is_so else 0
        if self._taken_for_dead >= MOST_TAKEN_FOR_DEAD:
            raise EnvironmentProblem(
                "the cluster takes this process for dead: its head cannot call back, and ends each worker at once",
                hint="RAY_AUTH_MODE as it was where the cluster was started (now "
                f"{os.environ.get('RAY_AUTH_MODE', 'not set')}), and no firewall between; the same command goes on",
            )

    def _take(self, worker: int, kind: str, found: Any) -> Event:
        if kind == "placed":
            self._places[worker] = found
            self._asked[self._actors[worker].open.remote(self._recipe.text)] = worker, "ready"
            return Event(worker, "placed")
        told, answer, files = (found, "", []) if kind == "ready" else found
        if told:
            _raise_as_here(told, self._places[worker])
        return Event(worker, "ready") if kind == "ready" else Event(worker, "answered", answer, files)

    def describe_room(self) -> str:
        """What an actor needs, and what the cluster has and has free."""
        wish = f"{self._needs['num_cpus']} CPUs on one node" + (" and a GPU" if self._recipe.needs_gpu else "")
        return f"a worker needs {wish}; the cluster has {_count(self._ray.cluster_resources())}, " + (
            f"free are {_count(self._ray.available_resources())}"
        )


def _count(resources: dict[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"


@contextmanager
def _cluster(recipe: Recipe, workers: int) -> Iterator[Any]:
    """Ray, connected to the cluster that is meant, or to one of this machine; what was connected before stays so."""
    if importlib.util.find_spec("ray") is None:
        raise EnvironmentProblem("executor ray needs the package ray", hint="pip install 'vos-harness[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: Ray sends nothing home
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # nor copies the working directory to the nodes
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")  # nor prints of lost workers amid our output
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    address = recipe.address or os.environ.get("RAY_ADDRESS") or "local"
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address != "local":
        _refuse_unreachable(address)
        with own_cluster.auth_as_before(), _closing(ray):
            with _hold_interrupts(), _words_for(address):
                ray.init(address=address, **quiet)
            yield ray
        return
    cpus = max(os.cpu_count() or 1, workers * recipe.threads)
    with recipe.scratch() as folder, own_cluster.keep(folder), own_cluster.auth_as_before(), _closing(ray):
        with _hold_interrupts(), _words_for("a cluster of this machine"):
            own_cluster.start(ray, folder, cpus, **quiet)
        yield ray


@contextmanager
def _closing(ray: Any) -> Iterator[None]:
    """Leave the cluster at the end, also where that was only half reached; a cluster of our own ends."""
    try:
        yield
    finally:
        with _hold_interrupts():
            ray.shutdown()


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Let a Ctrl-C wait for the end of this: amid its coming up or going down Ray answers by a segmentation fault."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    heard: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if heard:
            raise Interrupted


@contextmanager
def _words_for(what: str) -> Iterator[None]:
    """EnvironmentProblem for what Ray raises where it does not come up."""
    try:
        yield
    except Exception as error:
        first = describe_error(error).splitlines()[0]
        raise EnvironmentProblem(f"Ray, {what}: {first}", hint=NO_WAY_IN) from error


def _refuse_unreachable(address: str) -> None:
    """EnvironmentProblem where nobody answers at the address; Ray itself would try for long, or end the process."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not port.isdigit():
        raise UsageError(f"--address {address!r}: expected HOST:PORT of the cluster's head, or auto", hint="ray status")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise EnvironmentProblem(
            f"no cluster answers at {address}: {error}", hint="ray start --head, there; --address HOST:PORT of that"
        ) from error


@hookimpl
def harness_executors() -> list[Executor]:
    """Offer the Ray executor."""
    return [Ray()]
