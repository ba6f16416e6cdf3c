"""AutoNEB against every barrier that is known, and its bookkeeping: what it costs, resumes, retries
and refuses."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import inf, pi
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.errors import RunError
from sgdtheory.landscapes.linear_net import LinearNet
from sgdtheory.landscapes.muller_brown import MullerBrown
from sgdtheory.landscapes.ring import Ring
from sgdtheory.optim.sgd import SGD, Coupling
from sgdtheory.paths import autoneb as room
from sgdtheory.paths.autoneb import AutoNEB, Cycle
from sgdtheory.paths.autoneb_state import AutoNEBState
from sgdtheory.paths.path import FoundPath, values_along
from sgdtheory.paths.polyline import arc_positions, gaps, points_at
from sgdtheory.paths.presets import draxler, fast
from sgdtheory.paths.search import run_stage_in
from sgdtheory.protocol import values
from tests.cases import NATIVE, WIDE, Case

SOME_WIDE = ("ring", "bent_valley", "linear_net_1", "linear_net_2", "muller_brown")
CASES = [c for c in NATIVE if c.barrier is not None] + [
    c for c in WIDE if c.barrier is not None and c.name.removesuffix("_in_200") in SOME_WIDE
]
FOUND: dict[str, FoundPath] = {}  # paths are looked at by several tests and searched once


def path_of(case: Case, neb: AutoNEB | None = None) -> FoundPath:
    if case.name not in FOUND:
        neb = (neb or fast()).on_formula()
        FOUND[case.name] = neb.find(case.landscape, case.landscape.minima()[:2], 0)
    return FOUND[case.name]


def barrier(found: FoundPath) -> float:
    losses = found.along.train_means
    return float(losses.max() - losses[0])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_known_barriers(case: Case) -> None:
    assert case.barrier is not None
    found = path_of(case)
    assert torch.equal(found.path.pivots[[0, -1]], case.landscape.minima()[:2])
    assert barrier(found) == pytest.approx(case.barrier, rel=0.003, abs=1e-4)
    assert barrier(found) > case.barrier * (
        1 - 1e-6
    )  # every path is an upper bound; the climber is at the top to rounding
    if case.length_ratio is not None:
        assert found.path.length_ratio == pytest.approx(case.length_ratio, rel=0.005)


@pytest.mark.parametrize("case", [c for c in CASES if "muller" in c.name], ids=str)
def test_muller_brown_passes_both_saddles_and_the_third_minimum(case: Case) -> None:
    """Vertices stand on the lowest path, and a chord of it of length h that turns by α lies within
    hα/8 of its arc."""
    surface = case.landscape
    found = path_of(case)
    assert barrier(found) == pytest.approx(106.0347, abs=0.05)
    directions = (found.path.pivots[1:] - found.path.pivots[:-1]) / gaps(found.path.pivots)[:, None]
    angles = torch.linalg.vector_norm(directions[1:] - directions[:-1], dim=1)
    sagitta = (
        torch.maximum(
            gaps(found.path.pivots)[1:] * angles, gaps(found.path.pivots)[:-1] * angles
        ).max()
        / 8
    )
    dense = points_at(found.path.pivots, torch.linspace(0, 1, 4001, dtype=torch.float64))
    places = torch.cat([surface.saddles(), surface.minima()[2:]])
    assert sagitta < 0.02
    assert (torch.cdist(places, dense).min(1).values < sagitta).all()
    first, second = torch.cdist(surface.saddles(), dense).argmin(1).tolist()
    assert first < int(torch.cdist(surface.minima()[2:], dense).argmin()) < second


def test_a_band_without_a_nudge_stays_on_the_ridge() -> None:
    """What the nudge is for; and which way it goes is a matter of the seed alone."""
    ring = Ring(wall=1.5, height=0.3)
    stuck = replace(fast(), nudge=0.0).on_formula().find(ring, ring.minima(), 0)
    assert barrier(stuck) == pytest.approx(1.5, rel=1e-3)
    assert stuck.path.length_ratio == pytest.approx(1, abs=1e-9)
    found = path_of(next(c for c in CASES if c.name == "ring"))
    assert found.path.length_ratio == pytest.approx(pi / 2, rel=0.005)
    again = fast().on_formula().find(ring, ring.minima(), 0)
    assert torch.equal(again.path.pivots, found.path.pivots)


def test_the_papers_schedule() -> None:
    paper = draxler()
    pivots, gradients = 0, 0
    for cycle in paper.cycles:
        pivots += cycle.insert
        gradients += pivots * cycle.steps
    assert (len(paper.cycles), gradients) == (14, 248_000) and paper.cost()[::2] == (248_000, 29)
    assert sum(c.steps for c in draxler(0.1).cycles) == sum(c.steps for c in paper.cycles) / 10
    assert [round(c.rate, 6) for c in paper.cycles] == [1.0] * 6 + [0.1] * 4 + [0.01] * 4


def test_the_papers_schedule_finds_a_ring() -> None:
    ring = Ring()
    found = draxler(0.01).on_formula().find(ring, ring.minima(), 0)
    assert barrier(found) == pytest.approx(0.25, rel=0.003)


# Bookkeeping, on a formula that is treated like a network: noise, a few steps, several attempts.

RING = Ring(
    noise=0.01, height=0.01
)  # nearly level: the straight line's barrier is 1, an excess of .01 is the best there is
SMALL = AutoNEB((Cycle(60, 3), Cycle(60), Cycle(60)), batch_size=8, multiples=(0.3, 1.0), retries=0)


def run(
    neb: AutoNEB, state: AutoNEBState | None = None, landscape: Any = RING, **more: Any
) -> list[AutoNEBState]:
    """All states, by the objective and SGD to its end unless a test says otherwise."""
    more = {"evaluate": partial(values, landscape), "descend": to_the_end} | more
    return list(neb.run(landscape, landscape.minima()[:2], 0, state=state, **more))


def to_the_end(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
    return run_stage_in(None, name, sgd, RING, cloud, seed, band, (0.0, 1.0))


def test_costs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = 0

    def evaluate(points: Tensor) -> Tensor:
        nonlocal evaluated
        evaluated += len(points)
        return values(RING, points)

    states = run(SMALL, evaluate=evaluate)
    assert states[-1].over and not any(s.over for s in states[:-1])
    assert states[-1].evaluations == evaluated
    spent = [after.gradients - before.gradients for before, after in pairwise([*states])]
    assert all(cost % 60 == 0 for cost in spent)  # whole cycles: 60 steps of each of their pivots
    assert states[0].gradients == 3 * 60
    monkeypatch.setattr(room, "train_losses", lambda landscape, points: evaluate(points))
    found = SMALL.finish(states[-1], RING)
    assert found.evaluations == evaluated
    assert (
        len(found.path.t) == len(found.along.train_losses) == (len(found.path.pivots) - 1) * 10 + 1
    )
    assert found.attempts == states[-1].attempt
    torch.testing.assert_close(points_at(found.path.pivots, found.path.t)[::10], found.path.pivots)
    torch.testing.assert_close(found.path.t[::10], arc_positions(found.path.pivots))


def test_the_lowest_attempt_is_kept() -> None:
    states = run(replace(SMALL, enough=1e-9, retries=2, retry_above=1e-9))
    lowest = [after.best_barrier for after in states]
    assert lowest == sorted(lowest, reverse=True)
    dense = values_along(states[-1].best, 4, states[-1].end_values, lambda x: values(RING, x))
    assert barrier_of(dense) == pytest.approx(states[-1].best_barrier)
    assert states[-1].straight == pytest.approx(1.0, rel=0.01)


def barrier_of(dense: Tensor) -> float:
    return float(dense.max() - dense[[0, -1]].max())


def test_a_search_goes_on_from_any_state_with_the_same_bits() -> None:
    states = run(SMALL)
    for k, state in enumerate(states[:-1]):
        rebuilt = AutoNEBState(
            **{**state.facts(), **{n: x.clone() for n, x in state.tensors().items()}}
        )
        rest = run(SMALL, rebuilt)
        assert len(rest) == len(states) - k - 1
        assert torch.equal(rest[-1].best, states[-1].best)
        assert rest[-1].facts() == states[-1].facts()
    assert run(SMALL, states[-1]) == []


def test_stages_have_names_and_seeds_of_their_own() -> None:
    seen: list[tuple[str, float, int]] = []

    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        assert isinstance(sgd.learning_rate, float)
        seen.append((name, sgd.learning_rate, seed))
        return cloud

    run(replace(SMALL, retries=1, nudge=0.0), descend=descend)  # nothing descends
    names = [name for name, _, _ in seen]
    assert len(set(names)) == len(names) == len({seed for _, _, seed in seen})
    assert names[0] == "attempt-0-cycle-0" and names[-1].startswith("attempt-2-")


def test_what_is_good_enough_ends_the_search() -> None:
    soon = run(replace(SMALL, enough=1.0))  # any path is good enough: first cycle, last cycle, done
    assert [(s.attempt, s.cycle, s.over) for s in soon] == [(0, 2, False), (1, 0, True)]
    once = run(replace(SMALL, multiples=(1.0,), retries=2, retry_above=1.0))
    assert (once[-1].attempt, once[-1].over) == (1, True)


def test_a_path_that_is_flat_within_its_error_ends_the_search() -> None:
    """Two standard errors of the highest point over the higher end; the line's own error is 1."""
    strict = replace(SMALL, enough=0.0, retries=2, retry_above=0.0)
    asked: list[Tensor] = []

    def error(pair: Tensor) -> float:
        asked.append(pair)
        return 1.0

    found = run(strict, error=error)
    assert found[-1].attempt == 1 and found[-1].best_stderr == 1.0
    assert len(run(strict, error=lambda pair: 1e-12)) > len(found)
    (pair,) = asked
    over = values(RING, pair)
    assert float(over[0] - over[1]) == pytest.approx(found[-1].best_barrier, rel=1e-9)


