"""The spectrum of trained digits networks, against all of the Hessian."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import sgdtheory
from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.hessian import hessian
from sgdtheory.geometry.spectral_density import density
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.models.resnet import ResNet
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.rng import stream


class Known(NamedTuple):
    landscape: Network
    theta: Tensor  # [n], float32
    exact: Tensor  # all eigenvalues, float64


@pytest.fixture(scope="module")
def digits_minimum() -> Known:
    """Tanh MLP 64-32-10, λ = 1e-4, trained to a loss of .025 with its L2 term."""
    landscape = Network(partial(MLP, hidden=(32,), activation="tanh"), digits(), weight_decay=1e-4)
    for state in SGD(2000, 128, 0.3, Cosine(), 0.9).run(
        landscape, landscape.init(1, stream(0, "init")), 0
    ):
        last = state
    theta = last.cloud[0].clone()
    return Known(landscape, theta, torch.linalg.eigvalsh(hessian(landscape, theta.double())))


@pytest.mark.slow
def test_the_spectrum_at_a_digits_minimum(digits_minimum: Known) -> None:
    landscape, theta, exact = digits_minimum
    top = float(exact[-1])
    assert float((exact.abs() < 1e-3 * top).double().mean()) >= 0.75
    row = Spectrum()(landscape, theta[None])[0]
    for i, name in enumerate(["top_eigenvalue", *(f"eigenvalue_{j}" for j in range(2, 11))]):
        assert row[name].value == pytest.approx(float(exact[-1 - i]), abs=1e-6 * top)
    wanted = {
        "trace": float(exact.sum()),
        "flat_fraction": float((exact.abs() < 1e-3 * top).double().mean()),
        "flat_fraction_data": float(((exact - 1e-4).abs() < 1e-3 * (top - 1e-4)).double().mean()),
        "negative_eigenvalues": int((exact < -(2410**0.5) * 1.2e-7 * top).sum()),
    }
    for name, value in wanted.items():
        found, error = row[name][:2]
        assert found is not None and error is not None and abs(found - value) < 3 * error, name
    assert (
        row["flat_fraction"].value is not None
        and abs(row["flat_fraction"].value - wanted["flat_fraction"]) < 0.03
    )


@pytest.mark.slow
def test_the_cumulative_density(digits_minimum: Known) -> None:
    """Within .03 of the exact one from the edge of the flat directions outwards: inside, all are
    one atom near λ."""
    landscape, theta, exact = digits_minimum
    found = density(landscape, theta, 10, 6, 60, stream(0, "probes"))
    for edge in torch.logspace(-3, 0, 40, dtype=torch.float64) * float(exact[-1]):
        share = found.share(-float(edge), float(edge)).value
        assert share is not None and abs(share - float((exact.abs() < edge).double().mean())) < 0.03


@pytest.mark.slow
def test_the_noise_at_a_digits_minimum(digits_minimum: Known) -> None:
    row = {
        name: x.value
        for name, x in Noise()(digits_minimum.landscape, digits_minimum.theta[None])[0].items()
    }
    assert row["noise_top10_share"] is not None and row["noise_top10_share"] > 0.65
    assert row["noise_hessian_cosine"] is not None and row["noise_hessian_cosine"] > 0.75
    assert row["noise_power_law"] is not None and 1.2 < row["noise_power_law"] < 1.6
    assert row["noise_rank"] is not None and row["noise_rank"] <= 1436
    assert row["noise_rank_float32"] is not None and 0.05 < row["noise_rank_float32"] / 2410 < 0.07
    assert row["noise_examples"] == 1437 and row["noise_rank_eps"] == torch.finfo(torch.float64).eps


def test_a_quadratic_states_its_spectrum() -> None:
    landscape = Quadratic(
        (2.0, 0.3, 1e-4, -0.5), ambient=300, stiffness=1e-4
    )  # more than are written down
    row = Spectrum(top=2, probes=4, steps=20)(landscape, landscape.minima().double())[0]
    assert (row["top_eigenvalue"].value, row["eigenvalue_2"].value) == (
        pytest.approx(2.0),
        pytest.approx(0.3),
    )
    for name, value in (
        ("trace", 1.8 + 297e-4),
        ("flat_fraction", 297 / 300),
        ("negative_eigenvalues", 1),
    ):
        found, error = row[name][:2]
        assert found is not None and error is not None and abs(found - value) < 3 * error, name
    assert "flat_fraction_data" not in row


def test_what_cannot_be_said_has_a_reason() -> None:
    landscape = Quadratic((2.0, 0.3))
    row = Spectrum(top=2)(landscape, torch.tensor([[float("nan"), 1.0]]))[0]
    assert all(x.value is None and x.why == "the point is not finite" for x in row.values())
    assert set(row) == {
        "top_eigenvalue",
        "eigenvalue_2",
        "trace",
        "flat_fraction",
        "negative_eigenvalues",
    }


def test_noise_of_a_formula_is_what_it_states() -> None:
    """C = H (anisotropy as the curvatures): γ = 1 and cos = 1, and γ = 0 for C = 1."""
    landscape = Quadratic(directions=20, condition=100.0)
    row = Noise()(landscape, landscape.minima())[0]
    assert row["noise_trace"][:2] == (pytest.approx(20.0), None) and row["noise_rank"].value == 20
    assert row["noise_top10_share"].value == pytest.approx(0.5)
    h = landscape.spectrum.double()
    assert row["noise_hessian_cosine"].value == pytest.approx(float(h.sum() / h.norm() / 20**0.5))
    assert row["noise_power_law"].value == pytest.approx(0.0, abs=1e-9)
    assert row["noise_examples"].value is None


@pytest.fixture(scope="module")
def few() -> tuple[Network, Tensor, Tensor]:
    """A small net on 200 digits, a point, and the gradient of every example by a plain loop, [N,
    n]."""
    landscape = Network(
        partial(MLP, hidden=(6,), activation="tanh"), digits().first(200, 20), weight_decay=1e-3
    )
    theta = landscape.init(1, stream(0, "init"))[0].double()
    each = []
    for i in range(200):
        leaf = theta.clone().requires_grad_()
        landscape.losses(leaf[None], landscape.batch(torch.tensor([[i]]))).sum().backward()  # type: ignore[no-untyped-call]
        assert leaf.grad is not None
        each.append(leaf.grad)
    return landscape, theta, torch.stack(each)


def test_noise_is_the_covariance_of_single_examples(few: tuple[Network, Tensor, Tensor]) -> None:
    landscape, theta, each = few
    covariance = torch.cov(each.T, correction=0)
    values = torch.linalg.eigvalsh(covariance)
    whole = hessian(landscape, theta)
    row = Noise()(landscape, theta[None])[0]
    assert row["noise_trace"].value == pytest.approx(float(values.sum()), rel=1e-10)
    assert row["noise_top10_share"].value == pytest.approx(
        float(values[-10:].sum() / values.sum()), rel=1e-10
    )
    cosine = float((covariance * whole).sum() / covariance.norm() / whole.norm())
    assert row["noise_hessian_cosine"].value == pytest.approx(cosine, rel=1e-10)
    assert row["noise_rank"].value == 199
    assert all(
        row[name].stderr
        for name in ("noise_trace", "noise_top10_share", "noise_hessian_cosine", "noise_power_law")
    )
    spread = (
        torch.stack([each[i] for i in range(200)]).sub(each.mean(0)).square().sum(1).std()
        / 200**0.5
    )
    assert row["noise_trace"].stderr == pytest.approx(
        float(spread), rel=0.2
    )  # 200 resamples: 5 %, thrice
    small = replace(Noise(), dense=100)(landscape, theta[None])[0]["noise_power_law"]
    assert small.value is None and "dense=100" in small.why


def test_noise_of_a_subset_is_within_its_error(
    few: tuple[Network, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    landscape, theta, _ = few
    whole = replace(Noise(), dense=0)(landscape, theta[None])[0]
    monkeypatch.setattr("sgdtheory.diagnostics.noise.HELD", 80 * len(theta))
    part = replace(Noise(), dense=0)(landscape, theta[None])[0]
    assert part["noise_examples"].value == 80
    for name in ("noise_trace", "noise_top10_share"):
        wanted, (found, error) = whole[name].value, part[name][:2]
        assert (
            wanted is not None
            and found is not None
            and error is not None
            and abs(found - wanted) < 3 * error
        )


def test_noise_with_batch_norm_is_of_mini_batches() -> None:
    landscape = Network(partial(ResNet, depth=8, width=2), digits().first(64, 10))
    row = Noise(batch_size=16, draws=24, dense=0)(landscape, landscape.init(1, stream(0, "init")))[
        0
    ]
    assert row["noise_trace"].value and row["noise_examples"].value == 24
    assert row["noise_top10_share"].value is not None and 0 < row["noise_top10_share"].value < 1


def test_no_noise_is_said() -> None:
    landscape = Quadratic((1.0, 0.3), noise=0.0)
    row = Noise()(landscape, landscape.minima())[0]
    assert row["noise_trace"].value == 0.0 and row["noise_top10_share"].why == "there is no noise"


@pytest.mark.parametrize(  # all eigenvalues at 6, and Lanczos at 60
    ("width", "decay"), [(6, 0.0), (6, 1e-3), (6, 1.0), (60, 1e-3), (60, 1.0)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_that_is_dead_is_flat(width: int, decay: float, dtype: str) -> None:
    """No unit of the first layer is on, so that its data loss is constant: all of its directions
    are flat, and 0 was told, for no |h| is less than flat·0."""
    torch.manual_seed(0)
    inputs = torch.randn(60, 5)
    model = nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, 2))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    data = (inputs, (inputs[:, 0] > 0).long())
    landscape = sgdtheory.landscape(model, data, weight_decay=decay)
    words = ["diagnostic.spectrum.parameters=['^0','^2']", f"dtype={dtype}"]
    table = sgdtheory.diagnose(landscape, [model], ["spectrum"], words)
    name = "flat_fraction_data" if decay else "flat_fraction"
    assert table[f"{name}[^0]"][0] == 1.0
    # of the last layer one bias is curved: softmax of two outputs that add nothing
    last = 2 * width + 2
    assert table[f"{name}[^2]"][0] == pytest.approx((last - 1) / last, abs=1e-9)


@pytest.mark.parametrize("curvatures", [(0.0, 0.0), (-1.0, 0.0, 0.0, -2.0)])
def test_flat_is_what_has_no_curvature_though_nothing_curves_up(
    curvatures: tuple[float, ...],
) -> None:
    landscape = Quadratic(curvatures)
    row = Spectrum(top=1)(landscape, torch.zeros(1, len(curvatures)))[0]
    assert row["flat_fraction"].value == curvatures.count(0.0) / len(curvatures)


@pytest.mark.parametrize("products", [None, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_hessian_that_is_zero_is_flat_all_over(products: int | None, dtype: torch.dtype) -> None:
    """Beyond the 256 parameters up to which H is diagonalised, too: ARPACK takes no such H."""
    landscape = Quadratic((0.0,) * 300)
    spectrum = Spectrum(top=3) if products is None else Spectrum(top=3).within(products)
    row = spectrum(landscape, torch.ones(1, 300, dtype=dtype))[0]
    assert row["top_eigenvalue"].value == row["trace"].value == 0.0
    assert row["flat_fraction"].value == 1.0
    assert row["negative_eigenvalues"].value == 0.0


LEVELS = [
    ([3.0] * 3 + [1.0] * 297, 0.0, 0),
    ([1.0] * 300, 0.0, 0),
    ([-1.0] * 290 + [-2.0] * 10, 0.0, 300),
]


@pytest.mark.parametrize(("curvatures", "flat", "negative"), LEVELS)
@pytest.mark.parametrize("products", [None, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_few_levels_a_quadrature_is_exact(
    curvatures: list[float], flat: float, negative: int, products: int | None, dtype: torch.dtype
) -> None:
    """A Krylov space of two vectors holds all that H is: its two nodes are eigenvalues, and no
    weight of theirs may lie elsewhere."""
    landscape = Quadratic(tuple(curvatures))
    spectrum = Spectrum(top=4) if products is None else Spectrum(top=4).within(products)
    row = spectrum(landscape, torch.ones(1, 300, dtype=dtype))[0]
    assert row["top_eigenvalue"].value == pytest.approx(max(curvatures), rel=1e-5)
    assert row["flat_fraction"].value == pytest.approx(flat, abs=1e-9)
    assert row["flat_fraction"].stderr == pytest.approx(0.0, abs=1e-9)
    assert row["negative_eigenvalues"].value == pytest.approx(negative, abs=1e-6)


def test_what_a_quadrature_cannot_place_is_in_the_error_still() -> None:
    """Three hundred levels and sixty steps: nodes lie between eigenvalues."""
    landscape = Quadratic(tuple(torch.linspace(-1, 1, 300).tolist()))
    row = Spectrum(top=2)(landscape, torch.ones(1, 300, dtype=torch.float64))[0]
    found, error = row["negative_eigenvalues"][:2]
    assert found is not None and error is not None
    assert error > 3 and abs(found - 150) < 3 * error
