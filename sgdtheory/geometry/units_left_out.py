"""Saddles of known index: a network of one hidden layer in which some units are left out."""

import torch
from torch import Tensor

from sgdtheory.geometry.critical_points import ZERO
from sgdtheory.roles.examples import NetworkLandscape, has_outputs
from sgdtheory.roles.facts import decay_gradient, device_of


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


def known_index(landscape: NetworkLandscape, theta: Tensor, trained: int) -> int:
    """How many directions go down at θ [n], a minimum over the first `trained` hidden units where
    all others are 0; from outputs alone, without a Hessian.

    A unit beside, of weights u [inputs + 1] in and v [K] out and an activation that is odd and of
    slope 1 at 0, adds v(u·x̃) to the outputs, x̃ = (x, 1), and terms of the fourth order. So of
    second order it adds v·Gu + ½λ(|u|² + |v|²) to the loss, G [K, inputs + 1] the mean of the
    loss's derivative by the outputs times x̃; products with other units' weights are of higher
    order, so H falls into the block of those that are trained, without a direction down, and one
    block [[λ, G], [Gᵀ, λ]] for each that is left out. A singular pair of G makes λ ± σ_i of it, and
    what is orthogonal to all of them λ: the index is the number of σ_i(G) > λ, for each unit. Where
    λ acts on some parameters alone, the same block with 0 for the others is diagonalised.

    >>> from functools import partial
    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.network import Network
    >>> from sgdtheory.models.mlp import MLP
    >>> network = Network(partial(MLP, hidden=(2,), activation="tanh"), digits(limit=20))
    >>> theta = torch.zeros(network.dim, dtype=torch.float64)  # ten classes, two of each
    >>> known_index(network, theta, trained=0)
    18
    """
    into = next(iter(landscape.shapes.values()))
    left_out = into[0] - trained
    if not left_out:
        return 0
    residual = residual_map(landscape, theta)
    of_in, of_out = _decays_of_last(landscape, theta)
    above = torch.cat([of_out.diag(), residual], 1)
    below = torch.cat([residual.T, of_in.diag()], 1)
    block = torch.cat([above, below])
    curvatures = torch.linalg.eigvalsh(block)
    largest = curvatures.abs().max()
    down = curvatures < -ZERO * largest
    return left_out * int(down.sum())


def residual_map(landscape: NetworkLandscape, theta: Tensor) -> Tensor:
    """G [K, inputs + 1] at θ [n]: the gradient of the data loss in a linear layer beside the
    network, the mean of ∂loss/∂outputs times (x, 1).

    >>> from functools import partial
    >>> from sgdtheory.data.digits import digits
    >>> from sgdtheory.landscapes.network import Network
    >>> from sgdtheory.models.mlp import MLP
    >>> network = Network(partial(MLP, hidden=(2,), activation="tanh"), digits(limit=20))
    >>> residual_map(network, torch.zeros(network.dim, dtype=torch.float64)).shape
    torch.Size([10, 65])
    """
    data = landscape.data
    assert has_outputs(landscape), "networks have"
    total = torch.zeros(())
    for batch, weight in landscape.parts():
        with torch.no_grad():
            outputs = landscape.twice_differentiable_outputs(theta[None], batch)
        outputs.requires_grad_()
        loss = landscape.loss.losses(outputs.clone(), batch.targets).mean()
        (residuals,) = torch.autograd.grad(loss, outputs)
        of_examples = residuals[0].flatten(1)  # [b, K]
        (prepared,) = data.prepared(batch.inputs, theta.dtype)
        inputs = prepared.flatten(1)
        ones = torch.ones_like(inputs[:, :1])
        seen = torch.cat([inputs, ones], 1)
        part = of_examples.T @ seen
        total = total.to(part) + weight * part
    return total


def _decays_of_last(landscape: NetworkLandscape, theta: Tensor) -> tuple[Tensor, Tensor]:
    """λ as it acts on the weights and the bias into the last hidden unit [inputs + 1], and on those
    out of it [K]."""
    ones = torch.ones_like(theta)
    decays = decay_gradient(landscape, ones[None])[0]
    shapes = landscape.shapes.values()
    sizes = [shape.numel() for shape in shapes]
    parts = zip(decays.split(sizes), shapes, strict=True)
    into, bias, out, _ = (part.view(shape) for part, shape in parts)
    return torch.cat([into[-1], bias[-1:]]), out[:, -1]
