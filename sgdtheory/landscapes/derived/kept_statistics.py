"""A network whose batch-norm statistics are coordinates of its points: what path searches see that
take them along as they take weights."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Generator, Tensor

from sgdtheory.landscapes.mini_batch import mean_over_parts
from sgdtheory.losses.loss import Loss
from sgdtheory.protocol import Batch, Cloud, TensorsByName, parts_of
from sgdtheory.rng import stream as random_stream
from sgdtheory.roles.examples import NetworkLandscape, Score, Split
from sgdtheory.roles.facts import constant_loss_of, lowest_loss_of, penalty_of, states_rate


class KeptStatistics:
    """L(θ, s) of the module in evaluation mode, its batch norms using the statistics s; points are
    (θ, s) [n + c].

    No gradient moves s, nor does L2: a search for a path interpolates them between two ends as it
    does the weights, and never estimates them again. Every point sees the same mini-batch.
    """

    rows_at_once = 1  # the graph of one pass is kept at a time

    def __init__(self, network: NetworkLandscape) -> None:
        self._network = network
        (theta,) = network.init(1, random_stream(0, "statistics"))
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
        """The network's own, a number that is known to work; None: it is to be measured."""
        network = self._network
        return network.learning_rate() if states_rate(network) else None

    def constant_loss(self) -> float | None:
        """The training loss of the best prediction that is the same for all."""
        return constant_loss_of(self._network)

    def lowest_loss(self) -> float | None:
        """What no training loss can go below; None where nobody knows."""
        return lowest_loss_of(self._network)

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

    def batch(self, indices: Tensor) -> Batch:
        """The examples of indices [1, b]."""
        return self._network.batch(indices)

    def parts(self) -> Iterator[tuple[Batch, float]]:
        """Those of the network's whole objective, with their weights."""
        return parts_of(self._network)

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        """Mean loss of a mini-batch or of the whole training set, + ½λ|θ|², [P]."""
        if batch is None:
            return mean_over_parts(partial(self.losses, cloud), self.parts())
        losses = []
        weights = self.weights_of(cloud)
        for theta, point in zip(weights, cloud, strict=True):
            statistics = self._statistics_of(point)
            losses.append(self._network.loss_with(theta, statistics, batch))
        return torch.stack(losses) + penalty_of(self._network, weights)

    def score(self, cloud: Cloud, split: Split) -> Score:
        """Losses and errors [P, N] of the network's scored examples, statistics as they are."""
        scores = []
        for theta, point in zip(self.weights_of(cloud), cloud, strict=True):
            statistics = self._statistics_of(point)
            scores.append(self._network.score(theta[None], split, statistics))
        losses = [score.losses for score in scores]
        errors = [score.errors for score in scores]
        return Score(torch.cat(losses), torch.cat(errors))
