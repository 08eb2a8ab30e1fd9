"""The worker: hosts one method in a process of its own and answers what the run asks; it knows no truth and no names.

It needs what ``harness.api`` needs (pluggy, pydantic, numpy), torch and the plugin; not the rest of the harness's
dependencies, and no particular torch.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import resource
import socket
import threading
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import torch

from harness.api.contracts import BuildContext, Method
from harness.api.errors import CannotWrite, CausalityError, HarnessError, PluginError
from harness.api.foreign import describe_error, describe_traceback, make_storable
from harness.api.tasks import TASKS
from harness.api.video import Tracks
from harness.catalog import Catalog
from harness.files import is_disk_full
from harness.hosting.conversation import Conversation, View
from harness.hosting.here import Hosted, kind_of
from harness.hosting.worker.arrivals import Arrivals
from harness.hosting.worker.messages import PROTOCOL, Channel, Closed, Message
from harness.hosting.worker.shared import SharedSlots
from harness.hosting.worker.values import describe_value, messages_of_tracks
from harness.machine import allows_tf32, conditions, resolve_device, work_on
from harness.planning.config import as_json, configure
from harness.planning.provenance import code_digest
from harness.planning.providers import resolve_providers
from harness.version import __version__


def main(end: int, memory: int) -> None:
    """Serve the run at the other end of the socket until it is gone."""
    for descriptor in (end, memory):
        os.set_inheritable(descriptor, False)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    channel = Channel(socket.socket(fileno=end))
    channel.send({"re": "hello", "protocol": PROTOCOL, "harness": __version__, "python": platform.python_version()})
    with contextlib.suppress(Closed):
        Worker(channel, SharedSlots(memory)).serve()


class Worker:
    """Answers one ask after another."""

    def __init__(self, channel: Channel, slots: SharedSlots) -> None:
        self._channel = channel
        self._slots = slots
        self._turn = threading.RLock()
        self._is_asked = False
        self._held = contextlib.ExitStack()
        """What holds until the process ends."""

    def serve(self) -> None:
        """Answer until the run closes the channel; an error is an answer too."""
        answers = {
            "describe": self._describe,
            "build": self._build,
            "start": self._start,
            "frame": self._frame,
            "prompt": self._prompt,
            "next": self._next,
            "tracks": self._tracks,
            "timing": self._timing,
            "stop": self._stop,
        }
        while True:
            ask = self._channel.receive()
            self._is_asked = True
            try:
                answer = {"re": "done", **(answers[ask["do"]](ask) or {})}
            except BaseException as error:  # no Ctrl-C comes here: the worker has a session of its own
                answer = _error(error)
            with self._turn:
                self._is_asked = False
                self._channel.send(answer)

    def _describe(self, ask: Message) -> Message:
        from harness.hosting.worker.description import describe_method

        return describe_method(ask)

    def _build(self, ask: Message) -> None:
        if ask["threads"]:
            torch.set_num_threads(ask["threads"])
        self._device = resolve_device(ask["device"])
        card = _card(ask)
        config = configure(card, ask["preset"], ask["overrides"])
        if as_json(config) != ask["config"]:
            raise PluginError(f"the config of {card.name} is {as_json(config)} here, expected {ask['config']}")
        self._precision = ask["precision"]
        self._tf32 = allows_tf32(config)
        self._held.enter_context(work_on(self._device, tf32=self._tf32))
        self._task = TASKS[ask["task"]]
        context = BuildContext(
            task=ask["task"],
            config=config,
            device=self._device,
            precision=ask["precision"],
            weights=Path(ask["weights"]) if ask["weights"] else None,
            seed=ask["seed"],
            providers=resolve_providers(card.name, card.providers, config),
        )
        self._hosted = Hosted.build(card, context)

    def _start(self, ask: Message) -> None:
        self._arrivals = Arrivals(ask, self._slots, self._device, self._fetch)
        arrivals = self._arrivals
        clocks = self._hosted.clocks(ask["height"], ask["width"], ask["objects"])
        clocks.bytes_kept = arrivals.bytes_kept
        view = View(arrivals.video, arrivals.prompts, arrivals.horizon)
        self._talk = Conversation(self._hosted.method, self._task, view, clocks)

    def _frame(self, ask: Message) -> None:
        self._arrivals.take_frame(ask["frame"])

    def _prompt(self, ask: Message) -> None:
        self._arrivals.take_prompt(ask["frame"])

    def _next(self, ask: Message) -> Message:
        """The next mask: in its slot where it is what a mask must be, described otherwise."""
        ask_it = self._talk.ask_beyond if ask["beyond"] else self._talk.ask_mask
        mask = ask_it(ask["horizon"])
        if mask is None:
            return {"mask": "none"}
        size = self._arrivals.video.size
        if isinstance(mask, torch.Tensor) and mask.dtype == torch.uint8 and tuple(mask.shape) == size:
            self._slots.mask[:] = mask.cpu().numpy()
            return {"mask": "here"}
        return {"mask": describe_value(mask)}

    def _tracks(self, ask: Message) -> Message:
        def to_host(found: Any) -> tuple[Any, list[Message]]:
            return found, list(messages_of_tracks(found)) if isinstance(found, Tracks) else []

        found, messages = self._talk.ask_tracks(ask["horizon"], to_host)
        for message in messages:
            self._channel.send(message)
        return {"tracks": "sent" if isinstance(found, Tracks) else describe_value(found)}

    def _timing(self, ask: Message) -> Message:
        timing = self._talk.clocks.timing(self._arrivals.seconds)
        found = conditions(
            self._device, self._precision, resolutions=[], objects=[], executor="process", tf32=self._tf32
        )
        return {"timing": timing.model_dump(), "conditions": found.model_dump()}

    def _stop(self, ask: Message) -> None:
        """Let go of the video and of the method's generator."""
        self._talk.close()
        del self._arrivals, self._talk

    def _fetch(self, frame: int) -> None:
        """Have the run put an earlier frame into the slot once more."""
        with self._turn:
            if not self._is_asked:
                raise RuntimeError(f"frame {frame} is no longer in memory, and no mask is being asked for")
            self._channel.send({"re": "want", "frame": frame})
            answer = self._channel.receive()
        if "refused" in answer:
            raise CausalityError(answer["refused"], hint=answer["hint"])


def _card(ask: Message) -> Method:
    """The card from the one module that offers it: no other plugin is imported here."""
    catalog = Catalog.load([EntryPoint(ask["entry_point"], ask["module"], "harness")])
    for broken in (found for found in catalog.broken if found.card in ("", ask["plugin"])):
        raise PluginError(f"plugin {ask['module']} is broken in the worker: {broken.error}")
    if code_digest(ask["module"]) != ask["code_sha256"]:
        raise PluginError(
            f"the code of {ask['module']} is not what the run was planned with",
            hint="it was edited meanwhile, or the worker finds another copy; start the run again",
        )
    return catalog.methods.get(ask["plugin"])


def _error(error: BaseException) -> Message:
    return {
        "re": "error",
        "class": _family_of(error),
        "kind": kind_of(error),
        "message": make_storable(str(error.message)) if isinstance(error, HarnessError) else describe_error(error),
        "hint": error.hint if isinstance(error, HarnessError) else None,
        "traceback": describe_traceback(error),
    }


def _family_of(error: BaseException) -> str:
    """Which of our errors it is as; empty for any other."""
    if is_disk_full(error):
        return CannotWrite.__name__
    return type(error).__name__ if isinstance(error, HarnessError) else ""
