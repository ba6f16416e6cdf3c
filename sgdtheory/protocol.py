"""What a landscape is, and its derivatives: chunks over rows and examples live here, once.

A landscape author writes one function, `losses`. Row p of it depends on row p of the cloud alone,
so that the gradient of the sum is the [P, n] matrix of gradients, and one more backward pass gives
Hessian-vector products.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias, runtime_checkable

import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import TypeIs

Cloud: TypeAlias = Tensor  # [P, n]: P points in parameter space; device and dtype travel with it
TensorsByName: TypeAlias = dict[str, Tensor]  # parameters, constants, what a state holds
Dtype: TypeAlias = Literal["float32", "float64"]  # of a cloud, as a configuration names it
Batch: TypeAlias = Any  # tensors whose first axis is the points; size 1: shared by all

DTYPES: dict[Dtype, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


def dtype_of(name: Dtype) -> torch.dtype:
    """torch's dtype of this name."""
    return DTYPES[name]


@runtime_checkable
class Landscape(Protocol):
    """A loss over n parameters, on which mini-batches can be drawn.

    Mini-batches come from one of two methods. `sample(points, size, stream)` gives one mini-batch
    of `size` i.i.d. draws per point (points = 1: one shared by all). Or `count`, the number of
    examples, and `batch(indices [P, b])`: then sgdtheory.optim.sgd draws the indices, and all three
    samplings work.

    Answers, each an optional method, each measured when absent: `minima() [M, n]`, `barrier()`,
    `end_points() [2, n]` (the pair of minima the barrier is between; default the first two),
    `stationary_covariance(learning_rate, batch_size, momentum) [n, n]`, `noise_covariance(cloud)
    [P, n, n]` (of one sample), `learning_rate()` (one that is known to work; None: it is measured).
    Networks besides: `score(cloud, split)` and `model_at(theta)`.

    Three more that only large landscapes need: `rows_at_once`, how many points a call may take
    together; `parts() → [(batch, weight)]`, whose weighted mean is the whole objective, for one
    that does not fit in memory whole; and `twice_differentiable_losses(cloud, batch)`, the same
    numbers as `losses` by a way that suits Hessian-vector products. And one for a landscape that
    is derived from another and curved in a way of its own: `curvature_products(cloud, vectors,
    batch) [P, n]`, taken in the place of those with the Hessian of `losses`. And one for speed:
    `losses_and_gradients(cloud, batch, into) → [P], [P, n]`, asked of the class that gives the
    `losses` (see `StatesGradients`).
    """

    @property
    def dim(self) -> int:
        """n, the number of parameters."""
        ...

    def init(self, points: int, stream: torch.Generator) -> Cloud:
        """Fresh random points [points, n], on the device where the landscape computes."""
        ...

    def losses(self, cloud: Cloud, batch: Batch | None = None) -> Tensor:
        """The objective of each point [P], on a mini-batch or whole (None), in the cloud's dtype:
        the whole is the mean over all examples or draws, with all that a batch adds to its own."""
        ...


