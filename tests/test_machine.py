"""Devices that are not there are explained; conditions and peak memory are read from this machine."""

import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from harness.api.errors import EnvironmentProblem
from harness.machine import LapMemory, PeakMemory, _nvml, allows_tf32, conditions, resolve_device, work_on


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


@pytest.fixture
def card(monkeypatch):
    """A machine with a card, as far as torch's settings go; holds the devices that were made the current one."""
    entered = []

    @contextmanager
    def device(name):
        entered.append(name)
        yield
        entered.append("left")

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("harness.machine._nvml", lambda device: {})
    return entered


def flags() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def test_fp32_means_fp32_where_a_device_is_worked_on_unless_tf32_is_asked_for(card):
    before = flags()
    assert before[1]  # torch rounds convolutions by itself
    for asked in (False, True):
        with work_on("cuda:1", tf32=asked):
            assert flags() == (asked, asked)
        assert flags() == before
    with pytest.raises(KeyError), work_on("cuda:1", tf32=True):
        raise KeyError
    assert flags() == before
    assert card[:4] == ["cuda:1", "left"] * 2


def test_on_a_cpu_nothing_is_set(card):
    before = flags()
    with work_on("cpu", tf32=not before[0]):
        assert flags() == before
    assert card == []


def test_flags_of_tf32_that_differ_among_layers_do_not_stop_a_run(card, monkeypatch):
    class Mixed:
        is_set = False

        @property
        def allow_tf32(self):
            if not self.is_set:
                raise RuntimeError("cuDNN conv and cuDNN RNN have different TF32 flags")
            return True

        @allow_tf32.setter
        def allow_tf32(self, value):
            self.is_set = True

    monkeypatch.setattr(torch.backends, "cudnn", Mixed())
    with work_on("cuda:0"):
        assert torch.backends.cudnn.is_set


@pytest.mark.parametrize(
    ("asked", "capability", "told"), [(True, (8, 0), True), (True, (7, 5), False), (False, (9, 0), False)]
)
def test_conditions_tell_tf32_where_it_was_asked_for_and_the_device_has_it(card, monkeypatch, asked, capability, told):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert conditions("cuda:0", "fp32", resolutions=[], objects=[], executor="inline", tf32=asked).tf32 is told


def test_a_config_asks_for_tf32_by_a_constant_of_that_name():
    assert allows_tf32(SimpleNamespace(tf32=True))
    assert not allows_tf32(SimpleNamespace(tf32=False))
    assert not allows_tf32(SimpleNamespace())


class Nvml(ModuleType):
    """NVML of a container that refuses the power limit."""

    class NVMLError(Exception):
        pass

    NVML_CLOCK_SM = 1

    def __init__(self):
        super().__init__("pynvml")

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlSystemGetDriverVersion(self):
        return "580.1"

    def nvmlDeviceGetPowerManagementLimit(self, handle):
        raise self.NVMLError("no permission")

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return 1980 if LOADED else 345


LOADED = []


def test_a_driver_is_told_though_the_power_limit_is_refused_and_the_clock_is_that_under_load(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: LOADED.clear())
    monkeypatch.setattr("harness.machine._work_a_moment", LOADED.append)
    assert _nvml("cuda:0") == {"driver": "580.1", "clock_mhz": 1980.0}
    assert not LOADED


def test_memory_of_laps_leaves_out_what_the_harness_keeps(monkeypatch):
    peaks = iter([900, 1000, 700])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(
        torch.cuda,
        "memory_stats_as_nested_dict",
        lambda device: {"allocated_bytes": {"all": {"peak": next(peaks) * 2**20}}},
    )
    memory = LapMemory("cuda:0")
    assert memory.read() is None
    for before, after in ((200, 100), (100, 300), (0, 0)):
        memory.begin(before * 2**20)
        memory.end(after * 2**20)
    assert memory.read() == 700  # 900 - 200, 1000 - 300 of which 200 came meanwhile, 700


def test_conditions_name_machine_threads_and_precision():
    found = conditions("cpu", "fp32", resolutions=["854x480"], objects=[1, 2], executor="inline")
    assert found.device
    assert found.threads == torch.get_num_threads()
    assert (found.device_type, found.precision) == ("cpu", "fp32")
    assert torch.__version__.startswith(found.torch)  # which may add the build: 2.11.0+cu130
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
