"""The curvatures of a landscape that say how large steps may be."""

import torch
from torch import Tensor

from sgdtheory.geometry.hessian import hessian, hessian_products, top_eigenpairs
from sgdtheory.protocol import Landscape
from sgdtheory.roles.closed_forms import StatesMinima, states_minima


def stiffest(landscape: Landscape) -> float:
    """The largest curvature at the first minimum that a landscape states; 0 where it states
    none."""
    if not states_minima(landscape):
        return 0.0
    values, _ = top_eigenpairs(landscape, landscape.minima()[0], 1)
    return float(values[0])


def flattest(landscape: Landscape) -> float:
    """The smallest curvature at any minimum that a landscape states, whose inverse is the slowest
    relaxation in a well; 0 where it states none."""
    if not states_minima(landscape):
        return 0.0
    matrices = [hessian(landscape, minimum) for minimum in landscape.minima()]
    return min((float(torch.linalg.eigvalsh(matrix)[0]) for matrix in matrices), default=0.0)


def curvature_towards(landscape: StatesMinima, other: Tensor) -> float:
    """The curvature at the first minimum in the direction of another point [n]."""
    first = landscape.minima()[0]
    along = torch.nn.functional.normalize(other - first, dim=0)
    (product,) = hessian_products(landscape, first, along[None])
    return float(product @ along)
