"""Docstrings: whatever has tensors states their shapes; what is mathematics shows a value, and pytest
runs it."""

import ast
import tomllib
from pathlib import Path

import pytest

from tests.shapes import functions_of, has_tensors, silent, states_shape

HERE = Path(__file__).parents[1]
SHOWN = ("geometry", "statistics")  # rooms in which every public function has an example
SETTINGS = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]


@pytest.mark.parametrize("room", SHOWN)
def test_every_public_function_shows_a_value(room: str) -> None:
    without = []
    for file in sorted((HERE / "sgdtheory" / room).glob("*.py")):
        for found in functions_of(file.name, ast.parse(file.read_text(encoding="utf-8"))):
            if not found.owner and ">>> " not in (ast.get_docstring(found.function) or ""):
                without.append(f"{file.name}: {found.name}")
    assert without == []


def test_every_example_is_run() -> None:
    options = SETTINGS["ini_options"]
    assert "--doctest-modules" in options["addopts"]
    rooms = [HERE / folder for folder in options["testpaths"]]
    for file in sorted((HERE / "sgdtheory").rglob("*.py")):
        if ">>> " in file.read_text(encoding="utf-8"):
            assert any(file.is_relative_to(room) for room in rooms), f"{file} is not run"


def test_every_public_function_with_tensors_states_their_shapes() -> None:
    assert silent() == []


def one(text: str) -> ast.FunctionDef:
    (found,) = functions_of("example.py", ast.parse(text))
    return found.function


@pytest.mark.parametrize(
    "signature",
    ["x: Tensor", "*, x: 'Tensor | None'", "x: dict[str, tuple[Cloud, int]]", "x: torch.Tensor"],
)
def test_tensors_are_found_in_a_signature(signature: str) -> None:
    assert has_tensors(one(f"def f({signature}) -> int: ..."))
    assert has_tensors(one("class A:\n    def f(self) -> Iterator[Tensor]: ..."))
    assert not has_tensors(one("def f(x: float) -> int: ..."))


@pytest.mark.parametrize("shape", ["[P, n]", "[]", "[B + 2,\n    n]", "[..., C]", "[V·m]", "[…]"])
def test_a_shape_is_found_in_a_docstring(shape: str) -> None:
    assert states_shape(one(f'def f(x: Tensor): """Of x {shape}."""'))


@pytest.mark.parametrize("words", ["", "Of x, whatever.", "One of ['a', 'b.c'].", "In [0.5, 1.5)."])
def test_other_words_are_no_shape(words: str) -> None:
    assert not states_shape(one(f'def f(x: Tensor): """{words}"""'))
