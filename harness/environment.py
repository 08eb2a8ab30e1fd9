"""What this machine is: the conditions every speed figure depends on, and its peak memory."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from harness.api.errors import EnvironmentProblem
from harness.api.records import Conditions


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


def torch_threads(device: str) -> int | None:
    """Torch's threads on a CPU; None on a GPU, and where nothing has needed torch (scores of saved masks)."""
    torch = None if device.startswith("cuda") else sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def conditions(
    device: str,
    precision: Literal["fp32", "bf16", "fp16"],
    *,
    resolutions: list[str],
    objects: list[int],
    executor: str,
) -> Conditions:
    """The conditions of a run on this machine, read now."""
    return Conditions(
        torch=version("torch"),
        python=platform.python_version(),
        platform=platform.platform(),
        precision=precision,
        resolutions=resolutions,
        objects=objects,
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        executor=executor,
        **(_cuda(device) if device.startswith("cuda") else _cpu()),
    )


def _cpu() -> dict[str, Any]:
    return {"device": _cpu_name(), "device_type": "cpu", "threads": torch_threads("cpu")}


def _cuda(device: str) -> dict[str, Any]:
    import torch

    return {
        "device": torch.cuda.get_device_name(device),
        "device_type": "cuda",
        "cuda": torch.version.cuda or "",
        "tf32": _uses_tf32(device),
        **_nvml(device),
    }


def _uses_tf32(device: str) -> bool:
    """Whether fp32 may be rounded to TF32 somewhere: torch allows it for convolutions unless told otherwise."""
    import torch

    try:
        is_allowed = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    except RuntimeError:  # torch's answer where a method has set it for some kinds of layers and not for others
        is_allowed = True
    return bool(is_allowed) and torch.cuda.get_device_capability(device) >= (8, 0)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _nvml(device: str) -> dict[str, Any]:
    """Driver, power limit (watts) and SM clock (MHz) by NVML; empty where NVML does not answer."""
    import torch

    try:
        import pynvml
    except ImportError:  # a worker's environment may lack it
        return {}
    try:
        pynvml.nvmlInit()
        uuid = "GPU-" + str(torch.cuda.get_device_properties(device).uuid)
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return {
            "driver": str(pynvml.nvmlSystemGetDriverVersion()),
            "power_watts": pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000,
            "clock_mhz": float(pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        }
    except pynvml.NVMLError:
        return {}


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
