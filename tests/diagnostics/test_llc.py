"""The local learning coefficient where it is known, and where there must be none."""

import re
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch
from torch import Tensor

from sgdtheory.data.digits import digits
from sgdtheory.diagnostics.chains import (
    Chains,
    doubt_of_step,
    missing_by_spring,
    over_chains,
    run_chains,
)
from sgdtheory.diagnostics.llc import LearningCoefficient, columns_of, most_of
from sgdtheory.errors import UserError
from sgdtheory.landscapes.deep_linear import DeepLinear
from sgdtheory.landscapes.double_well import DoubleWell
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.normal_crossing import NormalCrossing
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.langevin import Langevin, Spring
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGDState
from sgdtheory.protocol import Cloud
from sgdtheory.statistics.measured import Measured

COUNT = 1000
BETA = COUNT / log(COUNT)  # nβ
BOWL = Quadratic((4.0, 1.0, 0.5, 0.3))
LLC = LearningCoefficient(
    chains=200, burn_in=300, steps=600, localisation=0.0, learning_rate=0.3, examples=COUNT
)


def of_chains(llc: LearningCoefficient, landscape: object) -> Measured:
    """What chains in this spring have, whatever it has taken; and no reason to doubt them."""
    sampled = llc.sample(landscape, landscape.minima()[0])  # type: ignore[arg-type,attr-defined]
    assert sampled.chains.doubt() == doubt_of_step(sampled.chains, sampled.halved) == ""
    return sampled.chains.coefficient()


def coefficient(llc: LearningCoefficient, landscape: object) -> Measured:
    (row,) = llc(landscape, landscape.minima()[:1])  # type: ignore[arg-type,attr-defined]
    return row["local_learning_coefficient"]


def of_known_flatness(llc: LearningCoefficient, landscape: object) -> Measured:
    """That of a landscape of which it is known what is flat."""
    sampled = llc.sample(landscape, landscape.minima()[0])  # type: ignore[arg-type,attr-defined]
    return columns_of(sampled, None)["local_learning_coefficient"]


# the sampler


def test_the_noise_of_two_steps_leaves_no_error_on_a_bowl() -> None:
    """Var x = T/h at a step of ηh = 1.2, where noise of a step's own makes 1/(1 − .6) of it."""
    langevin = Langevin(150, None, 0.3, Constant(), temperature=0.1)
    start = torch.zeros(10_000, 4, dtype=torch.float64)
    *_, state = langevin.run(BOWL, start, 0)
    exact = 0.1 / BOWL.spectrum
    error = exact * (2 / 10_000) ** 0.5
    assert bool(((state.cloud.var(0) - exact).abs() < 3.5 * error).all())


def test_a_step_is_the_papers_and_the_noise_a_function_of_the_step() -> None:
    langevin = Langevin(5, None, 0.3, Constant(), temperature=0.1, noise_seed=3)
    start = torch.ones(2, 4, dtype=torch.float64)
    states = [
        SGDState(*(x.clone() if isinstance(x, Tensor) else x for x in state))
        for state in langevin.run(BOWL, start, 0)
    ]
    twin, noise = start.clone(), langevin.begin(start).velocity
    for state in states:
        following = state.velocity
        twin = twin - 0.3 * BOWL.spectrum * twin + (2 * 0.3 * 0.1) ** 0.5 * (noise + following) / 2
        torch.testing.assert_close(state.cloud, twin, rtol=1e-13, atol=1e-13)
        noise = following
    *_, again = langevin.run(BOWL, states[2], 0)
    assert torch.equal(again.cloud, states[-1].cloud)
    assert not torch.equal(states[0].velocity[0], states[0].velocity[1])
    with pytest.raises(UserError, match="nesterov must be false"):
        Langevin(1, None, 0.1, Constant(), 0.5, nesterov=True)


