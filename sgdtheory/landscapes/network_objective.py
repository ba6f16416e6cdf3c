"""What is descended of a network: any nn.Module × any examples × a loss + ½λ|θ|²."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import partial
from typing import Annotated, Literal, Self

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from sgdtheory.annotations import Importable, NonNegative, Place, PositiveFloat, PositiveInt, Shape
from sgdtheory.data.examples import Examples
from sgdtheory.landscapes.batch_norm import EXACT_IMAGES, by_products
from sgdtheory.landscapes.by_hand import ByHand
from sgdtheory.landscapes.by_parameter import ByParameter
from sgdtheory.landscapes.fitted import fitted
from sgdtheory.landscapes.mini_batch import MiniBatch, mean_over_parts, partition, taken_from
from sgdtheory.landscapes.penalty import Decay, Penalty
from sgdtheory.landscapes.precision import Precision
from sgdtheory.landscapes.rows import Batched, Rows, rows_for, vectorises
from sgdtheory.landscapes.twice import twice_differentiable
from sgdtheory.landscapes.written import as_written
from sgdtheory.losses.named import ChosenLoss, loss_named
from sgdtheory.protocol import Cloud, TensorsByName, by_autograd, value_and_grad
from sgdtheory.runs.tensors import Tensors

PART_VALUES = 1 << 21  # numbers in a part of the objective: all of digits, 682 images of CIFAR


class NetworkObjective:
    """L(θ) = mean loss of the data + ½λ|θ|², λ the weight decay.

    θ [n] are the parameters that are trained, in the module's own order. What is descended is the
    module in evaluation mode, as its author wrote it, batch norm's statistics the one difference
    (see `ModuleFunction`).

    `loss`: of each example, by name or as an object (`sgdtheory.losses`); `loss_factory`: the
    function (outputs, targets) → [b] that `custom` is. `entry`: which one of what the module
    returns are its outputs (None: the tensor itself, or `logits`). Batch-norm buffers are no
    coordinates: a mini-batch is normalised by its own statistics, so its loss is a pure function of
    (θ, batch); the whole objective is the mean over a fixed partition of the training examples into
    equal parts of about `part` of them (None: what holds 2²¹ numbers of inputs or of outputs), each
    normalised by itself; scores recompute population statistics over the un-augmented training
    examples at every point.

    `parameters`: a regular expression; only parameters whose names it matches are coordinates, the
    others are constants (None: all that require a gradient). `decay`: whether λ acts on all of θ or
    on weights alone, not on biases and scales of norms. `rows`: how P points are evaluated:
    batched (products that the model offers as `forward_rows`), vmap, or a loop; auto is the fixed
    table that `make bench` found: batched where offered, a loop for convolutions, vmap for the
    rest; gradients of chains of linear maps and pointwise functions without autograd. `compile`:
    through torch.compile; "cuda_graphs" captures CUDA graphs besides. `precision`: of the passes
    that `train` descends by (see `precision.py`). `learning_rate`: what `auto` means here; auto: it
    is measured (see `SGD`).
    """

    def __init__(
        self,
        model: Callable[..., nn.Module],
        data: Examples,
        weight_decay: NonNegative = 1e-3,
        loss: ChosenLoss = "cross_entropy",
        learning_rate: PositiveFloat | Literal["auto"] = "auto",
        rows: Rows | Literal["auto"] = "auto",
        part: PositiveInt | None = None,
        compile: bool | Literal["cuda_graphs"] = False,
        precision: Precision = "full",
        parameters: str | None = None,
        loss_factory: Annotated[Callable[..., Tensor] | None, Importable] = None,
        entry: str | int | None = None,
        decay: Decay = "all",
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.data = data.to(self.device)
        self.weight_decay = weight_decay
        self._rate = learning_rate
        build = partial(model, shape=data.shape, classes=data.outputs)
        self.function, self._layout = fitted(build, self.data, parameters, entry, self.device)
        example = self.function.example_outputs
        self.loss = loss_named(loss, loss_factory).adapted_to(example, self.data)
        self.shapes = self.function.shapes
        self.dim = sum(self.function.sizes)
        self.decay = decay
        self.precision = precision
        self.penalty = Penalty.over(
            weight_decay, decay, self.shapes, self.function.module, self.device
        )
        self.count = data.count
        self.rows = rows_for(self.module, rows, bool(self.constants))
        self._batched = self.module if isinstance(self.module, Batched) else None
        if part is None:
            largest = max(data.train_inputs[0].numel(), example[0].numel())
            fitting = min(EXACT_IMAGES, PART_VALUES // largest)
            part = max(1, fitting)
        parts = partition(self.count, part)
        self._parts = [indices.to(self.device) for indices in parts]
        self._train_inputs = self.data.kept_inputs(PART_VALUES)
        self._row_losses = self._losses_of_rows
        self._by_parameter = ByParameter(self._weights_of_rows, self.penalty)
        self._is_plain = not compile  # called as it is
        self._by_hand: ByHand | None = None
        if rows in ("auto", "batched") and entry is None and not compile:
            self._by_hand = ByHand.of(self.function, self.loss, self.data, self.penalty)
        is_to_try = rows == "auto" and self.rows == "vmap"
        if is_to_try and not self._vectorises():
            self.rows = "loop"
        self.rows_at_once: int | None = 1 if self.rows == "loop" else None
        if compile:
            mode = "reduce-overhead" if compile == "cuda_graphs" else None
            self._row_losses = torch.compile(self._losses_of_rows, mode=mode)

    def _vectorises(self) -> bool:
        """Whether vmap can follow the module, on a mini-batch that points share or on their own."""
        theta = self.vector(self.function.plain).float().to(self.device)
        two = self._parts[0][:2]
        own = two.expand(2, -1)
        batches = map(self.batch, (two[None], own))
        losses = (partial(self.losses, batch=batch) for batch in batches)
        return vectorises(losses, theta.expand(2, -1))

    @property
    def module(self) -> nn.Module:
        """What is descended: in evaluation mode, batch norms using the statistics of the batch."""
        return self.function.module

    @property
    def constants(self) -> TensorsByName:
        """Frozen parameters, and buffers other than batch norm's statistics [their own shapes];
        empty for most."""
        return self.function.constants

    def with_constants(self, constants: Tensors) -> Self:
        """The same landscape with other constants [their own shapes]."""
        other = copy(self)
        other.function = self.function.with_constants(constants)
        other._row_losses = other._losses_of_rows
        return other

    @property
    def title(self) -> str:
        model = self.function.name
        return f"{model} ({self.dim:,} parameters) on {self.data.name}"

    def learning_rate(self) -> float | None:
        if self._rate == "auto":
            return None
        return float(self._rate)

    def outputs_of(self, module: nn.Module, inputs: Tensor) -> Tensor:
        """Outputs [b, …] of another module of this architecture for inputs [b, …]."""
        return self.function.outputs_of(module, inputs)

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        """Points [points, n] as the model's author initialises them: its constructor is run anew,
        its random draws taken from `stream`."""
        modules = (self.function.fresh(stream) for _ in range(points))
        vectors = [self.vector(module) for module in modules]
        return torch.stack(vectors).to(self.device)

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] at which a module of this architecture stands."""
        return self.function.vector(module)

    # mini-batches

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> MiniBatch:
        """Examples [P, b] of the training set, augmented by the draws of `augmentation`."""
        inputs = taken_from(self._train_inputs, indices)
        if draws is not None:
            inputs = self.data.augmented(inputs, draws)
        targets = taken_from(self.data.train_targets, indices)
        return MiniBatch(inputs, targets)

    def augmentation(self, shape: Shape, stream: torch.Generator) -> Tensor | None:
        """The random draws that augmented examples [S, P, b] need, None when the data are not
        augmented."""
        return self.data.augmentation(shape, stream)

    def parts(self) -> Iterator[tuple[MiniBatch, float]]:
        """The fixed partition of the training set that the objective is the mean over, with weights
        that sum to 1."""
        for indices in self._parts:
            weight = len(indices) / self.count
            yield self.batch(indices[None]), weight

    def first_batch(self, most: int | None = None) -> MiniBatch:
        """The first part of the training set, or `most` of its examples."""
        indices = self._parts[0][:most]
        return self.batch(indices[None])

    # the objective

    def losses(self, cloud: Cloud, batch: MiniBatch | None = None) -> Tensor:
        """Mean loss of a mini-batch or of the whole training set, + ½λ|θ|², [P]."""
        if batch is None:
            return mean_over_parts(partial(self.losses, cloud), self.parts())
        data_losses = self._losses(cloud, batch, self._row_losses)
        return self._penalised(data_losses, cloud)

    def _penalised(self, data_losses: Tensor, cloud: Cloud) -> Tensor:
        if not self.weight_decay:
            return data_losses
        return data_losses + self.penalty(cloud)

    @property
    def is_by_hand(self) -> bool:
        """Whether losses and gradients are computed without autograd."""
        return self._by_hand is not None and self._by_hand.holds

    def losses_and_gradients(
        self, cloud: Cloud, batch: MiniBatch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`losses` [P] and their gradients [P, n]; of chains by hand, and λθ always. `into` [P, n]
        may be written over with the gradients."""
        if batch is None:
            return value_and_grad(self, cloud)
        if self._by_hand is not None and self._by_hand.holds:
            inputs = self.data.prepared(batch.inputs, cloud.dtype)
            constants = self.function.constants_in(cloud.dtype)
            return self._by_hand(cloud, constants, inputs, batch.targets, into)
        points = cloud.shape[0]
        if self._is_plain and (points == 1 or self.rows != "loop"):
            losses_of = partial(self._data_losses_at, points, batch)
            losses, gradients = self._by_parameter(losses_of, cloud, into)
        else:
            losses, gradients = by_autograd(partial(self._data_losses, batch), cloud)
            if self.weight_decay:
                gradients = gradients + self.penalty.gradient(cloud)
        return self._penalised(losses, cloud), gradients

    def _data_losses(self, batch: MiniBatch, cloud: Cloud) -> Tensor:
        return self._attached(self._losses(cloud, batch, self._row_losses), cloud)

    def _data_losses_at(self, points: int, batch: MiniBatch, weights: TensorsByName) -> Tensor:
        some = next(iter(weights.values()))
        inputs = self.data.prepared(batch.inputs, some.dtype)
        with as_written(some.dtype):
            outputs = self._outputs_at(points, weights, inputs)
            losses = self.loss.losses(outputs, batch.targets).mean(1)
        return self._attached(losses, some)

    def _attached(self, losses: Tensor, leaf: Tensor) -> Tensor:
        """A module's forward pass may detach, and λθ is all there is."""
        if self.weight_decay and not losses.requires_grad:
            return losses + 0 * leaf.sum()
        return losses

    def twice_differentiable_losses(self, cloud: Cloud, batch: MiniBatch) -> Tensor:
        """`losses` [P] of operations that have a second derivative, and a fast one. Not compiled:
        torch.compile does not support double backward."""
        with by_products(self.module), twice_differentiable():
            return self._penalised(self._losses(cloud, batch, self._losses_of_rows), cloud)

    def twice_differentiable_outputs(self, cloud: Cloud, batch: MiniBatch) -> Tensor:
        """Outputs [P, b, …], of the same operations."""
        with by_products(self.module), twice_differentiable():
            return self._losses(cloud, batch, lambda rows, inputs, _: self._outputs(rows, inputs))

    def _losses(self, cloud: Cloud, batch: MiniBatch, of_rows: Callable[..., Tensor]) -> Tensor:
        inputs = self.data.prepared(batch.inputs, cloud.dtype)
        with as_written(cloud.dtype):
            if self.rows != "loop" or cloud.shape[0] == 1:
                return of_rows(cloud, inputs, batch.targets)
            is_shared = inputs.shape[0] == 1
            rows = []
            for p in range(cloud.shape[0]):
                row = slice(p, p + 1)
                own = slice(0, 1) if is_shared else row
                rows.append(of_rows(cloud[row], inputs[own], batch.targets[own]))
            return torch.cat(rows)

    def _losses_of_rows(self, cloud: Cloud, inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = self._outputs(cloud, inputs)  # [P, b, …]
        return self.loss.losses(outputs, targets).mean(1)

    def _outputs(self, cloud: Cloud, inputs: Tensor) -> Tensor:
        """Outputs [P, b, …] of each point on its own or the shared inputs [P or 1, b, …]."""
        return self._outputs_at(cloud.shape[0], self._weights_of_rows(cloud), inputs)

    def _outputs_at(self, points: int, weights: TensorsByName, inputs: Tensor) -> Tensor:
        if self.rows == "batched" and self._batched is not None:
            return self._batched.forward_rows(weights, inputs)
        if points == 1:
            return self._call(weights, inputs[0])[None]
        with sdpa_kernel([SDPBackend.MATH]):  # vmap does the others one point after another
            if inputs.shape[0] == 1:  # shared by all points
                return vmap(self.function.on_batch, in_dims=(0, None))(weights, inputs[0])
            return vmap(self.function.on_batch)(weights, inputs)

    def _call(self, weights: TensorsByName, inputs: Tensor) -> Tensor:
        return self.function.on_batch(weights, self._layout(inputs))

    def _weights_of_rows(self, cloud: Cloud) -> TensorsByName:
        """Parameters by name as the module takes them: [P, their own shapes], of one point without
        the P where the module is called as it is."""
        is_alone = cloud.shape[0] == 1 and self.rows != "batched"
        return self.function.weights(cloud.squeeze(0) if is_alone else cloud)
