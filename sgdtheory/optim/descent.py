"""Down to the bottom without noise: full-batch descent and L-BFGS, for polishing minima and for
quenching a cloud."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, minres
from torch import Tensor

from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.products import Products, top_curvature
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.interrupt import stop_if_asked

MOMENTUM = 0.9
# of |∇L|, 1e-77: products of four such lengths are still normal numbers
FLOOR = float(np.finfo(np.float64).tiny) ** 0.25


def full_batch(landscape: Landscape, cloud: Cloud, steps: int, seed: int) -> SGD:
    """Heavy-ball descent of the whole objective from a cloud [P, n] at a quarter of the stable
    learning rate 2(1+μ)/h_max, h_max measured."""
    top = max(
        top_curvature(landscape, theta, stream(seed, "curvature", i))
        for i, theta in enumerate(cloud)
    )
    return SGD(steps, None, 0.5 * (1 + MOMENTUM) / max(top, 1e-12), Cosine(), MOMENTUM)


def lbfgs(
    landscape: Landscape,
    cloud: Cloud,
    steps: int,
    each: Callable[[float], None] = lambda done: None,
) -> Cloud:
    """The minimum below each point, [P, n] in float64, by L-BFGS on the whole objective (Liu &
    Nocedal 1989, scipy's code).

    For landscapes without batch norm: with it the objective has no minimum along |w| but the one
    weight decay makes. Only `steps`, a line search at the limits of float64, or a gradient of FLOOR
    ends it. At the line search's end a difference of values says nothing any more while the
    gradient still does, so Newton steps follow. `each(done)` is called after every iteration with
    the fraction of the work that is done.
    """
    found = []
    for p, theta in enumerate(cloud):
        taken = 0

        def after(p: int = p) -> None:
            nonlocal taken
            taken += 1
            each((p + taken / steps) / cloud.shape[0])

        best = quasi_newton(lambda point: value_and_grad(landscape, point), theta, steps, after)
        found.append(newton(landscape, best))
    return torch.stack(found).to(cloud.device)


def quasi_newton(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    theta: Tensor,
    steps: int,
    after: Callable[[], None] = lambda: None,
) -> Tensor:
    """The minimum of a function below θ [n], float64, by L-BFGS; the function maps [1, n] to (value
    [1], gradient [1, n]).

    A minimum at 0 of value 0 has no floor of rounding: float64 is as exact at 1e-300 as at 1, and
    the search would go on until s·y of its last steps is no normal number and scipy's 1/(s·y)
    infinite. |∇|∞ ≤ FLOOR ends it: s·y ≥ FLOOR²/h there.
    """

    from scipy.optimize import minimize  # here, because importing it takes its time

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        # a pass over a large set takes minutes, and nothing on disk is in the making
        stop_if_asked()
        value, gradient = function(torch.from_numpy(x).to(theta.device, torch.float64)[None])
        return float(value[0]), gradient[0].cpu().numpy()

    options = {"maxiter": steps, "maxfun": 2 * steps, "ftol": 0.0, "gtol": FLOOR, "maxcor": 20}
    start = theta.detach().double().cpu().numpy()
    best = minimize(
        objective, start, jac=True, method="L-BFGS-B", callback=lambda _: after(), options=options
    )
    return torch.from_numpy(best.x).to(theta.device)


def newton(landscape: Landscape, theta: Tensor, steps: int = 5) -> Tensor:
    """θ − H⁺∇L, [n], from θ [n] close by, at most `steps` times, each kept only when |∇L| falls,
    down to FLOOR; H·v and MINRES."""
    gradient = value_and_grad(landscape, theta[None])[1][0]

    for _ in range(steps):
        stop_if_asked()
        if gradient.norm() <= FLOOR:
            break
        hessian = _operator(Products(landscape, theta), theta)
        move, _ = minres(hessian, -gradient.cpu().numpy(), rtol=1e-10, maxiter=50)
        moved = theta + torch.from_numpy(move).to(theta)
        after = value_and_grad(landscape, moved[None])[1][0]
        if not after.norm() < gradient.norm():
            break
        theta, gradient = moved, after
    return theta


def _operator(products: Products, theta: Tensor) -> LinearOperator:
    """v → H(θ)v at θ [n], as a scipy operator [n, n]."""
    n = theta.numel()

    def product(vector: np.ndarray) -> np.ndarray:
        row = torch.from_numpy(vector.ravel()).to(theta)
        found: np.ndarray = products(row[None])[0].cpu().numpy()
        return found

    return LinearOperator((n, n), matvec=product, dtype=np.float64)
