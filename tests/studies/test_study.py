"""What every study has from the base: identity, rows with their settings, one claim in one place, a
place for newcomers."""

import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from sgdtheory.commandline.studies import studies
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.tables import grouped
from sgdtheory.studies.study import Case, Study, Tables, Verdict, all_hold
from tests.conftest import Command

HERE = Path(__file__).parents[2]
NAMES = sorted(file.stem for file in (HERE / "configs/study").glob("*.yaml"))


def class_of(name: str) -> type[Study]:
    target = yaml.safe_load((HERE / f"configs/study/{name}.yaml").read_text(encoding="utf-8"))[
        "_target_"
    ]
    module, _, title = target.rpartition(".")
    found: type[Study] = getattr(import_module(module), title)
    return found


# one claim in one place


@pytest.mark.parametrize("name", NAMES)
def test_the_list_says_what_the_class_claims(name: str) -> None:
    study = class_of(name)
    assert issubclass(study, Study) and study.claim() == studies()[name]
    assert "Refuted by" in (study.__doc__ or "").replace("\n    ", " ")


def test_the_page_and_the_readme_have_every_study_and_its_claim() -> None:
    page, readme = (
        (HERE / file).read_text(encoding="utf-8") for file in ("docs/theory.md", "README.md")
    )
    entries = yaml.safe_load((HERE / "docs/theory.yaml").read_text(encoding="utf-8"))
    shown = [entry for entry in entries if entry["command"].startswith("study ")]
    assert sorted(entry["command"].split()[1] for entry in shown) == NAMES
    for entry in shown:
        claim = re.sub(r" \([^()]*\)$", "", class_of(entry["command"].split()[1]).claim())
        assert "claim" not in entry and f"\n{claim}. ({entry['paper']})\n" in page
    assert (
        sorted(
            re.findall(
                r"^\| `(\w+)` \| ", readme.split("\n| NAME | measured |\n")[1], re.MULTILINE
            )[: len(NAMES)]
        )
        == NAMES
    )


# the base


@dataclass(frozen=True)
class Toy(Study):
    """Numbers are what they are (nobody).

    Refuted by nothing.
    """

    axes = ("sizes",)

    sizes: tuple[int, ...] = (1, 2)

    def cases(self) -> list[Case]:
        return [
            Case(f"size-{size}", {"size": size}, {"systems": "a" if size == 1 else "b"})
            for size in self.sizes
        ]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        size = case.settings["size"]
        return {"numbers": [{"square": size**2}], "others": []}, {"size": torch.tensor([size])}

    def judge(self, tables: Tables) -> Verdict:
        return Verdict(
            [Claim("all", "said", Measured(1.0), "1", True)], {"numbers": tables["numbers"]}
        )

    def estimate(self, unit: Unit) -> Estimate:
        return Estimate(float(self.case_of(unit).settings["size"]), 0.0, 0.0)


SCIENCE: dict[str, Any] = {"sizes": [1, 2], "systems": {"a": 1, "b": 2}, "seed": 0}


def run_of(path: Path, science: dict[str, Any] = SCIENCE) -> Run:
    return Run(path / "run", path, path / "units", science)


def done(toy: Toy, run: Run, units: list[Unit]) -> None:
    for unit in units:
        folder = run.folder(unit)
        unit.work(folder)
        folder.write_json("status.json", {"status": "done"})


def test_a_unit_depends_on_its_own_case_alone(tmp_path: Path) -> None:
    first, second = Toy().units(run_of(tmp_path))
    assert (
        first.config == {"systems": {"a": 1}, "seed": 0, "case": {"size": 1}}
        and first.name == "size-1"
    )
    more = Toy((1, 2, 3)).units(run_of(tmp_path, {**SCIENCE, "sizes": [1, 2, 3]}))
    assert [unit.hash for unit in more[:2]] == [first.hash, second.hash]
    changed = Toy().units(run_of(tmp_path, {**SCIENCE, "systems": {"a": 1, "b": 9}}))
    assert changed[0].hash == first.hash and changed[1].hash != second.hash
    assert Toy().case_of(second).name == "size-2" and Toy().estimate(second).seconds == 2


def test_rows_come_with_the_settings_of_their_case(tmp_path: Path) -> None:
    toy, run = Toy(), run_of(tmp_path)
    units = toy.units(run)
    done(toy, run, units[1:])
    found = toy.finish(run)
    assert (
        found.numbers["tables"] == {"numbers": [{"size": 2, "square": 4}]}
        and found.claims[0].holds is True
    )
    done(toy, run, units[:1])
    assert [row["square"] for row in toy.finish(run).numbers["tables"]["numbers"]] == [1, 4]


