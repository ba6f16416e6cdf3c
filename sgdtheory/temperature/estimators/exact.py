"""The excess loss of a cloud as measured, and as it must be where the landscape states its
covariance."""

import numpy as np

from sgdtheory.errors import UserError
from sgdtheory.protocol import Landscape, hvp
from sgdtheory.roles.closed_forms import states_covariance
from sgdtheory.statistics.bootstrap import ratio_of_means
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Trajectory

MOST = 2048  # parameters: Σ is a matrix


def excess_columns(
    landscape: Landscape, reference: ReferenceMinimum, trajectory: Trajectory
) -> Row:
    """Columns `height` = 2⟨L − L*⟩ as measured, and `height_exact`, null with the reason where the
    landscape states no covariance."""
    ones = np.ones_like(trajectory.losses)
    measured = ratio_of_means(2 * (trajectory.losses - reference.loss), ones)
    exact = exact_excess_loss(landscape, reference, trajectory)
    return row_of({}, height=measured, height_exact=exact)


def exact_excess_loss(
    landscape: Landscape, reference: ReferenceMinimum, trajectory: Trajectory
) -> Measured:
    """2⟨L − L*⟩ = Tr HΣ from the landscape's own `stationary_covariance`, exact where L is
    quadratic.

    For the quadratic that is the augmented Lyapunov equation, for linear regression the fixed point
    with multiplicative noise. Nothing is known under epoch sampling, and beyond the stable limit
    nothing is there.
    """
    if not states_covariance(landscape):
        return Measured.nothing("the landscape states no covariance")
    if trajectory.sampling == "epoch":
        return Measured.nothing("not known under epoch sampling")
    if landscape.dim > MOST:
        return Measured.nothing("Σ would be too large")
    finite = {"without_replacement": True} if trajectory.sampling == "without_replacement" else {}
    try:
        covariance = landscape.stationary_covariance(
            trajectory.learning_rate, trajectory.batch_size, trajectory.momentum, **finite
        )
    except UserError as fault:
        return Measured.nothing(str(fault))
    theta = reference.theta.to(covariance)
    products = hvp(landscape, theta.expand(len(covariance), -1), covariance)  # rows HΣ_i [n, n]
    return Measured(float(products.trace()))
