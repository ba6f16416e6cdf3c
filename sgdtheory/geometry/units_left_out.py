"""Saddles of known index: a network of one hidden layer in which some units are left out."""

import torch
from torch import Tensor

from sgdtheory.roles import NetworkLandscape, device_of


def mask_of_trained(landscape: NetworkLandscape, trained: int) -> Tensor:
    """[n], 1 for the weights of the first `trained` hidden units and for the biases of the outputs,
    0 for all others. At a minimum over the former, the latter at 0, ∇L = 0 by symmetry where the
    activation is odd.

    >>> from functools import partial
    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.network import Network
    >>> from sgdtheory.models.mlp import MLP
    >>> network = Network(partial(MLP, hidden=(2,)), digits(limit=20))
    >>> mask = mask_of_trained(network, trained=1)
    >>> mask.shape, int(mask.sum())  # 64 weights and a bias in, ten out, ten biases
    (torch.Size([160]), 85)
    """
    into, bias, out, last = (
        torch.ones(shape, dtype=torch.float64) for shape in landscape.shapes.values()
    )
    into[trained:] = 0
    bias[trained:] = 0
    out[:, trained:] = 0
    mask = torch.cat([into.flatten(), bias, out.flatten(), last])
    return mask.to(device_of(landscape))


def known_index(classes: int, left_out: int) -> int:
    """(classes − 1)·units left out, where weight decay is below all singular values of G.

    >>> known_index(classes=10, left_out=2)
    18
    """
    return (classes - 1) * left_out
