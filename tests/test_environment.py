"""Devices that are not there are explained; conditions and peak memory are read from this machine."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.api.errors import EnvironmentProblem
from harness.environment import PeakMemory, conditions, resolve_device


def test_a_device_that_is_not_there_is_an_environment_problem():
    assert resolve_device("cpu") == "cpu"
    with pytest.raises(EnvironmentProblem, match="'mps' is not known; expected cpu or cuda:N"):
        resolve_device("mps")
    if not torch.cuda.is_available():
        with pytest.raises(EnvironmentProblem, match="finds no CUDA device"):
            resolve_device("cuda:0")


@pytest.mark.parametrize("device", ["cuda:x", "cuda:-1", "cuda1", "cuda:0:1", "cudas"])
def test_a_device_that_means_nothing_is_an_environment_problem(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(EnvironmentProblem, match="is not known; expected cpu or cuda:N"):
        resolve_device(device)
    assert (resolve_device("cuda"), resolve_device("cuda:1")) == ("cuda:0", "cuda:1")
    with pytest.raises(EnvironmentProblem, match="there are 2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize(
    ("matmul", "convolutions", "capability", "told"),
    [
        (False, True, (9, 0), True),
        (True, False, (8, 0), True),
        (False, False, (9, 0), False),
        (True, True, (7, 5), False),
    ],
)
def test_tf32_is_told_where_convolutions_alone_may_use_it(monkeypatch, matmul, convolutions, capability, told):
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=matmul))
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(allow_tf32=convolutions))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr("harness.environment._nvml", lambda device: {})
    assert conditions("cuda:0", "fp32", resolutions=[], objects=[], executor="inline").tf32 is told


def test_flags_of_tf32_that_differ_among_layers_do_not_stop_a_run(monkeypatch):
    class Mixed:
        @property
        def allow_tf32(self):
            raise RuntimeError("cuDNN conv and cuDNN RNN have different TF32 flags")

    monkeypatch.setattr(torch.backends, "cudnn", Mixed())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("harness.environment._nvml", lambda device: {})
    assert conditions("cuda:0", "fp32", resolutions=[], objects=[], executor="inline").tf32


def test_conditions_name_machine_threads_and_precision():
    found = conditions("cpu", "fp32", resolutions=["854x480"], objects=[1, 2], executor="inline")
    assert found.device
    assert found.threads == torch.get_num_threads()
    assert (found.device_type, found.precision, found.torch) == ("cpu", "fp32", torch.__version__)
    other = found.model_copy(update={"threads": 64})
    assert found.group != other.group


def test_peak_memory_sees_what_was_allocated_and_freed():
    memory = PeakMemory("cpu")
    block = np.ones(256 * 2**20, np.uint8)
    del block
    peak = memory.read()
    if peak is None:
        pytest.skip("this system has no /proc/self/clear_refs")
    assert peak >= 200  # the rest of the process may have given some back meanwhile
