"""Which public functions take or give tensors, and whether their docstrings say of which shape."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "sgdtheory"
TENSORS = {"Tensor", "Cloud"}
# [P, n], [], [points, m − 1], [V·m], […] of any: sizes, and no list of decimals or of strings
SIZE = r"(?:[\w\s·−+*/()'`⌈⌉Σ]+|…|\.\.\.)"
SHAPE = re.compile(rf"\[(?:{SIZE}(?:,\s{SIZE})*)?\]")
Function = ast.FunctionDef
ROLES = (
    "protocol.py",
    "roles/examples.py",
    "roles/closed_forms.py",
)  # whose protocols state shapes for all that play them


class Found(NamedTuple):
    """A function or method, by the class it stands in ("" for none)."""

    file: str
    owner: str
    function: Function

    @property
    def name(self) -> str:
        return ".".join(filter(None, (self.owner, self.function.name)))


def is_public(node: ast.ClassDef | Function) -> bool:
    return not node.name.startswith("_")


def has_tensors(function: Function) -> bool:
    """Whether the signature names a tensor, however deep in a type."""
    arguments = function.args
    stated = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    annotations = [argument.annotation for argument in stated] + [function.returns]
    text = " ".join(ast.unparse(annotation) for annotation in annotations if annotation)
    return bool(TENSORS & set(re.findall(r"\w+", text)))


def states_shape(node: Function) -> bool:
    return SHAPE.search(ast.get_docstring(node) or "") is not None


def functions_of(file: str, tree: ast.Module) -> Iterator[Found]:
    """The public functions and methods of a module; what is inside a function is its own affair."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and is_public(node):
            yield Found(file, "", node)
        elif isinstance(node, ast.ClassDef) and is_public(node):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and is_public(inner):
                    yield Found(file, node.name, inner)


@cache
def modules() -> dict[str, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {
        str(file.relative_to(PACKAGE)): ast.parse(file.read_text(encoding="utf-8"))
        for file in files
    }


@cache
def classes() -> dict[str, ast.ClassDef]:
    """All classes of the package by name."""
    return {
        node.name: node
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def bases(name: str) -> Iterator[ast.ClassDef]:
    """The classes of the package that a class inherits from, at any distance."""
    node = classes().get(name)
    for base in node.bases if node else ():
        parent = ast.unparse(base).partition("[")[0]
        if parent in classes():
            yield classes()[parent]
            yield from bases(parent)


@cache
def roles() -> frozenset[str]:
    """The methods of roles that state shapes: `losses`, `score`, …"""
    return frozenset(
        found.function.name
        for file in ROLES
        for found in functions_of(file, modules()[file])
        if found.owner and states_shape(found.function)
    )


def inherits_shape(found: Found) -> bool:
    """Whether a method without a docstring has one from a base class or from its role."""
    if not found.owner or ast.get_docstring(found.function):
        return False
    for base in bases(found.owner):
        for inner in base.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == found.function.name:
                return states_shape(inner)
    return found.function.name in roles()


def silent() -> list[str]:
    """`file: name` of every public function with tensors that states no shape."""
    return [
        f"{file}: {found.name}"
        for file, tree in modules().items()
        for found in functions_of(file, tree)
        if has_tensors(found.function)
        and not states_shape(found.function)
        and not inherits_shape(found)
    ]
