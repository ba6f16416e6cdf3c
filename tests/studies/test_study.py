"""What every study has from the base: identity, rows with their settings, one claim in one place, a
place for newcomers."""

import re
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
from sgdtheory.studies.shared.parts import InParts
from sgdtheory.studies.study import Case, Study, Tables, Verdict, all_hold
from tests.conftest import Command
from tests.recipes import HERE, recipes

sys.path.append(str(HERE / "scripts"))
from figures import unpublished

OF_SWEEPS = ("epoch_noise", "adam_temperature")  # whose units are a sweep's besides
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
    words = (study.__doc__ or "").split()  # whose indent Python 3.13 leaves out
    assert "Refuted by" in " ".join(words)


def test_both_pages_have_the_same_studies_and_their_claims() -> None:
    """A study that is not measured yet stands in neither: `make figures` asks for its entry."""
    page = (HERE / "docs/theory.md").read_text(encoding="utf-8")
    readme = (HERE / "docs/measured.md").read_text(encoding="utf-8")
    entries = yaml.safe_load((HERE / "docs/theory.yaml").read_text(encoding="utf-8"))
    shown = [entry for entry in entries if entry["command"].startswith("study ")]
    published = sorted(entry["command"].split()[1] for entry in shown)
    assert len(published) >= 14 and set(published) <= set(NAMES)
    for entry in shown:
        claim = re.sub(r" \([^()]*\)$", "", class_of(entry["command"].split()[1]).claim())
        assert "claim" not in entry and f"\n{claim}. ({entry['paper']})\n" in page
    _, table = readme.split("\n| NAME | measured |\n")
    rows = re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE)
    assert sorted(rows[: len(published)]) == published


def test_make_figures_asks_for_the_entry_of_a_study() -> None:
    entries = yaml.safe_load((HERE / "docs/theory.yaml").read_text(encoding="utf-8"))
    others = [entry for entry in entries if entry["command"] != "study width_and_barriers"]
    assert sorted(unpublished(others, ["new", *NAMES])) == ["new", "width_and_barriers"]


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
    kind = class_of(name)
    own = vars(kind)
    judged = "judge" in own or issubclass(kind, InParts)  # which say of what they are made
    assert judged and "finish" not in own and ("units" not in own or name in OF_SWEEPS)


# a newcomer's, from elsewhere


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    """CONTRIBUTING.md's study in a package of its own, with a folder of yamls."""
    files = recipes()
    text = files["configs/study/batch_noise.yaml"].replace("sgdtheory.studies", "newcomer")
    (tmp_path / "newcomer").mkdir()
    (tmp_path / "newcomer/__init__.py").touch()
    (tmp_path / "newcomer/batch_noise.py").write_text(
        files["sgdtheory/studies/batch_noise.py"], encoding="utf-8"
    )
    (tmp_path / "own/study").mkdir(parents=True)
    (tmp_path / "own/study/theirs.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_study_from_elsewhere_is_one_file_and_one_yaml(
    sgdtheory: Command, newcomer: Path
) -> None:
    where = ["--config-dir", str(newcomer / "own"), "--trust", "newcomer"]
    words = ["draws=64", "run.dir=found", "executor.workers=1", "threads=1"]
    said = sgdtheory("study", "theirs", *where, *words)
    assert said.code == 0, said.err
    assert "the smallest ones'" in said.out and (newcomer / "found/figures/noise.svg").exists()
