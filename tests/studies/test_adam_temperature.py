"""Adam's temperature: on a quadratic exactly, and claims that other laws do not pass."""

from math import sqrt
from typing import Any

import pytest
import torch

from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.protocol import value_and_grad
from sgdtheory.statistics.measured import Claim
from sgdtheory.studies.adam_temperatures.claims import claims_of

H = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64)
SIGMA = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)


def test_bowl_has_these_curvatures_and_this_noise() -> None:
    """A bowl of noise 1 and curvatures h/σ², seen in x = y/σ."""
    bowl = Rescaled(Quadratic(tuple((H / SIGMA.square()).tolist())), 1 / SIGMA)
    points = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    losses, gradients = value_and_grad(bowl, points)
    assert torch.allclose(losses, (H * points.square()).sum(1) / 2)
    assert torch.allclose(gradients, H * points)
    covariance = bowl.noise_covariance(points)[0]
    assert torch.allclose(covariance, torch.diag(SIGMA.square()))


def axes(factor: float = 1.0) -> list[dict[str, Any]]:
    ratios = (1.01 * factor, 0.99 * factor)
    return [
        {"ratio": ratio, "ratio_stderr": 0.02, "of_sgd": of_sgd, "of_sgd_stderr": 0.04}
        for ratio, of_sgd in zip(ratios, (1.0, 2.0), strict=True)
    ]


def cells(exponent: float = -0.5, slope: float = 1.0) -> list[dict[str, Any]]:
    rows = []
    for rate in (0.001, 0.002, 0.004):
        for size in (4, 16, 64):
            law = rate * size**-0.5 / 2
            value = 0.5 * (rate * size**exponent) ** slope
            rows.append(
                {
                    "optimiser": "adam",
                    "learning_rate": rate,
                    "batch_size": size,
                    "predicted": law,
                    "stationary": True,
                    "harmonic": True,
                    "minimum": 0,
                    "temperature": {"excess_loss": {"value": value, "stderr": 0.01 * value}},
                }
            )
    return rows


def rules(growth: float) -> list[dict[str, Any]]:
    names = {"as it is": 1.0, "square root": growth, "linear": 2.0}
    return [
        {"rule": name, "temperature": value, "temperature_stderr": 0.01}
        for name, value in names.items()
    ]


def verdicts(claims: list[Claim]) -> dict[str, bool | None]:
    return {claim.name: claim.holds for claim in claims}


def test_adams_law_passes() -> None:
    found = verdicts(claims_of(axes(), cells(), rules(1.01)))
    kept = ("axes", "sgd", "slope", "exponent_of_b", "square root")
    assert [found[name] for name in kept] == [True] * 5


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("axes", (axes(sqrt(2)), cells(), rules(1.0))),  # noise of another size
        ("slope", (axes(), cells(slope=1.2), rules(1.0))),
        ("exponent_of_b", (axes(), cells(exponent=-1.0), rules(1.0))),  # SGD's
        ("square root", (axes(), cells(), rules(2.0))),
    ],
)
def test_other_laws_do_not(name: str, tables: tuple[Any, Any, Any]) -> None:
    assert verdicts(claims_of(*tables))[name] is False


def test_what_is_not_finished_is_not_claimed() -> None:
    assert set(verdicts(claims_of([], [], [])).values()) == {None}
