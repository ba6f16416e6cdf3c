"""What every landscape promises, each a function that takes one and complains: to be called on any
landscape.

They use the protocol and its optional answers alone, hence `Any`. Clouds [P, n] are float64; bounds
on random quantities are stated in standard errors.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sgdtheory.protocol import Batch, hvp, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.facts import device_of


def draw(landscape: Any, points: int, size: int, seed: int = 0) -> Batch:
    """One i.i.d. mini-batch of `size` a point, from a formula or from examples."""
    generator = stream(seed, "contract")
    if hasattr(landscape, "sample"):
        return landscape.sample(points, size, generator)
    indices = torch.randint(landscape.count, (points, size), generator=generator)
    return landscape.batch(indices.to(device_of(landscape)))


def start(landscape: Any, points: int, seed: int = 1) -> Tensor:
    cloud: Tensor = landscape.init(points, stream(seed, "start"))
    return cloud.double()


def rows_are_independent(landscape: Any, size: int = 2) -> None:
    """Row p of losses, gradients and Hessian products stays when the others turn to NaN, and when
    they are gone."""
    cloud = start(landscape, 5)
    spoilt = torch.full_like(cloud, torch.nan)
    spoilt[2] = cloud[2]
    for batch in (None, draw(landscape, 1, size)):
        together = (*value_and_grad(landscape, cloud, batch), hvp(landscape, cloud, cloud, batch))
        among = (*value_and_grad(landscape, spoilt, batch), hvp(landscape, spoilt, cloud, batch))
        alone = (
            *value_and_grad(landscape, cloud[2:3], batch),
            hvp(landscape, cloud[2:3], cloud[2:3], batch),
        )
        for whole, with_nan, single in zip(together, among, alone, strict=True):
            torch.testing.assert_close(with_nan[2], whole[2], rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(single[0], whole[2], rtol=1e-12, atol=1e-12)


def draws_are_unbiased(landscape: Any, size: int = 3, draws: int = 4000) -> None:
    """Mean and covariance of mini-batch gradients are ∇L and C/size, each entry within 5 standard
    errors.

    Of a covariance S of K Gaussian draws, var S_ij = (S_ii S_jj + S_ij²)/(K − 1).

    """
    theta = start(landscape, 1)
    _, noisy = value_and_grad(landscape, theta.repeat(draws, 1), draw(landscape, draws, size))
    _, full = value_and_grad(landscape, theta)
    stderr = noisy.std(0) / draws**0.5
    assert ((noisy.mean(0) - full[0]).abs() <= 5 * stderr + 1e-12).all(), (
        "mini-batch gradients are biased"
    )
    if hasattr(landscape, "noise_covariance"):
        expected = landscape.noise_covariance(theta)[0] / size
        variances = expected.diagonal()
        error = ((variances[:, None] * variances + expected**2) / (draws - 1)).sqrt()
        assert ((noisy.T.cov() - expected).abs() <= 5 * error).all(), (
            "noise_covariance is not that of the draws"
        )


def batches_of_rows_differ(landscape: Any) -> None:
    """Each point has a batch of its own; one drawn for one point is shared by all; a stream says
    which."""
    theta = start(landscape, 1).repeat(2, 1)
    own, _ = value_and_grad(landscape, theta, draw(landscape, 2, 1))
    shared, _ = value_and_grad(landscape, theta, draw(landscape, 1, 1))
    assert not torch.allclose(own[0], own[1])
    torch.testing.assert_close(
        shared[0], shared[1]
    )  # a matrix product gives equal rows equal bits on some processors only
    torch.testing.assert_close(
        own, value_and_grad(landscape, theta, draw(landscape, 2, 1))[0], rtol=0, atol=0
    )


def derivatives_agree(landscape: Any, twin: Callable[[Tensor], Tensor] | None = None) -> None:
    """Losses, gradients and Hessian products against a function of one point [n] → [], to 1e-10 of
    their own size."""
    cloud = start(landscape, 4)
    plain = twin or (lambda theta: landscape.losses(theta[None])[0])
    vectors = torch.randn(cloud.shape, generator=stream(2, "vectors"), dtype=torch.float64).to(
        cloud
    )
    losses, gradients = value_and_grad(landscape, cloud)
    products = hvp(landscape, cloud, vectors)
    for p, theta in enumerate(cloud):
        # by backward passes: torch.func.hessian is no symmetric matrix for a masked attention
        hessian = torch.autograd.functional.hessian(plain, theta)  # type: ignore[no-untyped-call]
        for found, expected in (
            (losses[p], plain(theta)),
            (gradients[p], torch.func.grad(plain)(theta)),
            (products[p], hessian @ vectors[p]),
        ):
            size = max(1.0, float(expected.detach().abs().max()))
            torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-10 * size)


def minima_are_minima(landscape: Any) -> None:
    """|∇L| < 1e-8 and no eigenvalue of H below −1e-8·h_max, in float64."""
    for theta in landscape.minima().double():
        curvatures = spectrum_if_stationary(landscape, theta)
        assert curvatures[0] >= -1e-8 * curvatures[-1], (
            f"a stated minimum goes down: curvature {curvatures[0]:.3g}"
        )


def saddles_are_saddles(landscape: Any) -> None:
    """|∇L| < 1e-8 and exactly one eigenvalue below −1e-8·h_max."""
    for theta in landscape.saddles().double():
        curvatures = spectrum_if_stationary(landscape, theta)
        below = int((curvatures < -1e-8 * curvatures[-1]).sum())
        assert below == 1, f"a stated saddle has {below} directions down"


def spectrum_if_stationary(landscape: Any, theta: Tensor) -> Tensor:
    """Eigenvalues of H, ascending [n]."""
    _, gradient = value_and_grad(landscape, theta[None])
    assert gradient.norm() < 1e-8, (
        f"a stated stationary point has |∇L| = {float(gradient.norm()):.3g}"
    )
    n = theta.numel()
    rows = hvp(landscape, theta.repeat(n, 1), torch.eye(n, dtype=theta.dtype, device=theta.device))
    curvatures: Tensor = torch.linalg.eigvalsh(rows)
    return curvatures


def precision_follows_the_cloud(landscape: Any) -> None:
    """float32 in, float32 out, and the same number to float32's precision."""
    cloud = start(landscape, 3)
    batch = draw(landscape, 1, 2)
    single, double = landscape.losses(cloud.float(), batch), landscape.losses(cloud, batch)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    scale = float(double.abs().max())
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5 * max(1.0, scale))
