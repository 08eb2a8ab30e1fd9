"""Machine code of the metrics' loops: compiled once by Numba, kept on disk, and loaded later by llvmlite alone.

Importing Numba takes longer than scoring a video, and 60 MiB; what it compiled does not need it. A loop is written in
plain Python over arrays. Where neither Numba nor kept machine code is there, it runs as it stands: slower, with the
same numbers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

Function = Callable[..., Any]

_NUMBERS: dict[str, Any] = {"i8": ctypes.c_int64, "f8": ctypes.c_double}
_NUMBA_NAMES = {"u1": "uint8", "i4": "int32", "i8": "int64", "u8": "uint64", "f8": "float64"}
_EXTERNAL = re.compile(rb"(?:NRT|numba)_\w+")
"""Names of Numba's own run time in an object file."""
_UNREACHED = set(
    b"NRT_Free NRT_MemInfo_call_dtor NRT_decref NRT_incref numba_do_raise numba_gil_ensure numba_gil_release "
    b"numba_runtime_build_excinfo_struct numba_unpickle".split()
)
"""Those that code refers to which allocates and raises nothing: what would tell of an error, and let go of arrays."""


def as_array(array: np.ndarray, shape: Any) -> np.ndarray:
    """In a loop: the array that begins at a pointer. In machine code this is Numba's ``carray``."""
    return array.reshape(shape)


class Loops:
    """The loops of one file, which call each other and nothing of another file.

    ``entry("u1*, i8 -> i8")`` decorates a loop that is called from outside: arrays are passed as pointers (``*``) to
    contiguous elements, their shapes as numbers. ``inner`` decorates one that is called by loops only. A loop
    allocates nothing and raises nothing, for both would need Numba's run time. Write ``@no_type_check`` below both, or
    the shape checks of the tests would stand between Numba and the function.
    """

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.lock = threading.Lock()
        self._functions: dict[str, Function] = {}

    def inner(self, function: Function) -> Function:
        """A loop that only other loops of this file call."""
        self._functions[function.__name__] = function
        return function

    def entry(self, signature: str) -> Callable[[Function], Entry]:
        """A loop that is called from outside, with its types: ``u1 i4 i8 u8 f8``, ``*`` behind those of an array."""

        def decorate(function: Function) -> Entry:
            self._functions[function.__name__] = function
            return Entry(self, function, signature)

        return decorate

    def compile(self, entry: Entry) -> tuple[str, bytes]:
        """The name of the entry in its object file, and that file; ImportError where Numba is missing."""
        import numba

        namespace = {**entry.function.__globals__, "as_array": numba.carray}
        for name, function in self._functions.items():
            twin = FunctionType(function.__code__, namespace, name)  # finds the compiled ones under the same names
            namespace[name] = numba.njit(nogil=True, error_model="numpy")(twin)
        types = [getattr(numba.types, _NUMBA_NAMES[kind.rstrip("*")]) for kind in entry.types]
        pairs = zip(types, entry.types, strict=True)
        types = [numba.types.CPointer(base) if kind.endswith("*") else base for base, kind in pairs]
        result = getattr(numba.types, _NUMBA_NAMES[entry.result])
        twin = FunctionType(entry.function.__code__, namespace, entry.name)
        compiled: Any = numba.cfunc(result(*types), error_model="numpy")(twin)
        code = compiled._library._get_compiled_object()
        needed = sorted(name.decode() for name in set(_EXTERNAL.findall(code)) - _UNREACHED)
        if needed:
            raise TypeError(f"loop {entry.name} of {self.file.name} needs Numba's run time: {', '.join(needed)}")
        return compiled.native_name, code

    def stamp(self) -> str:
        """What machine code depends on: this file, the loops' file, and the two compilers' releases."""
        total = hashlib.sha256(f"{version('numba')} {version('llvmlite')}".encode())
        for path in (Path(__file__), self.file):
            total.update(path.read_bytes())
        return total.hexdigest()


class Entry:
    """A loop as the rest of the harness calls it; it finds its machine code at the first call."""

    def __init__(self, loops: Loops, function: Function, signature: str) -> None:
        arguments, _, self.result = (part.strip() for part in signature.partition("->"))
        self.function = function
        self.name = function.__name__
        self.types = [kind.strip() for kind in arguments.split(",")]
        self._loops = loops
        self._dtypes = [np.dtype(kind.rstrip("*")) if kind.endswith("*") else None for kind in self.types]
        self._run: Function | None = None
        self._engine: Any = None

    @property
    def is_compiled(self) -> bool:
        """Whether calls run machine code; looks for it where nobody has yet."""
        return self._ready() is not self.function

    def __call__(self, *arguments: Any) -> Any:
        run = self._run or self._ready()
        if run is self.function:
            return run(*arguments)
        passed = zip(arguments, self._dtypes, strict=True)
        return run(*[value if dtype is None else _address(value, dtype) for value, dtype in passed])

    def _ready(self) -> Function:
        if self._run is None:
            with self._loops.lock:
                self._run = self._run or self._find() or self.function
        return self._run

    def _find(self) -> Function | None:
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return None
        try:
            name, code = _kept_or_compiled(self, self._loops)
        except (ImportError, PackageNotFoundError):  # no wheel for this Python, or an environment without it
            return None
        kinds = [ctypes.c_void_p if kind.endswith("*") else _NUMBERS[kind] for kind in self.types]
        self._engine = _load(code)  # owns the machine code
        call: Function = ctypes.CFUNCTYPE(_NUMBERS[self.result], *kinds)(self._engine.get_function_address(name))
        return call


def _address(array: np.ndarray, dtype: np.dtype[Any]) -> int:
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"a loop takes contiguous arrays of {dtype}, not {array.dtype} with strides {array.strides}")
    return array.ctypes.data


def _kept_or_compiled(entry: Entry, loops: Loops) -> tuple[str, bytes]:
    import llvmlite.binding as llvm

    machine = f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
    name = f"{Path(loops.file).stem}.{entry.name}-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.machine"
    try:
        stamp = loops.stamp()
    except OSError:  # no source beside the byte code: nothing says whether kept code is of these loops
        return loops.compile(entry)
    folders = _folders(loops.file)
    for folder in folders:
        try:
            kept_stamp, symbol, code = (folder / name).read_bytes().split(b"\n", 2)
        except (OSError, ValueError):
            continue
        found, _, digest = kept_stamp.decode("ascii", "replace").partition(" ")
        if found == stamp and digest == hashlib.sha256(code).hexdigest():
            return symbol.decode(), code
    symbol_name, code = loops.compile(entry)
    head = f"{stamp} {hashlib.sha256(code).hexdigest()}\n{symbol_name}\n".encode()
    _keep(folders, name, head + code)
    return symbol_name, code


def _folders(file: Path) -> Sequence[Path]:
    """Where machine code may lie: where the byte code of its file does, else in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return (file.parent / "__pycache__", Path(cache) / "vos-harness" / "machine-code")


def _keep(folders: Sequence[Path], name: str, content: bytes) -> None:
    """Write the file into the first folder that can be written to; in none, it is compiled again next time."""
    for folder in folders:
        temporary = folder / f".{name}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(content)
            temporary.replace(folder / name)
            return
        except OSError:
            continue


def _load(code: bytes) -> Any:
    """An engine that holds the functions of an object file."""
    import llvmlite.binding as llvm

    for name in _UNREACHED:
        if llvm.address_of_symbol(name.decode()) is None:
            llvm.add_symbol(name.decode(), ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
