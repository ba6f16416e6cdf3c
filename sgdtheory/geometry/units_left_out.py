"""Saddles of known index: a network of one hidden layer in which some units are left out."""

import torch
from torch import Tensor

from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.roles.facts import device_of


def mask_of_trained(landscape: NetworkLandscape, trained: int) -> Tensor:
    """[n], 1 for the weights of the first `trained` hidden units and for the biases of the outputs,
    0 for all others. At a minimum over the former, the latter at 0, ∇L = 0 by symmetry where the
    activation is odd.
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