def test_nothing_is_said_before_anything_is_finished(tmp_path: Path) -> None:
    (claim,) = Toy().finish(run_of(tmp_path)).claims
    assert claim.holds is None and claim.measured.why == "nothing is finished"


def test_rows_are_grouped_and_claims_taken_together() -> None:
    rows = [{"a": 2, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert grouped(rows, "a") == {2: [rows[0], rows[2]], 1: [rows[1]]}
    yes, no, open_ = (Claim("", "", Measured(0.0), "", holds) for holds in (True, False, None))
    assert [all_hold(claims) for claims in ([yes, yes], [yes, open_], [open_, no])] == [
        True,
        None,
        False,
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_study_finishes_in_a_way_of_its_own(name: str) -> None:
    own = vars(class_of(name))
    assert "judge" in own and "finish" not in own and ("units" not in own or name == "epoch_noise")


# a newcomer

NEWCOMER = '''
"""How far a step of SGD is from one of descent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveInt, NonNegativeInt
from sgdtheory.landscape import Landscape
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.rng import stream
from sgdtheory.studies.study import Case, Study, Tables, Verdict


@dataclass(frozen=True)
class BatchNoise(Study):
    """The noise of a mini-batch falls as one over its size (everybody).

    Refuted by a product of the two that is not the same within four standard errors.
    """

    axes = ("sizes",)

    landscape: Landscape
    sizes: Annotated[list[PositiveInt], MinLen(2)]
    draws: PositiveInt = 64
    seed: NonNegativeInt = 0

    def cases(self) -> list[Case]:
        return [Case(f"size-{size}", {"size": size}) for size in self.sizes]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        size = case.settings["size"]
        start = self.landscape.init(1, stream(self.seed, "init")).double().expand(self.draws, -1)
        clouds = []
        for batch in (size, None):
            (state,) = SGD(1, batch, 0.1, Constant()).run(self.landscape, start.clone(), self.seed)
            clouds.append(state.cloud)
        away = clouds[0] - clouds[1]
        return {"noise": [row_of({}, scaled=Measured.mean(size * away.square().sum(1)))]}, {"start": start[:1]}

    def judge(self, tables: Tables) -> Verdict:
        first, *_, last = [Measured.read(row, "scaled") for row in tables["noise"]]
        apart = Measured((first.value or 0) - (last.value or 0), (first.stderr or 0) + (last.stderr or 0))
        holds = abs(apart.value or 0) < 4 * (apart.stderr or 0)
        plot = Plot("noise", "Noise times batch size", "A level line.", "noise", "size", ("scaled",))
        return Verdict([Claim("noise", f"they differ by {apart}", apart, "0", holds)], tables, [plot])

    def estimate(self, unit: Unit) -> Estimate:
        return Estimate(1.0, 1e6, 1e4)
'''
CONFIG = """# @package _global_
# The noise of a mini-batch falls as one over its size (everybody)
defaults:
  - /landscape: quadratic
  - _self_

_target_: newcomer.batch_noise.BatchNoise
run:
  name: batch_noise
landscape: {}
sizes: [1, 4, 16] # b
draws: 64 # mini-batches
seed: 0
"""


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    (tmp_path / "newcomer").mkdir()
    (tmp_path / "newcomer/__init__.py").touch()
    (tmp_path / "newcomer/batch_noise.py").write_text(NEWCOMER.lstrip(), encoding="utf-8")
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/batch_noise.yaml").write_text(CONFIG, encoding="utf-8")
    return tmp_path


def test_a_newcomers_study_is_one_file_and_one_yaml(sgdtheory: Command, newcomer: Path) -> None:
    where = [
        "--config-dir",
        str(newcomer / "own"),
        "--trust",
        "newcomer",
        "run.dir=found",
        "executor.workers=1",
        "threads=1",
    ]
    said = sgdtheory("study", "batch_noise", *where)
    assert said.code == 0, said.err
    assert "they differ by" in said.out and (newcomer / "found/figures/noise.svg").exists()


@pytest.mark.slow  # minutes unless `make lint` has filled mypy's cache
def test_a_newcomers_study_is_strictly_typed(newcomer: Path) -> None:
    """The project's own settings are strict."""
    words = [
        "--config-file",
        str(HERE / "pyproject.toml"),
        "--cache-dir",
        str(HERE / ".mypy_cache"),
    ]
    command = [sys.executable, "-m", "mypy", *words, str(newcomer / "newcomer/batch_noise.py")]
    told = subprocess.run(command, cwd=HERE, capture_output=True, encoding="utf-8")
    assert told.returncode == 0, told.stdout + told.stderr
