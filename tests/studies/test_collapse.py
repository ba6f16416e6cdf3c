"""SGD's collapse end to end on small budgets; broken physics does not pass."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.models.mlp import MLP
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.plots import plots
from sgdtheory.studies.collapses import planted
from sgdtheory.studies.collapses.planted_claims import claims_of
from sgdtheory.studies.collapses.units import HiddenUnits, _lost
from sgdtheory.studies.collapses.walk import _exponents, _sides
from tests.studies.asked import Command, results, verdicts

ALONE = ["executor.workers=1", "threads=1"]
SYSTEMS = ["regression", "walk", "widths", "units"]


def only(*kept: str) -> list[str]:
    return ["collapse", *(f"~systems.{name}" for name in SYSTEMS if name not in kept), *ALONE]


# an error of .3 % of the threshold
REGRESSION = [
    *only("regression"), "~systems.regression.landscapes.few", "systems.regression.learning_rates=[0.6,0.98,1.02]",
    "systems.regression.steps=60", "systems.regression.looks=3", "systems.regression.replicas=3000",
    "systems.regression.landscapes.noisy.components=4",
]  # fmt: skip
WALK = [*only("walk"), "systems.walk.replicas=4000", "systems.walk.batch_sizes=[1,4,64]"]
UNITS = [
    *only("units"),
    "systems.units.batch_sizes=[32,4]",
    "systems.units.replicas=4",
    "systems.units.steps=800",
]


# linear regression


def test_second_moments_collapse_where_the_radius_says(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, *REGRESSION)
    assert verdicts(found) == {
        "collapse": True,
        "noiseless_threshold": True,
        "noiseless_typical": True,
        "noisy_temperature": True,
    }
    rows = found["tables"]["temperatures"]
    assert [row["rate"] for row in rows if row["regression"] == "noisy"] == [0.6]
    assert [figure.name for figure in plots(RunData.read(path))] == ["temperatures", "growth"]
    growth = found["tables"]["growth"]
    shifted = [{**row, "rate": row["rate"] / 0.97} for row in growth]  # another η_c, off by 3 %
    for right, seen in ((growth, True), (shifted, False)):
        assert claims_of(right, [])[0].holds is seen


def test_a_map_without_its_noise_is_seen(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of batches twice as large, in the place of the right one: growth is not its radius."""
    right = planted.second_moment_map

    def quiet(inputs: Tensor, rate: float, size: int) -> Tensor:
        return right(inputs, rate, 2 * size)

    monkeypatch.setattr(planted, "second_moment_map", quiet)
    _, found = results(sgdtheory, *REGRESSION, "~systems.regression.landscapes.noisy")
    assert verdicts(found)["noiseless_threshold"] is False


def test_noise_that_does_not_grow_is_seen(
    sgdtheory: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T as η/2b alone would have it, with C as at the minimum."""

    def additive(inputs: Tensor, noise: Tensor, rate: float, size: int) -> Tensor:
        hessian = inputs.T @ inputs / len(inputs)
        h, basis = torch.linalg.eigh(hessian)
        drag = (h[:, None] + h) / rate - h[:, None] * h
        turned = basis.T @ noise @ basis / (size * drag)
        return basis @ turned @ basis.T

    monkeypatch.setattr(planted, "resting_covariance", additive)
    _, found = results(sgdtheory, *REGRESSION, "~systems.regression.landscapes.noiseless")
    assert verdicts(found)["noisy_temperature"] is False


# a walk


def test_a_walk_collapses_as_its_exponent_says(sgdtheory: Command) -> None:
    path, found = results(sgdtheory, *WALK)
    assert verdicts(found) == {"collapse": True, "walk_exponent": True, "walk_sides": True}
    assert [figure.name for figure in plots(RunData.read(path))] == ["walks"]
    rows = found["tables"]["walks"]
    for calculus in ("ito", "stratonovich"):  # of continuous time; without Itô's −ζ²/2
        assert _exponents("walk", [{**row, "exact": row[calculus]} for row in rows]).holds is False
    assert all(row["stratonovich"] > 0 for row in rows)  # it would never collapse
    assert _sides("walk", [{**row, "threshold": 1e3} for row in rows]).holds is False


# networks


def test_units_are_counted() -> None:
    """Three dead, one twin of another, one that is alike on one side alone."""
    landscape = Network(partial(MLP, hidden=(12,)), digits(limit=50), weight_decay=0.0)
    counted = HiddenUnits(landscape, 0.5, [4, 2], 2, 1)
    theta = landscape.init(1, torch.Generator().manual_seed(0)).double()[0]
    sizes = [shape.numel() for shape in landscape.shapes.values()]
    weight, bias, outgoing, last = theta.split(sizes)
    weight, outgoing = weight.view(12, 64), outgoing.view(10, 12)
    bias[:] = 10.0
    weight[0:3], bias[0:3] = -weight[0:3].abs(), -1.0
    weight[5], bias[5], outgoing[:, 5] = 2 * weight[4], 2 * bias[4], 0.5 * outgoing[:, 4]
    weight[7], bias[7], outgoing[:, 7] = weight[6], bias[6], -outgoing[:, 6]
    pieces = [weight.flatten(), bias, outgoing.flatten(), last]
    assert counted._count(torch.cat(pieces)) == (3, 1)
    with pytest.raises(Exception, match="one hidden layer"):
        HiddenUnits(Network(partial(MLP, hidden=(4, 4)), digits(limit=50)), 0.5, [4, 2], 2, 1)


def test_units_die_of_noise(sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *UNITS)
    assert verdicts(found) == {"collapse": True, "units_lost": True}
    tables = found["tables"]
    alike = [{**row, "dead": 2} for row in tables["replicas"]]
    assert _lost("units", tables["units"], alike).holds is False


@pytest.mark.slow
def test_a_wide_network_goes_cold(sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *only("widths"))
    assert verdicts(found) == {"collapse": True, "widths_narrow": True, "widths_wide": True}


def test_a_second_narrow_network_does_not(sgdtheory: Command) -> None:
    narrow = ["systems.widths.landscapes.wide.model.hidden=[4]", "systems.widths.steps=300"]
    rates = "systems.widths.learning_rates=[0.5,2.0]"
    path, found = results(sgdtheory, *only("widths"), *narrow, rates)
    assert verdicts(found)["widths_wide"] is False
    assert [figure.name for figure in plots(RunData.read(path))] == ["widths"]


# mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["systems.walk.landscape.level=1.0"], "noise ∝ x"),
        (["systems.walk.landscape.quartic=1.0"], "force ∝ x"),
        (["systems.regression.early=300"], "fewer than steps"),
        (["model.hidden=[4,4]"], "one hidden layer"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", "collapse", *words)
    assert said.code == 2 and told in said.err and len(said.err.splitlines()) <= 3