def test_a_cycle_that_diverges_is_done_again_at_a_third_of_the_rate() -> None:
    wild = replace(SMALL, multiples=(30.0, 1.0))
    states = run(wild)
    assert [(s.attempt, s.cycle, s.undone) for s in states][:1] == [(0, 0, 1)]
    assert states[0].multiple == pytest.approx(10.0) and states[0].too_high == 30.0
    assert barrier(wild.finish(states[-1], RING)) < 0.1
    lost = replace(SMALL, multiples=(1e6,))
    with pytest.raises(RunError, match="learning_rate"):
        lost.find(RING, RING.minima(), 0)


def test_a_search_whose_every_stage_fails_has_found_nothing() -> None:
    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        raise RunError("the loss is not finite")

    states = run(SMALL, descend=descend)
    assert states[-1].over and states[-1].best_barrier == inf
    with pytest.raises(RunError, match="learning_rate"):
        SMALL.finish(states[-1], RING)


def test_a_schedule_that_is_tried_once_is_kept_to() -> None:
    """A cycle that ends higher than it began is neither undone nor followed by lower rates."""
    rates: list[float] = []

    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        assert isinstance(sgd.learning_rate, float)
        rates.append(sgd.learning_rate)
        return cloud * (2.0 + len(rates))

    once = replace(SMALL, multiples=(1.0,), retries=0)
    states = run(once, descend=descend)
    assert len(rates) == 3 and len(set(rates)) == 1
    assert states[-1].best_barrier > states[0].straight


