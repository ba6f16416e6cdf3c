"""Small runs give the numbers that they gave before, to the bit: what moves no number shows it
here."""

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import pin

KNOWN = pin.pinned()


def test_every_published_study_is_pinned() -> None:
    file = Path(__file__).parents[1] / "docs/theory.yaml"
    commands = [entry["command"] for entry in yaml.safe_load(file.read_text(encoding="utf-8"))]
    studies = {words.split()[1] for words in commands if words.startswith("study ")}
    assert set(KNOWN["jobs"]) == set(pin.JOBS) and studies <= set(pin.JOBS)


@pytest.mark.parametrize("job", pin.QUICK)
def test_a_quick_job_gives_the_pinned_numbers(job: str) -> None:
    here = pin.machine()
    if here != KNOWN["machine"]:
        pytest.skip(f"bits were pinned on {KNOWN['machine']}, this is {here}")
    assert list(pin.differences(KNOWN["jobs"][job], pin.run_job(pin.JOBS[job]))) == []


def test_a_difference_of_one_bit_is_named() -> None:
    before = {"claims": {"a": {"value": repr(0.1), "holds": True}}, "rows": [1, None]}
    after = {"claims": {"a": {"value": repr(0.1 + 2**-56), "holds": 1}}, "rows": [1, None, 2]}
    places = [line.split(":")[0] for line in pin.differences(before, after, "job")]
    assert places == ["job/claims/a/value", "job/claims/a/holds", "job/rows"]
