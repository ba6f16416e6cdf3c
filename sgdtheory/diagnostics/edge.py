"""How near to the edge of stability a point is: the curvatures that the steps of a descent see."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.geometry.curvature_precision import why_rounding
from sgdtheory.geometry.step_curvature import batch_sharpness, critical_sharpness
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.protocol import Cloud, Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.statistics.measured import Measured


@dataclass(frozen=True)
class Edge:
    """`batch_sharpness`, E_B[g_B·H_B·g_B/|g_B|²] over mini-batches of `batch_size` (2412.20553),
    with its error over `draws`; and `critical_sharpness`, 2/η_c, η_c the learning rate at which a
    full step along −∇L no longer lowers the loss (2601.16979), exact.

    Both are of the objective with L2, in units of curvature, to be held against 2/η: full-batch
    descent hovers where the Hessian's largest eigenvalue (`diagnostic=spectrum`) is 2/η, with heavy
    ball 2(1+μ)/η (Cohen et al. 2021, 2103.00065), SGD where batch sharpness is. Adam's edge, 38/η
    at β₁ = .9, is that of the preconditioned Hessian (2207.14484), which a point alone does not
    say. The snapshots of `train` have the edge of their optimiser beside them. No numbers where the
    curvature of a cross-entropy is rounding in float64, at L < 2e-12.
    """

    batch_size: PositiveInt = 128
    draws: Annotated[int, Ge(2)] = 200
    seed: NonNegativeInt = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        return [self._row(landscape, theta) for theta in cloud]

    def refuse(self, landscape: Landscape, key: str) -> None:
        """UserError where there are fewer examples than a mini-batch has."""
        refuse_batch(landscape, self.batch_size, f"{key}.batch_size")

    def _row(self, landscape: Landscape, theta: Tensor) -> dict[str, Measured]:
        theta = theta.double()
        if why := why_rounding(landscape, theta):
            nothing = Measured.nothing(why)
            return {"batch_sharpness": nothing, "critical_sharpness": nothing}
        source = stream(self.seed, "edge")
        _, gradients = value_and_grad(landscape, theta[None])
        return {
            "batch_sharpness": batch_sharpness(
                landscape, theta, self.batch_size, self.draws, source
            ),
            "critical_sharpness": critical_sharpness(landscape, theta, gradients[0]),
        }
