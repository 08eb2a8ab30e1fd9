"""Methods that break in every way a process can, for the process executor; a plugin named by its file."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import harness.hosting.worker.arrivals as arrivals
from harness import CausalityError, Method, Track, Tracks, hookimpl, kernel, stage


@dataclass(frozen=True)
class Config:
    shift: int = 1
    folder: str = ""
    tricks: str = ""
    flow: str = ""


def die_by_segfault(video, prompts):
    print("about to read address 0")
    ctypes.string_at(0)


def leave(video, prompts):
    os._exit(3)


def leave_politely(video, prompts):
    sys.exit("enough")


def be_killed(video, prompts):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(video, prompts):
    while True:
        pass


def hang_in_native_code(video, prompts):
    ctypes.PyDLL(None).sleep(3600)  # holds the GIL


def lose_it(video, prompts):
    raise RuntimeError("lost it")


def allocate(video, prompts):
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, resource.RLIM_INFINITY))
    torch.zeros(1 << 40, dtype=torch.uint8)


def allocate_in_python(video, prompts):
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, resource.RLIM_INFINITY))
    bytearray(1 << 40)


def hang_up(video, prompts):
    os.closerange(3, 100)
    time.sleep(3600)


def babble(video, prompts):
    for descriptor in range(3, 100):
        try:
            os.write(descriptor, b"\x00\x00\x00\x05hello")
        except OSError:
            continue


def look_ahead(video, prompts):
    video[len(video) - 1]


def look_two_ahead(video, prompts):
    video[3]


def look_ahead_by_force(video, prompts):
    video._horizon.last = None  # the run holds the real one
    video[len(video) - 1]


def yield_small(video, prompts):
    return prompts[0][::2, ::2]


def yield_float(video, prompts):
    return prompts[0].float()


def yield_array(video, prompts):
    return prompts[0].numpy()


def yield_wrong_id(video, prompts):
    return prompts[0] * 7


TRICKS = {
    trick.__name__: trick
    for trick in (
        *(die_by_segfault, leave, leave_politely, be_killed, hang, hang_in_native_code, lose_it, allocate),
        *(allocate_in_python, hang_up, babble, look_ahead, look_two_ahead, look_ahead_by_force),
        *(yield_small, yield_float, yield_array, yield_wrong_id),
    )
}


class Breaks:
    """Copies the first mask; at frame 1 of each video comes the next trick of those its config names."""

    def __init__(self, tricks):
        self.tricks = [TRICKS[name] for name in tricks.split()]

    def propagate(self, video, prompts):
        number = int(video.name.removeprefix("video-"))
        for t in range(len(video)):
            spoilt = self.tricks[number](video, prompts) if t == 1 and number < len(self.tricks) else None
            yield prompts[0].clone() if spoilt is None else spoilt


@kernel(example=lambda device: [], reference=torch.roll)
def roll(mask, shift, dim):
    return torch.roll(mask, shift, dim)


class Shifts:
    """Moves the first mask as the square of the tests moves; reads frames, draws random numbers, names its parts."""

    def __init__(self, context):
        self.config = context.config

    @torch.inference_mode()
    def propagate(self, video, prompts):
        for t in range(len(video)):
            assert video[t].shape == (*video.size, 3)
            assert video[0].dtype == torch.uint8
            with stage("think"):
                noise = (torch.rand(video.size) < 0.02).to(prompts[0])
                mask = roll(prompts[0], self.config.shift * t, 1)
            yield mask ^ noise & (video[t][..., 0] > 0)


class Spies:
    """Writes down what it can see."""

    def __init__(self, context):
        self.folder = Path(context.config.folder)

    def propagate(self, video, prompts):
        seen = [video.name, *video.frame_names, *os.environ, *os.environ.values(), *sys.argv]
        (self.folder / f"{video.name}.txt").write_text("\n".join(seen))
        for t in range(len(video)):
            assert list(prompts) == [p for p in (0, 3) if p <= t]
            assert 3 in prompts if t >= 3 else True
            yield prompts[0]


class Shouts:
    def propagate(self, video, prompts):
        for _ in range(len(video)):
            print("x" * (4 << 20))
            sys.stderr.write("y" * (1 << 20) + "\n")
            yield prompts[0]


class Waits:
    """Writes its process id and that of a child of its own, then waits for ever."""

    def __init__(self, context):
        self.folder = Path(context.config.folder)

    def propagate(self, video, prompts):
        yield prompts[0]
        other = subprocess.Popen(["sleep", "3600"])
        (self.folder / "pids.tmp").write_text(f"{os.getpid()} {other.pid}")
        (self.folder / "pids.tmp").rename(self.folder / "pids")
        while True:
            pass


class Remembers:
    """Reads every frame again, also those that are long gone; catches what it may not see."""

    def propagate(self, video, prompts):
        arrivals.KEPT_BYTES = 0  # in its own process: six frames are kept
        for t in range(len(video)):
            assert [int(video[s][..., 0].nonzero()[0, 1]) for s in range(t + 1)] == list(range(1, t + 2))
            try:
                video[t + 1]
            except (CausalityError, IndexError):
                yield prompts[0]


class FindsTracks:
    def segment_tracks(self, video):
        with stage("find"):
            mask = video[0][..., 0] > 0
        return Tracks([Track(3, 0.5, [mask, None, mask, None, ~mask]), Track(1, 1.5, [None] * len(video))])


class FindsWrongTracks:
    def segment_tracks(self, video):
        mask = video[0][..., 0] > 0
        return Tracks([Track("cat", 0.5, [mask] * len(video))])


class ReturnsAList:
    def segment_tracks(self, video):
        return [{"re": "track"}]


def fail_to_build(context):
    raise KeyError("layer7")


class AtOnce:
    """No generator: it works when it is called."""

    def propagate(self, video, prompts):
        with stage("all at once"):
            masks = [prompts[0].clone() for _ in range(len(video))]
        return masks


class Writes(AtOnce):
    """Writes down which providers and facts it is given."""

    def __init__(self, context):
        told = {name: str(spec) for name, spec in context.providers.items()} | dict(context.facts)
        (Path(context.config.folder) / "told.txt").write_text(repr(told))


def die_in_build(context):
    ctypes.string_at(0)


@hookimpl
def harness_methods():
    def card(name, build, **changes):
        return Method(**{"name": name, "tasks": ("one-shot",), "build": build, "config": Config, **changes})

    vis = {"tasks": ("vis",), "causality": "offline"}
    return [
        card("breaks", lambda context: Breaks(context.config.tricks)),
        card("shifts", Shifts),
        card("at_once", lambda context: AtOnce()),
        card("looks_back", lambda context: Remembers()),
        card("spies", Spies),
        card("shouts", lambda context: Shouts()),
        card("waits", Waits),
        card("offline", lambda context: Breaks("look_ahead"), causality="offline"),
        card("window", lambda context: Breaks("look_two_ahead"), causality="window", lookahead=2),
        card("replays", Shifts, replays=True),
        card("tracks", lambda context: FindsTracks(), **vis),
        card("wrong_tracks", lambda context: FindsWrongTracks(), **vis),
        card("list", lambda context: ReturnsAList(), **vis),
        card("provided", Writes, providers={"flow": "flow"}),
        card("unbuilt", fail_to_build),
        card("dies_in_build", die_in_build),
    ]
