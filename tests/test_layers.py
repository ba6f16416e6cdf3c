"""The house: folders are rooms, rooms stand above one another, and some things have one place each."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

PACKAGE = Path(__file__).parents[1] / "sgdtheory"
# which import when they are called
EXEMPTED = {
    ("entry", "cli"),
    *(
        ("", f"notebook.{name}")
        for name in (
            *("diagnosed", "joined", "loaded_run", "many_runs", "own_landscape", "swept"),
            *("numbers", "points"),  # whose types are named
        )
    ),
}
# what may stand outside of a room: what all rooms use, and the front doors
TOP = {
    "",
    "__main__",
    "annotations",
    "cli",
    "entry",
    "errors",
    "products",
    "protocol",
    "rng",
}
# of run directories: know no science
MACHINE = {"runs", "execution", "report", "commandline"}
SCIENCE = {
    "optim",
    "geometry",
    "landscapes",
    "fokker_planck",
    "paths",
    "temperature",
    "diagnostics",
}
# what is composed and read: the other modules see plain data
HYDRA = {
    f"commandline.{name}"
    for name in (
        "composer",
        "conflicts",
        "earlier",
        "named_points",
        "start",
        "front",
        "group_choices",
        "hydra_app",
        "minima_runs",
        "words",
        "stored",
        "task",
        "load",
        "on_landscape",
    )
}
MODULES = sorted(PACKAGE.rglob("*.py"))
Import = tuple[str, str]  # (a module, one that it imports)


def name_of(file: Path) -> str:
    """data/digits.py → data.digits; the package itself is the empty name."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(name: str) -> str:
    """The folder that a module stands in, its own name where it stands in none."""
    return name.partition(".")[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """All modules that are imported at any depth, by their full names; `from a import b` may mean a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module stands"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(tree: ast.AST) -> Iterator[str]:
    """The modules of this package that are imported, by their names inside it."""
    for name in imports(tree):
        parts = name.split(".")[1:]
        while (
            name.split(".")[0] == "sgdtheory"
            and parts
            and not (PACKAGE / Path(*parts)).with_suffix(".py").exists()
        ):
            if (PACKAGE / Path(*parts) / "__init__.py").exists():
                break
            parts.pop()
        if name.split(".")[0] == "sgdtheory":
            yield ".".join(parts)


@cache
def imported() -> list[Import]:
    """All imports of one module of the package by another, at any depth."""
    trees = {name_of(file): ast.parse(file.read_text(encoding="utf-8")) for file in MODULES}
    return [(name, other) for name, tree in trees.items() for other in ours(tree)]


def circles(found: Iterable[Import]) -> list[set[str]]:
    """The rooms that import each other, directly or round about."""
    pairs = {(room_of(a), room_of(b)) for a, b in found if (a, b) not in EXEMPTED}
    graph = nx.DiGraph([pair for pair in pairs if pair[0] != pair[1]])
    return [rooms for rooms in nx.strongly_connected_components(graph) if len(rooms) > 1]


def forbidden(name: str, tree: ast.AST) -> list[str]:
    """What a module does that only another one may do, or none."""
    outside = {found.split(".")[0] for found in imports(tree)}
    faults = [
        f"imports {found}"
        for found in sorted(outside & {"pickle", "dill", "cloudpickle", "joblib"})
    ]
    if name not in HYDRA:
        faults += [
            f"imports {found}: commandline/ alone does"
            for found in sorted(outside & {"hydra", "omegaconf"})
        ]
    if room_of(name) == "report" and outside & {"torch", "torchvision"}:
        faults.append("imports torch: reports are drawn without it")
    if room_of(name) in ("pipelines", "studies"):
        faults += [
            f"imports {other}: it is handed objects"
            for other in ours(tree)
            if room_of(other) in HANDED and not other.startswith("landscapes.derived")
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("manual_seed_all", "set_rng_state"):
            faults.append(f"touches global randomness: {node.attr}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "torch.manual_seed",
            "torch.seed",
            "random.seed",
        ):
            faults.append("seeds the process: randomness is an argument")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            safe = any(
                word.arg == "weights_only" and ast.unparse(word.value) == "True"
                for word in node.keywords
            )
            faults += [] if safe else ["loads what may carry code: weights_only=True"]
    return faults


HANDED = ("models", "data", "landscapes")


def test_rooms_stand_above_one_another() -> None:
    assert circles(imported()) == []


def test_few_modules_stand_outside_of_rooms() -> None:
    assert {room_of(name_of(file)) for file in PACKAGE.glob("*.py")} == TOP


def test_run_directories_know_no_science_and_only_the_command_line_knows_hydra() -> None:
    for name, other in imported():
        if room_of(name) in ("runs", "report"):
            assert room_of(other) not in SCIENCE | {"pipelines", "studies"}, (name, other)
        if room_of(name) in ("runs", "execution", "report"):
            assert room_of(other) != "commandline", (name, other)
        if room_of(name) in SCIENCE | {"pipelines", "studies", "models", "data"}:
            assert room_of(other) not in MACHINE - {"runs"}, (name, other)


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_keeps_to_its_business(file: Path) -> None:
    assert forbidden(name_of(file), ast.parse(file.read_text(encoding="utf-8"))) == []


def test_what_is_exempted_is_there() -> None:
    assert set(imported()) >= EXEMPTED


@pytest.mark.parametrize(
    "text",
    [
        "from sgdtheory.commandline.task import task",
        "def f():\n    import sgdtheory.cli",
        "from sgdtheory.report import terminal",
        "if True:\n    from sgdtheory.pipelines.train import Train",
        "from sgdtheory.report.figures.drawn import FIGURES",
    ],
)
def test_an_upward_import_is_seen_wherever_it_stands(text: str) -> None:
    """runs/ is below all that these name."""
    wrong = [("runs.run", other) for other in ours(ast.parse(text))]
    assert len(wrong) == 1 and circles([*imported(), *wrong])


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from omegaconf import OmegaConf",
        "torch.manual_seed(0)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "from sgdtheory.models.mlp import MLP",
    ],
)
def test_what_is_forbidden_is_seen(text: str) -> None:
    assert len(forbidden("pipelines.train", ast.parse(text))) == 1
    assert forbidden("pipelines.train", ast.parse("torch.load(path, weights_only=True)")) == []


@pytest.mark.parametrize(
    "module",
    [
        "sgdtheory",
        "sgdtheory.report.page",
        "sgdtheory.report.results",
        "sgdtheory.report.status",
        "sgdtheory.cli",
        "sgdtheory.runs.run",
    ],
)
def test_what_must_start_fast_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0


def test_a_finished_run_that_is_asked_for_again_needs_no_numpy() -> None:
    code = (
        "import sys, sgdtheory.execution.loop, sgdtheory.report.progress, sgdtheory.report.results;"
        "sys.exit(bool({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0
