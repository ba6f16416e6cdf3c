"""What is said of strings can be wrong."""

from functools import partial
from typing import Any

import pytest

from sgdtheory.data.polynomial import polynomial
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.string_sampling import StringSampling
from sgdtheory.studies.string_sampling import StringStudy, claims_of, mean_row

LEVELS = [1.0, 0.1, 0.01]


def rows(*lengths: list[float | None]) -> list[dict[str, Any]]:
    """Three thresholds of a few pairs each."""
    found = []
    for level, lengths_there in zip(LEVELS, lengths, strict=True):
        found += [
            {"landscape": "a", "threshold": level, "length_ratio": x, "beads": x and int(x)}
            for x in lengths_there
        ]
    return found


@pytest.mark.parametrize(
    ("lengths", "holds"),
    [
        ([[1.0, 1.0, 1.01], [1.2, 1.3, 1.2], [1.5, 1.6, 1.7]], True),
        ([[1.2, 1.2, 1.2], [1.3, 1.3, 1.3], [1.5, 1.6, 1.7]], False),  # not straight at first
        (
            [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]],
            False,
        ),  # straight for ever, as on a convex landscape
        ([[1.0, 1.0, 1.0], [1.9, 1.9, 1.9], [1.3, 1.2, 1.3]], False),  # shorter at last
        ([[1.0, 1.0, 1.0], [1.2, 1.2, 1.2], [1.5, None, 1.6]], None),
        ([[1.0], [1.2], [1.5]], None),
        ([[1.2], [1.3], [1.5]], None),  # one pair refutes nothing either
        # of two pairs the bound is 14 errors: .008 ± .001 is seen, .008 ± .004 is not
        ([[1.0, 1.013], [1.003, 1.015], [1.012, 1.017]], None),
        ([[1.0, 1.001], [1.1, 1.101], [1.5, 1.51]], True),
        ([[1.0, 1.06], [1.2, 1.2], [1.5, 1.5]], None),  # straight at first, or not
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.01], [1.0, 1.001, 1.002]], False),  # straight for ever
    ],
)
def test_the_claim_holds_does_not_or_cannot_be_told(
    lengths: list[list[float | None]], holds: bool | None
) -> None:
    said = claims_of(rows(*lengths), {"a": LEVELS}, {"a": len(lengths[0])}, {})
    assert [claim.holds for claim in said] == [holds, holds]
    assert ("not all straight" in said[0].statement) is (holds is False)


def test_means_are_over_the_strings_that_were_found() -> None:
    row = mean_row(rows([1.0, 1.0], [1.2, None], [1.5, 1.7]), "a", 0.1)
    assert (row["found"], row["pairs"], row["length_ratio"]) == (1, 2, 1.2)
    assert "length_ratio_why" in mean_row(rows([1.0], [None], [1.5]), "a", 0.1)


def test_one_threshold_has_nothing_to_be_compared_with() -> None:
    for length, holds in ((1.0, None), (1.2, False)):
        row = {"landscape": "a", "threshold": 1.0, "length_ratio": length, "beads": 0}
        headline, claim = claims_of([row] * 3, {"a": [1.0]}, {"a": 3}, {})
        assert headline.holds is claim.holds is holds
        assert (holds is None) is ("one threshold" in claim.measured.why)
        assert headline.measured.why == claim.measured.why
    assert (
        "may be straight"
        in claims_of(rows([1.0], [1.2], [1.5]), {"a": LEVELS}, {"a": 1}, {})[0].statement
    )


@pytest.mark.parametrize(
    ("first", "last", "says"), [(10.0, 2.0, "not low"), (0.7, 0.1, "not high")]
)
def test_thresholds_that_are_not_high_and_low_refute_nothing(
    first: float, last: float, says: str
) -> None:
    """Of a target of variance 1 the best constant has a loss of 1."""
    levels = {"a": [first, last]}
    landscape = Network(partial(MLP, hidden=[2]), polynomial(degree=2, examples=32), loss="mse")
    sampling = StringSampling(SGD(10, None, 0.1, Constant()))
    study = StringStudy({"a": landscape}, levels, sampling, {"a": 3})
    lengths = [(first, 1.2), (last, 1.2)] if first < 1 else [(first, 1.0), (last, 1.0)]
    strings = [
        {"landscape": "a", "threshold": level, "length_ratio": length, "beads": 0}
        for level, length in lengths
        for _ in range(3)
    ]
    headline, claim = study.judge({"strings": strings}).claims
    assert headline.holds is claim.holds is None
    assert says in claim.measured.why and says in headline.measured.why
    assert claims_of(strings, levels, {"a": 3}, {})[1].holds is False
