"""A CUDA device that is none: tensors say they are on it and compute on the CPU, and what would wait for it is noted.

For tests of whole methods on a machine without a card. What is noted: values asked for by the host (``.item()``,
``nonzero``, boolean indexing, ``.cpu()``), and copies to the device out of memory that is not pinned or that are not
asked for as ``non_blocking``. Kernels written in Triton are not launched; what is written around them runs.
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

CUDA = torch.device("cuda:0")
HOPPER = SimpleNamespace(name="pretended", major=9, minor=0, multi_processor_count=132, total_memory=80 * 2**30)
ROOTS = tuple(str(Path(__file__).resolve().parents[1] / name) for name in ("harness", "plugins"))
ASKS = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "is_nonzero")
"""Operations whose answer, or its size, the host has to wait for."""
aten = torch.ops.aten


class Learns(Exception):
    """Gradients are wanted, which the pretence has not."""


class OnDevice(torch.Tensor):
    """A tensor on the pretended device; ``held`` are its numbers."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=CUDA,
            requires_grad=real.requires_grad,
        )
        made.held = real
        return made

    def __repr__(self, **_: Any) -> str:
        return f"on the pretended device: {self.held}"

    def _note(self, how: str) -> torch.Tensor:
        Pretence.running.note([how])
        return self.held

    # What PyTorch does under a guard of the device, which a build without CUDA has not.

    def __getitem__(self, index: Any) -> "OnDevice":
        if any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in _leaves(index)):
            Pretence.running.note(["boolean indexing"])
        return OnDevice(self.held[tree_map(_off, index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, torch.Tensor) and not isinstance(value, OnDevice) and value.ndim:
            Pretence.running.note(["copy to the device that is not pinned and non_blocking"])
        self.held[tree_map(_off, index)] = _off(value)

    def contiguous(self, *_: Any, **how: Any) -> "OnDevice":
        made = self.held.contiguous(**how)
        return self if made is self.held else OnDevice(made)

    def new_tensor(self, data: Any, **how: Any) -> "OnDevice":
        Pretence.running.note(["copy to the device that is not pinned and non_blocking"])
        return OnDevice(self.held.new_tensor(data, **how))

    def __invert__(self) -> torch.Tensor:
        return torch.bitwise_not(self)

    def nonzero(self, **how: Any) -> Any:
        return tree_map(OnDevice, self._note("nonzero").nonzero(**how))

    def item(self) -> Any:
        return self._note("item").item()

    def tolist(self) -> Any:
        return self._note("tolist").tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor on the device has no numpy(); .cpu() first")

    def __int__(self) -> int:
        return int(self._note("int"))

    def __float__(self) -> float:
        return float(self._note("float"))

    def __bool__(self) -> bool:
        return bool(self._note("bool"))

    def __index__(self) -> int:
        return self._note("index").__index__()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            given = [part for part in _leaves((args, kwargs or {})) if isinstance(part, OnDevice)]
            if torch.is_grad_enabled() and any(part.requires_grad for part in given):
                raise Learns(f"{func} is to be differentiated")
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {}, [])


def run(func: Any, args: Any, kwargs: dict[str, Any], waits: list[str]) -> Any:
    """Compute on the CPU; the answer lies on the device where an argument does, unless it says otherwise."""
    given = [part for part in _leaves((args, kwargs)) if isinstance(part, torch.Tensor)]
    is_there = any(isinstance(part, OnDevice) for part in given)
    asked = kwargs.get("device")
    target = torch.device(asked).type if asked is not None else "cuda" if is_there else "cpu"
    name = func.overloadpacket.__name__
    if is_there and name in ASKS:
        waits.append(name)
    if name == "index" and any(isinstance(i, OnDevice) and i.dtype == torch.bool for i in _leaves(args[1])):
        waits.append("boolean indexing")
    source = given[0] if given else None
    if name in ("_to_copy", "copy_", "lift_fresh_copy"):
        _note_copy(name, args, kwargs, target, waits)
    plain = {**kwargs, "device": "cpu"} if asked is not None else kwargs
    plain = {key: value for key, value in plain.items() if key != "pin_memory"}
    answer = func(*tree_map(_off, args), **tree_map(_off, plain))
    if source is not None and name.endswith("_") and isinstance(source, OnDevice) and isinstance(answer, torch.Tensor):
        return source
    return tree_map(_on, answer) if target == "cuda" and name not in ("_local_scalar_dense", "is_nonzero") else answer


def _note_copy(name: str, args: Any, kwargs: dict[str, Any], target: str, waits: list[str]) -> None:
    into, out_of = (args[0], args[1]) if name == "copy_" else (None, args[0])
    from_there = isinstance(out_of, OnDevice)
    to_there = isinstance(into, OnDevice) if into is not None else target == "cuda"
    if from_there and not to_there:
        waits.append("copy to the host")
    if to_there and not from_there and isinstance(out_of, torch.Tensor) and out_of.numel():
        is_asked = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
        if not (is_asked and id(out_of) in PINNED) and not (name == "copy_" and out_of.ndim == 0):
            waits.append("copy to the device that is not pinned and non_blocking")


PINNED: dict[int, torch.Tensor] = {}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def _off(value: Any) -> Any:
    return value.held if isinstance(value, OnDevice) else value


def _on(value: Any) -> Any:
    return OnDevice(value) if isinstance(value, torch.Tensor) and not isinstance(value, OnDevice) else value


class Pretence(TorchDispatchMode):
    """Notes where our own code would wait for the device, as ``found``: what, and the line of ours that did it."""

    running: "Pretence"

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        waits: list[str] = []
        answer = run(func, args, kwargs or {}, waits)
        self.note(waits)
        return answer

    def note(self, waits: list[str]) -> None:
        """Note these with the line of ours that is to blame."""
        if waits:
            ours = [f for f in traceback.extract_stack() if f.filename.startswith(ROOTS)]
            where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {ours[-1].line}" if ours else "elsewhere"
            self.found += [f"{what} at {where}" for what in waits]


@contextlib.contextmanager
def pretend_cuda(monkeypatch: Any) -> Iterator[Pretence]:
    """Let ``cuda:0`` be there."""
    PINNED.clear()

    def pin(tensor: torch.Tensor, *_: Any) -> torch.Tensor:
        PINNED[id(tensor)] = tensor  # held, so that no other tensor gets its id
        return tensor

    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device=None: HOPPER)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(Pretence, "running", Pretence(), raising=False)
    monkeypatch.setattr(torch.inference_mode, "__enter__", _without_gradient)  # which wrapped tensors cannot be in
    monkeypatch.setattr(torch.inference_mode, "__exit__", _with_gradient_again)
    with contextlib.suppress(ImportError):
        from triton.runtime.jit import JITFunction

        monkeypatch.setattr(JITFunction, "__getitem__", lambda kernel, grid: lambda *given, **constants: None)
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter moved is another tensor
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=...) copies by an operation that is seen
    try:
        with Pretence.running as pretence:
            yield pretence
    finally:
        torch._C._set_only_lift_cpu_tensors(before)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _without_gradient(mode: Any) -> None:
    mode._before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)


def _with_gradient_again(mode: Any, *_: object) -> None:
    torch.set_grad_enabled(mode._before)
