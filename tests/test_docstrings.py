"""Docstrings of what is mathematics: each public function shows a shape and a value, and pytest runs
them all."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
SHOWN = ("geometry", "statistics")  # rooms in which every public function has an example
SETTINGS = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]


def public_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("room", SHOWN)
def test_every_public_function_shows_a_value(room: str) -> None:
    silent = []
    for file in sorted((HERE / "sgdtheory" / room).glob("*.py")):
        for function in public_functions(ast.parse(file.read_text(encoding="utf-8"))):
            if ">>> " not in (ast.get_docstring(function) or ""):
                silent.append(f"{file.name}: {function.name}")
    assert silent == []


def test_every_example_is_run() -> None:
    options = SETTINGS["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    rooms = [HERE / folder for folder in options["testpaths"]]
    for file in sorted((HERE / "sgdtheory").rglob("*.py")):
        if ">>> " in file.read_text(encoding="utf-8"):
            assert any(file.is_relative_to(room) for room in rooms), f"{file} is not run"
