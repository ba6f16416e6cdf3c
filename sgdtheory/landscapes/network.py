"""The landscape of a network on a data set: any nn.Module × any Images × a loss + ½λ|θ|²."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import partial
from math import ceil
from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import vmap

from sgdtheory.annotations import NonNegative, Place, PositiveFloat, PositiveInt
from sgdtheory.data.images import Images
from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, value_and_grad
from sgdtheory.landscapes.batch_norm import (
    EXACT_IMAGES,
    Population,
    by_products,
    population_statistics,
)
from sgdtheory.landscapes.example_losses import (
    Loss,
    loss_of_constant,
    losses_of_outputs,
    squared_norm,
)
from sgdtheory.landscapes.layout import layout_of
from sgdtheory.landscapes.module_function import ModuleFunction
from sgdtheory.landscapes.rows import Batched, Rows, rows_for
from sgdtheory.landscapes.twice import twice_differentiable
from sgdtheory.landscapes.written import as_written
from sgdtheory.rng import stream
from sgdtheory.roles import Score, Split
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.statistics.measured import Measured

DTYPES = {"float32": torch.float32, "float64": torch.float64}
PART_VALUES = 1 << 21  # pixel values in a part of the objective: all of digits, 682 images of CIFAR


class ImageBatch(NamedTuple):
    images: Tensor  # uint8 [P or 1, b, C, H, W]
    labels: Tensor  # int64 [P or 1, b]


class Network:
    """L(θ) = mean loss of the data + ½λ|θ|², λ the weight decay.

    θ [n] are the parameters that are trained, in the module's own order. What is descended is the
    module in evaluation mode, as its author wrote it, batch norm's statistics the one difference
    (see `ModuleFunction`).

    `loss`: cross_entropy in nats, or mse, the squared distance of the outputs to the one-hot label,
    over the classes. Batch-norm buffers are no coordinates: a mini-batch is normalised by its own
    statistics, so its loss is a pure function of (θ, batch); the whole objective is the mean over a
    fixed partition of the training images into equal parts of about `part` images (None: what holds
    2²¹ pixel values), each normalised by itself; scores recompute population statistics over the
    un-augmented training images at every point.

    `parameters`: a regular expression; only parameters whose names it matches are coordinates, the
    others are constants (None: all that require a gradient). `rows`: how P points are evaluated:
    batched (products that the model offers as `forward_rows`), vmap, or a loop; auto is the fixed
    table that `make bench` found: batched where offered, a loop for convolutions, vmap for the
    rest. `compile`: through torch.compile; "cuda_graphs" captures CUDA graphs besides.
    `learning_rate`: what `auto` means here; auto: it is measured (see `SGD`).
    """

    def __init__(
        self,
        model: Callable[..., nn.Module],
        data: Images,
        weight_decay: NonNegative = 1e-3,
        loss: Loss = "cross_entropy",
        learning_rate: PositiveFloat | Literal["auto"] = "auto",
        rows: Rows | Literal["auto"] = "auto",
        part: PositiveInt | None = None,
        compile: bool | Literal["cuda_graphs"] = False,
        parameters: str | None = None,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.data = data.to(self.device)
        self.weight_decay, self.loss, self._rate = weight_decay, loss, learning_rate
        build = partial(model, shape=data.shape, classes=data.classes)
        self.function = self._function(build, parameters)
        self.shapes = self.function.shapes
        self.dim = sum(self.function.sizes)
        self.count = data.train_images.shape[0]
        self.rows = rows_for(self.module, rows, bool(self.function.constants))
        self._batched = self.module if isinstance(self.module, Batched) else None
        self._newest: tuple[Tensor | None, Population] = (None, Population({}, None))
        self._train = (self.data.train_images, self.data.train_labels)
        self._scored = {
            "train": self._train,
            "test": (self.data.test_images, self.data.test_labels),
        }
        part = part or max(1, min(EXACT_IMAGES, PART_VALUES // data.train_images[0].numel()))
        self._parts = self._partition(part)
        self._train_images = self._kept_images()
        self._row_losses = self._losses_of_rows
        if rows == "auto" and self.rows == "vmap" and not self._vectorises():
            self.rows = "loop"
        self.rows_at_once = 1 if self.rows == "loop" else None
        if compile:
            mode = "reduce-overhead" if compile == "cuda_graphs" else None
            self._row_losses = torch.compile(self._losses_of_rows, mode=mode)

    def _partition(self, part: int) -> list[Tensor]:
        """The indices of the parts of about `part` images each, [part], drawn once: folders come
        sorted by class."""
        order = torch.randperm(self.count, generator=stream(0, "partition"))
        parts = order.chunk(ceil(self.count / part))
        return [indices.to(self.device) for indices in parts]

    def _kept_images(self) -> Tensor:
        """The training images [N, C, H, W]: small sets that nothing is done to are kept as the
        network sees them; large ones stay bytes."""
        images, data = self.data.train_images, self.data
        is_small = images.numel() <= PART_VALUES and data.augment == "none"
        return data.scaled(images, torch.float32) if is_small else images

    def _function(self, build: Callable[[], nn.Module], parameters: str | None) -> ModuleFunction:
        """The module as a function; a UserError where it does not take such data."""
        example = self.data.scaled(self.data.train_images[:2], torch.float32)
        try:
            function = ModuleFunction(build, parameters, example, self.device)
            self._layout = layout_of(function, example)
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as fault:
            if isinstance(fault, UserError):
                raise
            shape = "×".join(map(str, self.data.shape))
            why = (str(fault).splitlines() or [""])[0]
            raise UserError(
                f"model: it does not take examples {shape} of {self.data.name} "
                f"({type(fault).__name__}: {why[:160]}); give another model or other data"
            ) from fault
        return function

    def _vectorises(self) -> bool:
        """Whether vmap can follow the module: not where values decide, or buffers are written."""
        theta = self.function.vector(self.function.plain).float().to(self.device)
        try:
            value_and_grad(self, theta.expand(2, -1), self.first_batch(2))
        except (RuntimeError, ValueError, IndexError, TypeError):
            return False
        return True

    @property
    def module(self) -> nn.Module:
        """What is descended: in evaluation mode, batch norms using the statistics of the batch."""
        return self.function.module

    @property
    def constants(self) -> dict[str, Tensor]:
        """Frozen parameters, and buffers other than batch norm's statistics [their own shapes];
        empty for most."""
        return self.function.constants

    def with_constants(self, constants: Mapping[str, Tensor]) -> "Network":
        """The same landscape with other constants [their own shapes]."""
        other = copy(self)
        other.function = self.function.with_constants(constants)
        other._newest = (None, Population({}, None))
        other._row_losses = other._losses_of_rows
        return other

    @property
    def title(self) -> str:
        return f"{self.function.name} ({self.dim:,} parameters) on {self.data.name}"

    def learning_rate(self) -> float | None:
        return None if self._rate == "auto" else float(self._rate)

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        """Points [points, n] as the model's author initialises them: its constructor is run anew,
        its random draws taken from `stream`."""
        modules = (self.function.fresh(stream) for _ in range(points))
        return torch.stack([self.vector(module) for module in modules]).to(self.device)

    # mini-batches

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> ImageBatch:
        """Examples [P, b] of the training set, augmented by the draws of `augmentation`."""
        flat = indices.reshape(-1)  # index_select is twice as fast as advanced indexing
        images = self._train_images.index_select(0, flat).view(*indices.shape, *self.data.shape)
        if draws is not None:
            images = self.data.augmented(images, draws)
        return ImageBatch(images, self.data.train_labels.index_select(0, flat).view(indices.shape))

    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> Tensor | None:
        """The random draws that augmented examples [S, P, b] need, None when the data are not
        augmented."""
        return self.data.augmentation(shape, stream)

    def parts(self) -> Iterator[tuple[ImageBatch, float]]:
        """The fixed partition of the training set that the objective is the mean over, with weights
        that sum to 1."""
        for indices in self._parts:
            yield self.batch(indices[None]), len(indices) / self.count

    # the objective

    def losses(self, cloud: Cloud, batch: ImageBatch | None = None) -> Tensor:
        """Mean loss of a mini-batch or of the whole training set, + ½λ|θ|², [P]."""
        if batch is None:
            weighted = [weight * self.losses(cloud, part) for part, weight in self.parts()]
            return torch.stack(weighted).sum(0)
        return self._losses(cloud, batch, self._row_losses)

    def twice_differentiable_losses(self, cloud: Cloud, batch: ImageBatch) -> Tensor:
        """`losses` [P] of operations that have a second derivative, and a fast one. Not compiled:
        torch.compile does not support double backward."""
        with by_products(self.module), twice_differentiable():
            return self._losses(cloud, batch, self._losses_of_rows)

    def _losses(self, cloud: Cloud, batch: ImageBatch, of_rows: Callable[..., Tensor]) -> Tensor:
        inputs = self._inputs(batch.images, cloud)
        with as_written(cloud.dtype):
            if self.rows != "loop" or cloud.shape[0] == 1:
                return of_rows(cloud, inputs, batch.labels)
            rows = []
            for p in range(cloud.shape[0]):
                i = 0 if inputs.shape[0] == 1 else p
                one = slice(p, p + 1), slice(i, i + 1)
                rows.append(of_rows(cloud[one[0]], inputs[one[1]], batch.labels[one[1]]))
            return torch.cat(rows)

    def _losses_of_rows(self, cloud: Cloud, inputs: Tensor, labels: Tensor) -> Tensor:
        outputs = self._outputs(cloud, inputs)  # [P, b, K]
        data_losses = self.example_losses(outputs, labels).mean(1)
        if not self.weight_decay:
            return data_losses
        return data_losses + 0.5 * self.weight_decay * squared_norm(cloud)

    def example_losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each example [P, b] from outputs [P, b, K] and labels [P or 1, b]."""
        return losses_of_outputs(self.loss, outputs, labels)

    def example_errors(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """1 where the largest output [b, K] is not the label's [b], else 0, float64 [b]."""
        return (outputs.argmax(1) != labels).double()

    def _inputs(self, images: Tensor, cloud: Cloud) -> Tensor:
        """Pixels are normalised in float32 whatever the cloud's dtype, so that kept and fresh ones
        are the same numbers."""
        if not images.is_floating_point():
            images = self.data.scaled(images, torch.float32)
        return images.to(cloud.dtype)

    def _outputs(self, cloud: Cloud, inputs: Tensor) -> Tensor:
        """Outputs [P, b, K] of each point on its own or the shared images [P or 1, b, C, H, W]."""
        if self.rows == "batched" and self._batched is not None:
            return self._batched.forward_rows(self._weights(cloud), inputs)
        if cloud.shape[0] == 1:
            return self._call(self._weights(cloud[0]), inputs[0])[None]
        if inputs.shape[0] == 1:  # shared by all points
            shared = vmap(self.function.on_batch, in_dims=(0, None))
            return shared(self._weights(cloud), inputs[0])
        return vmap(self.function.on_batch)(self._weights(cloud), inputs)

    def _call(self, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return self.function.on_batch(weights, self._layout(inputs))

    def _weights(self, cloud: Tensor) -> dict[str, Tensor]:
        return self.function.weights(cloud)

    # what is said of points

    def scored_on(self, most: int) -> "Network":
        """The same landscape, scored on `most` of its examples: the same ones at every point, and
        their own statistics."""
        if most >= max(self.count, len(self.data.test_images)):
            return self
        other = copy(self)
        other._newest = (None, Population({}, None))
        other._scored = {
            split: _drawn(most, split, *examples) for split, examples in self._scored.items()
        }
        return other

    def first_batch(self, most: int | None = None) -> ImageBatch:
        """The first part of the training set, or `most` of its examples."""
        return self.batch(self._parts[0][:most][None])

    def examples(self, split: Split) -> tuple[Tensor, Tensor]:
        """The examples [N, C, H, W] that scores are of, and their labels [N]."""
        return self._scored[split]

    def constant_loss(self) -> float:
        """The training loss of the best prediction that is the same for all."""
        return loss_of_constant(self.loss, self.data.train_labels, self.data.classes)

    @property
    def scored(self) -> int:
        """How many training examples a score is of."""
        return len(self._scored["train"][0])

    def score(self, cloud: Cloud, split: Split, buffers: dict[str, Tensor] | None = None) -> Score:
        """Data loss and error [P, N] of every un-augmented example, with population statistics
        recomputed at every point.

        `buffers`: other statistics instead, to show what they do.

        """
        images, labels = self._scored[split]
        losses, errors = [], []
        for theta in cloud:
            population = self._population(theta) if buffers is None else Population(buffers, None)
            outputs = population.outputs if split == "train" else None
            if outputs is None:
                outputs = self._outputs_in_chunks(theta, population.buffers, images)
            losses.append(self.example_losses(outputs.double()[None], labels[None])[0])
            errors.append(self.example_errors(outputs, labels))
        return Score(torch.stack(losses), torch.stack(errors))

    def _outputs_in_chunks(
        self, theta: Tensor, buffers: dict[str, Tensor], images: Tensor
    ) -> Tensor:
        """`outputs_with` of many images [N, C, H, W], [N, K]."""
        chunks = images.split(len(self._parts[0]))
        return torch.cat([self.outputs_with(theta, buffers, chunk) for chunk in chunks])

    def outputs_with(self, theta: Tensor, buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        """Outputs [b, K] of the author's module in evaluation mode, batch norms using `buffers`."""
        stop_if_asked()
        with torch.no_grad(), as_written(theta.dtype):
            inputs = self._layout(self._inputs(images, theta))
            return self.function.with_statistics(self._weights(theta), buffers, inputs)

    def statistics(self, theta: Tensor) -> dict[str, Tensor]:
        """Batch-norm buffers [channels] of the un-augmented training set at θ [n]; empty without
        batch norm."""
        return self._population(theta).buffers

    def _population(self, theta: Tensor) -> Population:
        """One pass over the training images: a point is scored on both splits, and that pass scores
        one of them besides."""
        if not self.function.has_batch_norm:
            return Population({}, None)
        at, population = self._newest
        if at is None or at.dtype != theta.dtype or not torch.equal(at, theta):
            population = self._recorded(theta, self._scored["train"][0])
            self._newest = (theta.detach().clone(), population)
        return population

    def _recorded(self, theta: Tensor, images: Tensor) -> Population:
        weights = self._weights(theta)
        with torch.no_grad(), as_written(theta.dtype):
            return population_statistics(
                self.module,
                lambda chunk: self._call(weights, self._inputs(chunk, theta)),
                images,
                theta,
            )

    def gap(self, theta: Tensor, most: int | None = None) -> Measured:
        """|loss descended − loss scored| at θ [n] on one part of the training set, in nats:
        rounding alone.

        The first is the objective of that part without ½λ|θ|², the second the score of the author's
        module in evaluation mode with the statistics of that part. `most`: of so many examples.

        """
        images, labels = (x.index_select(0, self._parts[0][:most]) for x in self._train)
        with torch.no_grad():
            descended = self.losses(theta[None], self.first_batch(most))[0].double()
            descended = descended - 0.5 * self.weight_decay * theta.double().square().sum()
            has_norms = self.function.has_batch_norm
            buffers = self._recorded(theta, images).buffers if has_norms else {}
            outputs = self.outputs_with(theta, buffers, images)
        scored = self.example_losses(outputs.double()[None], labels[None]).mean()
        return Measured(float((descended - scored).abs()), None, "nats")

    def check(self, dtype: str = "float32") -> str:
        """What the self-check found, in words; a UserError where this is no function of θ alone."""
        from sgdtheory.landscapes.self_check import self_check

        return f"{self.title}: {self_check(self, DTYPES[dtype])}"

    def model_at(self, theta: Tensor) -> nn.Module:
        """An ordinary module in evaluation mode with the weights θ [n] and recomputed batch-norm
        statistics."""
        return self.function.at(theta, self.statistics(theta))

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] at which a module of this architecture stands."""
        return self.function.vector(module)


def _drawn(most: int, split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`most` of the examples [N, …] and labels [N] at random, for folders come sorted by class; in
    their own order."""
    order = torch.randperm(len(images), generator=stream(0, "scored", split))
    chosen = order[:most].sort().values.to(images.device)
    return images.index_select(0, chosen), labels.index_select(0, chosen)
