"""Linear regression on principal components with targets that are noise alone."""

import numpy as np
import torch

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.planted_regression import PlantedRegression
from sgdtheory.protocol import value_and_grad, values
from sgdtheory.rng import stream

NOISELESS = PlantedRegression(digits(), 10)
NOISY = PlantedRegression(digits(), 10, label_noise=0.5)
FEW = PlantedRegression(digits(limit=10), 10, label_noise=0.5)


def test_loss_and_gradient_are_a_plain_twins() -> None:
    cloud = torch.randn(3, 10, generator=stream(0, "cloud"), dtype=torch.float64)
    x, y = NOISY.inputs.numpy(), NOISY.targets.numpy()
    losses, gradients = value_and_grad(NOISY, cloud)
    for row, loss, gradient in zip(cloud.numpy(), losses, gradients, strict=True):
        residuals = x @ row - y
        assert abs(float(loss) - 0.5 * np.mean(residuals**2)) < 1e-12
        np.testing.assert_allclose(gradient.numpy(), x.T @ residuals / len(x), atol=1e-12)


def test_curvatures_are_variances_of_components() -> None:
    hessian = NOISELESS.hessian
    assert float(hessian[0, 0]) == 1 or abs(float(hessian[0, 0]) - 1) < 1e-12
    assert float((hessian - torch.diag(hessian.diagonal())).abs().max()) < 1e-12
    assert bool((hessian.diagonal().diff() <= 0).all()) and NOISELESS.dim == 10
    pixels = digits().scaled(digits().train_inputs, torch.float64).flatten(1)
    spectrum = torch.linalg.eigvalsh(pixels.T @ pixels).flip(0)[:10]
    torch.testing.assert_close(hessian.diagonal(), spectrum / spectrum[0])


def test_noise_is_left_where_examples_cannot_be_met() -> None:
    for landscape, is_left in ((NOISELESS, False), (NOISY, True), (FEW, False)):
        minimum = landscape.minima()
        trace = float(landscape.noise_covariance(minimum)[0].trace())
        lowest = float(values(landscape, minimum)[0])
        assert (trace > 0.01 and lowest > 0.1) if is_left else (trace < 1e-20 > lowest)
    assert FEW.dim == 10 == FEW.count
    ten_of_them = PlantedRegression(digits(limit=20), 50)
    assert ten_of_them.dim <= 20
