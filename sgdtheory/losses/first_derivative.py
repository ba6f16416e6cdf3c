"""The first derivative of a loss by its outputs, beside the loss itself."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from torch import Tensor

from sgdtheory.data.examples import Examples
from sgdtheory.losses.cross_entropy import CrossEntropy
from sgdtheory.losses.loss import Loss
from sgdtheory.losses.mse import MSE, beside
from sgdtheory.protocol import by_autograd

# outputs [P, K, b] and targets [P or 1, b, …] → ⟨ℓ⟩ [P] and its derivative [P, K, b]
Slope: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def slope_of(loss: Loss, data: Examples) -> Slope:
    """The function that gives the mean loss [P] over the examples of a mini-batch and its
    derivative [P, K, b] by their outputs, from outputs [P, K, b] and targets [P or 1, b, …].

    Losses are known by what they compute: a class that computes something else under an inherited
    name goes through autograd, as do targets that are several or are probabilities.
    """
    losses = type(loss).losses
    if losses is MSE.losses:
        return _of_squares
    is_one_class = data.has_classes and data.train_targets.ndim == 1
    is_plain = losses is CrossEntropy.losses and is_one_class
    if is_plain and isinstance(loss, CrossEntropy):
        return partial(_of_classes, loss.label_smoothing)
    return partial(_by_autograd, loss)


def _of_classes(smoothing: float, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of −Σ_k q_k log p_k, which is p − q: q = 1 − ε + ε/K for the class that is the target, ε/K
    for the others."""
    points, classes, examples = outputs.shape
    logs = outputs.log_softmax(1)
    if targets.shape[0] != points:
        targets = targets.expand(points, examples)
    at = targets.unsqueeze(1)
    own = logs.gather(1, at)
    losses = own.sum((1, 2)).mul_(-1 / examples)
    less = own.new_full(own.shape, smoothing - 1)
    slopes = logs.exp().scatter_add_(1, at, less)
    if smoothing:
        share = smoothing / classes
        slopes.sub_(share)
        of_others = share / examples * logs.sum((1, 2))
        losses = (1 - smoothing) * losses - of_others
    return losses, slopes.mul_(1 / examples)


def _of_squares(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of the mean of r² over the K numbers of an example, which is 2r/K."""
    _, numbers, examples = outputs.shape
    residuals = outputs - beside(outputs.mT, targets).mT
    losses = residuals.square().mean((1, 2))
    return losses, residuals.mul_(2 / (numbers * examples))


def _by_autograd(loss: Loss, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    # a copy, for a leaf cannot be written over by a loss that works in place
    return by_autograd(lambda leaf: loss.losses(leaf.mT.clone(), targets).mean(1), outputs)
