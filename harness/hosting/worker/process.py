"""One worker process as the run sees it: started, asked, given so many seconds, and told from its end how it died."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from harness.api.errors import EnvironmentProblem, MethodFailed
from harness.hosting.here import FailureKind
from harness.hosting.worker.log import Log
from harness.hosting.worker.messages import PROTOCOL, Channel, Closed, Garbled, Late, Message
from harness.hosting.worker.shared import SharedSlots

_KINDS = ("crashed", "contract", "out-of-memory", "data", "incomplete")
_LAST_WORDS_SECONDS = 5.0
_DYING_SECONDS = 2.0
"""How long a process may take from closing its socket to its end."""
_TAIL_LINES = 12
_START = Path(__file__).with_name("start.py")
# What a worker must not be led by: where the truth lies, and for another interpreter the packages of this one.
_NOT_FOR_THE_WORKER = ("HARNESS_DATA", "HARNESS_CONFIG")
_NOT_FOR_ANOTHER_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


class WorkerFailed(MethodFailed):
    """The worker raised, died, hung or spoke nonsense; ``traceback`` is its own, or the last it printed."""

    def __init__(
        self,
        message: str,
        *,
        kind: FailureKind,
        traceback: str = "",
        hint: str | None = None,
        family: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.traceback = traceback
        self.family = family
        """Name of the HarnessError it was there; empty for any other error."""


class WorkerProcess:
    """A worker process; every ask either answers or raises FailedElsewhere, after which it may be alive or not."""

    def __init__(self, python: Path | None, log: Log, *, seconds: float) -> None:
        """Start the worker with ``python`` (None: this interpreter); EnvironmentProblem unless it says hello."""
        self._python = str(python or sys.executable)
        self._log = log
        self._talking = threading.Lock()
        self._kills_before = _kills_by_the_kernel()
        self.slots = SharedSlots.create()
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = self._launch(theirs.fileno(), lifeline, path=None if python else sys.path)
        except OSError as error:
            log.began()
            self._release()
            hint = "name the interpreter of an environment, such as .venv/bin/python"
            raise EnvironmentProblem(f"{self._python} could not be started: {error}", hint=hint) from error
        finally:
            theirs.close()
            os.close(lifeline)
        log.began()
        self._greet(seconds)

    def _launch(self, end: int, lifeline: int, path: list[str] | None) -> subprocess.Popen[bytes]:
        left_out = _NOT_FOR_THE_WORKER + (_NOT_FOR_ANOTHER_PYTHON if path is None else ())
        numbers = (end, self.slots.descriptor, lifeline)
        return subprocess.Popen(
            [self._python, "-u", str(_START), *map(str, numbers), json.dumps(path)],
            stdin=subprocess.DEVNULL,
            stdout=self._log.writing,
            stderr=self._log.writing,
            env={key: value for key, value in os.environ.items() if key not in left_out},
            pass_fds=numbers,
            start_new_session=True,
        )

    def _greet(self, seconds: float) -> None:
        try:
            hello = self._channel.receive(until=time.monotonic() + seconds, is_alive=self._is_alive)
        except (Closed, Late, Garbled) as error:
            words = "it took too long" if isinstance(error, Late) else self._end(error)[0]
            self.close()
            raise EnvironmentProblem(
                f"the worker of {self._python} did not say hello: {words}{self._tail()}",
                hint="that environment needs pluggy, pydantic, numpy, torch and the plugin (docs/isolation.md)",
            ) from error
        if hello.get("protocol") != PROTOCOL:
            self.close()
            raise EnvironmentProblem(
                f"the worker of {self._python} speaks protocol {hello.get('protocol')!r} "
                f"(vos-harness {hello.get('harness')}), this harness speaks {PROTOCOL}",
                hint="install the same version of vos-harness in both environments, or none in the other one",
            )

    def ask(
        self,
        ask: Message,
        *,
        seconds: float,
        what: str,
        serve: Callable[[int], Message] | None = None,
        collect: list[Message] | None = None,
    ) -> Message:
        """The worker's answer within ``seconds``; ``what`` is named in the message when there is none.

        ``serve(t)`` puts a frame that the worker wants into the shared slot; time spent in it is not the worker's.
        Tracks that come before the answer go to ``collect``.
        """
        with self._talking:
            self._kills_before = _kills_by_the_kernel()
            try:
                return self._converse(ask, seconds, serve, collect)
            except WorkerFailed:  # the worker has answered and can be asked again
                raise
            except (Closed, Late, Garbled) as error:
                raise self._explain_failure(error, what, seconds) from error
            except BaseException:
                self.kill()  # between question and answer nothing can be asked again
                raise

    def _converse(
        self,
        ask: Message,
        seconds: float,
        serve: Callable[[int], Message] | None,
        collect: list[Message] | None,
    ) -> Message:
        until = time.monotonic() + seconds
        self._channel.send(ask)
        while True:
            answer = self._channel.receive(until=until, is_alive=self._is_alive)
            match answer.get("re"):
                case "done":
                    return answer
                case "error":
                    break
                case "want" if serve is not None and type(answer.get("frame")) is int:
                    began = time.monotonic()
                    self._channel.send(serve(answer["frame"]))
                    until += time.monotonic() - began
                case "track" if collect is not None:
                    collect.append(answer)
                case other:
                    raise Garbled(f"unexpected answer {other!r} to {ask['do']!r}")
        raise _retell_error(answer)

    def mark(self) -> None:
        """Forget what was printed so far: a new video begins."""
        self._log.mark()

    def pause(self) -> None:
        """Stop the worker where it is.

        Its process alone, not its group: the guard that ends it with the run must go on.
        """
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused worker go on; nothing happens to one that was not, or that has ended."""
        self._signal(signal.SIGCONT)

    def stay_on(self, cores: Collection[int]) -> None:
        """Let all threads of the worker's process run on these cores only, where the system knows of such."""
        if sys.platform != "linux":
            return
        with contextlib.suppress(OSError):  # it has ended, which the next question finds
            for thread in Path(f"/proc/{self._process.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the worker and what it started; may be called from any thread, and again."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End the worker and give everything back; a conversation in another thread ends with Closed first."""
        self.kill()
        with self._talking:
            self._release()

    def _release(self) -> None:
        if self._lifeline < 0:
            return
        os.close(self._lifeline)
        self._lifeline = -1
        self._channel.close()
        self.slots.close()
        self._log.close()

    def _is_alive(self) -> bool:
        return self._process.poll() is None

    def _explain_failure(self, error: Exception, what: str, seconds: float) -> WorkerFailed:
        """End the worker and say how it failed."""
        if isinstance(error, Late):
            self._get_last_words()
        words, kind = self._end(error)
        late = isinstance(error, Late)
        return WorkerFailed(
            f"{what}: {f'no answer within {seconds:g} s' if late else words}{self._tail()}",
            kind="timed-out" if late else kind,
            traceback=self._log.tail(),
            hint="--first-frame-seconds and --frame-seconds set the limits" if late else None,
        )

    def _get_last_words(self) -> None:
        """Have the hanging worker print where it is: faulthandler answers SIGABRT even inside native code."""
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(_LAST_WORDS_SECONDS)

    def _end(self, error: Exception) -> tuple[str, FailureKind]:
        """End the worker; how it had ended before that, in words, and which kind of failure this is."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0 if isinstance(error, Garbled) else _DYING_SECONDS)
        code = self._process.poll()
        self.kill()
        self._log.drain()
        if isinstance(error, Garbled):
            return f"the worker spoke no sense: {error}", "contract"
        if code is None:
            return "the worker closed the conversation", "crashed"
        if code >= 0:
            return f"the worker process ended with exit code {code}", "crashed"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        kills = _kills_by_the_kernel()
        if code == -signal.SIGKILL and (kills is None or kills != self._kills_before):
            return f"the worker process was killed by {name}, by the kernel for want of memory", "out-of-memory"
        return f"the worker process was killed by {name}", "crashed"

    def _tail(self) -> str:
        """The last lines it printed, without what faulthandler adds: that is the traceback."""
        printed, _, _ = self._log.tail().partition("Fatal Python error:")
        lines = [line[:200] for line in printed.splitlines() if line.strip()]
        return "".join(f"\n  | {line}" for line in lines[-_TAIL_LINES:])


def _retell_error(answer: Message) -> WorkerFailed:
    def text(key: str) -> str:
        found = answer.get(key)
        return found.encode("utf-8", "replace").decode() if isinstance(found, str) else ""

    kind: Any = answer.get("kind")
    return WorkerFailed(
        text("message"),
        kind=kind if kind in _KINDS else "crashed",
        traceback=text("traceback"),
        hint=text("hint") or None,
        family=text("class"),
    )


def _kills_by_the_kernel() -> int | None:
    """How often the out-of-memory killer has struck since boot; None where the system does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