def test_a_path_below_its_ends_has_no_barrier() -> None:
    net = LinearNet(width=2)
    ends = torch.stack(
        [net.minima()[0] * 1.2, net.minima()[1]]
    )  # the first end is above the sheet of minima
    found = fast().on_formula().find(net, ends, 0)
    assert found.barrier == 0.0


def test_float32_finds_the_same() -> None:
    surface = MullerBrown()
    found = fast().on_formula().find(surface, surface.minima()[:2].float(), 0)
    assert found.path.pivots.dtype == torch.float32
    assert barrier(found) == pytest.approx(106.0347, abs=0.05)


# Learning rates of cycles and attempts


def rates(neb: AutoNEB, excess: dict[float, float]) -> list[float]:
    """The learning rate of each cycle where the path of a rate ends that far above the ends."""
    seen: list[float] = []

    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        assert isinstance(sgd.learning_rate, float)
        seen.append(sgd.learning_rate)
        return cloud

    def evaluate(points: Tensor) -> Tensor:
        height = excess.get(round(seen[-1], 6), 0.0) if seen else 0.0
        return torch.full((len(points),), height) if seen else values(RING, points)

    list(neb.run(RING, RING.minima()[:2], 0, evaluate, descend))
    return [round(rate, 6) for rate in seen]


