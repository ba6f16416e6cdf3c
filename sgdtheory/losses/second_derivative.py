"""The second derivative of a loss by its outputs, as products; and whether the loss is convex in
them."""

import torch
from torch import Tensor

from sgdtheory.data.examples import IGNORED
from sgdtheory.losses.binary import Binary
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.huber import Huber
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE

# known to be convex in the outputs, by what they compute: a class that computes something else
# under an inherited name is none of them
CONVEX = (CrossEntropy.losses, MSE.losses, Huber.losses, Binary.losses)
MOST_OUTPUTS = 64  # of an example, up to which ∇²ℓ is written down to see whether a loss is convex
CHUNK = 1024  # examples looked at together
ROUNDING = 1e-9  # of the largest eigenvalue, float64


def curved(loss: Loss, outputs: Tensor, targets: Tensor, tangents: Tensor) -> Tensor:
    """(∇²ℓ_i)w_i [P, b, …] of each example i, ℓ_i its loss as a function of its outputs alone, from
    outputs and tangents w [P, b, …] and targets [P or 1, b, …]."""
    losses = type(loss).losses
    if isinstance(loss, CrossEntropy) and losses is CrossEntropy.losses:
        return _of_cross_entropy(loss, outputs, targets, tangents)
    if losses is MSE.losses:
        numbers = outputs[0, 0].numel()
        return 2 / numbers * tangents
    return _by_autograd(loss, outputs, targets, tangents)


def _of_cross_entropy(
    loss: CrossEntropy, outputs: Tensor, targets: Tensor, tangents: Tensor
) -> Tensor:
    """s·(diag p − ppᵀ)w [P, b, …] of outputs and w [P, b, …], p = softmax along the classes and s
    the share of a place among the targets [P or 1, b, …] of its example."""
    axis = -1
    if outputs.ndim > 3 and loss.axis == "second":
        axis = 2
    if targets.is_floating_point():
        smooth = loss.label_smoothing
        shares = (1 - smooth) * targets.sum(-1) + smooth
    else:
        shares = _shares_of_places(targets)
    p = outputs.softmax(axis)
    along = (p * tangents).sum(axis, keepdim=True)
    return shares.to(p).unsqueeze(axis) * p * (tangents - along)


def _shares_of_places(targets: Tensor) -> Tensor:
    """One over the targets that count in an example, 0 for those that do not, [P or 1, b, …]."""
    counted = (targets != IGNORED).double()
    if targets.ndim == 2:
        return counted
    totals = counted.flatten(2).sum(2).clamp_min(1)
    ones = [1] * (targets.ndim - 2)
    return counted / totals.view(*totals.shape, *ones)


def _by_autograd(loss: Loss, outputs: Tensor, targets: Tensor, tangents: Tensor) -> Tensor:
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        total = loss.losses(leaf.clone(), targets).sum()  # a leaf cannot be written over
        (gradients,) = torch.autograd.grad(total, leaf, create_graph=True)
        if not gradients.requires_grad:  # a loss that is linear in the outputs
            return torch.zeros_like(outputs)
        along = (gradients * tangents).sum()
        (products,) = torch.autograd.grad(along, leaf, allow_unused=True)
    return torch.zeros_like(outputs) if products is None else products


def why_not_convex(loss: Loss, outputs: Tensor, targets: Tensor) -> str:
    """Why it cannot be said that a loss is convex at outputs [1, b, …] for targets [1, b, …]; empty
    where it is."""
    if type(loss).losses in CONVEX:
        return ""
    numbers = outputs[0, 0].numel()
    if numbers > MOST_OUTPUTS:
        return (
            f"whether the loss is convex in its {numbers} outputs of an example is not known; it "
            f"is looked at up to {MOST_OUTPUTS}"
        )
    lowest = 0.0
    largest = 0.0
    chunks = zip(outputs.split(CHUNK, 1), targets.split(CHUNK, 1), strict=True)
    for some, their_targets in chunks:
        matrices = _matrices(loss, some.double(), their_targets)
        if not bool(torch.isfinite(matrices).all()):
            return "the second derivative of the loss by its outputs is not finite at an example"
        values = torch.linalg.eigvalsh(matrices)
        lowest = min(lowest, float(values.min()))
        largest = max(largest, float(values.abs().max()))
    if lowest < -ROUNDING * largest:
        return (
            f"the loss is not convex in the outputs: its second derivative has an eigenvalue "
            f"{lowest:.2g} at an example, beside one of {largest:.2g}"
        )
    return ""


def _matrices(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    """∇²ℓ of each example [b, m, m], from outputs [1, b, …] of m numbers each."""
    numbers = outputs[0, 0].numel()
    flat = torch.zeros(outputs.shape[1], numbers, dtype=outputs.dtype, device=outputs.device)
    columns = []
    for j in range(numbers):
        unit = flat.clone()
        unit[:, j] = 1
        products = curved(loss, outputs, targets, unit.view(outputs.shape))
        columns.append(products.reshape(flat.shape))
    return torch.stack(columns, 2)
