"""Bowls of which theory is exact: what is none is refused; what clouds say of one within their
errors."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.normal_crossing import NormalCrossing
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.landscapes.uneven import Uneven
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.sam import SAM
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.rng import stream
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tolerance import beyond_errors
from sgdtheory.studies.instabilities.bowl import Bowl as CopiesInABowl
from sgdtheory.studies.potentials.bowl import Bowl, resampled_covariances
from sgdtheory.studies.potentials.bowl_claims import (
    ALIKE,
    _alike,
    _not_the_loss,
    _variance_of_errors,
)
from sgdtheory.studies.shared.bowls import bowl_of

NO_QUADRATIC = "is no quadratic"
UNEVEN = "noise that is not the same everywhere"


class Cubic(Quadratic):
    """Its gradient is linear along every axis, and not between them."""

    def energy(self, x: Tensor) -> Tensor:
        return super().energy(x) + 0.01 * x[:, 0] * x[:, 1] * x[:, 2]


@pytest.mark.parametrize(
    ("landscape", "told"),
    [
        (NormalCrossing((2,)), NO_QUADRATIC),
        (NormalCrossing((2, 1)), NO_QUADRATIC),
        (NormalCrossing((1, 1)), NO_QUADRATIC),
        (DoubleWell(), NO_QUADRATIC),
        (Cubic((1.0, 0.5, 0.2)), NO_QUADRATIC),
        (Uneven(tilt=0.5), UNEVEN),
    ],
)
def test_what_is_no_bowl_is_refused(landscape: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        bowl_of(landscape)
    with pytest.raises(UserError, match=told):
        Bowl(landscape, [0.1], [1], 100, 5.0, 2)


@pytest.mark.parametrize(
    "bowl",
    [
        Quadratic((1.0, 0.5, 0.2), noise_anisotropy=30.0),
        Quadratic((1e-9, 3e-9), noise=1e12),
        Quadratic((2.0, 0.0), ambient=5, stiffness=0.3),
        NormalCrossing((1,)),  # x²
    ],
)
def test_bowls_and_their_matrices(bowl: Any) -> None:
    hessian, noise = bowl_of(bowl)
    exact = torch.tensor([[2.0]], dtype=torch.float64)
    if isinstance(bowl, Quadratic):
        exact = torch.diag(bowl.spectrum)
        if bowl.ambient:
            others = torch.eye(5) - bowl.frame.T @ bowl.frame
            exact = bowl.frame.T @ exact @ bowl.frame + bowl.stiffness * others
    torch.testing.assert_close(hessian, exact.double(), rtol=1e-12, atol=1e-15)
    known = bowl.noise_covariance(torch.zeros(1, bowl.dim, dtype=torch.float64))[0]
    torch.testing.assert_close(noise, known, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("bowl", "rates", "replicas", "told"),
    [
        (Quadratic((1.0, 0.0)), [0.1], 100, "a curvature is 0"),
        (Quadratic((1.0,), noise=0.0), [0.1], 100, "without noise"),
        (Quadratic((4.0, 1.0)), [0.1, 0.5], 100, "learning_rates=0.5: .* diverges at 0.5"),
        (Quadratic((1.0, 0.5, 0.2)), [0.1], 11, "replicas=11: .* use 12 or more"),
    ],
)
def test_clouds_that_do_not_rest(
    bowl: Quadratic, rates: list[float], replicas: int, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        Bowl(bowl, rates, [1], replicas, 5.0, 2)


QUADRATIC = Quadratic((1.0, 0.3), noise=0.5)
PLAIN = SGD(40, 4, 0.1, Constant(), 0.5)


@pytest.mark.parametrize(
    ("landscape", "sgd", "spawn", "told"),
    [
        (QUADRATIC, PLAIN, [0, 40], "spawn=40: copies need steps of their own"),
        (QUADRATIC, SGD(40, None, 0.1, Constant()), [0], "sgd.batch_size=null is without noise"),
        (QUADRATIC, replace(PLAIN, sampling="epoch"), [0], "sgd.sampling=epoch"),
        (
            QUADRATIC,
            Adam(40, 4, 0.1, Constant()),
            [0],
            "how far the noise of Adam spreads is not known",
        ),
        (
            QUADRATIC,
            SAM(40, 4, 0.1, Constant()),
            [0],
            "how far the noise of SAM spreads is not known",
        ),
        (Quadratic((1.0,), noise=0.0), PLAIN, [0], "landscape: without noise or curvature"),
        (Quadratic((0.0,)), PLAIN, [0], "landscape: without noise or curvature"),
        (NormalCrossing((2,)), PLAIN, [0], "NormalCrossing is no quadratic"),
        (NormalCrossing((2, 1)), PLAIN, [0], "NormalCrossing is no quadratic"),
        (DoubleWell(), PLAIN, [0], "DoubleWell is no quadratic"),
        (Uneven(tilt=0.5), PLAIN, [0], "noise that is not the same everywhere"),
    ],
)
def test_copies_in_bowls_that_nothing_is_known_of(
    landscape: Any, sgd: SGD, spawn: list[int], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        CopiesInABowl(landscape, sgd, spawn, 10)


# what is left of a scatter without errors

EXACT = torch.tensor([[1.0, 0.3, 0.0], [0.3, 0.5, 0.1], [0.0, 0.1, 0.2]], dtype=torch.float64)


def cloud_rows(replicas: int, cells: int, source: Generator, factor: float = 1.0) -> Rows:
    """The rows of cells whose matrices are one, or a `factor` apart in half of them."""
    rows = []
    root = torch.linalg.cholesky(torch.linalg.inv(EXACT))
    for k in range(cells):
        draws = torch.randn(replicas, 3, generator=source, dtype=torch.float64) @ root.T
        squares = draws[:, :, None] * draws[:, None, :]
        matrices = torch.linalg.inv(resampled_covariances(squares))
        if k % 2:
            matrices = factor * matrices
        errors = matrices[1:].std(0)
        for i in range(3):
            for j in range(i, 3):
                element, error = float(matrices[0, i, j]), float(errors[i, j])
                cell = {"learning_rate": 0.1, "batch_size": k + 1, "i": i, "j": j}
                own = {"element": element, "continuous": element, "continuous_stderr": error}
                rows.append({**cell, **own})
    return rows


def test_the_scatter_that_errors_make() -> None:
    # of N points the n log-ratios of a cell vary by (n + 1)/N each, less what the mean takes
    rows = cloud_rows(1000, 20, stream(0, "cells"))
    cells = [rows[k : k + 6] for k in range(0, len(rows), 6)]
    assert _variance_of_errors(cells) == pytest.approx(0.95 * 4 / 1000, rel=0.1)


@pytest.mark.parametrize(
    ("replicas", "factor", "holds"),
    [
        (500, 1.0, None),  # 9 % by the errors alone
        (500, 1.02, None),
        (500, 1.6, False),
        (20000, 1.0, True),
        (20000, 1.03, True),  # 1.5 % to either side
        (20000, 1.1, False),
    ],
)
def test_one_matrix_where_the_errors_let_it_be_said(
    replicas: int, factor: float, holds: bool | None
) -> None:
    rows = cloud_rows(replicas, 6, stream(1, "cells"), factor)
    (claim,) = _alike("bowl", rows)
    assert claim.holds is holds
    assert (holds is None) == ("raise systems.bowl.replicas" in claim.measured.why)


def test_what_is_left_is_not_biased() -> None:
    """Of numbers that scatter by 3 % with errors of 4 %, over and over."""
    source = stream(0, "beyond")
    draws = 0.05 * torch.randn(2000, 19, generator=source, dtype=torch.float64)
    left = [beyond_errors(float(spread), 0.04**2, 19) for spread in draws.std(1)]
    mean = sum(number.value or 0.0 for number in left) / len(left)
    assert mean == pytest.approx(ALIKE**2, rel=0.1)


@pytest.mark.parametrize(
    ("element", "error", "holds"),
    [
        (0.3, 0.01, True),  # the exact matrix, far from a multiple of H
        (0.0, 0.01, False),  # a multiple of H, and errors that would have shown the other
        (0.0, 0.1, None),  # no errors to tell them apart
    ],
)
def test_a_matrix_that_is_not_the_loss(element: float, error: float, holds: bool | None) -> None:
    pooled = []
    for place, exact, loss in (("11", 1.0, 1.0), ("12", 0.3, 0.0), ("22", 1.0, 1.0)):
        found = element if place == "12" else exact
        facts = {"place": place, "exact": exact, "loss": loss}
        pooled.append({**facts, "element": found, "element_stderr": error})
    claim = _not_the_loss("bowl", pooled)
    assert claim.holds is holds
    assert (holds is None) == ("raise systems.bowl.replicas" in claim.measured.why)
