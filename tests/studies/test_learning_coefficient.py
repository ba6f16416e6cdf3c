"""A small study of learning coefficients from end to end; claims that can fail."""

import json
from pathlib import Path

import pytest

from sgdtheory.diagnostics.llc import LearningCoefficient
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.statistics.measured import Claim
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.learning_coefficient import capacity_rows, known_row
from sgdtheory.studies.shared.coefficients import claims_of
from tests.conftest import Command


def test_a_row_is_the_coefficient_beside_what_is_known() -> None:
    bowl = Quadratic((2.0, 1.0))
    chains = LearningCoefficient(
        chains=100, burn_in=100, steps=200, localisation=0.0, learning_rate=0.5, examples=500
    )
    row = known_row(bowl, bowl.minima()[0], chains, bowl.learning_coefficient())
    assert row["theory"] == 1 and abs(row["coefficient"] - 1) < 3 * row["coefficient_stderr"]
    assert row["ratio"] == row["coefficient"] and row["rate"] == 0.5
    assert row["virial"] == pytest.approx(1, abs=0.05) and row["r_hat"] < 1.1


def found(system: str, value: float | None, theory: float, rate: float = 0.1) -> Row:
    row: Row = {"system": system, "coefficient": value, "theory": theory, "rate": rate}
    row |= {"coefficient_stderr": 0.001, "coefficient_why": "", "ratio_stderr": 0.001}
    if value is None:
        return {**row, "coefficient_why": "chains have diverged", "ratio": None, "ratio_why": "so"}
    return {**row, "ratio": value / theory}


def judged(
    known: Rows | None = None, steps: Rows | None = None, widths: Rows | None = None
) -> dict[str, Claim]:
    return {claim.name: claim for claim in claims_of(known or [], steps or [], widths or [])}


def test_known_coefficients() -> None:
    good = [found("bowl", 1.02, 1.0), found("power", 0.24, 0.25)]
    assert judged(good)["known"].holds is True
    assert judged([*good, found("net", 4.3, 4.0)])["known"].holds is False
    # three standard errors excuse what five per cent do not
    noisy = {**found("net", 4.3, 4.0), "coefficient_stderr": 0.11}
    assert judged([*good, noisy])["known"].holds is True
    # an error of more than that says nothing, be it of chains or of the spring
    vague = judged([*good, {**found("net", 3.7, 4.0), "coefficient_stderr": 0.3}])["known"]
    assert vague.holds is None and "nothing of net: raise chains or lower" in vague.statement
    missing = judged([*good, found("lost", None, 1.0)])["known"]
    assert missing.holds is None and "none for lost" in missing.statement
    assert judged([found("lost", None, 1.0)])["known"].holds is None


def test_steps_that_are_too_large() -> None:
    right = [found("x", 0.25, 0.25, 0.1), found("x", 0.255, 0.25, 0.5)]
    refused = found("x", None, 0.25, 3.0)
    claim = judged(steps=[*right, refused])["steps"]
    assert claim.holds is True and "from η = 3 on: chains have diverged" in claim.statement
    unasked = judged(steps=right)["steps"]
    assert unasked.holds is None and "raise learning_rates" in unasked.statement
    assert judged(steps=[*right, found("x", 0.4, 0.25, 2.0)])["steps"].holds is False
    assert judged(steps=[*right, found("x", 0.4, 0.25, 2.0), refused])["steps"].holds is False
    assert judged(steps=[refused, found("x", 0.25, 0.25, 4.0)])["steps"].holds is False


def test_a_networks_coefficient_by_width() -> None:
    rows = [
        {**found("net", 20.0, 50.0), "width": 4, "parameters": 100, "noise": 2.0},
        {**found("net", 60.0, 200.0), "width": 16, "parameters": 400, "noise": 3.0},
    ]
    for row in rows:
        row |= {"localised": row["coefficient"], "localised_stderr": 0.001, "resolution": 0.03}
    claims = judged(widths=rows)
    assert claims["singular"].holds and claims["heat"].measured.value == pytest.approx(0.05)
    rows[1] = {**rows[1], **found("net", 190.0, 200.0)}
    assert judged(widths=rows)["singular"].holds is False
    rows[1] = {**rows[1], "ratio_stderr": 0.1}
    assert judged(widths=rows)["singular"].holds is None
    rows[1] = {**rows[1], **found("net", None, 200.0)}
    unsaid = judged(widths=rows)["singular"]
    assert unsaid.holds is None and unsaid.statement.endswith("d = 400, has no λ: so")
    assert judged(widths=rows)["heat"].measured.value == pytest.approx(0.05)
    assert [row["capacity"] for row in capacity_rows(rows)] == [20, 2, 50, 60, 3, 200]


SMALL = [
    "systems.bowl.chains.chains=50", "learning_rates=[0.3,3.0]", "widths=[1,2]", "stepped=power_4",
    "network.data.limit=50", "polish_steps=100", "chains.burn_in=100", "chains.steps=100",
    "~systems.linear_3_3_3", "~systems.linear_5_3_2",
    "~systems.linear_4_4_4", "~systems.linear_2_5_5_2", "~systems.power_2", "~systems.power_6", "systems.power_4.chains.steps=800", "chains.chains=2",
    "executor.workers=1", "threads=1", "run.dir=found",
]  # fmt: skip


def test_from_end_to_end(sgdtheory: Command) -> None:
    said = sgdtheory("study", "learning_coefficient", *SMALL, "--quiet")
    assert said.code == 0, said.err
    results = json.loads(Path("found/results.json").read_text(encoding="utf-8"))
    tables = results["tables"]
    assert [row["system"] for row in tables["known"]] == ["bowl", "power_4"]
    claims = {claim["name"]: claim for claim in results["claims"]}
    assert claims["known"]["holds"] and claims["steps"]["holds"]
    assert [row["width"] for row in tables["widths"]] == [1, 2]
    assert all(row["noise"] > 0 for row in tables["widths"])
    assert {plot["table"] for plot in results["plots"]} <= set(tables)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["stepped=nothing"], "stepped=nothing: is none of systems"),
        (["systems.bowl.chains.examples=null"], "has no examples to count"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", "learning_coefficient", *words)
    assert said.code == 2 and told in said.err
