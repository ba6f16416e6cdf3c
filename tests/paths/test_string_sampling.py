"""Strings on landscapes where the answer is known; and what makes a string wrong is seen."""

from dataclasses import replace
from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.linear_net import LinearNet
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.paths.polyline import subdivide
from sgdtheory.paths.string_sampling import StringSampling, descend_to
from sgdtheory.protocol import values
from sgdtheory.rng import stream
from tests.small_networks import regression

DOWN = SGD(3000, None, 0.02, Constant())


def sampler(**changes: Any) -> StringSampling:
    return replace(StringSampling(DOWN), **changes)


def opposite(landscape: LinearNet) -> Tensor:
    """The stated minima, a thousandth off the line on which no force leaves it."""
    minima = landscape.minima()
    return minima + 1e-3 * torch.randn(minima.shape, generator=stream(0, "off"), dtype=minima.dtype)


@pytest.mark.parametrize("start", ["worst", "middle"])
@pytest.mark.parametrize("threshold", [3.0, 0.3, 0.01, 1e-4])
def test_on_a_convex_landscape_every_string_is_straight(start: Any, threshold: float) -> None:
    bowl = Quadratic((1.0, 0.3))
    ends = descend_to(bowl, DOWN, bowl.init(2, stream(0, "ends")).double(), threshold, 5, 0).cloud
    string = sampler(start=start).find(bowl, ends, threshold, 0)
    assert (string.beads, string.why) == (0, "") and string.length_ratio == 1.0
    assert string.highest <= threshold


def test_round_the_origin_of_a_linear_net_the_string_becomes_the_half_circle() -> None:
    """½(a·b − 1)²: the straight line's top is ½, the shortest way of no loss has π/2 times its
    length (LinearNet)."""
    net = LinearNet(width=2)
    ends = opposite(net)
    strings = [sampler().find(net, ends, level, 0) for level in (0.6, 0.3, 0.03, 1e-4)]
    ratios = [string.length_ratio for string in strings]
    assert ratios[0] == 1.0 and strings[0].beads == 0
    assert ratios == sorted(ratios) and ratios[1] > 1.05
    assert ratios[-1] == pytest.approx(pi / 2, rel=0.02)
    beads = [string.beads for string in strings]
    assert beads == sorted(beads) and beads[-1] > 20


def test_a_string_stays_below_its_threshold_between_the_points_that_were_looked_at_too() -> None:
    net = LinearNet(width=3, ambient=12)
    string = sampler().find(net, opposite(net), 0.02, 0)
    assert string.why == "" and float(values(net, subdivide(string.path, 50)).max()) < 0.02 * 1.02
    assert torch.equal(string.path[[0, -1]], opposite(net))


def test_the_middle_does_as_well_as_the_worst_point() -> None:
    net = LinearNet(width=2)
    ratios = [
        sampler(start=start).find(net, opposite(net), 0.01, 0).length_ratio
        for start in ("worst", "middle")
    ]
    assert ratios[0] == pytest.approx(ratios[1], rel=0.03)


def test_where_there_is_a_barrier_no_string_is_found_below_it_and_it_is_said_why() -> None:
    well = DoubleWell()
    ends = well.minima() + torch.tensor(
        [[0.0], [0.05]]
    )  # so that no bead begins on the very saddle
    assert sampler().find(well, ends, 0.26, 0).beads == 0
    below = sampler(most_beads=40).find(well, ends, 0.2, 0)
    assert "40 beads" in below.why and below.highest > 0.2


def test_beads_that_cannot_come_down_are_told() -> None:
    net = LinearNet(width=2)
    string = sampler(sgd=replace(DOWN, steps=5)).find(net, opposite(net), 0.01, 0)
    assert string.why.startswith("a bead came down to 0.") and string.highest > 0.01
    grown = sampler(sgd=replace(DOWN, steps=5)).grow(net, 5 * opposite(net), 0.01, 0)
    assert grown.why.startswith("an end came down to") and grown.beads == 0


