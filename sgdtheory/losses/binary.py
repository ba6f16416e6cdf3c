"""Cross entropy of two classes, or of several labels that exclude nothing, in nats."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from sgdtheory.data.examples import Examples
from sgdtheory.errors import UserError
from sgdtheory.losses.loss import are_alike, per_example


@dataclass(frozen=True)
class Binary:
    """−y log σ(f) − (1 − y) log(1 − σ(f)) in nats, y in 0 … 1, the mean over the labels of an
    example; an output above 0 says 1."""

    unit = "nats"
    error = "error"

    def adapted_to(self, outputs: Tensor, data: Examples) -> Self:
        """The same loss; UserError where outputs [b, …] are not one logit a label, or targets no
        labels."""
        targets = data.train_targets
        if not are_alike(outputs, targets):
            raise UserError(
                f"model: gives outputs {list(outputs.shape)} for {len(outputs)} examples with "
                f"labels {list(targets.shape[1:]) or 'of one number'}; loss=binary takes one logit "
                f"a label, in their shape"
            )
        low = float(targets.min())
        high = float(targets.max())
        if low < 0 or high > 1:
            raise UserError(f"data: targets lie in {low:g} … {high:g}; loss=binary takes 0 … 1")
        return self

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, …] and targets [P or 1, b, …]."""
        shape = (*targets.shape[:2], *outputs.shape[2:])
        labels = targets.to(outputs.dtype).reshape(shape)
        losses = F.binary_cross_entropy_with_logits(
            outputs, labels.expand_as(outputs), reduction="none"
        )
        return per_example(losses)

    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The share of the labels [b, …] on whose side the outputs [b, …] are not, float64 [b]."""
        said = outputs.reshape(len(outputs), -1) > 0
        labels = targets.reshape(len(targets), -1) > 0.5
        return (said != labels).double().mean(1)

    def predictions(self, outputs: Tensor) -> Tensor:
        """The outputs [b, …] themselves."""
        return outputs

    def of_constant(self, targets: Tensor, outputs: int) -> float:
        """−p ln p − (1 − p) ln(1 − p), p the mean of a label over targets [N, …], the mean over the
        labels."""
        numbers = targets.double().reshape(len(targets), -1)
        p = numbers.mean(0).cpu()
        entropies = torch.special.entr(p) + torch.special.entr(1 - p)
        return float(entropies.mean())

    def lowest(self, targets: Tensor, outputs: int) -> float:
        """−y ln y − (1 − y) ln(1 − y), the mean over the labels y of targets [N, …]: 0 where they
        are 0 and 1."""
        y = targets.double().cpu()
        entropies = torch.special.entr(y) + torch.special.entr(1 - y)
        return float(entropies.mean())