def test_inertia_leaves_no_error_on_a_bowl_either() -> None:
    """Var x = T/h at ηh = 1.2; u at whole steps has 1 − ηh/2, as in Verlet's scheme."""
    langevin = Langevin(150, None, 0.3, Constant(), 0.8, temperature=0.1)
    start = torch.zeros(10_000, 4, dtype=torch.float64)
    *_, state = langevin.run(BOWL, start, 0)
    exact = 0.1 / BOWL.spectrum
    error = exact * (2 / 10_000) ** 0.5
    assert bool(((state.cloud.var(0) - exact).abs() < 3.5 * error).all())
    middle = state.velocity - (2 * 0.3 / 0.1) ** 0.5 * BOWL.spectrum * state.cloud / 2
    kinetic = 1 - 0.3 * BOWL.spectrum / 2
    assert bool(((middle.var(0) / kinetic - 1).abs() < 3.5 * (2 / 10_000) ** 0.5).all())


def test_inertia_forgets_sooner() -> None:
    """A direction of curvature h, 1/ηh = 1000: in 200 steps it has its whole variance with inertia,
    and a third of it without."""
    flat = Quadratic((1e-3,))
    start = torch.zeros(4000, 1, dtype=torch.float64)
    shares = []
    for momentum in (0.0, 0.93):
        langevin = Langevin(200, None, 1.0, Constant(), momentum, temperature=0.1)
        *_, state = langevin.run(flat, start, 0)
        shares.append(float(state.cloud.var()) * 1e-3 / 0.1)
    slow, quick = shares
    assert slow == pytest.approx(1 - exp(-0.4), rel=0.08) and quick > 0.9


def test_a_spring_pulls_back() -> None:
    anchor, cloud = torch.ones(4), torch.full((2, 4), 3.0)
    force = Spring(anchor, 0.25).force(cloud, cloud[:, 0], torch.ones(2, 4))
    assert torch.equal(force, torch.full((2, 4), 1.5))


# what is known


@pytest.mark.parametrize("rate", [0.1, 0.45])
def test_a_bowl_has_half_its_directions(rate: float) -> None:
    found = coefficient(replace(LLC, learning_rate=rate), BOWL)
    assert found.value is not None and found.stderr is not None
    assert found.value == pytest.approx(2.0, rel=0.03) and abs(found.value - 2) < 3 * found.stderr
    assert BOWL.learning_coefficient() == 2.0


def test_what_is_flatter_than_the_spring_does_not_count() -> None:
    """½Σ h/(h + γ/nβ), exactly; and a flat direction not at all."""
    bowl = Quadratic((1.0, 0.1, 0.0))
    gamma = 0.1 * BETA
    found = of_chains(replace(LLC, localisation=gamma, chains=400), bowl)
    exact = 0.5 * (1 / 1.1 + 0.1 / 0.2)
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - exact) < 3 * found.stderr < 0.03
    assert bowl.learning_coefficient() == 1.0


@pytest.mark.parametrize("power", [1, 2, 3])
def test_an_even_power_has_half_its_inverse(power: int) -> None:
    crossing = NormalCrossing((power,))
    llc = replace(LLC, chains=100, learning_rate=0.3, burn_in=500, steps=1200)
    found = coefficient(llc, crossing)
    known = crossing.learning_coefficient()
    assert known == 1 / (2 * power)
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - known) < max(0.05 * known, 3 * found.stderr)
    assert found.stderr < 0.04 * known


def exact_crossing(powers: tuple[int, ...], gamma: float, beta: float = BETA) -> float:
    """nβ⟨L⟩ over e^{−nβΠx^{2k} − ½γ|x|²} by quadrature: on s = ln L densities of single factors are
    convolved."""
    spacing = 0.02
    density, first = np.ones(1) / spacing, 0.0
    for power in powers:
        s = np.arange(-60.0 * power, 2 * power * log(8 / gamma**0.5), spacing)
        x = np.exp(s / (2 * power))
        density = np.convolve(density, x * np.exp(-0.5 * gamma * x**2)) * spacing
        first += s[0]
    excess = beta * np.exp(first + spacing * np.arange(len(density)))
    weights = np.exp(-excess) * density
    return float((excess * weights).sum() / weights.sum())


