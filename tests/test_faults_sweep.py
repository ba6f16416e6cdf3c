"""A sweep that is killed at random comes to the same bits, and what is finished is not done again."""

from pathlib import Path

import pytest

from tests import test_faults
from tests.forks import WORDS
from tests.test_faults import killed_at_random

SMALL = (
    "sweep-temperature", "landscape=quadratic", "landscape.directions=3", "sweep.learning_rate=[0.1,0.4]",
    "sweep.batch_size=[8,16]", "precision=0.03", *WORDS,
)  # fmt: skip
LOGGED = """
import sgdtheory.runs.unit as run; run.CHECKPOINT_SECONDS = 0.1
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.runs.unit import UnitFolder
def log(line):
    open("log", "a").write(f"{line}\\n")
def logging_its_begin(work):
    def logged(self, *args):
        log(f"begun {args[-1].unit.name}")
        work(self, *args)
    return logged
for name in ("_measure", "_record", "_quench"):
    setattr(SweepTemperature, name, logging_its_begin(getattr(SweepTemperature, name)))
finish = UnitFolder.finish
def finished(self, *args):
    finish(self, *args)
    log(f"finished {self.unit.name}")
UnitFolder.finish = finished
"""


def nothing_is_done_twice(log: list[str]) -> bool:
    """No unit is begun again after it was finished."""
    finished = [line.removeprefix("finished ") for line in log if line.startswith("finished ")]
    return all(f"begun {unit}" not in log[log.index(f"finished {unit}") :] for unit in finished)


@pytest.mark.parametrize(
    "kills", [3, pytest.param(10, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.slow)]
)
def test_killed_at_random_it_comes_to_the_same_bits(
    kills: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_faults, "OFTEN", LOGGED)
    runs = killed_at_random(tmp_path, SMALL, kills)
    logs = [
        (tmp_path / str(number) / "log").read_text(encoding="utf-8").splitlines()
        for number in range(runs)
    ]
    assert all(nothing_is_done_twice(log) for log in logs)
    assert (
        sum(line.startswith("begun cell") for log in logs for line in log) > 4 * runs
    )  # some were killed in the midst
