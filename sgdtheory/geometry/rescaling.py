"""The same function of a network with ReLUs at other points of its landscape."""

from sgdtheory.landscape import Cloud
from sgdtheory.roles import NetworkLandscape


def rescaled(landscape: NetworkLandscape, cloud: Cloud, factor: float) -> Cloud:
    """The same functions (σ(αx) = ασ(x) for a ReLU) at other points [P, n]: Dinh et al. 2017,
    1703.04933, 5.2.
    """
    weight, bias, following, *_ = (shape.numel() for shape in landscape.shapes.values())
    moved = cloud.clone()
    moved[:, : weight + bias] *= factor
    moved[:, weight + bias : weight + bias + following] /= factor
    return moved
