"""CONTRIBUTING.md at its word: its eleven examples, one file and one yaml each, are added to a copy
of the project in which no other line is touched; commands use them, mypy and the tests of the house
accept them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.recipes import HERE, recipes

COPIED = ("sgdtheory", "configs", "tests", "docs", "scripts")
FILES = ("README.md", "CONTRIBUTING.md", "pyproject.toml")
GROUPS = {
    "model",
    "data",
    "landscape",
    "estimator",
    "diagnostic",
    "study",
    "schedule",
    "executor",
    "loss",
    "sgd",
}
EXAMPLES = len(GROUPS) + 1  # two of data
SMALL = "executor=serial threads=1 device=cpu"
TRAIN = (
    "train model=vgg data=photographs schedule=linear_decay diagnostic=[radial] minima=1 "
    f"sgd.steps=3 sgd.learning_rate=0.1 {SMALL}"
)
TRAIN_POINTS = (
    f"train model=mlp data=spirals loss=focal sgd=lion minima=1 sgd.steps=3 {SMALL} run.name=points"
)
SWEEP = (
    "sweep-temperature landscape=rosenbrock estimator=[excess_loss,signal_share] replicas=4 "
    "sweep.learning_rate=[0.0015] sweep.batch_size=[8] landscape.noise=0.01 sgd.steps=10000 "
    f"{SMALL}"
)
STUDY = f"study batch_noise draws=64 {SMALL}"
COMMANDS = """
import json, sys
from tests.conftest import call
from tests.plain_pictures import draw_plainly
draw_plainly()
said = [call(*line.split()) for line in sys.argv[1:]]
print(json.dumps([[one.code, one.err] for one in said]))
"""
HOUSE = (
    "tests/test_configs.py",
    "tests/test_layers.py",
    "tests/studies/test_study.py",
    "tests/test_pinned.py",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the eleven examples in it."""
    copy = tmp_path_factory.mktemp("newcomer")
    for name in COPIED:
        shutil.copytree(HERE / name, copy / name)  # and what is compiled already
    for name in FILES:
        shutil.copy2(HERE / name, copy / name)
    for name, text in recipes().items():
        assert not (copy / name).exists(), f"{name} is there already: take another example"
        (copy / name).write_text(text, encoding="utf-8")
    return copy


def python(house: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Python in the copy, with the copy's package."""
    settings = {"PYTHONPATH": str(house), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-P", *words],
        cwd=house,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **settings},
    )


def results_of(house: Path, which: str) -> dict[str, Any]:
    (file,) = house.glob(f"runs/{which}/results.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_each_is_one_file_and_one_yaml_that_names_it() -> None:
    files = [Path(name) for name in recipes()]
    modules = [".".join(file.with_suffix("").parts) for file in files if file.suffix == ".py"]
    configs = [file for file in files if file.suffix == ".yaml"]
    assert {config.parent.name for config in configs} == GROUPS
    assert len(configs) == len(modules) == EXAMPLES
    targets = [yaml.safe_load(recipes()[str(config)])["_target_"] for config in configs]
    assert [target.rpartition(".")[0] for target in targets] == modules


def test_commands_use_all_of_them(house: Path) -> None:
    done = python(house, "-c", COMMANDS, TRAIN, SWEEP, STUDY, TRAIN_POINTS)
    assert done.returncode == 0, done.stderr
    assert [code for code, _ in json.loads(done.stdout)] == [0, 0, 0, 0], done.stdout
    trained, swept, studied = (
        results_of(house, name) for name in ("train/vgg*", "sweep-temperature/*", "study/*")
    )
    assert "spirals" in results_of(house, "train/points*")["landscape"]
    (minimum,) = trained["minima"]
    assert "VGG" in trained["landscape"] and "photographs" in trained["landscape"]
    assert 0 < minimum["radial"] < 1
    (cell,) = swept["cells"]
    assert (
        swept["landscape"] == "Rosenbrock" and 0 < cell["temperature"]["signal_share"]["value"] < 1
    )
    assert studied["claims"][0]["holds"] is True


def test_mypy_is_strict_with_them(house: Path) -> None:
    """With the cache of `make lint` where there is one: half a minute without."""
    cache = HERE / ".mypy_cache"
    if cache.exists():
        shutil.copytree(cache, house / ".mypy_cache")
    files = [name for name in recipes() if name.endswith(".py")]
    done = python(house, "-m", "mypy", *files)
    assert done.returncode == 0 and f"in {len(files)} source files" in done.stdout, done.stdout


def test_the_house_accepts_them(house: Path) -> None:
    """Their yaml states every value and keeps its group's promise, their modules keep to their
    business, the study says its claim once; pages and README need no word of it."""
    names = [Path(name).stem for name in recipes()] + ["rooms", "published", "readme"]
    words = ["-p", "no:cacheprovider", "-n", "0", "-k", " or ".join(names), *HOUSE]
    done = python(house, "-m", "pytest", *words)
    assert done.returncode == 0, done.stdout


def test_they_are_formatted(house: Path) -> None:
    files = [name for name in recipes() if name.endswith(".py")]
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = python(house, "-m", "ruff", *words, *files)
        assert done.returncode == 0, done.stdout
