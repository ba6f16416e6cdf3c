"""What is released: a wheel that is made of the source archive, in an environment that has never
seen the repository."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import sgdtheory
from sgdtheory.commandline.composer import groups
from tests.pages import HERE

pytestmark = pytest.mark.slow

FORMULAS = (
    "train landscape=double_well minima=2 sgd.steps=50",
    "connect landscape=double_well",
    "sweep-temperature landscape=quadratic sweep.batch_size=[8] replicas=8 precision=0.2",
)
DIGITS = (
    "train model=mlp minima=2 sgd.steps=100",
    "connect model=mlp baselines.gradients=50 autoneb.steps=10 autoneb.last_steps=10",
    "sweep-temperature sweep.learning_rate=[0.3] sweep.batch_size=[32] replicas=8 precision=0.2",
)


def ran(*words: str | Path, cwd: Path) -> str:
    """What a program prints that knows nothing of this checkout."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=env, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of the source archive, not of the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", folder]
    ran(*build, "-t", "sdist", cwd=HERE)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    ran(*build, "-t", "wheel", cwd=folder / archive.name.removesuffix(".tar.gz"))
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh environment: the wheel, and beside it what this one has of
    its dependencies."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=True, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    ran(folder / "bin/pip", "install", "--no-index", "--no-deps", wheel, cwd=folder)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(others), encoding="utf-8")
    return folder / "bin"


def test_everything_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = [file for file in (HERE / "sgdtheory").rglob("*") if file.is_file()]
    for file in [*package, *(HERE / "configs").rglob("*.yaml")]:
        inside = file.relative_to(HERE).as_posix()
        if inside.startswith("configs/"):
            inside = f"sgdtheory/{inside}"
        assert "__pycache__" in inside or inside in names
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"sgdtheory"}


def test_it_is_a_command_of_its_own(installed: Path, tmp_path: Path) -> None:
    where = "import sgdtheory; print(sgdtheory.__file__)"
    at = ran(installed / "python", "-c", where, cwd=tmp_path)
    assert at.startswith(str(installed.parent))
    said = f"sgdtheory {sgdtheory.__version__}\n"
    assert ran(installed / "sgdtheory", "--version", cwd=tmp_path) == said
    assert ran(installed / "python", "-m", "sgdtheory", "--version", cwd=tmp_path) == said
    listed = ran(installed / "sgdtheory", "list", cwd=tmp_path)
    names = {line.split()[0] for line in listed.splitlines() if line.startswith("  ")}
    assert names == {name for choices in groups().values() for name in choices}


@pytest.mark.parametrize("lines", [FORMULAS, DIGITS], ids=["formulas", "digits"])
def test_the_three_commands_work(lines: tuple[str, ...], installed: Path, tmp_path: Path) -> None:
    for line in lines:
        ran(installed / "sgdtheory", *line.split(), cwd=tmp_path)
    pages = sorted(tmp_path.glob("runs/*/*/report.html"))
    assert [page.parts[-3] for page in pages] == ["connect", "sweep-temperature", "train"]