def test_a_crossing_is_what_quadrature_says_and_goes_to_its_limit() -> None:
    crossing = NormalCrossing((1, 2))
    llc = replace(LLC, chains=100, localisation=1.0, learning_rate=0.1, burn_in=1500, steps=2000)
    found = of_chains(llc, crossing)
    assert found.value is not None and found.stderr is not None
    assert abs(found.value - exact_crossing((1, 2), 1.0)) < 3 * found.stderr < 0.04
    # of a finite n; a weaker spring is a larger n
    near = [exact_crossing((1, 2), gamma) for gamma in (1.0, 0.1, 0.01, 1e-4)]
    assert near == sorted(near) and near[-1] == pytest.approx(0.25, rel=0.005)
    assert crossing.learning_coefficient() == 0.25


@pytest.mark.slow
def test_two_factors_of_a_million_examples() -> None:
    """By inertia: without, the spring would take 1/ηγT = 36 million steps. At this n λ̂ is 3 % below
    its limit."""
    count = 1_000_000
    crossing = NormalCrossing((1, 2))
    llc = replace(LLC, chains=100, localisation=1.0, learning_rate=0.002, momentum=0.999)
    found = of_chains(replace(llc, burn_in=15_000, steps=40_000, examples=count), crossing)
    assert found.value is not None and found.stderr is not None, found.why
    exact = exact_crossing((1, 2), 1.0, count / log(count))
    assert abs(found.value - exact) < 3 * found.stderr < 0.02
    known = crossing.learning_coefficient()
    assert abs(found.value - known) < max(0.05 * known, 3 * found.stderr)


@pytest.mark.slow
def test_three_factors() -> None:
    """Against quadrature at an n that chains can do, where λ̂ is a quarter below its limit, for walls
    grow with the sixth power of a coordinate; quadrature goes on to the limit."""
    crossing = NormalCrossing((1, 1, 3))
    llc = replace(LLC, chains=100, localisation=1.0, learning_rate=3e-4, momentum=0.996)
    found = of_chains(replace(llc, burn_in=5000, steps=20_000), crossing)
    assert found.value is not None and found.stderr is not None, found.why
    assert abs(found.value - exact_crossing((1, 1, 3), 1.0)) < 3 * found.stderr < 0.01
    near = [exact_crossing((1, 1, 3), gamma) for gamma in (1.0, 0.1, 0.01)]
    assert near == sorted(near)
    assert near[-1] == pytest.approx(crossing.learning_coefficient(), rel=0.01)


def test_aoyagis_formula() -> None:
    """Where it is known otherwise: regular, one hidden unit, all of rank, and one layer."""
    known = {
        ((1, 1, 1), 0): 0.5,  # x²y²/2
        ((1, 3, 1), 0): 0.5,
        ((2, 2, 2), 2): 2.0,  # a manifold of codimension 4
        ((3, 1, 3), 1): 2.5,  # matrices of rank 1: dimension 5
        ((3, 4), 1): 6.0,  # linear regression
        ((2, 2, 2), 0): 1.5,  # Aoyagi & Watanabe 2005
        ((3, 3, 3), 1): 4.0,
        ((2, 2, 2, 2), 1): 2.0,
    }
    for (widths, rank), coefficient in known.items():
        assert DeepLinear(widths, rank).learning_coefficient() == coefficient
    wide = DeepLinear((1, 3, 1), 0, ambient=10)
    assert wide.learning_coefficient() == 0.5 + 2
    with pytest.raises(UserError, match="rank=3 does not pass through"):
        DeepLinear((3, 2, 3), 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "rank", "rate"),
    [((3, 3, 3), 1, 0.05), ((5, 3, 2), 1, 0.05), ((4, 4, 4), 2, 0.04)],
)
def test_deep_linear_networks(widths: tuple[int, ...], rank: int, rate: float) -> None:
    net = DeepLinear(widths, rank)
    llc = replace(
        LLC,
        chains=64,
        localisation=1.0,
        learning_rate=rate,
        burn_in=8000,
        steps=8000,
        examples=2000,
    )
    found = of_known_flatness(llc, net)
    assert found.value is not None and found.stderr is not None, found.why
    known = net.learning_coefficient()
    assert abs(found.value - known) < max(0.05 * known, 3 * found.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(2, 5, 5, 2), (3, 5, 5, 2), (2, 4, 3, 2)])
