"""The landscape of a network on a data set, with scores of its points."""

from collections.abc import Mapping
from copy import copy
from typing import Self, get_args

import torch
from torch import Tensor, nn

from sgdtheory.errors import UserError
from sgdtheory.landscapes.batch_norm import Population, population_statistics
from sgdtheory.landscapes.mini_batch import MiniBatch
from sgdtheory.landscapes.network_objective import NetworkObjective
from sgdtheory.landscapes.precision import mixed
from sgdtheory.landscapes.written import as_written
from sgdtheory.losses.loss import lowest_of
from sgdtheory.protocol import Cloud, Dtype, TensorsByName, dtype_of
from sgdtheory.rng import stream
from sgdtheory.roles.examples import Score, Split
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.tensors import Tensors
from sgdtheory.statistics.measured import Measured

NO_POINT: tuple[Tensor | None, Population] = (None, Population({}, None))
Some = tuple[Tensor, Tensor]  # inputs [N, …] and targets [N, …]


class Network(NetworkObjective):
    """A network's objective, and the loss and error of every example at a point (see
    `NetworkObjective` for what is descended).

    Scores are of the author's module in evaluation mode, its batch norms using population
    statistics that are recomputed at every point.
    """

    _newest = NO_POINT  # the point whose statistics were asked for last, and these
    _scored: Mapping[Split, Some] | None = None  # None: all examples

    def with_constants(self, constants: Tensors) -> Self:
        """The same landscape with other constants [their own shapes]."""
        other = super().with_constants(constants)
        other._newest = NO_POINT
        return other

    def in_training(self, dtype: torch.dtype) -> Self:
        """The same landscape, mini-batches in the `precision` that `train` descends by, of clouds
        of a dtype; UserError where that is float64."""
        if self.precision == "full":
            return self
        if dtype != torch.float32:
            raise UserError("landscape.precision=bf16 is no training in dtype=float64; drop one")
        other = copy(self)
        other._row_losses = mixed(self._row_losses, self.device)
        other._by_hand = None
        other._is_plain = False
        return other

    def scored_on(self, most: int) -> Self:
        """The same landscape, scored on `most` of its examples: the same ones at every point, and
        their own statistics."""
        if most >= max(self.count, len(self.data.test_inputs)):
            return self
        other = copy(self)
        other._newest = NO_POINT
        other._scored = {
            "train": _drawn(most, "train", *self.examples("train")),
            "test": _drawn(most, "test", *self.examples("test")),
        }
        return other

    def examples(self, split: Split) -> Some:
        """The inputs [N, …] that scores are of, and their targets [N, …]."""
        if split not in get_args(Split):
            raise UserError(f"split={split!r}: there are {' and '.join(get_args(Split))}")
        if self._scored is not None:
            return self._scored[split]
        data = self.data
        if split == "train":
            return data.train_inputs, data.train_targets
        return data.test_inputs, data.test_targets

    def constant_loss(self) -> float:
        """The training loss of the best prediction that is the same for all."""
        return self.loss.of_constant(self.data.train_targets, self.data.outputs)

    def lowest_loss(self) -> float | None:
        """What no training loss can go below: the mean entropy of targets that are smoothed or
        soft, else 0; None where nobody knows."""
        return lowest_of(self.loss, self.data.train_targets, self.data.outputs)

    @property
    def scored(self) -> int:
        """How many training examples a score is of."""
        inputs, _ = self.examples("train")
        return len(inputs)

    def score(self, cloud: Cloud, split: Split, buffers: TensorsByName | None = None) -> Score:
        """Data loss and error [P, N] of every un-augmented example, with population statistics
        recomputed at every point.

        `buffers`: other statistics instead, to show what they do. Raises UserError for what are no
        points, and for a split that there is not.
        """
        if cloud.ndim != 2 or cloud.shape[1] != self.dim:
            raise UserError(
                f"score: give points [P, {self.dim:,}], not {list(cloud.shape)}; one θ is θ[None]"
            )
        inputs, targets = self.examples(split)
        losses = []
        errors = []
        for theta in cloud:
            population = Population(buffers or {}, None)
            if buffers is None:
                population = self._population(theta)
            outputs = None
            if split == "train":
                outputs = population.outputs
            if outputs is None:
                outputs = self._outputs_in_chunks(theta, population.buffers, inputs)
            losses.append(self._scored_losses(outputs, targets))
            errors.append(self.loss.errors(outputs, targets))
        return Score(torch.stack(losses), torch.stack(errors))

    def _scored_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of each example [N], float64, from outputs [N, …] and targets [N, …]."""
        of_point = outputs.to(torch.float64, copy=True)[None]  # errors are asked for besides
        return self.loss.losses(of_point, targets[None])[0]

    def _outputs_in_chunks(self, theta: Tensor, buffers: TensorsByName, inputs: Tensor) -> Tensor:
        """`outputs_with` of many inputs [N, …], [N, …]."""
        chunks = inputs.split(len(self._parts[0]))
        outputs = [self.outputs_with(theta, buffers, chunk) for chunk in chunks]
        return torch.cat(outputs)

    def outputs_with(self, theta: Tensor, buffers: TensorsByName, inputs: Tensor) -> Tensor:
        """Outputs [b, …] of the author's module in evaluation mode for inputs [b, …] of the data,
        batch norms using `buffers`."""
        stop_if_asked()
        with torch.no_grad(), as_written(theta.dtype):
            prepared = self._layout(self.data.prepared(inputs, theta.dtype))
            weights = self.function.weights(theta)
            return self.function.with_statistics(weights, buffers, prepared)

    def loss_with(self, theta: Tensor, buffers: TensorsByName, batch: MiniBatch) -> Tensor:
        """The mean loss [] of a mini-batch that all points share at θ [n], without L2, of the
        author's module in evaluation mode, batch norms using `buffers`; autograd follows it."""
        with as_written(theta.dtype):
            inputs = self._layout(self.data.prepared(batch.inputs[0], theta.dtype))
            weights = self.function.weights(theta)
            outputs = self.function.with_statistics(weights, buffers, inputs)
        return self.loss.losses(outputs[None], batch.targets).mean()

    def statistics(self, theta: Tensor) -> TensorsByName:
        """Batch-norm buffers [channels] of the un-augmented training set at θ [n]; empty without
        batch norm."""
        return self._population(theta).buffers

    def _population(self, theta: Tensor) -> Population:
        """One pass over the training images: a point is scored on both splits, and that pass scores
        one of them besides."""
        if not self.function.has_batch_norm:
            return Population({}, None)
        at, population = self._newest
        is_kept = at is not None and at.dtype == theta.dtype and torch.equal(at, theta)
        if not is_kept:
            inputs, _ = self.examples("train")
            population = self._recorded(theta, inputs)
            kept = theta.detach().clone()
            self._newest = (kept, population)
        return population

    def _recorded(self, theta: Tensor, inputs: Tensor) -> Population:
        weights = self.function.weights(theta)

        def forward(chunk: Tensor) -> Tensor:
            return self._call(weights, self.data.prepared(chunk, theta.dtype))

        with torch.no_grad(), as_written(theta.dtype):
            return population_statistics(self.module, forward, inputs, theta)

    def gap(self, theta: Tensor, most: int | None = None) -> Measured:
        """|loss descended − loss scored| at θ [n] on one part of the training set: rounding
        alone.

        The first is the objective of that part without ½λ|θ|², the second the score of the author's
        module in evaluation mode with the statistics of that part. `most`: of so many examples.

        """
        part = self._parts[0][:most]
        inputs = self.data.train_inputs.index_select(0, part)
        targets = self.data.train_targets.index_select(0, part)
        with torch.no_grad():
            batch = self.first_batch(most)
            (objective,) = self.losses(theta[None], batch)
            (penalty,) = self.penalty(theta[None].double())
            descended = objective.double() - penalty
            buffers = {}
            if self.function.has_batch_norm:
                buffers = self._recorded(theta, inputs).buffers
            outputs = self.outputs_with(theta, buffers, inputs)
        scored = self._scored_losses(outputs, targets).mean()
        difference = descended - scored
        return Measured(float(difference.abs()), None, self.loss.unit)

    def check(self, dtype: Dtype = "float32") -> str:
        """What the self-check found, in words; a UserError where this is no function of θ alone."""
        from sgdtheory.landscapes.self_check import self_check

        report = self_check(self, dtype_of(dtype))
        return f"{self.title}: {report}"

    def model_at(self, theta: Tensor) -> nn.Module:
        """An ordinary module in evaluation mode with the weights θ [n] and recomputed batch-norm
        statistics; a cloud [1, n] is one point too. Raises UserError for what is none."""
        if theta.shape not in ((self.dim,), (1, self.dim)):
            raise UserError(f"model_at: give one point [{self.dim:,}], not {list(theta.shape)}")
        theta = theta.view(-1)
        return self.function.at(theta, self.statistics(theta))


def _drawn(most: int, split: Split, inputs: Tensor, targets: Tensor) -> Some:
    """`most` of the inputs [N, …] and targets [N, …] at random, for folders come sorted by class;
    in their own order."""
    order = torch.randperm(len(inputs), generator=stream(0, "scored", split))
    chosen = order[:most].sort().values
    chosen = chosen.to(inputs.device)
    return inputs.index_select(0, chosen), targets.index_select(0, chosen)
