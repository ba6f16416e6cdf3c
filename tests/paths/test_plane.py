"""The plane through three points is that plane."""

import pytest
import torch

from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.paths.plane import coordinates, plane
from sgdtheory.rng import stream


def test_axes_are_orthonormal_and_hold_the_corners() -> None:
    corners = torch.randn(3, 20, generator=stream(0), dtype=torch.float64)
    axes, at = coordinates(corners)
    assert torch.allclose(axes @ axes.T, torch.eye(2, dtype=torch.float64))
    assert torch.allclose(corners[0] + at @ axes, corners)
    assert at[0].abs().max() == 0 and abs(float(at[1, 1])) < 1e-12


def test_the_loss_on_the_grid_is_the_loss_there() -> None:
    bowl = Quadratic(curvatures=(1.0, 1.0, 1.0))
    corners = torch.eye(3, dtype=torch.float64)
    found = plane(bowl, corners, 7, lambda done: None)
    axes, _ = coordinates(corners)
    for j, y in enumerate(found["y"]):
        for i, x in enumerate(found["x"]):
            theta = corners[0] + x * axes[0] + y * axes[1]
            assert found["train_loss"][j][i] == pytest.approx(0.5 * float(theta @ theta))
    assert found["test_loss"] is None
