"""What this machine is: the conditions every speed figure depends on, and its peak memory."""

from __future__ import annotations

import os
import platform
import sys
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
    index = int(device.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise EnvironmentProblem(f"device cuda:{index} was asked for, but there are {torch.cuda.device_count()}")
    return f"cuda:{index}"


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
    """Name and torch's threads; the latter are unknown where nothing has needed torch (scores of saved masks)."""
    torch = sys.modules.get("torch")
    return {
        "device": _cpu_name(),
        "device_type": "cpu",
        "threads": torch.get_num_threads() if torch is not None else None,
    }


def _cuda(device: str) -> dict[str, Any]:
    import torch

    return {
        "device": torch.cuda.get_device_name(device),
        "device_type": "cuda",
        "cuda": torch.version.cuda or "",
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
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
