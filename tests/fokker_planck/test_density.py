"""Entropy and divergence of points that were drawn from a known density."""

import numpy as np
import pytest
from scipy.stats import differential_entropy, norm

from sgdtheory.fokker_planck.density import LEAST, Array, Binned, entropy, log_density, shares
from sgdtheory.landscapes.double_well import DoubleWell

GENERATOR = np.random.Generator(np.random.PCG64(1))
GAUSSIAN = 0.5 * np.log(2 * np.pi * np.e)


@pytest.mark.parametrize(
    ("name", "exact"),
    [("standard_normal", GAUSSIAN), ("standard_exponential", 1.0), ("random", 0.0)],
)
def test_entropy(name: str, exact: float) -> None:
    """Within 4 of its stated errors on three densities; at 20,000 points the bias is below one."""
    found = [
        entropy(getattr(np.random.Generator(np.random.PCG64(k)), name)(20_000)) for k in range(8)
    ]
    for each in found:
        assert each.value is not None and each.stderr is not None
        assert abs(each.value - exact) < 4 * each.stderr
    mean, error = np.mean([each.value or 0.0 for each in found]), (found[0].stderr or 0.0)
    assert abs(mean - exact) < 2 * error


def test_entropy_is_vasiceks() -> None:
    """Where neither end is near, scipy's, but for its log(2m) in place of ψ(2m)."""
    points = GENERATOR.standard_normal(4000)
    with_digamma = entropy(points, 20).value
    plain = differential_entropy(points, method="vasicek", window_length=20)
    assert with_digamma == pytest.approx(
        float(plain), abs=2 * 20 / 4000 * 3
    )  # 2m points near the ends, each by a few nats
    assert with_digamma != pytest.approx(float(plain), abs=1e-6)


def test_entropy_follows_the_scale() -> None:
    points = GENERATOR.standard_normal(1000)
    assert (entropy(3 * points).value or 0) - (entropy(points).value or 0) == pytest.approx(
        np.log(3), abs=1e-12
    )
    ordered, logs = log_density(points)
    assert (np.diff(ordered) >= 0).all() and logs.shape == ordered.shape


BINS = np.append(np.append(-np.inf, np.linspace(-3, 3, 59)), np.inf)
STEADY = np.diff(norm.cdf(BINS))


def drawn(points: int, shares: Array, seed: int) -> Binned:
    return Binned(np.random.Generator(np.random.PCG64(seed)).multinomial(points, shares), STEADY)


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_divergence_is_unbiased_and_its_error_right(shift: float) -> None:
    """Over 200 histograms: mean within 4 errors of the exact value, scatter within 4/√400 of the
    stated error.

    Without the bias subtracted the mean would be (bins − 1)/2P higher.

    """
    moved = np.diff(norm.cdf(BINS - shift))
    exact = drawn(5000, moved, 0).divergence_of(moved)
    assert exact == pytest.approx(
        float((moved * np.log(moved / STEADY)).sum()), rel=0.05
    )  # the rest is in the thin tails
    found = [drawn(5000, moved, seed).divergence for seed in range(200)]
    values = np.array([each.value for each in found])
    stated = np.mean([each.stderr or 0.0 for each in found])
    assert abs(values.mean() - exact) < 4 * values.std() / 200**0.5
    assert values.std() == pytest.approx(stated, rel=0.2)
    raw = values.mean() + 59 / (2 * 5000)
    assert abs(raw - exact) > 10 * values.std() / 200**0.5  # seen, when it is not subtracted


def test_thin_bins_are_taken_together() -> None:
    counts, expected = np.array([50.0, 3, 2, 45]), np.array([0.5, 0.02, 0.03, 0.45])
    found = Binned(counts, expected).divergence.value
    assert expected[1] * 100 < LEAST
    merged = np.array([50.0, 5, 45]) / 100
    assert found == pytest.approx(
        float((merged * np.log(merged / [0.5, 0.05, 0.45])).sum()) - 2 / 200
    )


def test_bins_that_are_all_thin_tell_nothing() -> None:
    """Half as many points as there should be five of in each of 40 bins: one bin, whatever they do.
    With a fifth of the density in thin bins, and the rest in four, there is a number."""
    level = np.full(40, 1 / 40)
    crowded = np.append(100.0, np.zeros(39))
    found = Binned(crowded, level).divergence
    assert found.value is None and found.why.startswith("100 % of the density is in bins")
    many = Binned(2 * crowded, level).divergence
    assert many.value == pytest.approx(np.log(40) - 39 / 400, abs=1e-12)
    for thin, is_known in ((0.19, True), (0.21, False)):
        shares = np.append(np.full(4, (1 - thin) / 4), np.full(10, thin / 10))
        assert (Binned(200 * shares, shares).divergence.value is not None) is is_known
    assert Binned(np.zeros(4), np.full(4, 0.25)).divergence.value is None


def test_shares_of_a_known_density() -> None:
    """Two wells and a bowl: the product of two one-dimensional densities."""
    import torch

    well = DoubleWell(directions=2)
    found = shares(lambda x: well.losses(torch.from_numpy(x)).numpy(), 1.0, 5.0, 20).reshape(20, 20)
    across = np.diff(norm.cdf(np.linspace(-5, 5, 21)))
    assert np.abs(found.sum(0) - across).max() < 1e-4
    centres = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    along = well.stationary_density(centres, 1.0).numpy()[:-1].reshape(20, 100).sum(1) * 0.005
    assert np.abs(found.sum(1) - along).max() < 1e-2 * along.max()
    assert np.abs(found - np.outer(found.sum(1), found.sum(0))).max() < 1e-15
