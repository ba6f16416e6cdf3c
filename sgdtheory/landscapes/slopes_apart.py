"""Whether gradients are the derivatives of the loss, and products those of the gradient."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError, first_line
from sgdtheory.landscapes.derivative import KNOWN, SHIFT, STEPS, LossAt, difference, is_derivative
from sgdtheory.protocol import hvp, value_and_grad
from sgdtheory.rng import stream

if TYPE_CHECKING:
    from sgdtheory.landscapes.mini_batch import MiniBatch
    from sgdtheory.landscapes.network import Network

PRODUCT = 1e-2  # of a product that differs from the difference by no more: seen ≤ 1e-5
ROUNDED = 4  # roundings of a gradient, from a few examples
SINGLE = 2e-4  # of outputs in float32: seen ≤ 1e-5; in bfloat16 1e-3 and more


def slopes_apart(few: "Network", theta: Tensor, batch: "MiniBatch") -> str:
    """Whether there are Hessian-vector products at θ [n], float64, in words; empty where there are.
    UserError where the gradient is not the derivative of the loss, for then barriers, temperatures
    and spectra would be of no potential, or where products are not that of the gradient."""
    gradient = _gradient(few, theta, batch)
    directions = _directions(few, theta, gradient)
    _refuse_other_slopes(few, theta, batch, gradient, directions)
    return _products(few, theta, batch, gradient, directions[0])


def _gradient(few: "Network", theta: Tensor, batch: "MiniBatch") -> Tensor:
    _, gradients = value_and_grad(few, theta[None], batch)
    return gradients[0]


def _refuse_other_slopes(
    few: "Network",
    theta: Tensor,
    batch: "MiniBatch",
    gradient: Tensor,
    directions: list[Tensor],
) -> None:
    def loss_at(point: Tensor) -> float:
        with torch.no_grad():
            return float(few.losses(point[None], batch))

    for direction in directions:
        if not is_derivative(loss_at, theta, gradient, direction):
            names = _culprit(few, loss_at, theta, gradient, direction)
            raise UserError(
                f"model: the gradient of {few.function.name} is not the derivative of its loss "
                f"({names}); is something detached, under no_grad, rounded straight through or "
                f"recomputed? Parameters that are not trained are named by landscape.parameters"
            )


def _products(
    few: "Network", theta: Tensor, batch: "MiniBatch", gradient: Tensor, direction: Tensor
) -> str:
    """Whether there are products, in words; UserError where they are not what differences of
    gradients are, as far as rounding lets those be known."""
    try:
        products = hvp(few, theta[None], direction[None], batch)
    except (RuntimeError, NotImplementedError) as fault:
        why = first_line(fault)[:80]
        return f"; no Hessian-vector products: {why}"
    product = products[0]
    shifted = _gradient(few, theta + SHIFT * direction, batch)
    noise = float((shifted - gradient).norm())
    # a shift may be lost in the rounding of large outputs, which shows as no noise at all
    rounding = ROUNDED * torch.finfo(gradient.dtype).eps
    noise = max(noise, rounding * float(gradient.norm()))
    apart = []
    for step in STEPS:
        above = _gradient(few, theta + step * direction, batch)
        below = _gradient(few, theta - step * direction, batch)
        expected = (above - below) / (2 * step)
        # the difference may be exactly 0, of a loss that is linear in θ, and the product not
        size = max(float(expected.norm()), float(product.norm()))
        if size == 0:
            return ""
        if noise / step > KNOWN * size:
            continue
        off = float((product - expected).norm()) / size
        if off <= PRODUCT + 3 * noise / step / size:
            return ""
        apart.append(off)
    if not apart:
        return ""
    raise UserError(
        f"model: second derivatives of {few.function.name} are wrong, by {min(apart):.1g} of the "
        f"difference of two gradients; an autograd.Function of it may be differentiable once alone"
    )


def singles_apart(few: "Network", theta: Tensor) -> None:
    """UserError where outputs at θ [n] in float32 are not those in float64: something computes in
    less."""
    images, _ = few.examples("train")
    outputs = few.outputs_with(theta, few.statistics(theta), images)
    single = theta.float()
    singles = few.outputs_with(single, few.statistics(single), images)
    differences = singles.double() - outputs
    apart = float(differences.norm() / (1e-6 + outputs.norm()))
    if not apart <= SINGLE:
        raise UserError(
            f"model: outputs of {few.function.name} in float32 are off by {apart:.1g}; does its "
            f"forward pass compute in less (autocast, half)? Leave that out: "
            f"landscape.precision=bf16 trains so, and scores in float32"
        )


def _directions(few: "Network", theta: Tensor, gradient: Tensor) -> list[Tensor]:
    """Unit vectors [n] at θ [n]: one at random and the gradient's own; neither moves a row of
    padding that has no gradient but λθ, by its author's will. One for each row that has: it is used
    elsewhere too."""
    random = torch.randn(gradient.shape, generator=stream(0, "slope"), dtype=gradient.dtype)
    found = [random.to(gradient), gradient.clone()]
    decay = few.penalty.gradient(theta[None])[0]
    rows = zip(_padding(few, gradient), _padding(few, decay), strict=True)
    for k, (slope, pull) in enumerate(rows):
        if torch.allclose(slope, pull, rtol=1e-9, atol=0):
            for direction in found[:2]:
                _padding(few, direction)[k].zero_()
        else:
            alone = torch.zeros_like(gradient)
            _padding(few, alone)[k].copy_(slope)
            found.append(alone)
    return [direction / direction.norm() for direction in found if bool(direction.any())]


def _padding(few: "Network", vector: Tensor) -> list[Tensor]:
    """The rows of padding codes, views of a vector [n]."""
    weights = few.function.weights(vector)
    rows = []
    for name, part in few.function.module.named_modules():
        weight = weights.get(f"{name}.weight" if name else "weight")
        if not isinstance(part, nn.Embedding | nn.EmbeddingBag):
            continue
        if part.padding_idx is not None and weight is not None:
            rows.append(weight[part.padding_idx])
    return rows


def _culprit(
    few: "Network", loss_at: LossAt, theta: Tensor, gradient: Tensor, direction: Tensor
) -> str:
    """The slopes along the first parameter for which they are apart, in words."""
    for name, own in few.function.weights(direction).items():
        alone = torch.zeros_like(direction)
        few.function.weights(alone)[name].copy_(own)
        if not is_derivative(loss_at, theta, gradient, alone):
            slope = float(gradient @ alone)
            found = difference(loss_at, theta, alone, STEPS[3])
            return f"along {name} {slope:.3g}, by differences {found:.3g}"
    return "along a random direction"
