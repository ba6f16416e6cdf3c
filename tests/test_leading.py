"""The largest eigenvalues as often as each comes, against closed forms, and what that costs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator
from torch import Tensor, nn

import sgdtheory
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry import leading
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.geometry.leading import LOOKING, leading_eigenpairs
from sgdtheory.geometry.spectral_density import density
from sgdtheory.notebook.points import point_of
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream

DECAY = 1e-3
Case = tuple[Landscape, Tensor, Tensor]


class Counted:
    """A symmetric matrix of given eigenvalues [n], and how often it was asked for a product."""

    def __init__(self, eigenvalues: NDArray[np.float64], seed: int = 0) -> None:
        n = len(eigenvalues)
        frame, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
        self.matrix = (frame * eigenvalues) @ frame.T
        self.products = 0
        self.operator = LinearOperator((n, n), matvec=self._product, dtype=np.float64)

    def _product(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        self.products += 1
        image: NDArray[np.float64] = self.matrix @ vector
        return image


def squares_of_a_linear_map(seed: int) -> Case:
    """K = 8 outputs: H = (2/8)·1 ⊗ XᵀX/N + λ, every eigenvalue eight times."""
    source = stream(seed, "data")
    x = torch.randn(200, 40, generator=source) * torch.linspace(2, 0.1, 40)
    y = x @ torch.randn(40, 8, generator=source)
    model = nn.Linear(40, 8, bias=False)
    landscape = sgdtheory.landscape(model, (x, y), loss="mse", weight_decay=DECAY)
    gram = x.double().T @ x.double() / 200
    exact = torch.linalg.eigvalsh(gram).repeat_interleave(8) * 2 / 8 + DECAY
    return landscape, point_of(landscape, model).double(), exact.flip(0)


def softmax_at_zero(seed: int) -> Case:
    """K = 10 classes at θ = 0: H = (1/K − 1/K²·11ᵀ) ⊗ XᵀX/N + λ, every eigenvalue nine times."""
    x = torch.randn(30, 40, generator=stream(seed, "data"))
    model = nn.Linear(40, 10)
    landscape = sgdtheory.landscape(model, (x, torch.arange(30) % 10), weight_decay=DECAY)
    ones = torch.cat([x.double(), torch.ones(30, 1).double()], 1)
    gram = torch.linalg.eigvalsh(ones.T @ ones / 30)
    exact = torch.cat([gram.repeat_interleave(9) / 10, torch.zeros(41).double()]) + DECAY
    theta = torch.zeros(landscape.dim, dtype=torch.float64)
    return landscape, theta, exact.sort(descending=True).values


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", [squares_of_a_linear_map, softmax_at_zero])
def test_every_copy_is_found(case: Callable[[int], Case], seed: int) -> None:
    landscape, theta, exact = case(seed)
    values, vectors = top_eigenpairs(landscape, theta, 12)
    torch.testing.assert_close(values, exact[:12], rtol=1e-9, atol=0)
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(12).double(), rtol=0, atol=1e-6)
    found = density(landscape, theta, 10, 4, 20, stream(0, "probes"))
    torch.testing.assert_close(found.known, exact[:10], rtol=1e-9, atol=0)
    single, _ = top_eigenpairs(landscape, theta.float(), 12)
    torch.testing.assert_close(single, exact[:12], rtol=1e-5, atol=0)


@pytest.mark.parametrize("shift", [0.0, -3.0])
@pytest.mark.parametrize("copies", [2, 8, 40])
def test_many_copies_below_zero_too(copies: int, shift: float) -> None:
    exact = np.repeat(np.linspace(2, 0.1, 400 // copies) ** 2, copies) + shift
    values, _ = leading_eigenpairs(Counted(exact).operator, 10, 2e-16)
    np.testing.assert_allclose(values, exact[:10], rtol=0, atol=1e-9)


SIMPLE = {
    "harmonic": np.arange(1, 401.0) ** -1,
    "root": np.arange(1, 401.0) ** -0.5,
    "exponential": np.exp(-np.arange(400) / 8),
    "ten above a bulk": np.concatenate([np.linspace(5, 1, 10), np.linspace(0.05, -0.05, 390)]),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_a_simple_spectrum_costs_little_more(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit what one search gives; one look at the rest, of LOOKING products and its restarts,
    beside the hundreds of a spectrum."""
    looked = Counted(SIMPLE[name])
    values, vectors = leading_eigenpairs(looked.operator, 10, 2e-16)
    monkeypatch.setattr(leading, "_has_above", lambda *a: False)
    once = Counted(SIMPLE[name])
    before = leading_eigenpairs(once.operator, 10, 2e-16)
    assert np.array_equal(values, before[0]) and np.array_equal(vectors, before[1])
    np.testing.assert_allclose(values, np.sort(SIMPLE[name])[::-1][:10], rtol=0, atol=1e-9)
    assert looked.products - once.products <= 2 * LOOKING + 1


def test_a_search_without_an_end_gives_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_has_above", lambda *a: True)
    with pytest.raises(ArpackNoConvergence, match="after 3 searches there are still eigenvalues"):
        leading_eigenpairs(Counted(SIMPLE["harmonic"]).operator, 3, 2e-16)
    landscape, theta, _ = squares_of_a_linear_map(0)
    (row,) = Spectrum(top=2, probes=2, steps=4)(landscape, theta[None])
    assert row["eigenvalue_2"].value is None and "there are still" in row["eigenvalue_2"].why
