"""What noise, low barriers and large steps leave open: studies refute no law by them."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sgdtheory.fokker_planck.stirred import Stirred
from sgdtheory.statistics.measured import Claim, Measured
from sgdtheory.statistics.rows import Rows
from sgdtheory.studies import compensation, escape, free_energy, string_sampling
from sgdtheory.studies.adam_temperatures.claims import _rule_claim
from sgdtheory.studies.collapses.units import _lost
from sgdtheory.studies.collapses.walk import _exponents
from sgdtheory.studies.current import _current, _still
from sgdtheory.studies.epochs.claims import _cold, _control, _prediction
from sgdtheory.studies.free_energy import _at_rest
from sgdtheory.studies.potentials import resolved_claims
from sgdtheory.studies.potentials.bowl_claims import _agreement
from sgdtheory.studies.potentials.uneven_claims import _distance, _shift
from sgdtheory.studies.potentials.uneven_claims import claims_of as uneven_claims
from sgdtheory.studies.shared.parts import headline
from tests.studies.asked import Command, results, verdicts
from tests.studies.test_clouds import ESCAPE, REST, RING


def stirred(within: float, replicas: int = 10_000) -> Stirred:
    found = SimpleNamespace(within=within, clear=4.0, coupling=None, replicas=replicas, bins=40)
    return cast(Stirred, found)


def test_noise_refutes_no_current() -> None:
    system = stirred(within=0.05)
    row = {"area_exact": 1.0, "area": 1.19, "area_stderr": 0.23, "lost": 0}
    (claim,) = _current("ring", [row], system)
    assert claim.holds is None
    assert claim.measured.why.startswith("± 0.23 is more than the 0.05 that is asked")
    assert _current("ring", [{**row, "area_stderr": 0.05}], system)[0].holds is False
    assert _current("ring", [{**row, "area": 1.03, "area_stderr": 0.0499}], system)[0].holds is True
    faint = stirred(within=0.3)
    (claim,) = _current("ring", [{**row, "area": 1.0, "area_stderr": 0.29}], faint)
    assert claim.holds is None and claim.measured.why == "3 standard errors are no more than 4"


def moment(divergence: float, error: float, energy: float, energy_error: float) -> dict[str, Any]:
    return {
        "divergence": divergence, "divergence_stderr": error, "divergence_exact": 0.5, "points": 9,
        "free_energy": energy, "free_energy_stderr": energy_error, "free_energy_exact": 0.1, "drop": 1.0,
    }  # fmt: skip


def test_noise_refutes_no_free_energy() -> None:
    found = free_energy.claims_of([moment(0.6, 0.05, 0.15, 0.04)])
    held = {claim.name: claim.holds for claim in found}
    assert held["divergence"] is None and held["free_energy"] is None
    found = free_energy.claims_of([moment(0.6, 0.01, 0.15, 0.004)])
    held = {claim.name: claim.holds for claim in found}
    assert held["divergence"] is False and held["free_energy"] is False
    found = free_energy.claims_of([moment(0.6, 0.01, 0.15, 0.004)], "steps are too large")
    assert {(claim.holds, claim.measured.why) for claim in found} == {(None, "steps are too large")}


def test_few_points_in_many_bins_say_nothing_of_a_density() -> None:
    unknown = {**moment(0.6, 0.01, 0.11, 0.004), "divergence": None, "divergence_why": "too few"}
    divergence, energy = free_energy.claims_of([moment(0.6, 0.01, 0.11, 0.004), unknown])
    assert divergence.holds is None and divergence.measured.why == "too few"
    assert energy.holds is True
    nothing = {"points": 9, "divergence": None, "divergence_why": "too few", "from_gibbs": 0.2}
    claim = _distance("wells", nothing)
    assert claim.holds is None and claim.measured.why == "too few"


def test_a_cloud_that_is_at_rest_from_the_first_does_not_fall() -> None:
    rows = [moment(value, 0.01, 0.11, 0.004) for value in (0.02, 0.01, 0.01)]
    claim = free_energy._falling(rows)
    assert claim.holds is None and "does not fall by its errors" in claim.measured.why
    assert free_energy._falling([moment(0.6, 0.01, 0.5, 0.004), *rows]).holds is True


def test_looks_that_are_near_and_points_outside_leave_a_density_open() -> None:
    row = {
        "divergence": 0.0001, "divergence_stderr": 0.0001, "from_gibbs": 0.1, "points": 900, "lost": 0,
        "relaxations_apart": 2.0,
    }  # fmt: skip
    assert uneven_claims("wells", row, [])[0].holds is True
    near = uneven_claims("wells", {**row, "relaxations_apart": 0.5}, [])[0]
    assert near.holds is None and "systems.wells.spacing" in near.measured.why
    off = {**row, "divergence": 0.02}
    assert uneven_claims("wells", off, [])[0].holds is False
    moving = {**off, "divergence_change": -0.03, "divergence_change_stderr": 0.0002}
    claim = uneven_claims("wells", moving, [])[0]
    assert claim.holds is None and claim.measured.why.startswith("not at rest")
    far = uneven_claims("wells", {**row, "lost": 100}, [])[0]
    assert far.holds is None and far.measured.why.startswith("10 % of the points are outside")


def passage(barrier: float, share: float, error: float, kramers: float = 0.9) -> dict[str, Any]:
    return {
        "barrier": barrier, "time": 8.0, "ratio": share, "ratio_stderr": error, "kramers_ratio": kramers,
    }  # fmt: skip


def test_noise_refutes_no_escape() -> None:
    claim, _ = escape.claims_of([passage(3, 1.112, 0.057)])
    assert claim.holds is None and "raise replicas" in claim.measured.why
    assert escape.claims_of([passage(3, 1.112, 0.015)])[0].holds is False
    assert escape.claims_of([passage(3, 1.05, 0.03)])[0].holds is True
    claim, _ = escape.claims_of([passage(3, 1.4, 0.03)], "steps are too large")
    assert claim.holds is None and claim.measured.why == "steps are too large"


def test_one_barrier_is_worded_as_one_and_low_ones_are_no_limit() -> None:
    low = [passage(0.62, 1.0, 0.01, 0.99), passage(1.9, 1.0, 0.01, 0.8)]
    late = {**low[1], "time": None, "ratio": None, "time_why": "1 has not arrived"}
    claim, kramers = escape.claims_of([low[0], late])
    assert claim.statement.startswith("over a barrier of 0.62 T escape takes 8 units of time")
    assert (claim.holds, claim.measured.why) == (None, "1 has not arrived")
    assert kramers.holds is None and "two barriers of 2 T or more" in kramers.measured.why
    for nearest, holds in ((0.9, True), (0.7, False)):
        rows = [*low, passage(2.5, 1.0, 0.01, 0.82), passage(5, 1.0, 0.01, nearest)]
        assert escape.claims_of(rows)[1].holds is holds


@pytest.mark.parametrize(
    "words",
    [
        [*ESCAPE, "replicas=50", "batch_sizes=[2]", "sgd.momentum=0.5"],
        [*REST, "replicas=1000", "sgd.steps=20", "sgd.momentum=0.5"],
        [*RING, "systems.ring.replicas=100", "systems.ring.sgd.learning_rate=0.2"],
    ],
)
def test_large_steps_and_inertia_refute_no_law(words: list[str], sgdtheory: Command) -> None:
    _, found = results(sgdtheory, *words)
    headline = found["claims"][0]
    assert headline["holds"] is None and "too large for the continuous law" in headline["why"]
    assert False not in verdicts(found).values()


# the other studies whose numbers have errors


def test_noise_refutes_nothing_elsewhere() -> None:
    """Each number three tolerances off, with an error of as much, is open; with a hundredth, refuted."""
    for few, holds in ((1.0, None), (0.01, False)):
        walk = {"exponent": 1.06, "exponent_stderr": 0.06 * few, "exact": 1.0, "ito": 1.0}
        assert _exponents("walk", [walk]).holds is holds
        cell = {"ratio": 0.3, "ratio_stderr": 0.3 * few, "predicted": 0.0, "exact": 0.0}
        assert _prediction([cell], [cell]).holds is holds
        mode = {"shift": 1.15, "shift_stderr": 0.15 * few, "shift_first_order": 1.0}
        assert _shift("tilted", [mode])[0].holds is holds
        rules = {
            "as it is": {"temperature": 1.0, "temperature_stderr": 0.0},
            "square root": {"temperature": 1.15, "temperature_stderr": 0.15 * few},
        }
        assert _rule_claim(rules, "square root").holds is holds
        element = {"place": (0, 0), "element": 1.06, "element_stderr": 0.06 * few, "exact": 1.0}
        assert _agreement("bowl", [element], [element], False).holds is holds


def test_epochs_are_judged_by_their_errors() -> None:
    """Within two errors of the bar, or with an error above the tolerance, nothing is said; nor of r(x)
    where an epoch of few steps is far from its limit."""
    cell = {"learning_rate": 0.25, "batch_size": 4, "predicted": 0.3, "exact": 1.0}
    for ratio, error, holds in ((0.75, 0.05, None), (0.75, 0.01, True), (0.85, 0.01, False)):
        assert _cold({**cell, "ratio": ratio, "ratio_stderr": error}).holds is holds
    for ratio, error, holds in ((0.96, 0.04, None), (1.01, 0.01, True), (0.7, 0.04, False)):
        row = {**cell, "ratio": ratio, "ratio_stderr": error}
        assert _control([row], "independent", "", "exact").holds is holds
    few = {**cell, "ratio": 1.0, "ratio_stderr": 0.001}
    claim = _prediction([few], [few])
    assert claim.holds is None and "many steps in an epoch" in claim.measured.why
    assert _prediction([{**few, "exact": 0.35}], [few]).holds is False


def test_a_headline_of_parts_says_what_is_open() -> None:
    open_claim = Claim("walk", "", Measured(1.1, 0.2, why="± 0.2 is more"), "1", None)
    assert headline("collapse", [open_claim], "").measured.why == "± 0.2 is more"


def test_what_is_above_a_bar_has_an_error_too() -> None:
    """Twice the numbers of one side, with errors that hide it, and ones that do not."""
    for error, holds in ((0.01, True), (0.5, None)):
        cosine = {"to_hessian": 0.5, "to_hessian_stderr": error, "directions": 3}
        assert resolved_claims._unlike("softmax", cosine).holds is holds
        theory = {"to_theory": 0.99, "to_theory_stderr": error, "theory_to_hessian": 0.5}
        assert resolved_claims._as_theory("softmax", theory).holds is holds
        number = Measured(10.5, error)
        assert compensation._above("few", "", number, 10.0, "", 20).holds is holds
        density = {
            "divergence": 0.001,
            "divergence_stderr": error / 10,
            "from_gibbs": 0.2,
            "points": 9,
        }
        assert _distance("tilted", density).holds is holds
    far = {"to_hessian": 0.99, "to_hessian_stderr": 0.01, "directions": 3}
    assert resolved_claims._unlike("softmax", far).holds is False
    density = {"divergence": 0.1, "divergence_stderr": 0.01, "from_gibbs": 0.2, "points": 9}
    assert _distance("tilted", density).holds is False
    assert compensation._above("few", "", Measured(9.0, 0.1), 10.0, "", 20).holds is False
    alone = compensation._above("few", "", Measured.mean([12.0]), 10.0, "", 1)
    assert alone.holds is None and "a single sample has no error" in alone.measured.why


def test_a_free_energy_that_its_error_hides_neither_falls_nor_rises() -> None:
    def rows(fall: float, error: float, step: float = 0.0) -> Rows:
        found = []
        for potential, since in (("Φ", 0.0), ("Φ", -fall), ("L", 0.0), ("L", fall)):
            row = {"potential": potential, "since_start": since, "since_start_stderr": error}
            found.append({**row, "since_last": step, "since_last_stderr": 0.1})
        return found

    assert resolved_claims._falls("softmax", rows(1.0, 0.1)).holds is True
    assert resolved_claims._falls("softmax", rows(1.0, 1.0)).holds is None
    assert resolved_claims._falls("softmax", rows(-1.0, 0.1)).holds is False
    assert resolved_claims._falls("softmax", rows(1.0, 0.1, 0.5)).holds is False


def test_rest_and_stillness_are_seen_where_errors_are_small() -> None:
    for error, holds in ((0.0001, True), (0.1, None)):
        last = {"divergence": 0.0012, "divergence_exact": 0.001, "divergence_stderr": error}
        assert _at_rest([last]).holds is holds
        still = {"area": 0.00001, "area_stderr": error, "lost": 0}
        assert _still("ring", [still], 0.01, stirred(0.05))[0].holds is holds
    last = {"divergence": 0.01, "divergence_exact": 0.001, "divergence_stderr": 0.0001}
    assert _at_rest([last]).holds is False
    moved = {"area": 1.0, "area_stderr": 0.1, "lost": 0}
    assert _still("ring", [moved], 0.01, stirred(0.05))[0].holds is False


def test_one_string_has_no_error() -> None:
    claim = string_sampling._claim("cubic", [[1.0], [1.3]], [3.0, 0.1], 1)
    assert claim.holds is None and "raise pairs.cubic" in claim.measured.why


def test_units_that_noise_may_have_lost_are_neither_lost_nor_kept() -> None:
    """One more unit of four replicas, ± 0.7, or of each of them."""
    for dead, holds in (([0, 3, 0, 1], None), ([1, 1, 1, 2], True), ([-1, -1, -1, -2], False)):
        counts = {0.1: [0, 0, 0, 0], 0.2: dead}
        rows = [
            {"temperature": T, "dead": sum(own) / 4, "dead_stderr": 0.1, "twins": 0.0}
            for T, own in counts.items()
        ]
        singles = [
            {"temperature": T, "dead": x, "twins": 0} for T, own in counts.items() for x in own
        ]
        claim = _lost("units", rows, singles)
        assert claim.holds is holds
        assert ("raise systems.units.replicas" in claim.measured.why) is (holds is None)
