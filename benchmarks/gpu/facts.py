"""Step ``facts``: what this machine is, and whether the device answers at all."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from benchmarks.gpu.rows import Task, task_of

TOLD = ("torch", "triton", "numpy", "scipy", "numba", "pydantic", "opencv-python-headless", "jaxtyping", "pytest")


def main(task: Task) -> None:
    """One row of facts; the device is multiplied on once."""
    import torch

    facts: dict[str, object] = {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "device": task.device,
    }
    facts |= {name: _version(name) for name in TOLD}
    if task.is_cuda:
        properties = torch.cuda.get_device_properties(task.device)
        free, total = torch.cuda.mem_get_info(task.device)
        facts |= {
            "gpu": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(total / 2**30, 1),
            "free_gib": round(free / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "devices": torch.cuda.device_count(),
        }
        facts |= _nvml(task.device)
    x = torch.ones(64, 64, device=task.device)
    assert float((x @ x).sum()) == 64**3, "the device cannot multiply"
    for name, value in facts.items():
        task.rows.add("facts", what=name, value=value)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _nvml(device: str) -> dict[str, object]:
    from harness.machine import conditions

    told = conditions(device, "fp32", resolutions=[], objects=[], executor="inline")
    return {"driver": told.driver, "power_watts": told.power_watts, "clock_mhz": told.clock_mhz, "tf32": told.tf32}


if __name__ == "__main__":
    main(task_of())
