"""Verdicts within a tolerance: what holds, what is refuted, and what noise leaves open."""

import pytest
from scipy.optimize import brentq

from sgdtheory.fokker_planck.overdamped import lag, too_large
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.tolerance import all_near, doubt, near
from sgdtheory.studies.shared.curvatures import curvature_towards, stiffest


@pytest.mark.parametrize(
    ("value", "stderr", "holds"),
    [
        (1.05, None, True),  # exact numbers have no error
        (1.06, None, False),
        (1.0, 0.05, True),  # an error as large as the tolerance still tells it
        (1.0, 0.051, None),
        (1.07, 0.011, None),  # beyond by less than two of its errors
        (0.93, 0.009, False),  # and by more
        (1.19, 0.23, None),
        (2.0, 0.23, False),  # a large error does not save what is far
        (None, None, None),
        (float("nan"), 0.1, None),
        (1.0, float("nan"), None),
    ],
)
def test_a_number_is_near_far_or_not_known(
    value: float | None, stderr: float | None, holds: bool | None
) -> None:
    assert near(Measured(value, stderr), 1.0, 0.05 + 1e-12) is holds


def test_of_several_one_decides() -> None:
    close, closer = Measured(1.02, 0.01), Measured(1.01, 0.01)
    vague, far = Measured(1.5, 0.4), Measured(0.9, 0.01)
    more = "raise replicas"
    assert all_near([closer, close], 1, 0.05, more) == (1, True, "")
    at, holds, why = all_near([close, vague], 1, 0.05, more)
    assert (at, holds) == (1, None)
    assert why == "± 0.4 is more than the 0.05 that is asked: raise replicas"
    assert all_near([close, vague, far], 1, 0.05, more) == (2, False, "")
    assert doubt(Measured.nothing("none arrived"), 0.05, more) == "none arrived"
    assert doubt(Measured(1.06, 0.01), 0.05, more).startswith("with ± 0.01 it may be within")


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_lag_is_that_of_the_slowest_mode(momentum: float) -> None:
    """z + μ/z = 1 + μ − ηh has its slow root at e^{−λ}; what is left of λ over ηh/(1−μ) − 1 goes as the
    square of the step: a step a tenth as large is off by a hundredth."""
    missing = []
    for rate in (1e-3, 1e-4):
        step = rate * (1 - momentum) ** 2

        def mode(z: float, step: float = step) -> float:
            return z**2 - (1 + momentum - step) * z + momentum

        lowest = (1 + momentum - step) / 2
        z = brentq(mode, lowest, 1.0, xtol=1e-16, rtol=1e-15)
        rate_of_z = (1 - z) + (1 - z) ** 2 / 2 + (1 - z) ** 3 / 3
        off = rate_of_z * (1 - momentum) / step - 1
        missing.append(off - lag(step, momentum, 1.0))
    assert abs(missing[0]) < 1e-5 and abs(missing[1]) < 0.02 * abs(missing[0]) + 1e-9


def test_steps_are_too_large_for_what_is_asked() -> None:
    small, inert = SGD(1, 1, 0.05, Constant()), SGD(1, 1, 0.05, Constant(), 0.5)
    assert too_large(small, 2.0, 0.05) == ""
    assert "= 0.05, more than the 0.04" in too_large(small, 2.0, 0.04)
    assert "momentum" not in too_large(small, 2.0, 0.04)
    assert too_large(inert, 2.0, 0.08).endswith("lower sgd.learning_rate or sgd.momentum")


def test_curvatures_are_those_of_the_formula() -> None:
    """8·height = 2 across the barrier, whatever the other directions have."""
    well = DoubleWell(directions=2, stiffness=30.0)
    assert curvature_towards(well, well.minima()[1]) == pytest.approx(2)
    assert stiffest(well) == pytest.approx(30)
    assert stiffest(Quadratic((4.0, 1.0))) == pytest.approx(4)


def test_kramers_formula_is_a_limit_from_two_on() -> None:
    """Furthest off at 1.7 T; exact by accident at .61 T."""
    well = DoubleWell()

    def off(depth: float) -> float:
        heat = well.barrier() / depth
        return abs(1 / well.kramers_rate(heat) / well.mean_first_passage(heat) - 1)

    assert off(0.61) < 0.01 < 0.2 < off(1.7)
    assert off(1.7) > off(2.0) > off(2.5) > off(3.75) > off(5.0) > off(10.0)
