"""Machine code of loops over arrays: compiled once by Numba, kept on disk, and loaded later without it.

Importing Numba takes longer than scoring a video, and 60 MiB; what it compiled needs neither it nor, on x86-64 Linux,
LLVM (``object_code``). A loop is written in plain Python over arrays. Where neither Numba nor kept machine code is
there, it runs as it stands: slower, with the same numbers. A release of Numba that does not hand out its object files
compiles anew in each process.

Kept machine code is run, so it is read only where nobody but this user, or whoever owns the loops' source, could have
written it.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from harness.api.held_memory import leave_out_compilers
from harness.api.kept_files import keep_file, read_kept, user_cache
from harness.api.object_code import Image, UnknownObjectFile

Function = Callable[..., Any]

_BYTE: Any = ctypes.c_char
_NUMBERS: dict[str, Any] = {"i8": ctypes.c_int64, "f8": ctypes.c_double}
_NUMBA_NAMES = {"u1": "uint8", "i4": "int32", "i8": "int64", "u8": "uint64", "f4": "float32", "f8": "float64"}
_EXTERNAL = re.compile(rb"(?:NRT|numba)_\w+")
"""Names of Numba's own run time in an object file."""
_UNREACHED = set(
    b"NRT_Free NRT_MemInfo_call_dtor NRT_decref NRT_incref numba_do_raise numba_gil_ensure numba_gil_release "
    b"numba_runtime_build_excinfo_struct numba_unpickle".split()
)
"""Those that code refers to which allocates and raises nothing: what would tell of an error, and let go of arrays."""
_ALLOCATES = re.compile(r"NRT_(?:MemInfo_)?(?:alloc|Allocate|Reallocate)")
"""How the names begin by which Numba's run time hands out memory."""


def as_array(array: np.ndarray, shape: Any) -> np.ndarray:
    """In a loop: the array that begins at a pointer. In machine code this is Numba's ``carray``."""
    return array.reshape(shape)


_NUMBA_SETTINGS = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_BOUNDSCHECK", "NUMBA_LOOP_VECTORIZE")
"""Variables of the environment that Numba compiles otherwise for."""


class Loops:
    """The loops of one file, which call each other and nothing of another file.

    ``entry("u1*, i8 -> i8")`` decorates a loop that is called from outside: arrays are passed as pointers (``*``) to
    contiguous elements, their shapes as numbers. ``inner`` decorates one that is called by loops only. A loop
    allocates nothing and raises nothing, for both would need Numba's run time. One that has to be quick takes
    ``np.uint64`` indices: a signed one may count from the end, and to ask that of each keeps a loop from being
    vectorised. Write ``@no_type_check`` below both, or the shape checks of the tests would stand between Numba and
    the function.
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
        """A loop that is called from outside, with its types: ``i8 f8``, and of arrays ``u1* i4* i8* u8* f4* f8*``."""

        def decorate(function: Function) -> Entry:
            self._functions[function.__name__] = function
            return Entry(self, function, signature)

        return decorate

    def compile(self, entry: Entry) -> Any:
        """The entry as Numba's ``cfunc``; ImportError where Numba is missing."""
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
        return numba.cfunc(result(*types), error_model="numpy")(twin)

    def object_file(self, entry: Entry, compiled: Any) -> tuple[str, bytes] | None:
        """The entry's name in its object file, and that file; None where this Numba hands out none that loads alone.

        TypeError where the loop allocates.
        """
        try:
            name, code = compiled.native_name, compiled._library._get_compiled_object()
        except (AttributeError, TypeError, RuntimeError):  # no public name for it: another release may have another
            return None
        if not isinstance(name, str) or not isinstance(code, bytes):
            return None
        needed = sorted(found.decode() for found in set(_EXTERNAL.findall(code)) - _UNREACHED)
        if any(_ALLOCATES.match(found) for found in needed):
            raise TypeError(f"loop {entry.name} of {self.file.name} needs Numba's run time: {', '.join(needed)}")
        return None if needed else (name, code)  # names that a later release has brought are found by Numba alone

    def stamp(self) -> str:
        """What machine code depends on: this file, the loops' file with the numbers it takes from others, compilers."""
        settings = [os.environ.get(name) for name in _NUMBA_SETTINGS]
        total = hashlib.sha256(f"{_compilers()} {settings} {self._numbers()}".encode())
        for path in (Path(__file__), self.file):
            total.update(path.read_bytes())
        return total.hexdigest()

    def _numbers(self) -> list[str]:
        """The constants that loops name, which may come from another file: they are compiled in."""
        found = set()
        for function in self._functions.values():
            values = ((name, function.__globals__.get(name)) for name in function.__code__.co_names)
            found |= {f"{name}={value!r}" for name, value in values if isinstance(value, int | float | np.generic)}
        return sorted(found)


