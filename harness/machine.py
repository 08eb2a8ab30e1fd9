"""What this machine is: the conditions every speed figure depends on, and its peak memory."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.api.errors import EnvironmentProblem
from harness.api.free_memory import read_free_mib
from harness.api.records import Conditions, Precision

SECONDS_TO_BOOST = 0.03
"""How long a GPU works before its clock is read: an idle one says 345 MHz where it works at 1980."""


def resolve_device(device: str) -> str:
    """``cpu`` or ``cuda:N`` as given; EnvironmentProblem where there is no such device."""
    import torch

    if device == "cpu":
        return device
    if not device.startswith("cuda"):
        raise EnvironmentProblem(f"device {device!r} is not known; expected cpu or cuda:N")
    if not torch.cuda.is_available():
        raise EnvironmentProblem(
            f"device {device!r} was asked for, but torch {torch.__version__} finds no CUDA device",
            hint="use --device cpu, or install a CUDA build of torch",
        )
    number = device.removeprefix("cuda").removeprefix(":") or "0"
    if device not in ("cuda", f"cuda:{number}") or not (number.isascii() and number.isdigit()):
        raise EnvironmentProblem(f"device {device!r} is not known; expected cpu or cuda:N")
    index = int(number)
    if index >= torch.cuda.device_count():
        raise EnvironmentProblem(f"device cuda:{index} was asked for, but there are {torch.cuda.device_count()}")
    return f"cuda:{index}"


def machine_name(devices: Sequence[str]) -> str:
    """What speeds depend on most: the name of the processor, or of the GPUs."""
    if not any(device.startswith("cuda") for device in devices):
        return _cpu_name()
    import torch

    return " + ".join(dict.fromkeys(torch.cuda.get_device_name(device) for device in devices))


def allows_tf32(config: object) -> bool:
    """Whether a method or a training asks for fp32 products rounded to TF32: by a constant ``tf32`` that is true."""
    return getattr(config, "tf32", False) is True


@contextmanager
def work_on(device: str, *, tf32: bool = False) -> Iterator[None]:
    """Let ``device`` be torch's current one inside, and fp32 mean fp32 there, unless ``tf32``.

    PyTorch itself rounds the products of convolutions to TF32. On a CPU there is nothing to decide.
    """
    if not device.startswith("cuda"):
        yield
        return
    import torch

    flags: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [_rounds(flag) for flag in flags]
    with torch.cuda.device(device):
        for flag in flags:
            flag.allow_tf32 = tf32
        try:
            yield
        finally:
            for flag, was in zip(flags, before, strict=True):
                flag.allow_tf32 = was


def _rounds(flags: Any) -> bool:
    try:
        return bool(flags.allow_tf32)
    except RuntimeError:  # torch's answer where someone set it for some kinds of layers and not for others
        return True


def torch_threads(device: str) -> int | None:
    """Torch's threads on a CPU; None on a GPU, and where nothing has needed torch (scores of saved masks)."""
    torch = None if device.startswith("cuda") else sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def conditions(
    device: str,
    precision: Precision,
    *,
    resolutions: list[str],
    objects: list[int],
    executor: str,
    tf32: bool = False,
) -> Conditions:
    """The conditions of a run on this machine, read now; ``tf32`` is what ``work_on`` was told."""
    return Conditions(
        torch=version("torch"),
        python=platform.python_version(),
        platform=_platform(),
        precision=precision,
        resolutions=resolutions,
        objects=objects,
        load_average=read_load(),
        cores=os.cpu_count(),
        executor=executor,
        **(_cuda(device, tf32) if device.startswith("cuda") else _cpu()),
    )


def _platform() -> str:
    """As ``platform.platform``, which starts another program for a word that it does not say then."""
    if sys.platform != "linux":
        return platform.platform()
    system = os.uname()
    return "-".join([system.sysname, system.release, system.machine, "with", "".join(platform.libc_ver())])


def read_load() -> float | None:
    """How many processes wanted a core, on the average of the last minute; None where the system cannot tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def list_cores() -> list[int]:
    """The numbers of the cores this process may run on; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def describe_load(load: float | None, cores: int | None) -> str:
    """What to know of clocks on a machine that others keep busy; empty where there is nothing.

    >>> describe_load(7.5, 2)
    'load 7.5 on 2 cores: clocks say as much of what else runs as of the method'
    >>> describe_load(1.2, 2)
    ''
    """
    if load is None or cores is None or load <= cores:
        return ""
    many = f"{cores} core{'s' if cores > 1 else ''}"
    return f"load {load:.1f} on {many}: clocks say as much of what else runs as of the method"


