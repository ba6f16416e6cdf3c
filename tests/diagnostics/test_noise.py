"""The noise of landscapes whose covariance is known, from some draws of it and from all examples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sgdtheory.data.examples import Examples
from sgdtheory.diagnostics.diagnostic import Corrected
from sgdtheory.diagnostics.noise import Noise
from sgdtheory.diagnostics.spectrum import Spectrum
from sgdtheory.geometry.hessian import hessian
from sgdtheory.landscapes.network import Network
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from sgdtheory.statistics.power_law import binned_exponent


def points(count: int, inputs: int, outputs: int) -> Examples:
    """Gaussian inputs of uneven sizes, classes that they decide but for some noise."""
    source = stream(0, "points")
    sizes = torch.linspace(1.0, 0.3, inputs)
    x = torch.randn(count, inputs, generator=source) * sizes
    scores = x[:, :outputs] + 0.7 * torch.randn(count, outputs, generator=source)
    labels = scores.argmax(1)
    return Examples(x, labels, x, labels, outputs, "points")


def linear(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Linear(shape[0], classes)


def with_batch_norm(shape: tuple[int, ...], classes: int) -> nn.Module:
    hidden = nn.Linear(shape[0], 6)
    return nn.Sequential(hidden, nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, classes))


def descended(landscape: Network, steps: int) -> Tensor:
    theta = landscape.init(1, stream(0, "init")).double()
    for _ in range(steps):
        theta = theta - 0.5 * value_and_grad(landscape, theta)[1]
    return theta


@pytest.mark.parametrize("decay", [1e-3, 1e-2])
def test_a_direction_without_noise_is_no_point_of_the_law(decay: float) -> None:
    """Where softmax's model is true C is the Hessian of the data loss; all its outputs raised
    together change nothing, so that C = 0 and h = λ there: that made γ 12."""
    landscape = Network(linear, points(4000, 6, 3), weight_decay=decay)
    theta = descended(landscape, 1000)
    row = Noise()(landscape, theta)[0]
    curvature = hessian(landscape, theta[0])
    h = torch.linalg.eigvalsh(curvature) - decay
    assert int((h.abs() < 1e-12).sum()) == 7
    found, error = row["noise_power_law"][:2]
    assert found is not None and error is not None
    assert 0 < error < 0.1 and abs(found - 1) < 0.15
    assert row["noise_rank"].value == 14


def test_the_cosine_of_few_draws_is_that_of_many_within_its_error() -> None:
    """A draw beside itself adds (Tr C)²/K to ‖C‖²: with 64 draws the cosine was many of its errors low."""
    landscape = Network(with_batch_norm, points(600, 8, 4), weight_decay=1e-3)
    theta = landscape.init(1, stream(0, "init"))
    measure = Noise(batch_size=32, draws=4096)
    many = measure(landscape, theta)[0]["noise_hessian_cosine"]
    assert many.value is not None and many.stderr is not None
    misses = []
    for seed in range(12):
        few = replace(measure, draws=64, seed=seed)(landscape, theta)[0]["noise_hessian_cosine"]
        assert few.value is not None and few.stderr is not None
        misses.append((few.value - many.value) / few.stderr)
    worst = max(map(abs, misses))
    mean = sum(misses) / len(misses)
    # the largest of twelve is above 4 once in 1,300 times, their mean above 1 = √12 of its errors
    # once in 2,000
    assert worst < 4 and abs(mean) < 1


def test_a_rank_that_grows_with_the_draws_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subset of the examples, less its own mean, has one independent draw less than draws."""
    landscape = Network(linear, points(300, 40, 5), weight_decay=1e-3)
    theta = landscape.init(1, stream(0, "init"))
    whole = Noise(dense=0)(landscape, theta)[0]
    assert whole["noise_rank"].value == 4 * 41
    held = "sgdtheory.diagnostics.noise.HELD"
    monkeypatch.setattr(held, 100 * landscape.dim)
    part = Noise(dense=0)(landscape, theta)[0]
    assert part["noise_examples"].value == 100
    for name in ("noise_rank", "noise_rank_float32"):
        assert part[name].value is None
        assert part[name].why.endswith("fewer of half of them: more would have more")
    assert part["noise_rank"].why.startswith("99 of 100 draws")


def test_a_rank_that_half_of_the_draws_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    landscape = Network(linear, points(300, 3, 2), weight_decay=1e-3)
    theta = landscape.init(1, stream(0, "init"))
    monkeypatch.setattr("sgdtheory.diagnostics.noise.HELD", 100 * landscape.dim)
    part = Noise(dense=0)(landscape, theta)[0]
    assert part["noise_examples"].value == 100 and part["noise_rank"].value == 4


@pytest.mark.parametrize("count", [2, 9])
def test_of_a_few_examples_no_error_is_known_and_no_number_told(count: int) -> None:
    """Both of two lie as far from their mean, so that no resample has another Tr C: ± 0."""
    landscape = Network(linear, points(count, 3, 2), weight_decay=1e-3)
    row = Noise()(landscape, landscape.init(1, stream(0, "init")))[0]
    assert {column.value for column in row.values()} == {None}
    assert f"of {count} examples" in row["noise_trace"].why


def test_old_numbers_are_other_units() -> None:
    assert isinstance(Noise(), Corrected) and not isinstance(Spectrum(), Corrected)


def unbiased(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Linear(shape[0], classes, bias=False)


@pytest.mark.filterwarnings("error")
def test_curvatures_that_are_alike_have_no_law() -> None:
    """Orthogonal inputs at θ = 0: all curvatures of the data loss are the same, but for the rounding
    of inputs in float32; γ was 2,487 ± 157,844."""
    x = 3 * torch.linalg.qr(torch.randn(32, 32, generator=stream(0, "turn")))[0]
    labels = torch.arange(32) % 4
    landscape = Network(unbiased, Examples(x, labels, x, labels, 4, "points"), weight_decay=1e-2)
    theta = torch.zeros(1, landscape.dim, dtype=torch.float64)
    law = Noise()(landscape, theta)[0]["noise_power_law"]
    assert law.value is None and law.why.startswith("the curvatures")


@pytest.mark.filterwarnings("error")
def test_a_law_through_rounding_or_a_narrow_range_is_none() -> None:
    """Within 1 % scatter of 10 % in each of 10 bins: an error of .1/(.01·√(10/12)) = 11 or so."""
    generator = np.random.default_rng(0)
    equal = np.linspace(1.0, 1.0 + 1e-11, 50)
    assert binned_exponent(equal, equal[None], rounding=2e-12).why.startswith(
        "the curvatures are all"
    )
    assert binned_exponent(np.ones(50), np.ones((1, 50))).value is None
    for width, known in ((0.01, False), (1.0, True)):
        x = np.geomspace(1.0, 1.0 + width, 10)
        found = binned_exponent(x, (x * np.exp(0.1 * generator.standard_normal(10)))[None])
        assert (found.value is not None) is known
        assert known or "tell too little" in found.why
