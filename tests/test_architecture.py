"""The floors of the house: who may import whom, which file names and calls are refused, how long a file may be.

A rule is one test over all files, which lists every offender; and every rule is seen to refuse.
"""

import ast
import functools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def read_floors() -> dict[str, int]:
    """Room -> floor, counted from the ground, as tests/floors.toml has them."""
    floors = tomllib.loads((ROOT / "tests" / "floors.toml").read_text(encoding="utf-8"))["floor"]
    return {
        f"harness.{room}".rstrip("."): height
        for height, floor in enumerate(reversed(floors))
        for room in floor["rooms"]
    }


FLOORS = read_floors()
PLUGIN_MAY_IMPORT = {"harness", "harness.api", "harness.ops", "harness.models"}
SHELF_MAY_IMPORT = {
    "harness.datasets": PLUGIN_MAY_IMPORT,
    "harness.metrics": PLUGIN_MAY_IMPORT,
    "harness.executors": PLUGIN_MAY_IMPORT,
    "harness.reporters": PLUGIN_MAY_IMPORT | {"harness.ranking", "harness.pages"},  # docs/decisions/0005
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
REFUSED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
BESIDE_THE_ROOMS = {"plugins", "third_party", "fuzz"}
"""Folders of tests that are of no room: of plugins, of plugins of strangers, of whatever reads what strangers wrote."""
LONGEST_FILE = 400
MOST_FILES = 7

SOURCES = sorted([*(ROOT / "harness").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
EVERY_FILE = sorted([*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])


def module_of(path: Path) -> str:
    """``harness/api/video.py`` -> ``harness.api.video``; the second source root is left out."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "plugins" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_ours(name: str) -> bool:
    return name.split(".")[0].startswith("harness")


def room_of(module: str) -> str:
    """The longest name in the table that holds this module; a plugin is its own room."""
    parts = module.split(".")
    if parts[0] != "harness":
        return parts[0]
    room = ".".join(parts[:2])
    return room if len(parts) > 1 else "harness"


def imports_of(tree: ast.AST, module: str, *, is_package: bool) -> set[str]:
    """Every module imported anywhere in the file, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = module.split(".")[: None if is_package and node.level == 1 else is_package - node.level]
                base = ".".join([*around, *([base] if base else [])])
            # `from harness import ranking` names a room; `from harness import Method` names the face.
            found.update(
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in FLOORS or not base else base for alias in node.names
            )
    return {name for name in found if is_ours(name)}


def list_broken_floors(module: str, imports: set[str]) -> list[str]:
    """What is wrong with these imports of ``module``; empty when nothing is."""
    room = room_of(module)
    if not room.startswith("harness.") and room != "harness":
        return [
            f"{module} imports {name}; a plugin imports {', '.join(sorted(PLUGIN_MAY_IMPORT))} and itself"
            for name in sorted(imports)
            if room_of(name) not in PLUGIN_MAY_IMPORT | {room}
        ]
    if room not in FLOORS:
        return [f"{room} has no floor: give it one in tests/floors.toml"]
    wrong = []
    for name in sorted(imports):
        target = room_of(name)
        if target == room:
            continue
        if target in SHELF_MAY_IMPORT or target not in FLOORS:
            wrong.append(f"{module} imports {name}; shelves and plugins come from the catalog")
        elif target not in SHELF_MAY_IMPORT.get(room, FLOORS):
            wrong.append(f"{module} imports {name}; this shelf imports {', '.join(sorted(SHELF_MAY_IMPORT[room]))}")
        elif FLOORS[target] >= FLOORS[room]:
            wrong.append(f"{module} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[target]})")
    return wrong


def spell_dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{spell_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> object:
    return next((getattr(k.value, "value", ...) for k in call.keywords if k.arg == name), None)


def pickles_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """Pickling modules imported here. ``pickle`` itself may be, plainly: ``torch.load`` raises UnpicklingError."""
    if isinstance(node, ast.ImportFrom):
        return [node.module] if (node.module or "").split(".")[0] in PICKLES else []
    return [
        alias.name
        for alias in node.names
        if alias.name.split(".")[0] in PICKLES and (alias.name != "pickle" or alias.asname)
    ]


def list_refused_calls(tree: ast.AST, *, may_print: bool) -> list[str]:
    """Calls and imports no file of ours may hold, each with its line."""
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            wrong += [f"line {node.lineno}: imports {name}" for name in pickles_of(node)]
        elif (
            isinstance(node, ast.Attribute)
            and spell_dotted(node).startswith("pickle.")
            and node.attr != "UnpicklingError"
        ):
            wrong.append(f"line {node.lineno}: {spell_dotted(node)}")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"line {node.lineno}: bare except")
        elif isinstance(node, ast.Call):
            name = spell_dotted(node.func)
            if name == "torch.load" and keyword(node, "weights_only") is not True:
                wrong.append(f"line {node.lineno}: torch.load without weights_only=True")
            if name in ("eval", "exec", "os.system", "os.popen", "torch.hub.load"):
                wrong.append(f"line {node.lineno}: {name}()")
            if keyword(node, "shell") not in (None, False) or keyword(node, "allow_pickle") not in (None, False):
                wrong.append(f"line {node.lineno}: {name}() with shell or allow_pickle")
            if not may_print and name in ("print", "sys.exit", "os._exit", "exit", "quit"):
                wrong.append(f"line {node.lineno}: {name}() outside harness/cli")
    return wrong


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def show_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_callers_side(tree: ast.Module) -> ast.Module:
    """The face without what it shows of floors above it: looked up when asked for, never imported (decisions/0019)."""
    return ast.Module([node for node in tree.body if not is_callers_side(node)], [])


def is_callers_side(node: ast.stmt) -> bool:
    """``if TYPE_CHECKING:`` and ``__getattr__``."""
    is_typed = isinstance(node, ast.If) and spell_dotted(node.test) == "TYPE_CHECKING"
    return is_typed or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")


def house_of(path: Path) -> ast.Module:
    """What a file imports from, as floors and circles count it."""
    return without_callers_side(parse(path)) if path == ROOT / "harness" / "__init__.py" else parse(path)


MODULES = {module_of(path): path for path in SOURCES}


def files_imported(tree: ast.AST) -> set[str]:
    """The modules of ours imported anywhere in a file, each as exactly as it is named."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in MODULES else node.module for name in names)
    return found & set(MODULES)


def circles_of(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """Every set of files that import each other, directly or by way of others."""
    reached: dict[str, set[str]] = {}
    for start in imports:
        seen, todo = set(), list(imports[start])
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += imports.get(module, ())
        reached[start] = seen
    found = {frozenset(b for b in reached[a] if a in reached.get(b, ())) for a in reached if a in reached[a]}
    return sorted(sorted(circle) for circle in found)


def offenders(complaints: Iterator[tuple[Path, object]]) -> str:
    """One line an offender, for the message of an assertion."""
    return "\n".join(f"{show_path(path)}: {complaint}" for path, complaint in complaints if complaint)


def test_every_import_goes_to_a_lower_floor():
    def list_broken(path: Path) -> list[str]:
        module = module_of(path)
        return list_broken_floors(module, imports_of(house_of(path), module, is_package=path.name == "__init__.py"))

    assert offenders((path, list_broken(path)) for path in SOURCES) == ""


def test_no_files_import_each_other_not_even_when_called():
    imports = {module: files_imported(house_of(path)) - {module} for module, path in MODULES.items()}
    assert circles_of(imports) == []


def test_nothing_dangerous_is_called():
    found = (
        (path, list_refused_calls(parse(path), may_print=room_of(module_of(path)) == "harness.cli")) for path in SOURCES
    )
    assert offenders(found) == ""


def test_a_file_says_in_its_first_line_what_it_is():
    def complaint(tree: ast.Module) -> str:
        first = (ast.get_docstring(tree) or "").partition("\n")[0].rstrip()
        return "" if first.endswith((".", ":", "?")) else f"begins {first!r}"

    assert offenders((path, complaint(parse(path))) for path in SOURCES) == ""


def test_a_file_is_one_story():
    def complaint(path: Path) -> str:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if path.stem in REFUSED_NAMES:
            return f"a file named {path.stem} has no story"
        return f"{lines} lines, at most {LONGEST_FILE}" if lines > LONGEST_FILE else ""

    assert offenders((path, complaint(path)) for path in EVERY_FILE) == ""


def test_a_plugin_has_at_most_seven_files_at_its_top():
    packages = [path for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file()]
    tops = {path.name: sorted(file.name for file in path.iterdir() if file.is_file()) for path in packages}
    assert {name: files for name, files in tops.items() if len(files) > MOST_FILES} == {}


def test_every_room_that_has_a_floor_is_there():
    assert [room for room in FLOORS if room not in MODULES] == []


def test_tests_mirror_the_rooms():
    tests = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    rooms = {path.name for path in (ROOT / "harness").iterdir() if (path / "__init__.py").is_file()}
    assert tests == rooms | BESIDE_THE_ROOMS
    plugins = {path.name for path in (ROOT / "tests/plugins").iterdir() if any(path.glob("**/test_*.py"))}
    assert plugins <= {path.name for path in (ROOT / "plugins").iterdir()}


def test_the_face_defines_nothing_and_exports_what_it_imports():
    tree = parse(ROOT / "harness" / "__init__.py")
    below = without_callers_side(tree)
    assert {type(node) for node in below.body[1:]} == {ast.ImportFrom, ast.Assign}
    exported = ast.literal_eval(next(node for node in below.body if isinstance(node, ast.Assign)).value)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    assert sorted(exported) == sorted(alias.name for node in imports for alias in node.names)


def test_the_face_shows_of_the_floors_above_it_what_types_say_and_no_more():
    tree = parse(ROOT / "harness" / "__init__.py")
    typed, found = [node for node in tree.body if is_callers_side(node)]
    assert {node.module for node in ast.walk(typed) if isinstance(node, ast.ImportFrom)} == {"harness.evaluation"}
    told = {alias.name for node in ast.walk(typed) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert told == next(set(ast.literal_eval(node)) for node in ast.walk(found) if isinstance(node, ast.Tuple))


# The rules above are only as good as their checker: each must be seen to refuse.


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("harness.api.video", "import harness.catalog"),
        ("harness.ops.warp", "from harness.models import resnet"),
        ("harness.ranking.standings", "from harness.catalog import Catalog"),
        ("harness.catalog", "from harness import running"),
        ("harness.running.runner", "from harness.metrics.j_and_f import JAndF"),
        ("harness.cli.run", "import harness_tvos"),
        ("harness.metrics.j_and_f.region", "def f():\n    from harness.datasets import davis"),
        ("harness.datasets.davis", "from harness.running.folder import Store"),
        ("harness.metrics.j_and_f.region", "from harness.ranking.standings import standings"),
        ("harness.brand_new", "import harness.api"),
        ("harness_tvos.method", "from harness.running.runner import run"),
        ("harness_tvos.method", "from harness_selfsup.memory import Memory"),
        ("harness_tvos.method", "from harness import catalog"),
        ("harness.api.video", "from ..ops import warp"),
    ],
)
def test_a_wrong_import_is_refused(module, source):
    assert list_broken_floors(module, imports_of(ast.parse(source), module, is_package=False))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("harness.cli.run", "from harness.running.runner import run\nfrom harness import __version__"),
        (
            "harness.metrics.j_and_f",
            "from harness.metrics.j_and_f import region\nfrom harness.ops.contour import boundary",
        ),
        ("harness_tvos.method", "from harness import stage\nfrom harness_tvos.network import Net\nimport torch"),
        ("harness_tvos.method", "from .network import Net"),
        ("harness.running.runner", "from harness.running.folder import Store"),
        ("harness.reporters.markdown", "from harness.ranking.standings import standings"),
    ],
)
def test_a_right_import_passes(module, source):
    assert list_broken_floors(module, imports_of(ast.parse(source), module, is_package=False)) == []


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "import pickle as p",
        "import pickle\npickle.loads(b)",
        "import joblib",
        "from pickle import loads",
        "eval('1')",
        "exec(code)",
        "subprocess.run(line, shell=True)",
        "numpy.load(path, allow_pickle=True)",
        "print('hello')",
        "sys.exit(1)",
        "try:\n    pass\nexcept:\n    pass",
    ],
)
def test_a_dangerous_line_is_refused(source):
    assert list_refused_calls(ast.parse(source), may_print=False)


@pytest.mark.parametrize(
    "source",
    ["torch.load(path, weights_only=True)", "model.eval()", "subprocess.run([a], shell=False)", "re.compile(p)"],
)
def test_a_harmless_line_passes(source):
    assert list_refused_calls(ast.parse(source), may_print=False) == []


def test_circles_are_seen_through_others_and_a_chain_is_none():
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"f"}, "f": {"e"}, "g": {"a"}}
    assert circles_of(imports) == [["a", "b", "c"], ["e", "f"]]


def test_an_import_inside_a_function_counts_for_circles():
    tree = ast.parse("def f():\n    from harness.metrics.j_and_f import boundary, region\n    import harness.catalog")
    expected = {"harness.metrics.j_and_f.boundary", "harness.metrics.j_and_f.region", "harness.catalog"}
    assert files_imported(tree) == expected


def test_offenders_are_listed_one_a_line_and_the_innocent_are_not():
    complaints = [(ROOT / "a.py", ["imports b"]), (ROOT / "b.py", []), (ROOT / "c.py", "begins ''")]
    assert offenders(iter(complaints)) == "a.py: ['imports b']\nc.py: begins ''"