class StatesGradients(Landscape, Protocol):
    """Losses with their gradients, by another way than autograd through `losses`."""

    def losses_and_gradients(
        self, cloud: Cloud, batch: Batch | None = None, into: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`losses` [P] of a cloud and their gradients [P, n], without a graph; the gradients may be
        written `into` [P, n], which nobody needs any more."""
        ...


def states_gradients(landscape: Landscape) -> TypeIs[StatesGradients]:
    """Whether the class that gives the losses gives the gradients too. Whoever writes other losses
    over those of a class, or stands before a landscape and hands on what it has besides, does not
    get gradients of losses that are not its own."""
    if "losses" in getattr(landscape, "__dict__", ()):
        return False
    for kind in type(landscape).__mro__:
        if "losses_and_gradients" in vars(kind):
            return True
        if "losses" in vars(kind):
            return False
    return False


def parts_of(
    landscape: Landscape, batch: Batch | None = None
) -> Iterator[tuple[Batch | None, float]]:
    """(batch, weight) whose weighted mean is the whole objective; a batch is its own one part."""
    if batch is None and hasattr(landscape, "parts"):
        yield from landscape.parts()
    else:
        yield batch, 1.0


def rows_of(landscape: Landscape, points: int) -> Iterator[slice]:
    """The rows of a cloud of so many points that a call takes together."""
    step = getattr(landscape, "rows_at_once", None) or points
    for first in range(0, points, step):
        yield slice(first, min(first + step, points))


def of_rows(batch: Batch | None, rows: slice, points: int) -> Batch | None:
    """The share of a batch that belongs to some rows of a cloud; what is shared by all goes
    whole."""
    if batch is None or rows == slice(0, points):
        return batch
    return tree_map(
        lambda x: (
            x[rows] if isinstance(x, Tensor) and x.shape[:1] == (points,) and points > 1 else x
        ),
        batch,
    )


def values(landscape: Landscape, cloud: Cloud, batch: Batch | None = None) -> Tensor:
    """The objective of each point [P], without derivatives, in chunks of rows and examples."""
    points = cloud.shape[0]
    total = torch.zeros(points, dtype=cloud.dtype, device=cloud.device)
    with torch.no_grad():
        for part, weight in parts_of(landscape, batch):
            for rows in rows_of(landscape, points):
                total[rows] += weight * landscape.losses(cloud[rows], of_rows(part, rows, points))
    return total


def value_and_grad(
    landscape: Landscape, cloud: Cloud, batch: Batch | None = None, into: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The objective of each point [P] and its gradient [P, n], in chunks of rows and examples.

    `into`: a tensor [P, n] that may be written over with the gradients, such as those of the step
    before: memory that was used a moment ago is near the processor.
    """
    if batch is not None:
        return _in_chunks(landscape, cloud, batch, into)
    losses: Tensor | None = None
    gradients: Tensor | None = None
    for part, weight in parts_of(landscape):
        value, gradient = _in_chunks(landscape, cloud, part)
        if weight != 1.0:
            value, gradient = weight * value, weight * gradient
        losses = value if losses is None else losses + value
        gradients = gradient if gradients is None else gradients + gradient
    assert losses is not None and gradients is not None
    return losses, gradients


def _in_chunks(
    landscape: Landscape, cloud: Cloud, batch: Batch | None, into: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    points = cloud.shape[0]
    at_once = getattr(landscape, "rows_at_once", None)
    if at_once is None or at_once >= points:
        return _value_and_grad(landscape, cloud, batch, into)
    found = []
    for rows in rows_of(landscape, points):
        found.append(_value_and_grad(landscape, cloud[rows], of_rows(batch, rows, points)))
    losses, gradients = zip(*found, strict=True)
    return torch.cat(losses), torch.cat(gradients)


def _value_and_grad(
    landscape: Landscape, cloud: Cloud, batch: Batch | None, into: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    if states_gradients(landscape):
        if cloud.requires_grad:
            cloud = cloud.detach()
        return landscape.losses_and_gradients(cloud, batch, into)
    return by_autograd(lambda leaf: landscape.losses(leaf, batch), cloud)


def by_autograd(losses_at: Callable[[Cloud], Tensor], cloud: Cloud) -> tuple[Tensor, Tensor]:
    """Losses [P] of a cloud [P, n], each a function of its own row, and their gradients [P, n]."""
    leaf = cloud.detach().requires_grad_()
    with torch.enable_grad():
        losses = losses_at(leaf)
        (gradients,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), gradients


def own_products(landscape: Landscape) -> Callable[..., Tensor | None] | None:
    """The `curvature_products` of a landscape that is curved in a way of its own: of a cloud
    [P, n], vectors [P, n] and a batch the products [P, n]. None of others, whose are the
    Hessian's."""
    found: Callable[..., Tensor | None] | None = getattr(landscape, "curvature_products", None)
    return found


def hvp(landscape: Landscape, cloud: Cloud, vectors: Tensor, batch: Batch | None = None) -> Tensor:
    """Hessian-vector products H(θ_p) v_p, [P, n], by a second backward pass (Pearlmutter 1994). For
    many products at one point see `sgdtheory.products`."""
    points = cloud.shape[0]
    products = torch.zeros_like(cloud)
    product_of = own_products(landscape) or partial(_hessian_products, landscape)
    for part, weight in parts_of(landscape, batch):
        for rows in rows_of(landscape, points):
            product = product_of(cloud[rows], vectors[rows], of_rows(part, rows, points))
            products[rows] += 0 if product is None else weight * product
    return products


def _hessian_products(
    landscape: Landscape, cloud: Cloud, vectors: Tensor, batch: Batch | None
) -> Tensor | None:
    """H(θ_p) v_p [P, n] on a mini-batch; None where a landscape is linear in θ and has no second
    derivative to ask for."""
    return Slopes.at(landscape, cloud, batch).curved_along(vectors, is_last=True)


class Slopes(NamedTuple):
    """The gradients of the losses of a cloud, with the graph that they came by."""

    cloud: Cloud  # [P, n], a leaf
    gradients: Tensor  # [P, n]

    @classmethod
    def at(cls, landscape: Landscape, cloud: Cloud, batch: Batch | None) -> Self:
        """Of a mini-batch at the points of a cloud [P, n]."""
        losses = getattr(landscape, "twice_differentiable_losses", landscape.losses)
        leaf = cloud.detach().requires_grad_()
        with torch.enable_grad():
            total = losses(leaf, batch).sum()
            (gradients,) = torch.autograd.grad(total, leaf, create_graph=True)
        return cls(leaf, gradients)

    def curved_along(self, vectors: Tensor, is_last: bool = False) -> Tensor | None:
        """H(θ_p) v_p [P, n] of vectors [P, n]; None where the gradient is the same everywhere. The
        graph is gone after the last."""
        if not self.gradients.requires_grad:
            return None
        with torch.enable_grad():
            # of g·v, and not of g with v as `grad_outputs`, which imports sympy
            along = (self.gradients * vectors).sum()
            found: tuple[Tensor | None, ...] = torch.autograd.grad(
                along, self.cloud, retain_graph=not is_last, allow_unused=True
            )
        return found[0]


def length_of(vector: Tensor) -> float:
    """|x| of x [n], summed in float64: torch's norm in float32 is off by 2e-5 for a million
    numbers, and by 7e-4 for ten."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
