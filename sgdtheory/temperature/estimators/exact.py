"""How high the cloud stands, and how high it must where the landscape states its covariance."""

from sgdtheory.errors import UserError
from sgdtheory.landscape import Landscape, hvp
from sgdtheory.roles import states_covariance
from sgdtheory.statistics.measured import Measured, Row
from sgdtheory.temperature.estimators.estimator import ratio
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.trajectory import Trajectory

MOST = 2048  # parameters: Σ is a matrix


def heights(landscape: Landscape, ground: ReferenceMinimum, trajectory: Trajectory) -> Row:
    """Columns `height` = 2⟨L − L*⟩ as measured, and `height_exact`, null with the reason where
    nothing is stated."""
    measured = ratio(2 * (trajectory.losses - ground.loss), trajectory.losses * 0 + 1)
    return {
        **measured.columns("height"),
        **exact_height(landscape, ground, trajectory).columns("height_exact"),
    }


def exact_height(
    landscape: Landscape, ground: ReferenceMinimum, trajectory: Trajectory
) -> Measured:
    """2⟨L − L*⟩ = Tr HΣ from the landscape's own `stationary_covariance`, exact where L is
    quadratic.

    For the quadratic that is the augmented Lyapunov equation, for linear regression the fixed point
    with multiplicative noise. Nothing is known under epoch sampling, and beyond the stable limit
    nothing is there.
    """
    if not states_covariance(landscape):
        return Measured.nothing("the landscape states no covariance")
    if trajectory.sampling == "epoch" or landscape.dim > MOST:
        return Measured.nothing(
            "not known under epoch sampling"
            if trajectory.sampling == "epoch"
            else "Σ would be too large"
        )
    finite = {"without_replacement": True} if trajectory.sampling == "without_replacement" else {}
    try:
        covariance = landscape.stationary_covariance(
            trajectory.learning_rate, trajectory.batch_size, trajectory.momentum, **finite
        )
    except UserError as fault:
        return Measured.nothing(str(fault))
    theta = ground.theta.to(covariance)
    # rows HΣ_i [n, n]
    return Measured(float(hvp(landscape, theta.expand(len(covariance), -1), covariance).trace()))
