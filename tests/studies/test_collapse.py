"""SGD's collapse end to end on small budgets; broken physics does not pass."""

from functools import partial

import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.network import Network
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.models.mlp import MLP
from sgdtheory.report.figures.figure import RunData
from sgdtheory.report.figures.plots import plots
from sgdtheory.statistics.measured import Claim, Measured, row_of
from sgdtheory.statistics.rows import Row
from sgdtheory.studies.collapses import planted
from sgdtheory.studies.collapses.planted_claims import claims_of
from sgdtheory.studies.collapses.units import HiddenUnits, _lost
from sgdtheory.studies.collapses.walk import _exponents, _sides
from sgdtheory.studies.collapses.widths import Widths, _goes, _stays
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


def grown(rate: float, growth: float, exact: float, error: float = 0.001) -> Row:
    """A row of the table of growths; a typical point's is that of the second moment less .02."""
    typical = Measured(growth - 0.02, 0.001)
    facts = {"regression": "few", "rate": rate, "exact": exact}
    return row_of(facts, growth=Measured(growth, error), typical=typical)


def test_coarse_rates_are_compared_with_the_exact_curve_at_the_same_rates() -> None:
    """A straight line from .9 to 2 passes 0 far below 1, that of the exact curve too."""
    exact = [(0.9, -0.01), (2.0, 0.5)]
    rows = [grown(rate, growth, growth) for rate, growth in exact]
    threshold, typical = claims_of(rows, [])
    assert threshold.holds and threshold.measured.value == pytest.approx(1)
    assert typical.holds is None and "add 1 to learning_rates" in typical.measured.why
    few = [grown(rate, growth, growth, 0.02) for rate, growth in exact]
    assert claims_of(few, [])[0].holds is None
    assert "raise replicas" in claims_of(few, [])[0].measured.why
    apart = [grown(rate, growth + 0.02, growth, 0.002) for rate, growth in exact]
    assert claims_of(apart, [])[0].holds is False


def test_below_its_threshold_a_typical_point_says_nothing() -> None:
    below = [grown(0.5, -0.1, -0.1), grown(0.9, -0.01, -0.01)]
    threshold, typical = claims_of(below, [])
    assert threshold.holds is None and "both sides of 1" in threshold.measured.why
    assert typical.holds is None
    for growth, holds in ((0.0, True), (0.02, None), (0.1, False)):
        assert claims_of([*below, grown(1.0, growth, 0.0)], [])[1].holds is holds


def test_temperatures_within_their_errors_do_not_say_whether_they_rise() -> None:
    def judged(first: float, second: float, error: float) -> bool | None:
        rows = []
        for rate, value in ((0.2, first), (0.4, second)):
            facts = {"regression": "noisy", "rate": rate, "exact": 1.0}
            rows.append(row_of(facts, temperature=Measured(value, error)))
        return claims_of([], rows)[0].holds

    assert [judged(0.99, 1.01, 0.004), judged(1.001, 1.0, 0.004)] == [True, None]
    assert [judged(1.01, 0.99, 0.004), judged(0.9, 1.0, 0.004)] == [False, False]


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


def test_a_side_that_its_error_hides_is_open() -> None:
    row = {"batch_size": 8, "noise": 1.0, "threshold": 0.9, "exponent": -0.001, "exact": -0.001}
    below = {**row, "noise": 0.5, "exponent": 0.1, "exponent_stderr": 0.0001}
    for error, holds in ((0.0001, True), (0.001, None)):
        claim = _sides("walk", [{**row, "exponent_stderr": error}, below])
        assert claim.holds is holds and ("raise systems.walk" in claim.measured.why) != bool(holds)
    alone = {**row, "exponent_stderr": 0.0001}  # on one side no threshold is seen
    one_sided = _sides("walk", [alone, alone])
    assert one_sided.holds is None and "on one side" in one_sided.measured.why
    wrong = {**row, "exponent": 0.001, "exponent_stderr": 0.0001}
    assert _sides("walk", [{**row, "exponent_stderr": 0.001}, wrong]).holds is False


def test_a_walk_that_comes_to_zero_has_no_exponent(sgdtheory: Command) -> None:
    """e^(−.19 · 1000) is none of float32's numbers."""
    words = ["systems.walk.replicas=10", "systems.walk.batch_sizes=[1,2]"]
    _, found = results(sgdtheory, *only("walk"), *words, "systems.walk.steps=1000", "dtype=float32")
    held = verdicts(found)
    assert held == {"collapse": None, "walk_exponent": None, "walk_sides": None}
    assert all("take fewer steps" in claim["why"] for claim in found["claims"])


# networks


