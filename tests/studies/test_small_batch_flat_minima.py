"""Small against large batches from end to end on a small budget, and what is said of them can go either way."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sgdtheory.statistics.measured import Claim
from sgdtheory.studies.small_batches import claims as batches
from tests.conftest import Said
from tests.studies.asked import results

Command = Callable[..., Said]
SMALL = [
    "~recipes.adam", "~recipes.tanh", "~recipes.weight_decay", "sgd.steps=300",
    "target=0.1", "every=1", "descent.learning_rate=0.05", "seeds=2", "recipes.fixed_epochs.epochs=4", "~also.sharpness_half",
    "~also.sharpness_subspace", "~also.sharpness_subspace_half", "data.test_share=0.8", "executor.workers=1", "threads=1",
]  # fmt: skip


def test_from_end_to_end(sgdtheory: Command) -> None:
    said = sgdtheory("study", "small_batch_flat_minima", *SMALL, "--quiet")
    assert said.code == 0, said.err
    found = json.loads(
        (
            Path(said.out.splitlines()[-1].removeprefix("report: ")).parent / "results.json"
        ).read_text(encoding="utf-8")
    )
    assert [claim["name"] for claim in found["claims"]] == [
        "sharpness", "top_eigenvalue", "test_error", "fixed_epochs", "reparametrised",
    ]  # fmt: skip
    ratios = {row["recipe"]: row for row in found["tables"]["ratios"]}
    assert found["claims"][0]["value"] == ratios["sgd"]["sharpness"] > 1.2
    assert ratios["sgd"]["loss"] == pytest.approx(1, abs=batches.EQUAL)
    assert ratios["reparametrised"]["loss"] == pytest.approx(ratios["sgd"]["loss"], rel=1e-12)
    assert (
        ratios["reparametrised"]["top_eigenvalue"] < ratios["sgd"]["top_eigenvalue"] / 4
    )  # the same functions
    assert (
        abs(ratios["fixed_epochs"]["loss"] - 1) > 0.5
        and "unequal loss" in found["claims"][3]["statement"]
    )
    assert {plot["table"] for plot in found["plots"]} <= set(found["tables"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["batch_sizes=[144,4]"], "the small one first"),
        (["recipes.reparametrised.activation=tanh"], "only a ReLU does not notice"),
        (["recipes.sgd.rescael=2"], "did you mean"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", "small_batch_flat_minima", *words)
    assert said.code == 2 and told in said.err


def said_of(
    ratios: list[float], losses: tuple[float, float] = (0.02, 0.02), errors: tuple[float, ...] = ()
) -> list[Claim]:
    """The claims where the large batch's minima are so many times as sharp."""
    rows: list[dict[str, Any]] = []
    for k, size in enumerate((4, 144)):
        for p, ratio in enumerate(ratios):
            sharp = 0.1 * (ratio if k else 1 + 0.1 * p)
            error = errors[p] if errors and k else 0.02
            flat = {"sharpness": sharp, "top_eigenvalue": sharp, "test_error": error, "norm": 1.0}
            rows.append({"batch_size": size, "point": p, "loss": losses[k], **flat})
    return batches.claims_of({"sgd": rows}, ["sgd"], 0.02)


@pytest.mark.parametrize(
    ("ratios", "losses", "holds"),
    [
        ([3.0, 3.3, 3.5], (0.02, 0.0199), True),
        ([3.0, 1.2, 9.0], (0.02, 0.02), False),  # one seed is not
        ([1.8, 1.8, 1.9], (0.02, 0.02), False),  # all are, and too little
        ([3.0, 3.3, 3.5], (0.02, 0.3), None),  # at unequal loss
        ([3.0, 3.3, 3.5], (0.02, 0.001), None),
    ],
)
def test_the_claim_can_fail(
    ratios: list[float], losses: tuple[float, float], holds: bool | None
) -> None:
    first, second, *_ = said_of(ratios, losses)
    assert first.holds is second.holds is holds
    assert (first.measured.value is None) is (holds is None)


def test_what_generalises_better_is_told_by_its_error() -> None:
    """A share in files, per cent for people: it was shown a hundred times too large."""
    claim = said_of([3.0, 3.0, 3.0], errors=(0.03, 0.031, 0.029))[2]
    assert claim.holds is True and claim.measured.value == pytest.approx(0.01)
    assert "1.000 ± 0.058 % more" in claim.statement
    assert said_of([3.0, 3.0, 3.0], errors=(0.01, 0.011, 0.009))[2].holds is False
    few = said_of([3.0, 3.0, 3.0], errors=(0.05, 0.01, 0.02))[2]  # 0.7 ± 1.2 points
    assert few.holds is None and "raise seeds" in few.measured.why


def test_the_ratio_is_the_geometric_mean_over_pairs() -> None:
    rows = [{"batch_size": b, "x": x} for b, x in ((4, 1.0), (4, 2.0), (144, 2.0), (144, 16.0))]
    ratio, each = batches.ratio_of(rows, "x")
    assert each == [2.0, 8.0] and ratio.value == pytest.approx(4.0)
    assert ratio.stderr == pytest.approx(
        4.0 * 0.6931471805599453
    )  # half of ln 8 − ln 2, of two samples
    assert (
        batches.ratio_of([{**row, "x": 0.0} if row["x"] == 16 else row for row in rows], "x")[
            0
        ].value
        is None
    )


def test_minima_that_sgd_did_not_train_say_nothing_of_its_batches(sgdtheory: Command) -> None:
    """After one step full-batch descent makes the minima, at either batch size."""
    kept = [word for word in SMALL if not word.startswith("recipes.")]
    words = [*kept, "~recipes.reparametrised", "~recipes.fixed_epochs", "sgd.steps=1"]
    _, found = results(sgdtheory, "small_batch_flat_minima", *words)
    told = {claim["name"]: claim for claim in found["claims"]}
    for name in ("sharpness", "top_eigenvalue", "test_error"):
        assert told[name]["holds"] is None and "SGD has not trained" in told[name]["why"]
