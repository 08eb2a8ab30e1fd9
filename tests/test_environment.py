"""Devices that are not there are explained; conditions and peak memory are read from this machine."""

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


def test_conditions_name_machine_threads_and_precision():
    found = conditions("cpu", "fp32", resolutions=["854x480"], objects=[1, 2], executor="inline")
    assert found.device
    assert found.threads == torch.get_num_threads()
    assert (found.device_type, found.precision, found.torch) == ("cpu", "fp32", torch.__version__)
    other = found.model_copy(update={"threads": 64})
    assert found.group != other.group


def test_peak_memory_sees_what_was_allocated_and_freed():
    memory = PeakMemory("cpu")
    block = np.ones(64 * 2**20, np.uint8)
    del block
    peak = memory.read()
    if peak is None:
        pytest.skip("this system has no /proc/self/clear_refs")
    assert peak >= 60
