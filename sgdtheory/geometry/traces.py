"""Tr H and Tr C at one point of a landscape, each with its error."""

import torch
from torch import Generator, Tensor

from sgdtheory.geometry.gradient_noise import is_additive, per_sample_noise, whole_pass
from sgdtheory.products import Products
from sgdtheory.protocol import Landscape
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.examples import has_examples
from sgdtheory.statistics.measured import Measured

SKETCH = 64  # directions whose curvature is taken exactly: they hold nine tenths of Tr H on digits
PROBES = 32  # random ones for the rest
PASSES = 32  # over which Tr C is averaged where it is not known from every example


def hessian_trace(
    landscape: Landscape,
    theta: Tensor,
    source: Generator,
    sketch: int = SKETCH,
    probes: int = PROBES,
) -> Measured:
    """Tr H(θ) at one point θ [n] by Hutch++ (Meyer, Musco, Musco & Woodruff 2021, 2010.09649,
    Algorithm 1).

    Tr QᵀHQ + ⟨gᵀ(1−QQᵀ)H(1−QQᵀ)g⟩, Q an orthonormal basis of H·S, S and g of random signs;
    unbiased. The standard error is that of the mean over the probes g. Where n ≤ `sketch` all
    directions are taken, and there is no error.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> hessian_trace(bowl, origin, torch.Generator()).value
    5.0
    """
    n = theta.numel()
    products = Products(landscape, theta)
    if n <= sketch:
        rows = products(torch.eye(n).to(theta))
        return Measured(float(rows.diagonal().double().sum()))
    sketched = products(_signs(sketch, theta, source))
    basis = torch.linalg.qr(sketched.T)[0]  # [n, sketch]
    inside = products(basis.T.contiguous()) * basis.T
    return trace_beside(landscape, theta, basis.T, inside.double().sum(), probes, source)


def trace_beside(
    landscape: Landscape,
    theta: Tensor,
    basis: Tensor,
    inside: Tensor,
    probes: int,
    source: Generator,
) -> Measured:
    """Tr H(θ) at one point θ [n] where Tr QHQᵀ = `inside` [] is known, Q the orthonormal rows of
    `basis` [k, n]: `probes` products see the rest.

    Tr QHQᵀ + ⟨gᵀ(1−QᵀQ)H(1−QᵀQ)g⟩, g of random signs; unbiased whatever Q is, as long as g is
    independent of it. The standard error is that of the mean over g.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> basis, inside = torch.eye(2).double()[:1], torch.tensor(4.0)
    >>> round(trace_beside(bowl, origin, basis, inside, 3, torch.Generator()).value, 6)
    5.0
    """
    rest = _signs(probes, theta, source)
    rest = rest - (rest @ basis.T) @ basis  # [probes, n]
    outside = (Products(landscape, theta)(rest) * rest).double().sum(1)
    return Measured.mean((inside.to(outside) + outside).cpu())


def noise_trace(
    landscape: Landscape,
    theta: Tensor,
    size: int,
    source: Generator,
) -> Measured:
    """Tr C(θ) of one sample at one point θ [n]: exact, from every example's gradient, where a
    mini-batch's loss is a mean over its examples; else the mean over passes, with batch norm for
    mini-batches of `size`.

    >>> from sgdtheory.landscapes.quadratic import Quadratic
    >>> bowl, origin = Quadratic((4.0, 1.0)), torch.zeros(2, dtype=torch.float64)
    >>> noise_trace(bowl, origin, 8, torch.Generator()).value
    2.0
    """
    no_directions = theta.new_zeros(0, theta.numel())
    if has_examples(landscape) and is_additive(landscape):
        return Measured(float(per_sample_noise(landscape, theta, no_directions)[0]))
    passes = PASSES
    if states_noise(landscape):
        passes = 1
    traces = [
        float(whole_pass(landscape, theta[None], size, source, no_directions).noise_trace[0])
        for _ in range(passes)
    ]
    return Measured.mean(traces)


def _signs(count: int, like: Tensor, source: Generator) -> Tensor:
    """Random ±1 [count, n], in the dtype and on the device of a point [n]."""
    bits = torch.randint(2, (count, like.numel()), generator=source)
    return (2 * bits - 1).to(like)