def test_points_that_were_never_trained_would_be_found_out() -> None:
    """A sampler that puts beads on the line without training them never gets below: the straight
    line stays as it is."""
    net = LinearNet(width=2)
    string = sampler(sgd=replace(DOWN, steps=0), most_beads=50).find(net, opposite(net), 0.3, 0)
    assert string.why != "" and string.highest > 0.3


# descending to a loss


def test_each_point_stops_where_it_first_meets_the_target_whoever_else_is_there() -> None:
    net = regression(2)
    start = net.init(5, stream(0, "start")).double()
    sgd = SGD(2000, 16, 0.05, Constant(), 0.9)
    together = descend_to(net, sgd, start, 0.05, 5, 3)
    assert bool((together.losses <= 0.05).all())
    torch.testing.assert_close(together.losses, values(net, together.cloud))
    alone = [descend_to(net, sgd, start[p : p + 1], 0.05, 5, 3) for p in range(5)]
    torch.testing.assert_close(
        torch.cat([one.cloud for one in alone]), together.cloud, rtol=1e-9, atol=1e-9
    )
    assert sum(one.gradients for one in alone) == together.gradients


def test_it_is_the_one_loop_of_sgd() -> None:
    net = regression(3)
    start = net.init(1, stream(0, "start")).double()
    *_, last = SGD(40, None, 0.1, Constant(), 0.9).run(net, start, 0)
    ours = descend_to(net, SGD(40, None, 0.1, Constant(), 0.9), start, 0.0, 7, 0)
    torch.testing.assert_close(ours.cloud, last.cloud, rtol=1e-12, atol=1e-12)
    assert ours.gradients == 40


def test_what_is_below_already_is_left_alone() -> None:
    bowl = Quadratic((1.0,))
    start = torch.tensor([[0.1], [5.0]], dtype=torch.float64)
    found = descend_to(bowl, DOWN, start, 0.01, 5, 0)
    assert torch.equal(found.cloud[0], start[0]) and float(found.losses[1]) <= 0.01


def test_a_diverged_point_is_not_trained_for_ever() -> None:
    bowl = Quadratic((1.0,))
    found = descend_to(bowl, replace(DOWN, learning_rate=50.0), torch.ones(1, 1), 0.0, 5, 0)
    assert not torch.isfinite(found.losses[0]) and found.gradients < 200


def test_from_any_depth_on_it_comes_to_the_same_bits() -> None:
    net, sgd = regression(3), SGD(2000, 16, 0.05, Constant(), 0.9)
    ends = descend_to(net, sgd, net.init(2, stream(1, "start")).double(), 0.03, 5, 0).cloud
    one = StringSampling(sgd, every=5)
    depths = list(one.grown(net, ends, 0.04, 0.03, 7, nudge=0.01))
    assert (
        len(depths) > 2
        and depths[-1].why == ""
        and all(string.why is None for string in depths[:-1])
    )
    for string in depths[:-1]:
        *_, last = one.grown(net, ends, 0.04, 0.03, 7, string=string, nudge=0.01)
        assert torch.equal(last.path, depths[-1].path) and torch.equal(last.tops, depths[-1].tops)
        assert last._replace(path=ends, tops=ends) == depths[-1]._replace(path=ends, tops=ends)


def test_a_line_of_symmetry_is_left_by_a_nudge() -> None:
    """The straight line between a linear net's stated minima runs through a saddle that pulls back
    from all other sides."""
    net = LinearNet(width=2)
    held = sampler().find(net, net.minima(), 0.1, 0)
    *_, nudged = sampler().grown(net, net.minima(), 0.1, 0.09, 0, nudge=0.01)
    assert held.why and nudged.why == "" and nudged.length_ratio > 1.1


def test_the_tops_say_where_a_piece_is_highest() -> None:
    well = DoubleWell()
    string = sampler().find(well, well.minima(), 0.26, 0)
    assert string.tops.tolist() == [[pytest.approx(0.25), 0.5]]
