"""pyproject.toml declares what is imported, and nothing else."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.test_layers import imports

HERE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OURS = {"sgdtheory", "tests"} | {file.stem for file in (HERE / "scripts").glob("*.py")}
# run as commands, by pytest, or by mypy alone
TOOLS = {
    "codespell",
    "hatchling",
    "mkdocs-material",
    "mkdocstrings",
    "mypy",
    "pre-commit",
    "pytest-benchmark",
    "pytest-xdist",
    "ruff",
    "types-networkx",
    "types-pyyaml",
}
BROUGHT = {"griffe", "griffelib"}  # by mkdocstrings, under one name or the other
PROVIDERS = packages_distributions()  # import name → the distributions that have it


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[^\w.-]", requirement)[0]) for requirement in requirements}


def imported(*folders: str) -> Iterator[str]:
    """The distributions whose modules the files of some folders import."""
    for folder in folders:
        for file in (HERE / folder).rglob("*.py"):
            for name in imports(ast.parse(file.read_text(encoding="utf-8"))):
                yield from providers(name.partition(".")[0])


def providers(name: str) -> list[str]:
    if name in OURS or name in sys.stdlib_module_names:
        return []
    return [canonical(PROVIDERS.get(name, [name])[0])]


def extra(name: str) -> set[str]:
    return declared(PROJECT["optional-dependencies"][name])


def test_the_package_declares_what_it_imports() -> None:
    optional = extra("slurm") | extra("ray")
    assert set(imported("sgdtheory")) == declared(PROJECT["dependencies"]) | optional


def test_what_is_optional_is_imported_by_its_executor_alone() -> None:
    for name in ("slurm", "ray"):
        own = HERE / f"sgdtheory/execution/executors/{name}.py"
        found = [file for file in (HERE / "sgdtheory").rglob("*.py") if extra(name) & used(file)]
        assert found == [own]


def used(file: Path) -> set[str]:
    """The outermost names of what a file imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {name.partition(".")[0] for name in imports(tree)}


def test_developers_are_given_what_tests_and_scripts_import() -> None:
    own = declared(PROJECT["dependencies"])
    extras = PROJECT["optional-dependencies"]
    developers = declared([*extras["dev"], *extras["docs"]])
    assert set(imported("tests", "scripts", "examples")) - own - BROUGHT == developers - TOOLS