def _cpu() -> dict[str, Any]:
    return {"device": _cpu_name(), "device_type": "cpu", "threads": torch_threads("cpu")}


def _cuda(device: str, tf32: bool) -> dict[str, Any]:
    import torch

    return {
        "device": torch.cuda.get_device_name(device),
        "device_type": "cuda",
        "cuda": torch.version.cuda or "",
        "tf32": tf32 and torch.cuda.get_device_capability(device) >= (8, 0),
        **_nvml(device),
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _nvml(device: str) -> dict[str, Any]:
    """Driver, power limit (watts) and SM clock under load (MHz), each where NVML tells it."""
    import torch

    try:
        import pynvml
    except ImportError:  # a worker's environment may lack it
        return {}
    try:
        pynvml.nvmlInit()
        uuid = "GPU-" + str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return {}
    asks: dict[str, Callable[[], Any]] = {
        "driver": lambda: str(pynvml.nvmlSystemGetDriverVersion()),
        "power_watts": lambda: pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000,
        "clock_mhz": lambda: float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
    }
    told = {}
    _work_a_moment(device)
    for name, ask in asks.items():
        with suppress(pynvml.NVMLError):  # a container may refuse the power limit alone
            told[name] = ask()
    torch.cuda.synchronize(device)
    return told


def _work_a_moment(device: str) -> None:
    """Keep the device busy for a while from now on; it is when this returns."""
    import torch

    try:
        x = torch.ones(2048, 2048, device=device)
        product = torch.empty_like(x)
        for _ in range(200):  # 17 GFLOP each
            torch.mm(x, x, out=product)
    except torch.cuda.OutOfMemoryError:
        return  # the clock of a device that is full is read as it is
    time.sleep(SECONDS_TO_BOOST)


class PeakMemory:
    """Peak memory from here on, in MiB: allocated on a CUDA device, or growth of resident memory on a CPU.

    ``read`` gives None where the system cannot tell (no /proc).
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._start: float | None = None
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM to the present resident size
        except OSError:
            return
        self._start = resident_mib()

    def read(self) -> float | None:
        """MiB at the peak since this object was made."""
        if self._device.startswith("cuda"):
            import torch

            return torch.cuda.max_memory_allocated(self._device) / 2**20
        peak = resident_mib("VmHWM")
        return None if peak is None or self._start is None else max(0.0, peak - self._start)


class LapMemory:
    """A method's peak memory over the laps of a video; on CUDA without the frames that the harness keeps for it.

    Frames that come while a lap runs, from as many threads as keep up, are left out too: what is said of such a lap is
    no more than the method took. On a CPU it is what ``PeakMemory`` says from here on.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._on_cpu = None if device.startswith("cuda") else PeakMemory(device)
        self._kept = 0
        self._most: float | None = None

    def begin(self, kept: int) -> None:
        """A lap begins, while the harness keeps so many bytes on the device; nothing is waited for."""
        self._kept = kept
        if self._on_cpu is None:
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)

    def end(self, kept: int) -> None:
        """The lap is over, with so many bytes kept; what it allocated is known, whether or not the device is done."""
        if self._on_cpu is None:
            import torch

            peak = torch.cuda.memory_stats_as_nested_dict(self._device)["allocated_bytes"]["all"]["peak"]
            self._most = max(self._most or 0.0, (peak - max(self._kept, kept)) / 2**20)

    def read(self) -> float | None:
        """MiB at the peak; None where there was no lap, or the system cannot tell."""
        return self._most if self._on_cpu is None else self._on_cpu.read()


def resident_mib(field: str = "VmRSS") -> float | None:
    """MiB of this process that lie in memory now (VmRSS) or did at the peak (VmHWM); None without /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    return None


def free_mib(device: str) -> float | None:
    """MiB that could be taken now: of a CUDA device, or of this machine within the limit of its container.

    None where the system cannot tell.
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()  # what torch holds unused is free too
        return float(torch.cuda.mem_get_info(device)[0]) / 2**20
    return read_free_mib()