def test_three_layers(widths: tuple[int, ...]) -> None:
    """Some fifty directions whose walls are steep far from the point: small steps, and inertia so that
    chains come round all the same."""
    net = DeepLinear(widths, 1)
    llc = replace(LLC, chains=64, localisation=1.0, learning_rate=0.005, momentum=0.97)
    found = of_known_flatness(replace(llc, burn_in=1000, steps=2000, examples=2000), net)
    assert found.value is not None and found.stderr is not None, found.why
    known = net.learning_coefficient()
    assert abs(found.value - known) < max(0.05 * known, 3 * found.stderr)


@pytest.mark.slow
def test_forty_intervals_cover() -> None:
    """95 % of them, 38 ± 1.4: 34 to 40; of the chains' own number, whatever the verdict."""
    llc = replace(LLC, chains=8, burn_in=100, steps=400)
    covered = 0
    for seed in range(40):
        sampled = replace(llc, seed=seed).sample(BOWL, BOWL.minima()[0])
        found = sampled.chains.coefficient()
        assert found.value is not None and found.stderr is not None
        covered += abs(found.value - 2.0) < 1.96 * found.stderr
    assert 34 <= covered <= 40


# what the spring takes


@pytest.mark.parametrize("curvatures", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)])
def test_what_a_spring_takes_is_in_the_error(curvatures: tuple[float, ...]) -> None:
    """Of one curvature ½p of each direction, p = γT/(h + γT), exactly; and of flat ones, where it is
    known that they are, nothing."""
    bowl = Quadratic(curvatures)
    llc = replace(LLC, localisation=10.0)
    sampled = llc.sample(bowl, bowl.minima()[0])
    assert sampled.stiffer is not None
    spring = 10 / BETA
    missing = bowl.learning_coefficient() * spring / (1 + spring)
    found = missing_by_spring(sampled.chains, sampled.stiffer)
    assert found == pytest.approx(missing, rel=0.1)
    columns = columns_of(sampled, None)
    told = columns["local_learning_coefficient"]
    own = sampled.chains.coefficient()
    assert columns["llc_localised"] == own
    assert told.value == own.value and told.stderr is not None and own.stderr is not None
    assert told.stderr == pytest.approx((own.stderr**2 + found**2) ** 0.5)


@pytest.mark.parametrize("curvatures", [(1.0, 0.1), (1.0, 1.0, 0.3, 0.1), (4.0, 1.0, 0.5, 0.3)])
def test_intervals_at_the_default_spring_hold_half_the_directions(
    curvatures: tuple[float, ...],
) -> None:
    """± 3 % without, and a quarter off."""
    bowl = Quadratic(curvatures)
    found = coefficient(LearningCoefficient(chains=100, examples=COUNT), bowl)
    assert found.value is not None and found.stderr is not None
    known = len(curvatures) / 2
    assert 0.05 * known < known - found.value < 1.96 * found.stderr


def test_a_spring_that_makes_the_number_is_told() -> None:
    """λ̂ is as 1/γ where all curvatures are below γT, and halves as it doubles."""
    bowl = Quadratic((0.02, 0.01))
    llc = LearningCoefficient(chains=100, examples=COUNT)
    found = coefficient(llc, bowl)
    assert found.value is None
    assert "the spring makes the number" in found.why and "lower localisation" in found.why
    weak = replace(llc, localisation=0.01, learning_rate=25.0)
    assert coefficient(weak, bowl).value == pytest.approx(1.0, rel=0.1)


