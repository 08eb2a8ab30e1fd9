"""The reference as plain Markdown: signatures as they are written, docstrings, what a class holds."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / ".ci" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", harness.__all__)
def test_every_name_has_its_signature_and_docstring_on_the_page(name):
    block = re.search(rf"^<!-- ::: harness\.{name} -->\n(.*?)^<!-- end -->$", PAGE, re.M | re.S)[1]
    assert f"### `{name}`" in block
    assert re.search(rf"^(def|class) {name}\b|^{name}( =|:)", block, re.M)
    thing = getattr(harness, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert inspect.getdoc(thing).splitlines()[0] in block


def test_a_signature_is_written_as_in_the_source(reference):
    text = "def f(a, b: int = 1, /, *rest: str, key: Literal['x'] = \"x\", **more: Any) -> None:\n    pass\n"
    node = reference.ast.parse(text).body[0]
    assert reference.Found(text, node, None).signature == text.splitlines()[0].removesuffix(":").replace(" /,", "")


def test_a_long_signature_has_a_line_an_argument(reference):
    text = f"def f(*, {'a' * 60}: int, {'b' * 60}: str = ''): ..."
    shown = reference.Found(text, reference.ast.parse(text).body[0], None).signature
    assert shown.splitlines() == ["def f(", "    *,", f"    {'a' * 60}: int,", f"    {'b' * 60}: str = '',", ")"]


def test_members_are_attributes_properties_and_methods_without_private_ones(reference):
    text = '''class A(B):
    """Doc."""

    x: int = 1
    """An x."""
    _y: int = 2

    @property
    def z(self) -> str:
        """A z.

        More.
        """

    def go(self, far: int) -> None:
        """Go."""

    def _hide(self): ...
'''
    found = reference.Found(text, reference.ast.parse(text).body[0], None)
    assert found.signature == "class A(B)"
    assert list(reference.list_members(found)) == [
        "- `x: int = 1`: An x.",
        "- `z: str`: A z.",
        "- `go(far: int) -> None`: Go.",
    ]


def test_filling_is_stable_and_the_site_has_one_directive_a_name(reference):
    page = "# A\n\n<!-- ::: harness.stage -->\n<!-- end -->\n\n<!-- ::: harness.TASKS -->\n<!-- end -->\n"
    once = reference.fill(page)
    assert reference.fill(once) == once
    assert "def stage(name: str) -> Iterator[None]" in once
    assert reference.for_site(once) == "# A\n\n::: harness.stage\n\n::: harness.TASKS\n"


def test_what_is_not_there_is_an_error(reference):
    with pytest.raises(LookupError, match="harness has no nothing"):
        reference.find("harness", "nothing")
