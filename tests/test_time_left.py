"""The time left: against commands whose units take what they take."""

from collections.abc import Sequence

import pytest

from sgdtheory.report.progress import in_words
from sgdtheory.report.time_left import TimeLeft, UnitNow, kind_of

MINIMUM, EDGE = 2.0, 60.0  # seconds


def at(now: float, seconds: dict[str, float], workers: int) -> list[UnitNow]:
    """How far units are that begin in their order as soon as a worker is free."""
    free = [0.0] * workers
    found = []
    for name, takes in seconds.items():
        begun = min(free)
        free[free.index(begun)] = begun + takes
        if now >= begun + takes:
            found.append(UnitNow(name, "done", 0.0))
        elif now >= begun:
            found.append(UnitNow(name, "running", (now - begun) / takes))
        else:
            found.append(UnitNow(name, "missing", 0.0))
    return found


def told(
    rounds: Sequence[dict[str, float]], coming: Sequence[Sequence[str]], workers: int
) -> list[tuple[float, float | None]]:
    """What is left in truth, and what is told, once a second."""
    clock = TimeLeft(workers)
    lasts = [max(ends_of(units, workers)) for units in rounds]
    whole, before = sum(lasts), 0.0
    found = []
    done: list[UnitNow] = []
    for units, names, last in zip(rounds, coming, lasts, strict=True):
        for tick in range(int(4 * last)):
            now = tick / 4
            clock.look(before + now, [*done, *at(now, units, workers)], names)
            found.append((whole - before - now, clock.left))
        done += [UnitNow(name, "done", 0.0) for name in units]
        before += last
    return found


def ends_of(units: dict[str, float], workers: int) -> list[float]:
    free = [0.0] * workers
    for takes in units.values():
        begun = min(free)
        free[free.index(begun)] = begun + takes
    return free


def test_kinds() -> None:
    names = ("edge-0-1", "edge 2 of the tree's 3", "minimum")
    assert [kind_of(name) for name in names] == ["edge", "edge", "minimum"]


def test_units_of_a_kind_take_the_same_and_those_to_come_count() -> None:
    minima = {f"minimum-{i}": MINIMUM for i in range(4)}
    edges = {f"edge-0-{i}": EDGE for i in range(1, 4)}
    come = [f"edge {k} of the tree's 3" for k in (1, 2, 3)]
    found = told([minima, edges], [come, []], workers=2)
    known = [(truth, left) for truth, left in found if left is not None]
    assert len(known) > 0.9 * len(found)
    for truth, left in known:
        assert abs(left - truth) < 1.0
    # nothing of an edge is known while minima are scored
    assert all(left is None for _, left in found[: int(4 * 2 * MINIMUM)])


def test_units_of_several_lengths_within_half_from_a_tenth_on() -> None:
    cells = {f"cell-{k}": 10.0 + 3 * (k % 4) for k in range(16)}
    found = told([{"minimum": 5.0}, cells], [list(cells), []], workers=2)
    for truth, left in found[len(found) // 10 :]:
        assert left is not None
        if truth > 10:  # of the last seconds no more is asked
            assert 1 / 1.5 < left / truth < 1.5


def test_what_a_fraction_means_is_learnt_from_a_unit_that_has_ended() -> None:
    """Nine tenths are done in a second, the last takes nine."""
    clock = TimeLeft()

    def fraction(seconds: float) -> float:
        return 0.9 * seconds if seconds < 1 else 0.9 + 0.1 * (seconds - 1) / 9

    for tick in range(79):
        now = tick / 4
        first = UnitNow("edge-0", "done" if now >= 10 else "running", fraction(min(now, 10)))
        is_begun = now >= 10
        second = UnitNow("edge-1", "running" if is_begun else "missing", fraction(now - 10))
        clock.look(now, [first, second._replace(fraction=second.fraction if is_begun else 0.0)])
        if now >= 13 and clock.left is not None:
            assert clock.left == pytest.approx(20 - now, abs=1.0)
    assert clock.left is not None


def test_a_unit_that_was_begun_before_tells_by_what_is_seen_of_it() -> None:
    clock = TimeLeft()
    for second in range(11):
        clock.look(second, [UnitNow("minimum-0", "running", 0.5 + 0.01 * second)])
    assert clock.left == pytest.approx(40.0)


def test_a_process_that_starts_is_no_measure_of_its_work() -> None:
    """Eight seconds of imports, then a hundredth a second."""
    clock = TimeLeft()
    for tick in range(8 * 4, 40 * 4):
        now = tick / 4
        clock.look(now, [UnitNow("edge-0-1", "running", max(0.0, 0.01 * (now - 8)))])
        if now >= 12:
            assert clock.left == pytest.approx(108 - now, rel=0.05)


def test_another_attempt_is_told_as_soon_as_it_begins() -> None:
    """A search takes sixty of an edge's hundred seconds, and is done twice."""
    clock = TimeLeft()
    for tick in range(160 * 4):
        now = tick / 4
        done = now if now < 60 else now - 60
        clock.look(now, [UnitNow("edge-0-1", "running", done / 100)])
        if now > 68:
            assert clock.left == pytest.approx(160 - now, abs=1.5)


def test_work_that_is_left_out_is_no_pace() -> None:
    """A hundredth a second, but a search that ends early leaves thirty of them out; the next unit
    does so too."""
    clock = TimeLeft()
    for tick in range(70 * 4):
        now = tick / 4
        done = now if now < 20 else now + 30
        clock.look(
            now,
            [UnitNow("edge-0-1", "running", done / 100), UnitNow("edge-0-2", "missing", 0.0)],
        )
        if now > 30:
            assert clock.left == pytest.approx(140 - now, abs=1.5)


def test_results_and_page_come_after_the_last_unit() -> None:
    clock = TimeLeft(after=3.0)
    for tick in range(40):
        clock.look(tick / 4, [UnitNow("minimum-0", "running", tick / 40)])
    assert clock.left == pytest.approx(3.25, abs=0.1)


def test_units_that_are_over_between_two_looks_took_that_time() -> None:
    clock = TimeLeft()
    names = [f"edge-{k}" for k in range(10)]
    for k in range(4):
        units = [UnitNow(name, "done" if i < k else "missing", 0.0) for i, name in enumerate(names)]
        clock.look(0.25 * k, units)
    assert clock.left == pytest.approx(0.25 * 7)


@pytest.mark.parametrize("room", range(12, 90, 7))
def test_the_words_fit(room: int) -> None:
    units = [
        UnitNow("minimum-0", "done", 0.0),
        UnitNow("edge-0-1", "running", 0.5, "measuring the path"),
        UnitNow("edge-1-3", "running", 0.5, "attempt-0-cycle-0"),
    ]
    words = in_words(units, room)
    assert len(words) <= room and words.startswith("1/3 done")
    assert ("measuring" in words) == (room >= 47)
