"""What is made of draws through the smaller of two matrices is what plain code makes of all."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.diagnostics import noise_draws
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.noise_draws import Draws
from sgdtheory.landscapes.network import Network
from sgdtheory.models.linear import Linear
from sgdtheory.rng import stream
from sgdtheory.statistics.bootstrap import resample_counts
from tests.diagnostics.test_noise import points

SHAPES = [(40, 7), (7, 40), (12, 12)]
over_shapes = pytest.mark.parametrize("shape", SHAPES, ids=["many", "few", "as many"])


def rows_of(shape: tuple[int, int], rank: int = 12) -> Tensor:
    """Of different sizes along their directions."""
    count, n = shape
    source = stream(0, "draws")
    left = torch.randn(count, rank, generator=source, dtype=torch.float64)
    right = torch.randn(rank, n, generator=source, dtype=torch.float64)
    return left * torch.logspace(0, -3, rank) @ right


@over_shapes
def test_it_is_what_all_of_c_says(shape: tuple[int, int]) -> None:
    rows = rows_of(shape)
    draws = Draws(rows, exact=True)
    pairs = (rows @ rows.T).square().numpy()
    exact = torch.linalg.eigvalsh(rows.T @ rows)[-min(shape) :]
    largest = float(exact[-1])
    assert (draws.values - exact).abs().max() < 1e-13 * largest
    assert draws.sizes == pytest.approx(rows.square().sum(1).numpy(), rel=1e-13)
    assert draws.squares == pytest.approx(pairs.sum(1), rel=1e-11)
    weights = resample_counts(len(draws), 5)
    resampled = np.array([w @ pairs @ w for w in weights])
    assert draws.resampled(weights) == pytest.approx(resampled, rel=1e-12)


@over_shapes
def test_directions_are_orthonormal_and_hold_what_eigenvalues_say(shape: tuple[int, int]) -> None:
    draws = Draws(rows_of(shape), exact=True)
    directions = draws.directions(5)
    assert directions.shape == (shape[1], 5)
    assert (directions.T @ directions - torch.eye(5)).abs().max() < 1e-9
    inside = (draws.rows @ directions).square().sum(0)
    assert torch.allclose(inside, draws.values[-5:], rtol=1e-9)


@over_shapes
def test_rounding_is_no_direction(shape: tuple[int, int]) -> None:
    directions = Draws(rows_of(shape, rank=3), exact=False).directions(10)
    assert directions.shape == (shape[1], 3)


def test_too_many_pairs_are_taken_to_first_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out, Σ (w_i−1)(w_j−1) (g_i·g_j)², has the mean Σ |g|⁴ − K‖C‖², as counts have
    the covariance δ_ij − 1/K; the sample itself is exact."""
    draws = Draws(rows_of((4000, 6)), exact=True)
    weights = np.concatenate([np.ones((1, 4000)), resample_counts(4000, 200)])
    exact = draws.resampled(weights)
    monkeypatch.setattr(noise_draws, "PAIRS", 1000)
    first_order = draws.resampled(weights)
    assert first_order[0] == pytest.approx(exact[0], rel=1e-12)
    left_out = (exact - first_order)[1:]
    error = left_out.std() / 200**0.5
    mean = (draws.sizes**2).sum() - exact[0] / 4000
    assert abs(left_out.mean() - mean) < 4 * error
    assert left_out.mean() < 2e-3 * exact[0]
    assert first_order[1:].std() == pytest.approx(exact[1:].std(), rel=0.02)


def test_a_table_of_many_rows_needs_no_matrix_of_their_pairs() -> None:
    """Of 40,000 that would be 13 GB."""
    landscape = Network(partial(Linear), points(40_000, 5, 2), weight_decay=1e-3)
    row = Noise()(landscape, landscape.init(1, stream(0, "init")))[0]
    assert row["noise_examples"].value == 40_000 and row["noise_rank"].value == 6
    cosine = row["noise_hessian_cosine"]
    assert cosine.value is not None and cosine.stderr is not None
    assert 0 < cosine.stderr < 0.02 < cosine.value <= 1
