"""A landscape whose objective is the mean over parts of exactly b examples: what SGD with batch
norm descends on average."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from sgdtheory.landscapes.mini_batch import mean_over_parts
from sgdtheory.protocol import Batch, Cloud, value_and_grad
from sgdtheory.roles.examples import WithExamples
from sgdtheory.roles.facts import device_of


class GhostBatchObjective:
    """L(θ) = mean of L_B(θ) over one fixed random partition of the examples into parts B of exactly
    `size`.

    With batch norm the loss of a batch is no mean over its examples, so that each b has an
    objective of its own. `most`: no more parts than that, a subset of the examples, where a product
    with the Hessian is asked for and all would take minutes.
    """

    def __init__(
        self, landscape: WithExamples, size: int, source: Generator, most: int | None = None
    ) -> None:
        self._landscape = landscape
        count = max(1, landscape.count // size)
        order = torch.randperm(landscape.count, generator=source)
        parts = order[: size * count].view(count, size)
        kept = parts[: most or count]
        self._indices = kept.to(device_of(landscape))  # [parts, size]

    def __getattr__(self, name: str) -> Any:
        """All else is the landscape's own."""
        return getattr(self._landscape, name)

    def parts(self) -> Iterator[tuple[Batch, float]]:
        weight = 1 / len(self._indices)
        for indices in self._indices:
            yield self._landscape.batch(indices[None]), weight

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        if batch is None:
            return mean_over_parts(partial(self.losses, cloud), self.parts())
        losses: Tensor = self._landscape.losses(cloud, batch)
        return losses

    def losses_and_gradients(
        self, cloud: Cloud, batch: Batch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if batch is None:
            return value_and_grad(self, cloud)
        return value_and_grad(self._landscape, cloud, batch, into)