class Pinned:
    """An array that loops are given again and again: where it lies is looked up once."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.address = _address(array, array.dtype)


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
            return run(*[given.array if type(given) is Pinned else given for given in arguments])
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
        kinds = [ctypes.c_void_p if kind.endswith("*") else _NUMBERS[kind] for kind in self.types]
        prototype = ctypes.CFUNCTYPE(_NUMBERS[self.result], *kinds)
        try:
            found = _load_or_compile(self, self._loops)
            if not isinstance(found, tuple):
                self._engine = found  # Numba's own, which stays in its process
                return prototype(found.address)
            name, code = found
            self._engine, address = _load(code, name)  # the engine owns the machine code
        except (ImportError, OSError):  # no wheel for this Python, or one whose library cannot be loaded here
            return None
        return prototype(address)


@functools.cache
def _compilers() -> str:
    """Their releases; PackageNotFoundError, an ImportError, where one is missing."""
    return f"{version('numba')} {version('llvmlite')}"


def _address(array: np.ndarray | Pinned, dtype: np.dtype[Any]) -> int:
    if isinstance(array, Pinned):
        if array.array.dtype == dtype:
            return array.address
        array = array.array
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"a loop takes contiguous arrays of {dtype}, not {array.dtype} with strides {array.strides}")
    try:
        return ctypes.addressof(_BYTE.from_buffer(array))  # twice as soon as below
    except (TypeError, ValueError):  # one that cannot be written to, or is empty
        return array.ctypes.data


def _load_or_compile(entry: Entry, loops: Loops) -> Any:
    """The entry's name in an object file, and that file; Numba's cfunc where it hands out none."""
    name = f"{Path(loops.file).stem}.{entry.name}-{_machine()}.machine"
    try:
        stamp = loops.stamp()
    except OSError:  # no source beside the byte code: nothing says whether kept code is of these loops
        return _compile(entry, loops)
    folders = _folders(loops.file)
    owners = {os.getuid(), loops.file.stat().st_uid}
    for folder in folders:
        try:
            kept_stamp, symbol, code = read_kept(folder / name, owners).split(b"\n", 2)
        except (OSError, ValueError):
            continue
        found, _, digest = kept_stamp.decode("ascii", "replace").partition(" ")
        if found == stamp and digest == hashlib.sha256(code).hexdigest():
            return symbol.decode(), code
    made = _compile(entry, loops)
    if isinstance(made, tuple):
        head = f"{stamp} {hashlib.sha256(made[1]).hexdigest()}\n{made[0]}\n".encode()
        for folder in folders:  # where none can be written to it is compiled again next time
            if keep_file(folder, name, head + made[1]):
                break
    return made


def _compile(entry: Entry, loops: Loops) -> Any:
    with leave_out_compilers():
        compiled = loops.compile(entry)
        return loops.object_file(entry, compiled) or compiled


@functools.cache
def _machine() -> str:
    """A short name of the processor that code is compiled for."""
    told = _ask_linux() or _ask_llvm()
    return hashlib.sha256(told.encode()).hexdigest()[:12]


_OF_THE_PROCESSOR = re.compile(r"^(vendor_id|cpu family|model|flags)[ \t]*:.*$", re.MULTILINE)


def _ask_linux() -> str:
    """Vendor, model and features as the system lets programs use them; empty where it does not tell them all."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read(1 << 14).partition("\n\n")[0]
    except OSError:
        return ""
    lines = [found[0] for found in _OF_THE_PROCESSOR.finditer(first)]
    return "\n".join([os.uname().machine, *lines]) if len(lines) == 4 else ""


def _ask_llvm() -> str:
    import llvmlite.binding as llvm

    try:
        features = llvm.get_host_cpu_features().flatten()
    except RuntimeError:  # where LLVM cannot tell, Numba compiles for the processor's name alone
        features = ""
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {features}"


def _folders(file: Path) -> Sequence[Path]:
    """Where machine code may lie: where the byte code of its file does, else in the user's cache."""
    return (file.parent / "__pycache__", user_cache("machine-code"))


def _load(code: bytes, name: str) -> tuple[Any, int]:
    """What owns the functions of an object file, and the address of the one of that name."""
    try:
        image = Image(code, _find_external)
        return image, image.address_of(name)
    except (UnknownObjectFile, OSError, KeyError):  # another processor, or a system that forbids it: LLVM knows more
        engine = _load_by_llvm(code)
        return engine, engine.get_function_address(name)


def _find_external(name: str) -> int | None:
    """The address of a function of Python, of the C library, or of one that ends the process (see ``_UNREACHED``)."""
    name = "abort" if name.encode() in _UNREACHED else name
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value
    except AttributeError:
        return None


def _load_by_llvm(code: bytes) -> Any:
    """An engine that holds the functions of an object file."""
    import llvmlite.binding as llvm

    for name in _UNREACHED:
        if llvm.address_of_symbol(name.decode()) is None:
            llvm.add_symbol(name.decode(), _find_external(name.decode()))
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine
