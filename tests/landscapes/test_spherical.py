"""The spherical spin glass: as many directions down as there are eigenvalues below."""

import pytest
import torch

from sgdtheory.errors import UserError
from sgdtheory.landscapes.spherical import Spherical
from tests.landscapes.contracts import spectrum_if_stationary

SIZE = 7


@pytest.mark.parametrize("ambient", [None, 12])
def test_the_kth_lowest_critical_point_has_index_k_minus_one(ambient: int | None) -> None:
    landscape = Spherical(directions=SIZE, ambient=ambient)
    points = landscape.critical_points()
    values = landscape.losses(points)
    assert (values.diff() > 0).all()
    torch.testing.assert_close(values, landscape.critical_values(), rtol=0, atol=1e-12)
    couplings = torch.linalg.eigvalsh(landscape.couplings)
    for k, theta in enumerate(points):
        curvatures = spectrum_if_stationary(landscape, theta)
        assert int((curvatures < 0).sum()) == k
        along = torch.cat([couplings[:k], couplings[k + 1 :]]) - couplings[k]
        across = 2 * (landscape.wall - couplings[k])
        rest = torch.full((landscape.dim - SIZE,), landscape.stiffness, dtype=torch.float64)
        expected = torch.cat([along, across[None], rest]).sort().values
        torch.testing.assert_close(curvatures, expected, rtol=0, atol=1e-10)
    assert (
        int(
            (
                spectrum_if_stationary(landscape, torch.zeros(landscape.dim, dtype=torch.float64))
                < 0
            ).sum()
        )
        == SIZE
    )


def test_the_wall_must_stand_over_the_couplings() -> None:
    with pytest.raises(UserError, match="raise it"):
        Spherical(wall=0.5)
