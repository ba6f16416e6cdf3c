"""Whether a landscape that is no network is one function of its parameters: tried out before any
work, as networks are."""

import torch
from torch import Tensor

from sgdtheory.errors import UserError, in_a_line
from sgdtheory.landscapes.batches_apart import batches_apart
from sgdtheory.landscapes.culprit import ROUNDING, relative_difference
from sgdtheory.landscapes.derivative import is_derivative
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import stream
from sgdtheory.roles.facts import title_of

POINTS = 3


def formula_check(landscape: Landscape) -> None:
    """UserError where the objective is another at the same point, where points see each other,
    where the gradient is not its derivative, or where mini-batches are not those of it."""
    cloud = landscape.init(POINTS, stream(0, "check")).double()
    direction = torch.randn(cloud.shape[1], generator=stream(0, "slope"), dtype=cloud.dtype)
    direction = (direction / direction.norm()).to(cloud)

    def loss_at(point: Tensor) -> float:
        with torch.no_grad():
            return float(landscape.losses(point[None]))

    try:
        values, gradients = value_and_grad(landscape, cloud)
        again, _ = value_and_grad(landscape, cloud)
        alone = torch.tensor([loss_at(point) for point in cloud], dtype=values.dtype)
        slopes = zip(cloud, gradients, strict=True)
        are_derivatives = [is_derivative(loss_at, *each, direction) for each in slopes]
    except UserError:
        raise
    except Exception as fault:  # of whatever kind: it is a stranger's code
        raise UserError(f"landscape: fails in float64 ({in_a_line(fault, 160)})") from fault
    title = title_of(landscape)
    if not torch.equal(values, again):
        raise UserError(
            f"landscape: {title} has another objective at the same points when it is asked again; "
            f"it must be one function of them: draw randomness in `sample`"
        )
    pairs = zip(alone.to(values), values, strict=True)
    if not all(relative_difference(*pair) <= ROUNDING for pair in pairs):
        raise UserError(
            f"landscape: the objective of a point of {title} depends on the other points of the "
            f"cloud; row p of `losses` must be a function of row p alone"
        )
    if not all(are_derivatives):
        raise UserError(
            f"landscape: the gradient of {title} is not the derivative of its objective; is "
            f"something detached, or under no_grad?"
        )
    try:
        batches_apart(landscape, cloud)
    except UserError:
        raise
    except Exception as fault:
        raise UserError(
            f"landscape: a mini-batch of {title} fails in float64 ({in_a_line(fault, 160)})"
        ) from fault
