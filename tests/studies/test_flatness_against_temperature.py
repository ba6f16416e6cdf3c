"""Exponents of a grid that has them, a small grid from end to end, and claims that can fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Claim
from sgdtheory.studies.flatnesses.claims import slope_of, slopes_of, verdict_of
from tests.conftest import Said

Command = Callable[..., Said]
RATES, SIZES = (0.01, 0.03, 0.1), (2, 8, 32)


def grid(
    rate: float, batch: float, loss: float = 0.02, noise: float = 0.02
) -> list[dict[str, Any]]:
    """A row a point, Tr H = 7·η^rate·b^−batch × what the seed is off by, a little different for every cell."""
    draws = torch.randn(3, len(RATES), len(SIZES), generator=stream(0, "grid"), dtype=torch.float64)
    found = []
    for p in range(3):
        for i, eta in enumerate(RATES):
            for k, b in enumerate(SIZES):
                height = 7 * eta**rate * b**-batch * float((noise * draws[p, i, k]).exp())
                facts = {
                    "weight_decay": 0.0,
                    "learning_rate": eta,
                    "batch_size": b,
                    "point": p,
                    "loss_before": 0.1,
                }
                found.append({**facts, "trace": height, "loss": 0.02 if i or k else loss})
    return found


def said(rows: list[dict[str, Any]], held: list[dict[str, Any]]) -> list[Claim]:
    return verdict_of(rows, held, 1e-3).claims


def test_exponents_of_exact_power_laws_are_exact() -> None:
    rate, batch = slopes_of(grid(-0.3, -0.2, noise=0.0))
    assert (rate.value, batch.value) == (
        pytest.approx(-0.3, abs=1e-12),
        pytest.approx(-0.2, abs=1e-12),
    )
    slope = slope_of(grid(-0.25, -0.25, noise=0.0))
    assert slope.value == pytest.approx(-0.25, abs=1e-12) and slope.stderr == pytest.approx(
        0.0, abs=1e-12
    )


def test_exponents_are_found_within_their_errors() -> None:
    """Of 2 % a point the error of a slope over 9 cells is .02/√(Σ(x − x̄)²), over three seeds √3 less: .002."""
    slope = slope_of(grid(-0.25, -0.25))
    assert (
        slope.value == pytest.approx(-0.25, abs=3 * 0.002) and 0 < (slope.stderr or 0) < 3 * 0.002
    )


def test_a_grid_too_small_says_so() -> None:
    column = [row for row in grid(-0.3, -0.3) if row["batch_size"] == 2]
    assert slopes_of(column)[0].value is None and slope_of(column).value is not None
    assert slope_of([row for row in column if row["learning_rate"] == 0.1]).value is None


@pytest.mark.parametrize(
    ("rows", "held", "holds"),
    [
        (grid(-0.25, -0.25), grid(0, 0), [True, True, True]),
        (grid(-0.6, -0.6), grid(0, 0), [False, True, True]),  # too steep
        (grid(-0.02, -0.02), grid(0, 0), [False, True, True]),  # not there
        (grid(-0.4, -0.15), grid(0, 0), [True, False, True]),  # not of η/b alone
        (grid(-0.25, -0.25), grid(-0.3, -0.3), [True, True, False]),  # there with weight decay too
    ],
)
def test_the_claims_can_fail(
    rows: list[dict[str, Any]], held: list[dict[str, Any]], holds: list[bool | None]
) -> None:
    found = [claim.holds for claim in said(rows, held)]
    assert all(want is None or got is want for got, want in zip(found, holds, strict=True))


def test_what_is_not_sure_is_not_refuted() -> None:
    found = said(grid(-0.25, -0.25, noise=1.0), grid(0, 0))
    assert found[0].holds is None and found[2].holds is True


def test_values_without_a_logarithm_have_no_exponent() -> None:
    rows = grid(-0.25, -0.25)
    rows[0]["trace"] = -0.1
    assert slope_of(rows).why == "trace is not above 0 everywhere"
    assert [claim.holds for claim in said(rows, grid(0, 0))] == [None, None, True]


def test_two_seeds_have_students_bound() -> None:
    """Exponents that differ by .08 ± .02 over two seeds: two errors are .04, Student's bound is .28."""
    rows = []
    for seed, apart in ((0, 0.06), (1, 0.1)):
        rows += [row | {"point": seed} for row in grid(-0.25 - apart, -0.25, noise=0.0)[:9]]
    exponents_claim = said(rows, grid(0, 0))[1]
    assert exponents_claim.holds is None and "raise seeds" in exponents_claim.measured.why


def test_at_unequal_loss_nothing_is_said() -> None:
    found = said(grid(-0.25, -0.25, loss=0.03), [])
    assert [claim.holds for claim in found] == [None, None] and "equal loss" in found[
        0
    ].measured.why


def test_from_end_to_end(sgdtheory: Command) -> None:
    words = [
        "learning_rates=[0.05,0.2]", "batch_sizes=[2,8]", "time=3", "target=0.3", "every=1", "seeds=2", "probes=4", "sketch=4",
        "polish_steps=5", "model.hidden=[8]", "data.test_share=0.8", "executor.workers=1", "threads=1",
    ]  # fmt: skip
    done = sgdtheory("study", "flatness_against_temperature", *words, "--quiet")
    assert done.code == 0, done.err
    found = json.loads(
        (
            Path(done.out.splitlines()[-1].removeprefix("report: ")).parent / "results.json"
        ).read_text(encoding="utf-8")
    )
    assert [claim["name"] for claim in found["claims"]] == ["slope", "exponents", "weight_decay"]
    cells = found["tables"]["cells"]
    assert len(cells) == 8 and all(row["trace"] > 0 and row["law"] > 0 for row in cells)
    assert {plot["table"] for plot in found["plots"]} <= set(found["tables"])


def test_a_value_twice_is_refused(sgdtheory: Command) -> None:
    done = sgdtheory("study", "flatness_against_temperature", "batch_sizes=[2,2]")
    assert done.code == 2 and "stands twice" in done.err


def test_a_rate_that_does_not_run_for_the_same_time_is_refused(sgdtheory: Command) -> None:
    """One step of 0.2 is twice the time 0.1."""
    done = sgdtheory(
        "study", "flatness_against_temperature", "learning_rates=[0.01,0.2]", "time=0.1"
    )
    assert done.code == 2 and "whole steps of learning_rates=0.2 make 0.2" in done.err
