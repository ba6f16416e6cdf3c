"""The landscape of a network on a data set: any nn.Module × any Images × a loss + ½λ|θ|²."""

from collections.abc import Callable, Iterator
from copy import copy
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from sgdtheory.data.images import Images
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, NonNegative, Place, Positive
from sgdtheory.landscape import Cloud
from sgdtheory.landscapes.batch_norm import (
    Population,
    batch_statistics_only,
    by_products,
    has_batch_norm,
    population_statistics,
    with_population_statistics,
)
from sgdtheory.run import stop_if_asked
from sgdtheory.streams import stream

PART_VALUES = 1 << 21  # pixel values in a part of the objective: all of digits, 682 images of CIFAR
TRIED = 64  # images on which a pass in training mode must give what evaluation mode gives


class ImageBatch(NamedTuple):
    images: Tensor  # uint8 [P or 1, b, C, H, W]
    labels: Tensor  # int64 [P or 1, b]


class Score(NamedTuple):
    """Data loss (without L2, nats for cross_entropy) and error (0 or 1) of each example at each point."""

    losses: Tensor  # float64 [P, N]
    errors: Tensor  # float64 [P, N]


class Network:
    """L(θ) = mean loss of the data + ½λ|θ|², λ the weight decay, θ [n] all parameters in the module's own order.

    `loss`: cross_entropy in nats, or mse, the squared distance of the outputs to the one-hot label, over the classes.
    Batch-norm buffers are no coordinates: a mini-batch is normalised by its own statistics, so its loss is a pure function
    of (θ, batch); the whole objective is the mean over a fixed partition of the training images into equal parts of about
    `part` images (None: what holds 2²¹ pixel values), each normalised by itself; scores recompute population statistics
    over the un-augmented training images at every point. Dropout is off: it would make the loss a random function.

    `rows`: how P points are evaluated: batched (products that the model offers as `forward_rows`), vmap, or a loop; auto is
    the fixed table that `make bench` found: batched where offered, a loop for convolutions, vmap for the rest.
    `compile`: through torch.compile; "cuda_graphs" captures CUDA graphs besides. `learning_rate`: what `auto` means here.
    """

    def __init__(
        self,
        model: Callable[..., nn.Module],
        data: Images,
        weight_decay: NonNegative = 1e-3,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        learning_rate: Positive = 0.3,
        rows: Literal["auto", "batched", "vmap", "loop"] = "auto",
        part: Count | None = None,
        compile: bool | Literal["cuda_graphs"] = False,
        device: Annotated[str, Place] = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.data = data.to(self.device)
        self.weight_decay, self.loss, self._rate = weight_decay, loss, learning_rate
        self._new_module = lambda: model(shape=data.shape, classes=data.classes)
        self._scorer = self._new_module().to(self.device).eval()  # as its author wrote it: for scores and model_at
        self.module = batch_statistics_only(self._new_module()).to(self.device)  # what is descended
        parameters = dict(self.module.named_parameters())
        self._names = list(parameters)
        self._shapes = [p.shape for p in parameters.values()]
        self._sizes = [p.numel() for p in parameters.values()]
        self.dim = sum(self._sizes)
        if not self.dim:
            raise Mistake(f"model: {type(self.module).__name__} has no parameters; give a model that has some")
        self.count = data.train_images.shape[0]
        self.rows = _rows_of(self.module) if rows == "auto" else rows
        if self.rows == "batched" and not hasattr(self.module, "forward_rows"):
            raise Mistake(f"landscape.rows=batched: {type(self.module).__name__} has no forward_rows; use vmap, loop or auto")
        self.rows_at_once = 1 if self.rows == "loop" else None
        self._has_convolutions = any(isinstance(m, nn.Conv2d) for m in self.module.modules())
        self._has_batch_norm = has_batch_norm(self.module)
        self._newest: tuple[Tensor | None, Population] = (None, Population({}, None))
        self._scored = {
            "train": (self.data.train_images, self.data.train_labels),
            "test": (self.data.test_images, self.data.test_labels),
        }
        part = part or max(1, PART_VALUES // data.train_images[0].numel())
        order = torch.randperm(self.count, generator=stream(0, "partition"))  # folders come sorted by class
        self._parts = [indices.to(self.device) for indices in order.chunk(-(-self.count // part))]
        # Small sets that nothing is done to are kept as the network sees them; large ones stay bytes.
        small = data.train_images.numel() <= PART_VALUES and data.augment == "none"
        self._train_images = self.data.train_images
        if small:
            self._train_images = self.data.scaled(self.data.train_images, torch.float32)
        self._row_losses = self._losses_of_rows
        if compile:
            options: dict[str, Any] = {"mode": "reduce-overhead"} if compile == "cuda_graphs" else {}
            self._row_losses = torch.compile(self._losses_of_rows, **options)

    @property
    def title(self) -> str:
        name = getattr(self.module, "title", type(self.module).__name__)
        return f"{name} ({self.dim:,} parameters) on {self.data.name}"

    def learning_rate(self) -> float:
        return self._rate

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        """Points as the model's author initialises them: its constructor is run anew, its random draws taken from `stream`."""
        drawn = []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.set_state(stream.get_state())
            for _ in range(points):
                drawn.append(self.vector(self._new_module()))
            stream.set_state(torch.default_generator.get_state())
        return torch.stack(drawn).to(self.device)

    # mini-batches

    def batch(self, indices: Tensor, draws: Tensor | None = None) -> ImageBatch:
        """Examples [P, b] of the training set, augmented by the draws of `augmentation`."""
        flat = indices.reshape(-1)  # index_select is twice as fast as advanced indexing
        images = self._train_images.index_select(0, flat).view(*indices.shape, *self.data.shape)
        if draws is not None:
            images = self.data.augmented(images, draws)
        return ImageBatch(images, self.data.train_labels.index_select(0, flat).view(indices.shape))

    def augmentation(self, shape: tuple[int, ...], stream: torch.Generator) -> Tensor | None:
        """The random draws that augmented examples [S, P, b] need, None when the data are not augmented."""
        return self.data.augmentation(shape, stream)

    def parts(self) -> Iterator[tuple[ImageBatch, float]]:
        """The fixed partition of the training set that the objective is the mean over, with weights that sum to 1."""
        for indices in self._parts:
            yield self.batch(indices[None]), len(indices) / self.count

    # the objective

    def losses(self, cloud: Cloud, batch: ImageBatch | None = None) -> Tensor:
        """Mean loss of a mini-batch or of the whole training set, + ½λ|θ|², [P]."""
        if batch is None:
            return torch.stack([weight * self.losses(cloud, part) for part, weight in self.parts()]).sum(0)
        return self._losses(cloud, batch, self._row_losses)

    def twice_differentiable_losses(self, cloud: Cloud, batch: ImageBatch) -> Tensor:
        """`losses` of operations whose second backward pass is fast; never compiled, for then torch has none."""
        with by_products(self.module):
            return self._losses(cloud, batch, self._losses_of_rows)

    def _losses(self, cloud: Cloud, batch: ImageBatch, of_rows: Callable[..., Tensor]) -> Tensor:
        inputs = self._inputs(batch.images, cloud)
        if self.rows == "loop" and cloud.shape[0] > 1:
            shared = inputs.shape[0] == 1
            at = [0 if shared else p for p in range(cloud.shape[0])]
            rows = [(cloud[p : p + 1], inputs[i : i + 1], batch.labels[i : i + 1]) for p, i in enumerate(at)]
            return torch.cat([of_rows(*row) for row in rows])
        return of_rows(cloud, inputs, batch.labels)

    def _losses_of_rows(self, cloud: Cloud, inputs: Tensor, labels: Tensor) -> Tensor:
        outputs = self._outputs(cloud, inputs)  # [P, b, K]
        data_losses = _example_losses(self.loss, outputs, labels).mean(1)
        return data_losses + 0.5 * self.weight_decay * squared_norm(cloud) if self.weight_decay else data_losses

    def _inputs(self, images: Tensor, cloud: Cloud) -> Tensor:
        """Pixels are normalised in float32 whatever the cloud's dtype, so that kept and fresh ones are the same numbers."""
        return (images if images.is_floating_point() else self.data.scaled(images, torch.float32)).to(cloud.dtype)

    def _outputs(self, cloud: Cloud, inputs: Tensor) -> Tensor:
        """Outputs [P, b, K] of each point on its own or the shared images [P or 1, b, C, H, W]."""
        if self.rows == "batched":
            found: Tensor = self.module.forward_rows(self._weights(cloud), inputs)  # type: ignore[operator]
            return found
        if cloud.shape[0] == 1:
            return self._call(self._weights(cloud[0]), inputs[0])[None]
        return vmap(self._call, in_dims=(0, None if inputs.shape[0] == 1 else 0))(
            self._weights(cloud), inputs[0] if inputs.shape[0] == 1 else inputs
        )

    def _call(self, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        if self._has_convolutions and inputs.shape[1] > 1:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return functional_call(self.module, weights, (inputs,))  # type: ignore[no-any-return]

    def _weights(self, cloud: Tensor) -> dict[str, Tensor]:
        """Parameters by name, views of θ [..., n]. One split, so that its backward pass is one concatenation."""
        pieces = cloud.split(self._sizes, -1)
        lead = cloud.shape[:-1]
        return {name: x.view(*lead, *shape) for name, x, shape in zip(self._names, pieces, self._shapes, strict=True)}

    # what is said of points

    def scored_on(self, most: int) -> "Network":
        """The same landscape, scored on `most` of its examples: the same ones at every point, and their own statistics."""
        if most >= max(self.count, len(self.data.test_images)):
            return self
        found = copy(self)
        found._newest = (None, Population({}, None))
        found._scored = {split: _drawn(most, split, *examples) for split, examples in self._scored.items()}
        return found

    def constant_loss(self) -> float:
        """The training loss of the best prediction that is the same for all, p the frequencies of the classes: −Σ p ln p in
        nats, at most ln K; of mse that of the mean label, (1 − Σ p²)/K."""
        labels = self.data.train_labels.flatten().cpu()
        p = torch.bincount(labels, minlength=self.data.classes).double() / len(labels)
        return float(torch.special.entr(p).sum() if self.loss == "cross_entropy" else (1 - p.square().sum()) / len(p))

    @property
    def scored(self) -> int:
        """How many training examples a score is of."""
        return len(self._scored["train"][0])

    def score(self, cloud: Cloud, split: Literal["train", "test"], buffers: dict[str, Tensor] | None = None) -> Score:
        """Data loss and error of every un-augmented example, with population statistics recomputed at every point.

        `buffers`: other statistics instead, to show what they do.
        """
        images, labels = self._scored[split]
        size = len(self._parts[0])
        losses, errors = [], []
        for theta in cloud:
            found = self._population(theta) if buffers is None else Population(buffers, None)
            outputs = found.outputs if split == "train" else None
            if outputs is None:
                chunks = (images[i : i + size] for i in range(0, len(images), size))
                outputs = torch.cat([self._score_outputs(theta, found.buffers, chunk) for chunk in chunks])
            losses.append(_example_losses(self.loss, outputs.double()[None], labels[None])[0])
            errors.append((outputs.argmax(1) != labels).double())
        return Score(torch.stack(losses), torch.stack(errors))

    def _score_outputs(self, theta: Tensor, buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        stop_if_asked()
        with torch.no_grad():
            inputs = self._inputs(images, theta)
            return functional_call(self._scorer, {**self._weights(theta), **buffers}, (inputs,))  # type: ignore[no-any-return]

    def statistics(self, theta: Tensor) -> dict[str, Tensor]:
        """Batch-norm buffers of the un-augmented training set at θ [n]; empty without batch norm."""
        return self._population(theta).buffers

    def _population(self, theta: Tensor) -> Population:
        """One pass over the training images: a point is scored on both splits, and that pass scores one of them besides."""
        if not self._has_batch_norm:
            return Population({}, None)
        at, found = self._newest
        if at is None or not torch.equal(at, theta):
            found = self._recorded(theta, self._scored["train"][0])
            found = found if self._scores_while_recording else found._replace(outputs=None)
            self._newest = (theta.detach().clone(), found)
        return found

    def _recorded(self, theta: Tensor, images: Tensor) -> Population:
        weights = self._weights(theta)
        with torch.no_grad():
            return population_statistics(
                self.module, lambda chunk: self._call(weights, self._inputs(chunk, theta)), images, theta
            )

    @cached_property
    def _scores_while_recording(self) -> bool:
        """Whether a pass in training mode gives the outputs of evaluation mode with that pass's statistics, tried out on a few
        images: batch norm and dropout see to it, but what else a module does in training (stochastic depth) is not known."""
        theta = self.init(1, stream(0, "tried"))[0]
        theta = theta + 0.1 * torch.randn(theta.shape, generator=stream(0, "tried", "noise")).to(theta)  # no scale is zero
        images = self.data.train_images[:TRIED]
        found = self._recorded(theta, images)
        expected = self._score_outputs(theta, found.buffers, images)
        if not isinstance(found.outputs, Tensor) or found.outputs.shape != expected.shape:
            return False
        return bool((found.outputs - expected).abs().max() <= 1e-3 * expected.abs().max())

    def model_at(self, theta: Tensor) -> nn.Module:
        """An ordinary module in evaluation mode with these weights and recomputed batch-norm statistics."""
        module: nn.Module = self._new_module().to(device=theta.device, dtype=theta.dtype)
        weights = {name: x.detach().clone() for name, x in self._weights(theta).items()}
        return with_population_statistics(module, weights, self.statistics(theta))

    def vector(self, module: nn.Module) -> Tensor:
        """The point θ [n] at which a module of this architecture stands."""
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


class _SquaredNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cloud: Tensor) -> Tensor:
        ctx.save_for_backward(cloud)
        norms: Tensor = torch.linalg.vector_norm(cloud, dim=1)
        return norms.square()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        cloud: Tensor = ctx.saved_tensors[0]
        return cloud * (2 * gradients[0])[:, None]


def squared_norm(cloud: Cloud) -> Tensor:
    """|θ|² of each point [P]: one product forward and one backward, a third of what autograd makes of θ.square().sum()."""
    return _SquaredNorm.apply(cloud)  # type: ignore[no-any-return]


def _example_losses(loss: str, outputs: Tensor, labels: Tensor) -> Tensor:
    """Loss of each example [P, b] from outputs [P, b, K] and labels [P or 1, b]."""
    points, examples, classes = outputs.shape
    if loss == "mse":
        return (outputs - F.one_hot(labels, classes).to(outputs.dtype)).square().mean(2)
    outputs = outputs.mT.contiguous()  # classes along the second axis: the log-softmax of ten classes is 8 × faster there
    return F.cross_entropy(outputs, labels.expand(points, examples), reduction="none")


def _drawn(most: int, split: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`most` of the examples at random, for folders come sorted by class; in their own order."""
    chosen = torch.randperm(len(images), generator=stream(0, "scored", split))[:most].sort().values.to(images.device)
    return images.index_select(0, chosen), labels.index_select(0, chosen)


def _rows_of(module: nn.Module) -> Literal["batched", "vmap", "loop"]:
    if hasattr(module, "forward_rows"):
        return "batched"
    return "loop" if any(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.RNNBase) for m in module.modules()) else "vmap"