def a_row(network: str, rate: float, ratio: float, last: float, loss: float = 0.1) -> Row:
    numbers = {"ratio": ratio, "last": last, "energy": last, "loss": loss}
    errors = {f"{name}_stderr": 0.01 * abs(value) for name, value in numbers.items()}
    return {"network": network, "learning_rate": rate, **numbers, **errors}


def judged(*rows: Row) -> dict[str, Claim]:
    narrow, wide = Quadratic((1.0,)), Quadratic((1.0,))
    widths = Widths({"narrow": narrow, "wide": wide}, [0.5, 1.0], 1, 2, 10)
    claims = widths.judge("widths", {"widths": list(rows)}).claims
    return {claim.name: claim for claim in claims}


NARROW = (a_row("narrow", 0.5, 0.9, 1.0), a_row("narrow", 1.0, 0.9, 2.0))


@pytest.mark.parametrize(
    ("ratios", "holds", "why"),
    [
        ((0.05, 0.9), True, ""),
        ((0.9, 0.9), False, ""),
        ((0.3, 0.25), None, "may still go"),  # on its way when the steps were spent
        ((0.05, 0.3), None, "may still go"),
    ],
)
def test_noise_that_is_on_its_way_is_not_said_to_stay(
    ratios: tuple[float, float], holds: bool | None, why: str
) -> None:
    lasts = [1e-6 if ratio < 0.1 else 1.0 for ratio in ratios]
    cells = zip((0.5, 1.0), ratios, lasts, strict=True)
    wide = judged(*NARROW, *(a_row("wide", *cell) for cell in cells))["widths_wide"]
    assert wide.holds is holds and why in wide.measured.why


@pytest.mark.parametrize(("last", "loss"), [(-2.9e209, 7e220), (float("nan"), 0.1), (1.0, 1e7)])
def test_what_diverges_is_no_refutation(last: float, loss: float) -> None:
    rows = (a_row("wide", 0.5, 0.05, 1e-6), a_row("wide", 1.0, 0.9, last, loss))
    found = judged(*NARROW, *rows)
    assert list(found) == ["widths_wide"] and found["widths_wide"].holds is None
    assert "diverges at η = [1.0]" in found["widths_wide"].measured.why


def test_a_part_that_says_nothing_leaves_the_headline_open(sgdtheory: Command) -> None:
    words = ["~systems.widths.landscapes.narrow", "systems.widths.steps=10"]
    _, found = results(sgdtheory, *only("widths"), *words)
    assert set(verdicts(found).values()) == {None}


def test_a_headline_says_which_parts_were_run(sgdtheory: Command) -> None:
    words = ["systems.walk.replicas=2000", "systems.walk.batch_sizes=[1,64]"]
    _, found = results(sgdtheory, *only("walk"), *words)
    assert "where every example can be met" not in found["claims"][0]["statement"]


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


def test_networks_whose_errors_hide_it_neither_stay_nor_go() -> None:
    def wide(rate: float, ratio: float, error: float = 0.01) -> Row:
        facts = {"learning_rate": rate, "last": 1e-6, "last_stderr": 1e-7}
        return {
            **facts,
            "energy": rate,
            "energy_stderr": 0.01,
            "ratio": ratio,
            "ratio_stderr": error,
        }

    narrow = [{**wide(rate, 0.8), "last": rate, "last_stderr": 0.01} for rate in (1.0, 2.0, 4.0)]
    cold, warm, unsure = 0.03, 0.9, 0.2
    for ratios, holds in (
        ((cold, cold, warm), True), ((cold, warm, cold), False), ((warm, warm, warm), False),
        ((cold, cold, cold), None), ((cold, unsure, warm), None), ((unsure, warm, warm), None),
    ):  # fmt: skip
        rows = []
        for rate, ratio in zip((1.0, 2.0, 4.0), ratios, strict=True):
            rows.append(wide(rate, ratio, 0.1 if ratio == unsure else 0.01))
        claim = _goes("widths", narrow, rows)
        assert claim.holds is holds and bool(claim.measured.why) >= (holds is None)
    assert _stays("widths", narrow).holds is True
    for ratio, error, holds in ((0.51, 0.2, None), (0.2, 0.01, False)):
        assert _stays("widths", [wide(1.0, ratio, error), wide(2.0, 0.9)]).holds is holds
    assert _stays("widths", [{**row, "energy_stderr": 9.0} for row in narrow]).holds is None


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
        (["systems.walk.landscape.curvatures=[0.2]"], "noise holds points at a maximum"),
        (["systems.regression.early=300"], "fewer than steps"),
        (["model.hidden=[4,4]"], "one hidden layer"),
    ],
)
def test_mistakes_are_told_in_a_line(words: list[str], told: str, sgdtheory: Command) -> None:
    said = sgdtheory("study", "collapse", *words)
    assert said.code == 2 and told in said.err and len(said.err.splitlines()) <= 3
