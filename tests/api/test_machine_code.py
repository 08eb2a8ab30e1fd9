"""Machine code of loops: kept on disk, loaded without Numba, compiled again where it does not fit."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from harness.api.machine_code import Loops

LOOPS = """
from typing import no_type_check

import numpy as np
from harness.api.machine_code import Loops, as_array

LOOPS = Loops(__file__)


@LOOPS.entry("i8*, i8, i8, f8 -> f8")
@no_type_check
def weigh(table, rows, columns, weight):
    table = as_array(table, (rows, columns))
    total = 0.0
    for y in range(rows):
        total += _sum(table[y]) * weight
    return total


@LOOPS.inner
@no_type_check
def _sum(row):
    total = 0
    for value in row:
        total += value
    return total
"""

RUN = """
import sys
import numpy as np
from loops import weigh
print(weigh(np.arange(6).reshape(2, 3), 2, 3, 0.5), weigh.is_compiled, "numba" in sys.modules)
print("llvmlite" in sys.modules, file=sys.stderr)
"""


def run(folder: Path, **environment: str) -> list[str]:
    place = {**os.environ, "PYTHONPATH": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), **environment}
    done = subprocess.run([sys.executable, "-c", RUN], env=place, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "loops.py").write_text(LOOPS)
    return tmp_path


def find_kept(folder: Path) -> Path:
    (path,) = (folder / "__pycache__").glob("loops.weigh-*.machine")
    return path


def test_what_was_compiled_once_runs_without_numba(folder: Path) -> None:
    assert run(folder) == ["7.5", "True", "True"]
    assert run(folder) == ["7.5", "True", "False"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="elsewhere LLVM loads it")
def test_llvm_is_needed_only_where_memory_may_not_be_made_executable(folder: Path) -> None:
    run(folder)
    refuse = "from harness.api import object_code\ndef refuse(*_):\n    raise PermissionError\n"
    refuse += "object_code._protect = refuse\n"
    for spoil, needed in (("", "False"), (refuse, "True")):
        (folder / "sitecustomize.py").write_text(spoil)
        place = {**os.environ, "PYTHONPATH": str(folder)}
        done = subprocess.run([sys.executable, "-c", RUN], env=place, capture_output=True, text=True, check=True)
        assert (done.stdout.split(), done.stderr.split()) == (["7.5", "True", "False"], [needed])


def test_without_machine_code_the_loop_runs_as_it_stands(folder: Path) -> None:
    assert run(folder, NUMBA_DISABLE_JIT="1") == ["7.5", "False", "False"]


@pytest.mark.slow
def test_a_changed_loop_is_compiled_again(folder: Path) -> None:
    run(folder)
    (folder / "loops.py").write_text(LOOPS.replace("* weight", "* weight * 2"))
    assert run(folder) == ["15.0", "True", "True"]
    assert run(folder) == ["15.0", "True", "False"]


@pytest.mark.parametrize(
    "spoil",
    [lambda content: b"", lambda content: content[:-9] + b"x" * 9],
    ids=["empty", "cut"],
)
@pytest.mark.slow
def test_kept_code_that_is_damaged_is_not_run(folder: Path, spoil) -> None:
    run(folder)
    path = find_kept(folder)
    path.write_bytes(spoil(path.read_bytes()))
    assert run(folder) == ["7.5", "True", "True"]


@pytest.mark.slow
def test_where_nothing_may_be_written_beside_the_file_the_users_cache_takes_it(folder: Path) -> None:
    (folder / "__pycache__").write_text("a file where the folder would be")
    assert run(folder) == ["7.5", "True", "True"]
    assert run(folder) == ["7.5", "True", "False"]
    assert len(list((folder / "cache").rglob("*.machine"))) == 1


@pytest.mark.slow
def test_a_loop_that_allocates_is_refused_when_it_is_compiled(folder: Path) -> None:
    (folder / "loops.py").write_text(LOOPS.replace("total = 0.0", "total = 0.0 * np.ones(rows).sum()"))
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run(folder)
    assert "loop weigh of loops.py needs Numba's run time: NRT_" in failed.value.stderr


def test_names_of_a_later_numba_s_run_time_are_left_to_numba() -> None:
    """Only a loop that allocates is a mistake; whatever else code refers to, it runs where Numba compiled it."""

    class Compiled:
        native_name = "weigh"

        def __init__(self, code: bytes) -> None:
            self._library = SimpleNamespace(_get_compiled_object=lambda: code)

    loops = Loops(__file__)
    entry = loops.entry("i8 -> i8")(lambda value: value)
    assert loops.object_file(entry, Compiled(b"..NRT_decref..")) == ("weigh", b"..NRT_decref..")
    assert loops.object_file(entry, Compiled(b"..NRT_decref..NRT_tell_lately..")) is None
    for name in (b"NRT_MemInfo_alloc_aligned", b"NRT_Allocate_External"):
        with pytest.raises(TypeError, match=name.decode()):
            loops.object_file(entry, Compiled(b".." + name + b".."))


def test_an_array_of_another_type_or_with_gaps_is_refused() -> None:
    loops = Loops(__file__)

    @loops.entry("i8* -> i8")
    def first(values):
        return values[0]

    if not first.is_compiled:
        pytest.skip("no machine code here (no Numba, or switched off): arrays are used as they are")
    assert first(np.arange(4)) == 0
    for wrong in (np.arange(4.0), np.arange(4)[::2]):
        with pytest.raises(TypeError, match="contiguous arrays of int64"):
            first(wrong)


@pytest.mark.slow
def test_a_numba_that_hands_out_no_object_file_compiles_in_each_process(folder: Path) -> None:
    spoil = "from numba.core.codegen import CodeLibrary\ndel CodeLibrary._get_compiled_object\n"
    (folder / "sitecustomize.py").write_text(spoil)
    assert run(folder) == ["7.5", "True", "True"]
    assert not list(folder.rglob("*.machine"))


def test_a_numba_that_cannot_be_loaded_leaves_the_loop_as_it_stands(folder: Path) -> None:
    (folder / "numba.py").write_text("raise OSError('libllvmlite.so: cannot open shared object file')")
    assert run(folder) == ["7.5", "False", "False"]


def test_kept_code_that_others_may_write_is_not_run(folder: Path) -> None:
    run(folder)
    find_kept(folder).chmod(0o664)
    assert run(folder) == ["7.5", "True", "True"]
    assert find_kept(folder).stat().st_mode & 0o777 == 0o644
    assert run(folder) == ["7.5", "True", "False"]


@pytest.mark.slow
def test_a_number_taken_from_another_file_is_part_of_what_is_kept(folder: Path) -> None:
    imported = LOOPS.replace("* weight", "* weight * SCALE").replace("import numpy as np", "from scale import SCALE")
    (folder / "loops.py").write_text(imported)
    for scale, expected in ((2, "15.0"), (4, "30.0")):
        (folder / "scale.py").write_text(f"SCALE = {scale}  # {'x' * scale}")
        assert run(folder) == [expected, "True", "True"]


@pytest.mark.slow
def test_a_cache_that_is_full_is_left_without_a_trace(folder: Path) -> None:
    spoil = "import os\ndef full(*_):\n    raise OSError(28, 'No space left on device')\nos.replace = full\n"
    (folder / "sitecustomize.py").write_text(spoil)
    assert run(folder) == ["7.5", "True", "True"]
    assert not list(folder.rglob("*.machine*"))
