"""The floors of the house: who may import whom, which file names and calls are refused, how long a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Room -> floor. A room imports from lower floors and from itself, never sideways. A name that is not here fails the
# test, so a new module of the core is given its floor here, on purpose.
FLOORS = {
    "harness.version": 0,
    "harness.api": 0,
    "harness": 1,  # the plugin author's face: names of harness.api
    "harness.ops": 1,
    "harness.models": 2,
    "harness.files": 2,
    "harness.machine": 2,
    "harness.ranking": 3,
    "harness.datasets": 4,
    "harness.metrics": 4,
    "harness.executors": 4,
    "harness.reporters": 4,
    "harness.catalog": 4,
    "harness.data": 5,
    "harness.planning": 5,
    "harness.new_plugin": 5,
    "harness.hosting": 6,
    "harness.leaderboard": 6,
    "harness.running": 7,
    "harness.predictions": 8,
    "harness.training": 9,  # validates through the runner
    "harness.benching": 9,
    "harness.experiments": 9,
    "harness.learning_curve": 9,
    "harness.conformance": 9,
    "harness.cli": 10,
    "harness.__main__": 11,
}
PLUGIN_MAY_IMPORT = {"harness", "harness.api", "harness.ops", "harness.models"}
SHELF_MAY_IMPORT = {
    "harness.datasets": PLUGIN_MAY_IMPORT,
    "harness.metrics": PLUGIN_MAY_IMPORT,
    "harness.executors": PLUGIN_MAY_IMPORT,
    "harness.reporters": PLUGIN_MAY_IMPORT | {"harness.ranking"},  # docs/decisions/0005
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
REFUSED_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
LONGEST_FILE = 400

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


def broken_floors(module: str, imports: set[str]) -> list[str]:
    """What is wrong with these imports of ``module``; empty when nothing is."""
    room = room_of(module)
    if not room.startswith("harness.") and room != "harness":
        return [
            f"{module} imports {name}; a plugin imports {', '.join(sorted(PLUGIN_MAY_IMPORT))} and itself"
            for name in sorted(imports)
            if room_of(name) not in PLUGIN_MAY_IMPORT | {room}
        ]
    if room not in FLOORS:
        return [f"{room} has no floor: give it one at the top of tests/test_architecture.py"]
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


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
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


def refused_calls(tree: ast.AST, *, may_print: bool) -> list[str]:
    """Calls and imports no file of ours may hold, each with its line."""
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            wrong += [f"line {node.lineno}: imports {name}" for name in pickles_of(node)]
        elif isinstance(node, ast.Attribute) and dotted(node).startswith("pickle.") and node.attr != "UnpicklingError":
            wrong.append(f"line {node.lineno}: {dotted(node)}")
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            wrong.append(f"line {node.lineno}: bare except")
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if name == "torch.load" and keyword(node, "weights_only") is not True:
                wrong.append(f"line {node.lineno}: torch.load without weights_only=True")
            if name in ("eval", "exec", "os.system", "os.popen", "torch.hub.load"):
                wrong.append(f"line {node.lineno}: {name}()")
            if keyword(node, "shell") not in (None, False) or keyword(node, "allow_pickle") not in (None, False):
                wrong.append(f"line {node.lineno}: {name}() with shell or allow_pickle")
            if not may_print and name in ("print", "sys.exit", "os._exit", "exit", "quit"):
                wrong.append(f"line {node.lineno}: {name}() outside harness/cli")
    return wrong


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_every_import_goes_to_a_lower_floor(path):
    module = module_of(path)
    assert broken_floors(module, imports_of(parsed(path), module, is_package=path.name == "__init__.py")) == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_nothing_dangerous_is_called(path):
    assert refused_calls(parsed(path), may_print=room_of(module_of(path)) == "harness.cli") == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_file_says_in_its_first_line_what_it_is(path):
    docstring = ast.get_docstring(parsed(path))
    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":", "?"))


@pytest.mark.parametrize("path", EVERY_FILE, ids=named)
def test_a_file_is_one_story(path):
    assert path.stem not in REFUSED_NAMES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


def test_the_face_defines_nothing_and_exports_what_it_imports():
    tree = parsed(ROOT / "harness" / "__init__.py")
    assert {type(node) for node in tree.body[1:]} == {ast.ImportFrom, ast.Assign}
    exported = ast.literal_eval(next(node for node in tree.body if isinstance(node, ast.Assign)).value)
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(exported) == sorted(imported)


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
    assert broken_floors(module, imports_of(ast.parse(source), module, is_package=False))


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
    assert broken_floors(module, imports_of(ast.parse(source), module, is_package=False)) == []


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
    assert refused_calls(ast.parse(source), may_print=False)


@pytest.mark.parametrize(
    "source",
    ["torch.load(path, weights_only=True)", "model.eval()", "subprocess.run([a], shell=False)", "re.compile(p)"],
)
def test_a_harmless_line_passes(source):
    assert refused_calls(ast.parse(source), may_print=False) == []