def test_curvatures_below_the_spring_are_not_taken_for_flat() -> None:
    """½(x₁² + x₂² + 10⁻³(x₃² + x₄²)), d/2 = 2: at γT = 0.069 chains find ½Σh/(h + γT) = 0.95, at 2γ
    hardly less, and 2 is as likely as half of it."""
    bowl = Quadratic((1.0, 1.0, 1e-3, 1e-3))
    llc = LearningCoefficient(chains=100, examples=COUNT)
    (row,) = llc(bowl, bowl.minima()[:1])
    spring = 10 / BETA
    localised = row["llc_localised"]
    assert localised.value is not None and localised.stderr is not None
    exact = 1 / (1 + spring) + 1e-3 / (1e-3 + spring)
    assert abs(localised.value - exact) < 3 * localised.stderr < 0.05
    assert row["llc_resolution"].value == spring
    told = row["local_learning_coefficient"]
    assert told.value is None
    assert "to 2: chains do not tell flat directions from curvatures below γT = 0.069" in told.why
    # six more that are steep: 3.8 is found of 5, and the error reaches it
    more = Quadratic((1.0,) * 8 + (1e-3, 1e-3))
    found = coefficient(llc, more)
    assert found.value is not None and found.stderr is not None
    assert 1 < 5 - found.value < 1.96 * found.stderr


def test_a_crossing_in_a_spring_says_no_more_than_it_can() -> None:
    """x²y²: no curvature in two directions, so λ = ½ is all that there can be; chains at γ = 1 find
    less of it, and the error reaches it. Of x²y⁴, λ = ¼, as much may be."""
    llc = replace(LLC, chains=100, localisation=1.0, learning_rate=0.1, burn_in=1500, steps=2000)
    crossing = NormalCrossing((1, 1))
    assert crossing.learning_coefficient() == 0.5
    assert most_of(crossing, crossing.minima()[0]) == 0.5
    found = coefficient(llc, crossing)
    assert found.value is not None and found.stderr is not None, found.why
    assert abs(0.5 - found.value) < 1.96 * found.stderr
    low = NormalCrossing((1, 2))
    assert coefficient(llc, low).why.startswith("λ may be anything from 0.2")
    assert of_known_flatness(llc, low).value is not None


@pytest.mark.parametrize(
    ("landscape", "most"),
    [
        (BOWL, 2.0),
        (Quadratic((1.0, 1e-9, 0.0)), 1.25),
        (NormalCrossing((1,)), 0.5),
        (NormalCrossing((2,)), 0.25),
        (DeepLinear((2, 2, 2), 2), 3.0),  # codimension 4 of 8 directions
    ],
)
def test_what_a_coefficient_is_at_most(
    landscape: Quadratic | NormalCrossing | DeepLinear, most: float
) -> None:
    theta = landscape.minima()[0]
    assert most_of(landscape, theta) == most >= landscape.learning_coefficient()
    assert most_of(landscape, theta.float()) >= most


def test_without_a_spring_what_still_spreads_is_in_the_error() -> None:
    """Of forty directions one is so flat that 900 steps of 0.3 do not fill it (ηht = 3·10⁻⁴): its ½
    is missing, 2.5 % of d/2, and the virial is 0.975, by less off 1 than it may be."""
    bowl = Quadratic((1.0,) * 39 + (1e-6,))
    found = coefficient(LLC, bowl)
    assert found.value is not None and found.stderr is not None, found.why
    sampled = LLC.sample(bowl, bowl.minima()[0])
    own = sampled.chains.coefficient()
    assert own.stderr is not None and 20 - found.value > 3 * own.stderr
    assert 20 - found.value < 1.96 * found.stderr


# where there is no number


@pytest.mark.parametrize(
    ("llc", "landscape", "what"),
    [
        (replace(LLC, learning_rate=0.55), BOWL, "chains have diverged; lower the learning rate"),
        (replace(LLC, learning_rate=1.5), NormalCrossing((2,)), "the virial is"),
        (replace(LLC, burn_in=0, steps=60), BOWL, "not stationary"),
        (replace(LLC, burn_in=4, steps=4, blocks=4), BOWL, "do not agree|not stationary|virial"),
    ],
)
def test_what_is_not_sampled_has_no_number(
    llc: LearningCoefficient, landscape: Quadratic | NormalCrossing, what: str
) -> None:
    found = coefficient(llc, landscape)
    assert found.value is None
    assert re.search(what, found.why), found.why


