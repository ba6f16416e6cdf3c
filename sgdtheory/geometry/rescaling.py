"""The same function of a network with ReLUs at other points of its landscape."""

from sgdtheory.protocol import Cloud
from sgdtheory.roles.examples import NetworkLandscape


def rescaled(landscape: NetworkLandscape, cloud: Cloud, factor: float) -> Cloud:
    """The same functions as a cloud's [P, n] at other points [P, n], by σ(αx) = ασ(x) of a ReLU
    (Dinh et al. 2017, 1703.04933, 5.2): the first layer times α, the next weights over α.

    >>> import torch
    >>> from functools import partial
    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.network import Network
    >>> from sgdtheory.models.mlp import MLP
    >>> network = Network(partial(MLP, hidden=(2,)), digits(limit=20), weight_decay=0.0)
    >>> cloud = network.init(1, torch.Generator().manual_seed(0))
    >>> moved = rescaled(network, cloud, 4.0)
    >>> torch.allclose(network.losses(moved), network.losses(cloud)), moved.shape
    (True, torch.Size([1, 160]))
    """
    shapes = landscape.shapes.values()
    weight, bias, following, *_ = (shape.numel() for shape in shapes)
    first = weight + bias
    both = first + following
    moved = cloud.clone()
    moved[:, :first] *= factor
    moved[:, first:both] /= factor
    return moved