def test_after_a_rise_rates_go_down() -> None:
    """The straight line's barrier is 1: a cycle that ends at 2 has risen and is undone, one at .5
    has come down, one at .02 is nearly joined."""
    plan = replace(SMALL, cycles=(Cycle(5, 3),), learning_rate=0.9, multiples=(1.0, 2.0), retries=2)
    rising = {0.9: 2.0, 0.3: 2.0, 0.1: 2.0, 0.033333: 2.0}
    assert rates(plan, rising)[:4] == [0.9, 0.3, 0.1, 0.033333]
    assert rates(plan, {0.9: 2.0, 0.3: 0.5})[:2] == [0.9, 0.3]
    assert 0.9 not in rates(plan, {0.9: 2.0, 0.3: 0.5})[1:]  # never again one that rose
    assert rates(plan, {0.9: 0.5, 1.8: 0.0}) == [0.9, 1.8]
    assert rates(plan, {0.9: 0.02, 1.8: 0.0}) == [0.9, 1.8]
    assert rates(replace(plan, retries=0), {0.9: 0.5, 1.8: 0.4}) == [0.9, 1.8]


def test_a_small_rise_is_kept_and_followed_by_a_lower_rate() -> None:
    """Noise at a constant rate lifts a path that is nearly joined; the last cycle brings it down."""
    plan = replace(
        SMALL, cycles=(Cycle(5, 3), Cycle(5), Cycle(5)), learning_rate=0.9, multiples=(1.0, 2.0)
    )
    seen: list[float] = []

    def descend(name: str, sgd: SGD, cloud: Tensor, band: Coupling, seed: int) -> Tensor:
        assert isinstance(sgd.learning_rate, float)
        seen.append(round(sgd.learning_rate, 6))
        return cloud

    heights = [0.04, 0.06, 0.0]

    def evaluate(points: Tensor) -> Tensor:
        if not seen:
            return values(RING, points)
        return torch.full((len(points),), heights[len(seen) - 1])

    *_, last = plan.run(RING, RING.minima()[:2], 0, evaluate, descend)
    assert seen == [0.9, 0.9, 0.3]
    assert last.undone == 0 and last.attempt == 1


def test_a_rate_that_is_too_high_is_found_out_at_its_first_steps() -> None:
    """And the next is lower: the search ends at a rate that suits, having spent little on those
    that do not."""
    wild = replace(SMALL, learning_rate=20.0, multiples=(1.0, 2.0), retries=4, retry_above=0.02)
    states = run(wild)
    assert [s.undone for s in states[:2]] == [1, 2]
    assert states[1].gradients <= 2 * 3 * 20  # of 2 × 3 × 60 in two first cycles
    found = wild.finish(states[-1], RING)
    assert barrier(found) < 0.05
    assert (
        found.learning_rate == pytest.approx(20.0 * states[-1].best_multiple)
        and found.learning_rate < 3.0
    )


def test_a_search_keeps_the_rate_it_measured() -> None:
    states = run(replace(SMALL, learning_rate="auto"))
    assert len({s.learning_rate for s in states}) == 1 and states[0].learning_rate > 0
