"""The house: a module imports its own layer and lower ones, and some things have one place each."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sgdtheory"
# folders of one subject whose files stand in several layers
SPREAD = {"paths", "sweep", "fokker_planck", "geometry", "commandline"}
LAYERS = [  # of design.md; any other folder stands for all that is in it
    {
        "", "entry", "faults", "foreign", "kinds", "streams", "schedule", "measured", "terminal", "processes", "locks",
        "folder", "run", "cloud", "models", *SPREAD,
        "paths.graph", "paths.ways", "extra", "sweep.grid", "sweep.fit", "fokker_planck.generator",
        "fokker_planck.density", "fokker_planck.relaxation", "statistics",
    },
    {
        "data", "landscape", "roles", "learning_rate", "sampling", "sweep.parts", "paths.band", "paths.curves",
        "paths.symmetry", "paths.alignment", "paths.profile", "paths.plane",
    },
    {
        "landscapes", "sgd", "trained", "descend", "curvature", "convexity", "noise", "adam", "sweep.invariance", "sweep.pace",
        "fokker_planck.area", "fokker_planck.law", "fokker_planck.rotation", "fokker_planck.limit_cycle",
    },
    {
        "geometry.clamped", "geometry.linearised", "geometry.rescaling", "geometry.traces", "paths.frame",
        "stage", "checkpoints", "critical", "estimate", "minima", "sweep.trajectory",
        "sweep.ground", "fokker_planck.watch", "paths.autoneb",
        "paths.presets", "paths.string_sampling", "paths.strings",
    },
    {
        "paths.edge", "paths.top", "paths.uses", "paths.claims", "sweep.cell", "sweep.quench", "temperature", "diagnostics",
        "snapshots",
    },
    {"pipelines", "studies"},
    {
        "versions", "commandline.flags", "commandline.sources", "commandline.habits", "commandline.complaints",
        "commandline.schema", "commandline.earlier",
        "commandline.config", "commandline.strangers", "commandline.targets", "commandline.trust",
        "commandline.studies", "execute", "local", "progress", "figures", "report", "show", "notebook",
    },
    {"cli", "__main__"},
]  # fmt: skip
EXEMPTED = {("", "notebook"), ("entry", "cli")}  # which import when they are called
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    """data/digits.py → data.digits; the package itself is the empty name."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(name: str) -> int:
    """The layer of a module, by its folder's name where that stands for all of it; fails for one that has none."""
    folder = name.split(".")[0]
    found = [number for number, names in enumerate(LAYERS) if (name if folder in SPREAD else folder) in names]
    assert len(found) == 1, f"sgdtheory.{name} has no layer: give it one in tests/test_layers.py"
    return found[0]


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
        while name.split(".")[0] == "sgdtheory" and parts and not (PACKAGE / Path(*parts)).with_suffix(".py").exists():
            if (PACKAGE / Path(*parts) / "__init__.py").exists():
                break
            parts.pop()
        if name.split(".")[0] == "sgdtheory":
            yield ".".join(parts)


def upward(name: str, tree: ast.AST) -> list[str]:
    """The imports of a module that lead to a higher layer."""
    return [other for other in ours(tree) if layer_of(other) > layer_of(name) and (name, other) not in EXEMPTED]


def forbidden(name: str, tree: ast.AST) -> list[str]:
    """What a module does that only another one may do, or none."""
    outside = {found.split(".")[0] for found in imports(tree)}
    faults = [f"imports {found}" for found in sorted(outside & {"pickle", "dill", "cloudpickle", "joblib"})]
    if name != "commandline.config":
        faults += [f"imports {found}: commandline/config.py alone does" for found in sorted(outside & {"hydra", "omegaconf"})]
    if name.split(".")[0] in ("report", "show", "figures") and outside & {"torch", "torchvision"}:
        faults.append("imports torch: reports are drawn without it")
    if name.split(".")[0] in ("pipelines", "studies"):
        faults += [f"imports {other}: it is handed objects" for other in ours(tree) if other.split(".")[0] in HANDED]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("manual_seed_all", "set_rng_state"):
            faults.append(f"touches global randomness: {node.attr}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.manual_seed", "torch.seed", "random.seed"):
            faults.append("seeds the process: randomness is an argument")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            safe = any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)
            faults += [] if safe else ["loads what may carry code: weights_only=True"]
    return faults


HANDED = ("models", "data", "landscapes")


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_imports_no_higher_layer(file: Path) -> None:
    assert upward(name_of(file), ast.parse(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_a_module_keeps_to_its_business(file: Path) -> None:
    assert forbidden(name_of(file), ast.parse(file.read_text(encoding="utf-8"))) == []


def test_what_is_exempted_is_there() -> None:
    found = {(name_of(file), other) for file in MODULES for other in ours(ast.parse(file.read_text(encoding="utf-8")))}
    assert found >= {pair for pair in EXEMPTED if (PACKAGE / f"{pair[1]}.py").exists()}


@pytest.mark.parametrize(
    "text",
    [
        "from sgdtheory.commandline.config import task",
        "def f():\n    import sgdtheory.cli",
        "from sgdtheory import show",
        "if True:\n    from sgdtheory.pipelines.train import Train",
        "from sgdtheory.figures import FIGURES",
    ],
)
def test_an_upward_import_is_seen_wherever_it_stands(text: str) -> None:
    assert len(upward("landscapes.ring", ast.parse(text))) == 1


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


def test_a_file_without_a_layer_fails() -> None:
    for name in ("kitchen_sink", "paths.kitchen_sink"):
        with pytest.raises(AssertionError, match="kitchen_sink has no layer"):
            layer_of(name)


@pytest.mark.parametrize("module", ["sgdtheory", "sgdtheory.report", "sgdtheory.show", "sgdtheory.cli", "sgdtheory.run"])
def test_what_must_start_fast_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0