def test_steps_that_are_too_large_for_the_walls_are_seen() -> None:
    """The deep linear net whose chains stay finite at η = .1 and are wrong by half."""
    net = DeepLinear((2, 2, 2), 0)
    llc = replace(
        LLC, chains=64, localisation=0.05, learning_rate=0.1, burn_in=400, steps=400, examples=50
    )
    sampled = llc.sample(net, net.minima()[0])
    wrong = sampled.chains.coefficient()
    assert wrong.value is not None and wrong.value > 1.25 * net.learning_coefficient()
    assert columns_of(sampled, None)["local_learning_coefficient"].value is None


def test_a_step_whose_half_says_otherwise_is_too_large() -> None:
    source = np.random.default_rng(0)
    noise = 0.1 * source.standard_normal((20, 8))
    ones = 1 + 0.1 * noise
    chains = Chains(2 + noise, ones)
    assert doubt_of_step(chains, Chains(2.05 + noise, ones)) == ""
    assert "steps are too large" in doubt_of_step(chains, Chains(1.7 + noise, ones))
    assert "with half the step the virial" in doubt_of_step(chains, Chains(2 + noise, 2 + noise))


@pytest.mark.slow
def test_where_the_virial_sees_nothing_half_the_step_does() -> None:
    """Of 45 directions few are sampled wrongly, but those that the coefficient is made of."""
    net = DeepLinear((2, 5, 5, 2), 1)
    llc = replace(LLC, chains=64, localisation=1.0, burn_in=3000, steps=3000, examples=2000)
    for rate in (0.03, 0.04):
        found = of_known_flatness(replace(llc, learning_rate=rate), net)
        assert found.value is None or found.value == pytest.approx(2, rel=0.05)


def test_a_point_that_is_no_minimum_is_told() -> None:
    well = DoubleWell()
    top = torch.zeros(1, dtype=torch.float64)
    (row,) = replace(LLC, learning_rate=0.1)(well, top[None])
    why = row["local_learning_coefficient"].why
    assert "no minimum" in why


def test_a_slope_is_told_where_no_chain_lies_below() -> None:
    """Where the walls hold chains up, they lie above a point from which the loss falls."""
    bowl = Quadratic((4.0, 1.0, 0.5, 0.3))
    beside = bowl.minima()[0] + torch.tensor([0.0, 0.0, 0.12, 0.12])
    tethered = replace(LLC, localisation=100.0)
    (row,) = tethered(bowl, beside[None])
    assert "the point is no minimum: |∇L| = 0.07" in row["local_learning_coefficient"].why
    (row,) = tethered(bowl, bowl.minima()[:1])
    assert row["local_learning_coefficient"].value is not None


def test_verdicts_are_each_their_own() -> None:
    source = np.random.default_rng(0)
    noise = 0.1 * source.standard_normal((20, 8))
    good = Chains(2 + noise, 1 + 0.1 * noise)
    assert good.doubt() == ""
    apart = Chains(2 + noise + np.arange(8), 1 + noise)
    assert "do not agree" in apart.doubt()
    rising = Chains(2 + noise + np.linspace(0, 0.2, 20)[:, None], 1 + 0.1 * noise)
    assert "not stationary" in rising.doubt()
    wrong = Chains(2 + noise, 1.1 + 0.1 * noise)
    unknown = Chains(2 + noise, 1 + 30 * noise)
    assert "the virial is" in wrong.doubt() and "the virial is" in unknown.doubt()
    assert wrong.doubt().endswith("and not 1: steps are too large; lower learning_rate")
    below = Chains(2 + noise, 0.9 + 0.1 * noise)
    assert below.doubt().endswith("raise burn_in or lower learning_rate")
    lost = Chains(np.where(np.arange(8) == 3, np.nan, 2 + noise), 1 + noise)
    assert "1 of 8 chains have diverged" in lost.doubt()
    assert "no minimum" in Chains(noise - 2, 1 + noise).doubt()


