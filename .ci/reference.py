"""The reference as plain Markdown: of each name its signature, what it holds and its docstring, read from the source.

docs/reference.md has ``<!-- ::: NAME -->`` where a name is described; ``.ci/make_docs.py`` fills in what follows, and
on the docs site mkdocstrings has its place (``.ci/site_pages.py``). Nothing is imported: the source is what is shown.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^<!-- ::: (?P<name>\S+) -->\n(?:.*?\n)??<!-- end -->$", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
LONGEST_LINE = 100


def fill(page: str) -> str:
    """The page with every name described anew."""
    return BLOCK.sub(lambda block: f"<!-- ::: {block['name']} -->\n\n{describe(block['name'])}\n<!-- end -->", page)


def for_site(page: str) -> str:
    """The page as mkdocstrings takes it."""
    return BLOCK.sub(lambda block: f"::: {block['name']}", page)


def fence_examples(text: str) -> str:
    """A docstring with each doctest, up to the next empty line, inside a fence."""
    return EXAMPLE.sub(lambda match: f"\n```pycon\n{match[0]}\n```", text)


def describe(name: str) -> str:
    """Heading, signature and docstring of a name, then what a class holds."""
    module, _, attribute = name.rpartition(".")
    found = find(module, attribute)
    parts = [f"### `{attribute}`", f"```python\n{found.signature}\n```", fence_examples(found.docstring)]
    if isinstance(found.node, ast.ClassDef):
        parts.append("\n".join(list_members(found)))
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part for part in parts if part) + "\n")


@dataclass(frozen=True)
class Found:
    """A definition in the text of its module, and what stands after it."""

    text: str
    node: ast.stmt
    after: ast.stmt | None

    @property
    def signature(self) -> str:
        """``def run(...) -> Outcome``, ``class Method``, or the whole assignment; a long one has a line an argument."""
        if isinstance(self.node, ast.ClassDef):
            bases = ", ".join(map(self.source, self.node.bases))
            return f"class {self.node.name}({bases})" if bases else f"class {self.node.name}"
        if not isinstance(self.node, ast.FunctionDef):
            return self.source(self.node)
        arguments, returns = list(self.arguments(self.node.args)), self.annotate("", " -> ", self.node.returns)
        line = f"def {self.node.name}({', '.join(arguments)}){returns}"
        if len(line) <= LONGEST_LINE:
            return line
        return f"def {self.node.name}(\n" + "".join(f"    {argument},\n" for argument in arguments) + f"){returns}"

    @property
    def docstring(self) -> str:
        """Its own, or the string that stands alone after an attribute."""
        if isinstance(self.node, ast.ClassDef | ast.FunctionDef):
            return ast.get_docstring(self.node) or ""
        value = self.after.value if isinstance(self.after, ast.Expr) else None
        is_text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return inspect.cleandoc(value.value) if is_text else ""

    def source(self, node: ast.AST) -> str:
        """The text of a part."""
        return ast.get_source_segment(self.text, node) or ""

    def annotate(self, name: str, mark: str, annotation: ast.expr | None) -> str:
        """The name with its annotation, where it has one."""
        return name + (f"{mark}{self.source(annotation)}" if annotation else "")

    def arguments(self, all_: ast.arguments) -> Iterator[str]:
        """Each argument with its annotation and default."""
        plain = [*all_.posonlyargs, *all_.args]
        defaults = [*[None] * (len(plain) - len(all_.defaults)), *all_.defaults, *all_.kw_defaults]
        for argument, default in zip([*plain, *all_.kwonlyargs], defaults, strict=True):
            if all_.kwonlyargs and argument is all_.kwonlyargs[0]:
                yield self.annotate(f"*{all_.vararg.arg}", ": ", all_.vararg.annotation) if all_.vararg else "*"
            equals = " = " if argument.annotation else "="
            shown = f"{equals}{self.source(default)}" if default else ""
            yield self.annotate(argument.arg, ": ", argument.annotation) + shown
        if all_.vararg and not all_.kwonlyargs:
            yield self.annotate(f"*{all_.vararg.arg}", ": ", all_.vararg.annotation)
        if all_.kwarg:
            yield self.annotate(f"**{all_.kwarg.arg}", ": ", all_.kwarg.annotation)


def find(module: str, attribute: str) -> Found:
    """Where a name is defined, through every import on the way; LookupError for one that is not."""
    text = read(module)
    body = [inner for node in ast.parse(text).body for inner in (node.body if isinstance(node, ast.If) else [node])]
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and node.module and attribute in {alias.name for alias in node.names}:
            return find(node.module, attribute)
        if attribute in names_of(node):
            return Found(text, node, after)
    raise LookupError(f"{module} has no {attribute}")


@functools.cache
def read(module: str) -> str:
    """The text of a module of ours."""
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")


def names_of(node: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def list_members(owner: Found) -> Iterator[str]:
    """A line an attribute and method of a class; those that begin with an underscore are left out."""
    body = owner.node.body if isinstance(owner.node, ast.ClassDef) else []
    for node, after in zip(body, [*body[1:], None], strict=True):
        member = Found(owner.text, node, after)
        if not isinstance(node, ast.AnnAssign | ast.FunctionDef) or is_private(node):
            continue
        text = " ".join(member.docstring.partition("\n\n")[0].partition(">>>")[0].split())
        yield f"- `{line_of(member)}`" + (f": {text}" if text else "")


def is_private(node: ast.stmt) -> bool:
    """Whether it begins with an underscore."""
    return any(name.startswith("_") for name in names_of(node))


def line_of(member: Found) -> str:
    """``length: int``, also of a property, or ``add(frame: int) -> None``."""
    node = member.node
    if isinstance(node, ast.FunctionDef):
        if any("property" in member.source(decorator) for decorator in node.decorator_list):
            return member.annotate(node.name, ": ", node.returns)
        arguments = [argument for argument in member.arguments(node.args) if argument not in ("self", "cls")]
        return member.annotate(f"{node.name}({', '.join(arguments)})", " -> ", node.returns)
    return " ".join(member.source(node).split())
