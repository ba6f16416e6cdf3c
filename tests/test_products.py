"""Many Hessian-vector products at one point: the numbers of single ones, from a graph that is kept."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory import products as room
from sgdtheory.data.digits import digits
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.landscapes.derived.gauss_newton import GaussNewton
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.products import Products, held_by
from sgdtheory.protocol import Slopes, hvp
from sgdtheory.rng import stream


class Plane:
    """L = Σθ, linear."""

    dim = 3

    def losses(self, cloud: Tensor, batch: object = None) -> Tensor:
        return cloud.sum(1)


class Product:
    """L = ½(Σθ²)², whose graph can be counted by hand."""

    dim = 5

    def losses(self, cloud: Tensor, batch: object = None) -> Tensor:
        return 0.5 * (cloud * cloud).sum(1) ** 2


def network(**words: Any) -> Network:
    model = partial(MLP, hidden=(3,), activation="tanh")
    return Network(model, digits(limit=40), **words)


def resnet(**words: Any) -> Network:
    return Network(partial(ResNet, depth=8, width=2), digits(limit=30), **words)


LANDSCAPES: dict[str, Callable[[], Any]] = {
    "quadratic": Quadratic,
    "regression": lambda: LinearRegression(digits(limit=40)),
    "linear": Plane,
    "batched rows": network,
    "parts": partial(network, part=13),
    "a loop": partial(resnet, part=15),
    "gauss_newton": lambda: GaussNewton(network()),
}


def point_of(landscape: Any) -> Tensor:
    source = stream(0, "point")
    return 0.3 * torch.randn(landscape.dim, generator=source, dtype=torch.float64)


def rows_for(landscape: Any, count: int) -> Tensor:
    source = stream(0, "rows")
    return torch.randn(count, landscape.dim, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("kept", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("name", LANDSCAPES)
def test_products_are_those_of_hvp(name: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, whatever is kept; the owner of the point may move it meanwhile."""
    monkeypatch.setattr(room, "KEPT", kept)
    landscape = LANDSCAPES[name]()
    theta = point_of(landscape)
    vectors = rows_for(landscape, 3)
    expected = hvp(landscape, theta.expand(3, -1), vectors)
    products = Products(landscape, theta)
    theta.zero_()
    for _ in range(2):
        assert torch.equal(products(vectors), expected)
    assert products._bytes <= kept


@pytest.mark.parametrize(("kept", "made"), [(1 << 30, 2), (0, 6)])
def test_a_graph_is_made_once_a_part(kept: int, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is room; else once a call and not once a vector."""
    monkeypatch.setattr(room, "KEPT", kept)
    landscape = resnet(part=15)
    counted = []
    real = landscape.twice_differentiable_losses

    def counting(cloud: Tensor, batch: Any) -> Tensor:
        counted.append(len(cloud))
        return real(cloud, batch)

    monkeypatch.setattr(landscape, "twice_differentiable_losses", counting)
    products = Products(landscape, point_of(landscape))
    for _ in range(3):
        products(rows_for(landscape, 4))
    assert counted == [1] * made


def test_the_bytes_of_a_graph_are_counted() -> None:
    """θ [1, 5], the sum θ², its powers, and what backward makes of them, each storage once."""
    theta = torch.ones(1, 5, dtype=torch.float64)
    slopes = Slopes.at(Product(), theta, None)  # type: ignore[arg-type]
    vectors, numbers = divmod(held_by(slopes.gradients), 5 * 8)
    assert 1 <= vectors <= 4 and numbers % 8 == 0  # θ, 2sθ and no copies
    large = torch.ones(1, 5 << 10, dtype=torch.float64)
    of_large = held_by(Slopes.at(Product(), large, None).gradients)  # type: ignore[arg-type]
    assert 1 << 10 > of_large / held_by(slopes.gradients) > 1 << 8


def test_a_graph_of_convolutions_holds_its_activations() -> None:
    """What is held grows by the values of an example with every example."""
    bytes_of = []
    for limit in (20, 40):
        landscape = Network(partial(ResNet, depth=8, width=4), digits(limit=limit))
        theta = landscape.init(1, stream(0, "point"))
        batch = landscape.batch(torch.arange(limit).expand(1, limit))
        bytes_of.append(held_by(Slopes.at(landscape, theta, batch).gradients))
    of_example = (bytes_of[1] - bytes_of[0]) / 20
    first_stage = 3 * 4 * 64 * 4  # bytes: the stem's outputs and those of two convolutions
    assert of_example > first_stage


def test_eigenvalues_are_those_of_single_products(monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = network()
    theta = point_of(landscape)
    values, _ = top_eigenpairs(landscape, theta, 10)
    matrix = hvp(landscape, theta.expand(landscape.dim, -1), torch.eye(landscape.dim).double())
    expected = torch.linalg.eigvalsh((matrix + matrix.T) / 2).flip(0)[:10]
    torch.testing.assert_close(values, expected, rtol=1e-6, atol=1e-6 * float(expected[0]))