def test_a_virial_that_is_known_badly_is_not_said_to_be_off() -> None:
    """Eight chains whose means spread by ± 0.37 about 0.99: an error of
    0.37/√8 · √(8/7) · 2.365/1.96 = 0.17 by Student's t of seven, and 1 lies within it."""
    spread = 0.99 + 0.37 * np.array([-1, 1, -1, 1, -1, 1, -1, 1])
    still = 2 + np.random.default_rng(0).normal(0, 0.1, (20, 8))
    badly = Chains(still, np.tile(spread, (20, 1)))
    words = "the virial is 0.99 ± 0.17: with an error above 0.1 it does not tell whether steps"
    assert badly.doubt() == f"{words} are too large; raise steps or chains"
    fine = Chains(still, np.ones((20, 8)))
    assert doubt_of_step(fine, badly).startswith(f"with half the step {words}")
    far = Chains(still, np.tile(spread + 1, (20, 1)))
    assert "and not 1: steps are too large" in far.doubt()


def test_chains_that_spread_have_a_virial_below_1() -> None:
    """In a bowl of curvature h, from its bottom, 1 − e^(−2ηht) at step t: over 40 steps of
    ηh = 0.01 the mean is 1 − (1 − e^(−0.8))/0.8 = 0.31; at rest it is 1."""
    bowl = Quadratic((1.0,) * 40)
    theta = bowl.minima()[0]
    slow = Langevin(40, None, 0.01, Constant(), temperature=0.01)
    begun = over_chains(run_chains(bowl, theta, slow, 0.0, 64, 0, 20).virial)
    assert begun.value is not None and begun.stderr is not None
    # a step is 1/100 of 1/ηh: sums and integrals, and the noise of the first step, differ by it
    assert abs(begun.value - (1 - (1 - exp(-0.8)) / 0.8)) < 4 * begun.stderr + 0.01
    quick = Langevin(600, None, 0.5, Constant(), temperature=0.01)
    resting = over_chains(run_chains(bowl, theta, quick, 0.0, 64, 100, 20).virial)
    assert resting.value is not None and resting.stderr is not None
    assert abs(resting.value - 1) < 4 * resting.stderr


def test_a_spring_of_the_wrong_strength_is_seen() -> None:
    """A virial of other forces than those that were descended is not 1."""

    class Weak(Spring):
        def force(self, cloud: Cloud, losses: Tensor, gradients: Tensor) -> Tensor:
            return 0.8 * gradients

    langevin = Langevin(900, None, 0.3, Constant(), temperature=0.01)
    theta = BOWL.minima()[0]
    chains = run_chains(BOWL, theta, langevin, 0.0, 100, 300, 20)
    found = chains.coefficient().value
    assert found is not None and found == pytest.approx(2, rel=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sgdtheory.diagnostics.chains.Spring", Weak)
        weak = run_chains(BOWL, theta, langevin, 0.0, 100, 300, 20)
    # the gradient is .8 of what the temperature is for: V' = .8V, so the excess is 1.25 × 2
    wrong = weak.coefficient().value
    assert wrong is not None and wrong == pytest.approx(2.5, rel=0.05)


def test_examples_are_counted_or_asked_for() -> None:
    with pytest.raises(UserError, match=r"llc\.examples: Quadratic has no examples to count"):
        LearningCoefficient().refuse(BOWL, "llc")
    with pytest.raises(UserError, match="blocks=20 is more than steps=5"):
        LearningCoefficient(steps=5, examples=10).refuse(BOWL, "llc")
    regression = LinearRegression(digits(limit=100), weight_decay=0.1)
    LearningCoefficient().refuse(regression, "llc")
    data = digits(limit=100)
    two = replace(data, train_inputs=data.train_inputs[:2], train_targets=data.train_targets[:2])
    with pytest.raises(UserError, match="2 training examples, and T = ln n/n needs 3"):
        LearningCoefficient().refuse(LinearRegression(two, weight_decay=0.1), "llc")
    sampled = LearningCoefficient(steps=20, burn_in=0, chains=2).sample(
        regression, regression.minima()[0]
    )
    assert sampled.temperature == pytest.approx(log(regression.count) / regression.count)
    # .3 over the largest curvature, the spring's with it
    top = float(torch.linalg.eigvalsh(regression.hessian)[-1]) + 10 * sampled.temperature
    assert sampled.learning_rate == pytest.approx(0.3 / top, rel=0.05)
