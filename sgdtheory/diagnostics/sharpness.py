"""How far the loss can rise in a small box round a point: the sharpness of Keskar et al."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.protocol import Cloud, Landscape, value_and_grad, values
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured

# of the box, at random signs: where the gradient is 0 no maximiser would move away
NUDGE = 0.5
STARTS = 5  # of those, as none is any better than another
# of 1 + L: a rise |∇L|² over the maximiser's first step, −∇L, that is lost in the loss's rounding
LOST = 1e-14
ROUNDING = 1e-9  # a loss of 0 may come out so far below it


@dataclass(frozen=True)
class Sharpness:
    """100·[max_{y ∈ C_ε} L(θ + Ay) − L(θ)]/(1 + L(θ)), C_ε: |y_i| ≤ ε(|(A⁺θ)_i| + 1), in per cent.

    Metric 2.1 of Keskar et al. 2017 (1609.04836). `subspace` None: A = 1, the full space; no error,
    for its maximiser is deterministic. A number p: A [n, p] of standard normal draws, A⁺ its
    pseudo-inverse; mean and standard error over `draws` of A. The maximum is found by `iterations`
    of L-BFGS-B from y = 0 on the whole objective in float64, with both tolerances off (by default
    it stops at once), or where ∇L vanishes from 5 places at random, of which the best stands, with
    the scatter of all as its error. So it is "at least": the corner itself on a quadratic whose
    axes are the coordinates, in networks a tenth (at minima) to a half (at saddles) below what
    longer searches find. No number where the loss is negative: 1 + L measures nothing there,
    and has the wrong sign below −1.
    """

    epsilon: PositiveFloat = 1e-3
    subspace: PositiveInt | None = None
    draws: PositiveInt = 5
    iterations: PositiveInt = 10
    seed: NonNegativeInt = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        rows = []
        for theta in cloud:
            sharpness = self._at(landscape, theta.detach().double())
            rows.append({"sharpness": sharpness})
        return rows

    def _at(self, landscape: Landscape, theta: Tensor) -> Measured:
        loss = float(values(landscape, theta[None])[0])
        if loss < -ROUNDING:
            return Measured.nothing(
                f"the loss is {loss:.3g} here, and Keskar's measure is of losses that are not "
                "negative; add a constant, or take spectrum"
            )
        if self.subspace is None:
            found = self._rises(landscape, theta, None)
            scatter = float(np.std(found, ddof=1)) if len(found) > 1 else None
            return Measured(max(found), scatter, "%")
        rises = []
        for k in range(self.draws):
            source = stream(self.seed, "subspace", k)
            frame = torch.randn(theta.numel(), self.subspace, generator=source)
            rises.append(max(self._rises(landscape, theta, frame.to(theta))))
        return Measured.mean(rises, "%")

    def _rises(self, landscape: Landscape, theta: Tensor, frame: Tensor | None) -> list[float]:
        """The sharpness at θ [n] in the span of the columns of `frame` A [n, p], from one start or
        from each of several."""
        from scipy.optimize import minimize  # here, because importing it takes its time

        half = half_box(theta, frame, self.epsilon).cpu().numpy()  # [p]
        loss = float(values(landscape, theta[None])[0])

        def fall(y: np.ndarray) -> tuple[float, np.ndarray]:
            move = torch.from_numpy(y).to(theta)
            if frame is not None:
                move = frame @ move
            moved = theta + move
            value, gradients = value_and_grad(landscape, moved[None])
            slope = gradients[0]
            if frame is not None:
                slope = frame.T @ slope
            return loss - float(value[0]), -slope.cpu().numpy()

        start = np.zeros_like(half)
        _, slope = fall(start)
        starts = [start]
        if float(slope @ slope) <= LOST * (1 + abs(loss)):
            source = stream(self.seed, "nudge")
            draws = torch.randn(STARTS, len(half), generator=source)
            starts = list(NUDGE * half * np.sign(draws.numpy()))
        options = {"maxiter": self.iterations, "ftol": 0.0, "gtol": 0.0}
        box = np.stack([-half, half], 1)
        found = []
        for start in starts:
            best = minimize(fall, start, jac=True, method="L-BFGS-B", bounds=box, options=options)
            found.append(100 * max(0.0, -float(best.fun)) / (1 + loss))
        return found


def half_box(theta: Tensor, frame: Tensor | None, epsilon: float) -> Tensor:
    """ε(|(A⁺θ)_i| + 1) [p], half the sides of the box C_ε round θ [n]; A = 1 without a frame."""
    inside = theta
    if frame is not None:
        solved = torch.linalg.lstsq(frame, theta[:, None])
        inside = solved.solution[:, 0]
    return epsilon * (inside.abs() + 1)
