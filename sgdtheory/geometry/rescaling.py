"""The same function of a network with ReLUs at other points of its landscape."""

from sgdtheory.landscape import Cloud
from sgdtheory.roles.examples import NetworkLandscape


def rescaled(landscape: NetworkLandscape, cloud: Cloud, factor: float) -> Cloud:
    """The same functions as a cloud's [P, n] at other points [P, n], by σ(αx) = ασ(x) of a ReLU
    (Dinh et al. 2017, 1703.04933, 5.2): the first layer times α, the next weights over α.
    """
    shapes = landscape.shapes.values()
    weight, bias, following, *_ = (shape.numel() for shape in shapes)
    first = weight + bias
    both = first + following
    moved = cloud.clone()
    moved[:, :first] *= factor
    moved[:, first:both] /= factor
    return moved
