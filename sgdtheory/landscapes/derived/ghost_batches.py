"""A landscape whose objective is the mean over parts of exactly b examples: what SGD with batch
norm descends on average."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from sgdtheory.landscape import Batch, Cloud
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
        whole = max(1, landscape.count // size)
        order = torch.randperm(landscape.count, generator=source)[: size * whole]
        # [parts, size]
        self._indices = order.view(whole, size)[: most or whole].to(device_of(landscape))

    def __getattr__(self, name: str) -> Any:
        """All else is the landscape's own."""
        return getattr(self._landscape, name)

    def parts(self) -> Iterator[tuple[Batch, float]]:
        for indices in self._indices:
            yield self._landscape.batch(indices[None]), 1 / len(self._indices)

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        if batch is None:
            return torch.stack(
                [weight * self.losses(cloud, part) for part, weight in self.parts()]
            ).sum(0)
        found: Tensor = self._landscape.losses(cloud, batch)
        return found
