"""Whether the examples of a batch see each other: in the network, and in its loss."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.landscapes.culprit import ROUNDING, refusal, relative_difference, with_others
from sgdtheory.protocol import TensorsByName, value_and_grad
from sgdtheory.rng import stream

if TYPE_CHECKING:
    from sgdtheory.landscapes.network import Network

MANY = 1 << 16  # numbers of inputs up to which a batch of several hundred examples is tried besides
# relative, of two means: gradients of code that computes norms in float32 (Gemma's) differ by 3e-9
MEANS = 1e-6
TIMES = 12  # so many times the examples of a check


def rows_apart(few: "Network", theta: Tensor, statistics: TensorsByName, whole: Tensor) -> float:
    """How much a row's scored outputs and losses at θ [n] depend on the other rows: on what they
    are, on their order and on how many there are. UserError where they do. `whole` [N, …]: the
    outputs of all examples with these statistics of batch norm."""
    images, targets = few.examples("train")

    def outputs_of(inputs: Tensor) -> Tensor:
        return few.outputs_with(theta, statistics, inputs)

    half = len(images) // 2
    others = outputs_of(with_others(images, half))
    difference = relative_difference(whole[:half], others[:half])
    what = "lets the examples of a batch see each other in evaluation mode"
    if difference > ROUNDING:
        raise UserError(refusal(few, theta, what, rows=half))
    for rows in _batches(images):
        apart = relative_difference(outputs_of(images[rows]), whole[rows])
        difference = max(difference, apart)
    if difference > ROUNDING:
        raise UserError(
            f"model: an output of {few.function.name} depends on which other examples are in the "
            f"batch, on their order or on their number; is its first axis the batch's throughout "
            f"(batch_first=True)?"
        )
    return max(difference, _losses_apart(few, whole, targets))


def examples_apart(few: "Network", theta: Tensor) -> None:
    """UserError where losses and gradients at θ [n] of two examples, each a mini-batch of its own,
    have another mean than the mini-batch of both; with batch norm they are to."""
    if few.function.has_batch_norm:
        return
    two = torch.arange(2, device=few.device) % few.count
    of_each = value_and_grad(few, theta.expand(2, -1), few.batch(two[:, None]))
    of_both = value_and_grad(few, theta[None], few.batch(two[None]))
    for each, both in zip(of_each, of_both, strict=True):
        difference = relative_difference(each.mean(0), both[0])
        if difference > MEANS:
            raise UserError(
                f"model: two examples of {few.function.name}, each a batch of its own, have "
                f"another mean than the batch of both (by {difference:.1g}); its code must not "
                f"ask how many examples there are (squeeze(-1) for squeeze())"
            )


def _batches(images: Tensor) -> Iterator[Tensor]:
    """Batches of the same examples, in another order and of other sizes: their rows."""
    count = len(images)
    yield torch.randperm(count, generator=stream(0, "order")).to(images.device)
    for size in (1, 2, 3, 7):
        yield torch.arange(count, device=images.device)[-size:]
    if TIMES * images.numel() <= MANY:
        yield torch.arange(count, device=images.device).repeat(TIMES)


def _losses_apart(few: "Network", outputs: Tensor, targets: Tensor) -> float:
    """How much the loss of an example depends on the others; UserError where it does, or where an
    example has no loss of its own."""

    def losses_of(rows: Tensor) -> Tensor:
        return few.loss.losses(outputs[rows][None], targets[rows][None])[0]

    every = torch.arange(len(outputs), device=outputs.device)
    whole = losses_of(every)
    if whole.shape != every.shape:
        raise UserError(
            f"landscape.loss: of {len(every)} examples it gives losses {list(whole.shape)}; it "
            f"must give one of each, [{len(every)}]"
        )
    difference = 0.0
    for rows in _batches(outputs):
        apart = relative_difference(losses_of(rows), whole[rows])
        difference = max(difference, apart)
    if difference > ROUNDING:
        raise UserError(
            f"landscape.loss: the loss of an example depends on the others of its batch (by "
            f"{difference:.1g}), so the mean over the data is no mean over mini-batches; divide by "
            f"nothing that a batch decides, and see whether outputs {list(outputs.shape)} and "
            f"targets {list(targets.shape)} are broadcast"
        )
    return difference
