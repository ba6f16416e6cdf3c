"""Schedules are pure functions of the step: their corners stand where the papers put them."""

import pytest

from sgdtheory.optim.schedule import WSD, Constant, Cosine, Schedule, Steps, Warmup


def test_steps_divide_by_ten_at_a_half_and_three_quarters() -> None:
    schedule = Steps()
    assert [schedule(step, 64_000) for step in (0, 31_999)] == [1.0, 1.0]
    assert [schedule(step, 64_000) for step in (32_000, 47_999)] == pytest.approx([0.1, 0.1])
    assert schedule(48_000, 64_000) == pytest.approx(0.01)


def test_cosine_begins_at_one_and_is_a_half_in_the_middle() -> None:
    assert Cosine()(0, 100) == 1.0
    assert Cosine()(50, 100) == pytest.approx(0.5)
    assert Cosine()(99, 100) == pytest.approx(2.467e-4, rel=1e-3)  # (1 − cos(π/100))/2


def test_wsd_rises_stays_and_falls() -> None:
    schedule = WSD(warmup=0.1, decay=0.2)
    assert schedule(0, 100) == pytest.approx(0.1)
    assert schedule(9, 100) == schedule(50, 100) == 1.0
    assert schedule(90, 100) == pytest.approx(0.5)


def test_warmup_multiplies_what_follows() -> None:
    schedule = Warmup(Constant(), share=0.1)
    assert schedule(4, 100) == pytest.approx(0.5)
    assert schedule(10, 100) == 1.0


@pytest.mark.parametrize("schedule", [Constant(), Steps(), Cosine(), WSD(), Warmup(Cosine())])
def test_every_schedule_stays_between_zero_and_one(schedule: Schedule) -> None:
    assert all(0 < schedule(step, 37) <= 1 for step in range(37))
