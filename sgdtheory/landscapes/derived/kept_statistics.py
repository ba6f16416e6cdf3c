"""A network whose batch-norm statistics are coordinates of its points: what path searches see that
take them along as they take weights."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor

from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.network_objective import MiniBatch
from sgdtheory.losses.loss import Loss
from sgdtheory.protocol import Cloud, TensorsByName
from sgdtheory.roles.examples import Score, Split


class KeptStatistics:
    """L(θ, s) of the module in evaluation mode, its batch norms using the statistics s; points are
    (θ, s) [n + c].

    No gradient moves s, nor does L2: a search for a path interpolates them between two ends as it
    does the weights, and never estimates them again. Every point sees the same mini-batch.
    """

    rows_at_once = 1  # the graph of one pass is kept at a time

    def __init__(self, network: Network) -> None:
        self._network = network
        theta = network.vector(network.function.plain).to(network.device)
        statistics = network.statistics(theta)
        self._shapes = {name: values.shape for name, values in statistics.items()}
        self._sizes = [values.numel() for values in statistics.values()]
        self._weights = len(theta)
        self.dim = self._weights + sum(self._sizes)
        self.count = network.count

    @property
    def loss(self) -> Loss:
        return self._network.loss

    def learning_rate(self) -> float | None:
        return self._network.learning_rate()

    def constant_loss(self) -> float:
        """The training loss of the best prediction that is the same for all."""
        return self._network.constant_loss()

    def init(self, points: int, stream: Generator) -> Cloud:
        """Fresh random points [points, n + c] with their own statistics."""
        return self.with_own(self._network.init(points, stream))

    def with_own(self, cloud: Cloud) -> Cloud:
        """Points [P, n] with the statistics of the whole training set at each, [P, n + c]."""
        rows = []
        for theta in cloud:
            statistics = self._network.statistics(theta)
            values = [part.flatten().to(theta) for part in statistics.values()]
            rows.append(torch.cat([theta, *values]))
        return torch.stack(rows)

    def weights_of(self, cloud: Cloud) -> Cloud:
        """The weights [P, n] of points [P, n + c]."""
        return cloud[:, : self._weights]

    def _statistics_of(self, point: Tensor) -> TensorsByName:
        """The statistics [channels] of a point [n + c]: constants to autograd."""
        pieces = point[self._weights :].detach().split(self._sizes)
        named = zip(self._shapes.items(), pieces, strict=True)
        return {name: piece.view(shape) for (name, shape), piece in named}

    def batch(self, indices: Tensor) -> MiniBatch:
        """The examples of indices [1, b]."""
        return self._network.batch(indices)

    def parts(self) -> Iterator[tuple[MiniBatch, float]]:
        return self._network.parts()

    def losses(self, cloud: Cloud, batch: MiniBatch | None = None) -> Tensor:
        """Mean loss of a mini-batch or of the whole training set, + ½λ|θ|², [P]."""
        if batch is None:
            weighted = [weight * self.losses(cloud, part) for part, weight in self.parts()]
            return torch.stack(weighted).sum(0)
        losses = []
        weights = self.weights_of(cloud)
        for theta, point in zip(weights, cloud, strict=True):
            statistics = self._statistics_of(point)
            losses.append(self._network.loss_with(theta, statistics, batch))
        return torch.stack(losses) + self._network.penalty(weights)

    def score(self, cloud: Cloud, split: Split) -> Score:
        """Losses and errors [P, N] of the network's scored examples, statistics as they are."""
        scores = []
        for theta, point in zip(self.weights_of(cloud), cloud, strict=True):
            statistics = self._statistics_of(point)
            scores.append(self._network.score(theta[None], split, statistics))
        losses = [score.losses for score in scores]
        errors = [score.errors for score in scores]
        return Score(torch.cat(losses), torch.cat(errors))
