"""Many Hessian-vector products at one point: the graph of the gradient is kept between them."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.graph import Node

from sgdtheory.protocol import Batch, Landscape, Slopes, hvp, own_products, parts_of, rows_of

ROWS = 64  # products taken together; more gain nothing (measured, MLP on digits)
# bytes that the graphs of one point may hold beyond what a single product needs: that of one part
# of the objective of ResNet-20, 682 images, is 2.8 GiB
KEPT = 3 << 30


class Products:
    """v → H(θ)v at one point θ [n] of a landscape, its whole objective or a batch: the numbers of
    `hvp`. The graphs of the gradient are kept from product to product, which is two thirds of the
    time of making them anew on convolutions, as long as they hold KEPT bytes at most; those of
    further parts of the objective are made once a call.
    """

    def __init__(self, landscape: Landscape, theta: Tensor, batch: Batch | None = None) -> None:
        self._landscape = landscape
        self._theta = theta.detach().clone()  # whose owner may move it
        self._batch = batch
        self._is_hessian = own_products(landscape) is None
        self._kept: dict[tuple[int, int], Slopes] = {}
        self._bytes = 0

    def __call__(self, vectors: Tensor) -> Tensor:
        """H(θ)v [V, n] of each of vectors [V, n], in chunks of rows."""
        return torch.cat([self._of_chunk(chunk) for chunk in vectors.split(ROWS)])

    def _of_chunk(self, vectors: Tensor) -> Tensor:
        cloud = self._theta.expand(len(vectors), -1)
        if not self._is_hessian:
            return hvp(self._landscape, cloud, vectors, self._batch)
        products = torch.zeros_like(cloud)
        for number, (part, weight) in enumerate(parts_of(self._landscape, self._batch)):
            slopes: dict[int, Slopes] = {}  # by the number of rows, all at the one point
            for rows in rows_of(self._landscape, len(vectors)):
                points = rows.stop - rows.start
                if points not in slopes:
                    slopes[points] = self._slopes(number, part, points)
                product = slopes[points].curved_along(vectors[rows])
                products[rows] += 0 if product is None else weight * product
        return products

    def _slopes(self, number: int, part: Batch | None, points: int) -> Slopes:
        """Those on a part of the objective of so many copies of the point."""
        key = (number, points)
        if key in self._kept:
            return self._kept[key]
        slopes = Slopes.at(self._landscape, self._theta.expand(points, -1), part)
        if self._bytes < KEPT:
            size = held_by(slopes.gradients)
            if self._bytes + size <= KEPT:
                self._kept[key] = slopes
                self._bytes += size
        return slopes


def held_by(gradients: Tensor) -> int:
    """Bytes of the tensors that the graph of gradients [P, n] holds, each counted once."""
    found: dict[int, int] = {}
    for node in _nodes(gradients):
        for tensor in _saved(node):
            storage = tensor.untyped_storage()
            found[storage._cdata] = storage.nbytes()
    return sum(found.values())


def _nodes(gradients: Tensor) -> Iterator[Node]:
    """All operations that gradients [P, n] came by."""
    waiting = [gradients.grad_fn]
    seen: set[Node] = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [parent for parent, _ in node.next_functions]


def _saved(node: Node) -> Iterator[Tensor]:
    """What an operation keeps for its derivative: torch's own in attributes `_saved_…`, a function
    of a class in `saved_tensors`."""
    for name in dir(node):
        if name == "saved_tensors" or name.startswith("_saved_"):
            value = getattr(node, name)
            several = value if isinstance(value, tuple | list) else (value,)
            yield from (tensor for tensor in several if isinstance(tensor, Tensor))


def top_curvature(
    landscape: Landscape, theta: Tensor, stream: torch.Generator, steps: int = 20
) -> float:
    """The largest |eigenvalue| of the Hessian at one point θ [n], by power iteration: the scale of
    a stable learning rate.

    A lower bound that `steps` = 20 products bring within a few per cent; a learning rate derived
    from it keeps a margin.
    """
    vector = torch.randn(theta.numel(), generator=stream, dtype=torch.float64).to(theta)
    products = Products(landscape, theta)
    size = 0.0
    for _ in range(steps):
        vector = vector / vector.norm().clamp_min(torch.finfo(theta.dtype).tiny)
        vector = products(vector[None])[0]
        size = float(vector.norm())
    return size
