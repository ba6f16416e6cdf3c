"""Langevin chains round a point, and whether what they say is to be believed."""

from dataclasses import dataclass
from math import hypot, inf, sqrt

import numpy as np
import torch
from torch import Tensor

from sgdtheory.optim.langevin import Langevin, Spring
from sgdtheory.optim.sgd import SGDState
from sgdtheory.protocol import Landscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.statistics.bootstrap import small_sample_correction
from sgdtheory.statistics.measured import Measured

MIXED = 1.1  # R̂ of the loss up to which chains agree (Gelman et al., Bayesian Data Analysis)
SIGMAS = 3.0
DRIFT = 0.02  # of the mean excess: a drift that is certain but smaller does not matter; ours
VIRIAL = 0.03  # so far the virial may be off 1, or 3 standard errors; ours
ALIKE = 0.05  # of the coefficient: so far half the step may move it, or 3 standard errors; ours
KNOWN = 0.1  # its standard error, at most: beyond it says nothing, as where tails are heavy; ours
LOST = 100.0  # |virial| of a block from which a chain has diverged, finite or not


@dataclass(frozen=True, eq=False)
class Chains:
    """What P chains have recorded in R blocks of steps, float64.

    Means over a block, [R, P]: `excess` (L − L*)/T; `virial` (θ − θ*)·∇V/(n·T), V what is
    descended, spring and all, whose mean over e^{−V/T} is 1 whatever V is.
    """

    excess: np.ndarray
    virial: np.ndarray

    def coefficient(self) -> Measured:
        """⟨L − L*⟩/T over chains, with an error of which ± 1.96 make a 95 % interval."""
        return over_chains(self.excess)

    def r_hat(self) -> float:
        """R̂ of the excess: √((W(R−1)/R + B)/W), W the mean variance within chains, B that of their
        means (Gelman & Rubin 1992)."""
        blocks = len(self.excess)
        within = float(self.excess.var(0, ddof=1).mean())
        between = float(self.excess.mean(0).var(ddof=1))
        if not within > 0:
            return inf
        return sqrt((blocks - 1) / blocks + between / within)

    def drift(self) -> Measured:
        """By how much the excess is higher in the second half of the blocks than in the first."""
        half = len(self.excess) // 2
        rise = self.excess[half:].mean(0) - self.excess[:half].mean(0)
        return over_chains(rise[None])

    def lost(self) -> str:
        """How many chains have diverged, and what to do; empty where none has."""
        within = np.isfinite(self.excess) & (np.abs(self.virial) < LOST)
        kept = within.all(0)  # [P]
        lost = int((~kept).sum())
        if not lost:
            return ""
        return f"{lost} of {len(kept)} chains have diverged; lower the learning rate"

    def doubt(self) -> str:
        """Why no number is to be had from these chains; empty where one is."""
        if lost := self.lost():
            return lost
        found = self.coefficient()
        assert found.value is not None
        if found.value < 0:
            return f"chains lie below the point ({found}): it is no minimum"
        mixed = self.r_hat()
        if not mixed < MIXED:
            return f"chains do not agree, R̂ = {mixed:.2f}; give them more steps"
        drift = self.drift()
        if _is_off(drift, 0.0, DRIFT * found.value):
            return f"not stationary: from half to half it moves by {drift}; raise burn_in"
        virial = over_chains(self.virial)
        assert virial.value is not None and virial.stderr is not None
        if _is_off(virial, 1.0, VIRIAL):
            why = "steps are too large; lower learning_rate"
            if virial.value < 1:  # as it is while |θ − θ*|² grows: chains begin at θ*
                why = (
                    "chains still spread or steps are too large; raise burn_in or lower "
                    "learning_rate"
                )
            return f"the virial is {virial} and not 1: {why}"
        if virial.stderr > KNOWN:
            return (
                f"the virial is {virial}: with an error above {KNOWN:g} it does not tell whether "
                "steps are too large; raise steps or chains"
            )
        return ""


def doubt_of_step(chains: Chains, halved: Chains) -> str:
    """Why a step is too large, by chains of half of it; empty where it is not."""
    if why := halved.doubt():
        return f"with half the step {why}"
    first, second = chains.coefficient(), halved.coefficient()
    assert first.value is not None and second.value is not None
    assert first.stderr is not None and second.stderr is not None
    moved = Measured(second.value - first.value, hypot(first.stderr, second.stderr))
    if _is_off(moved, 0.0, ALIKE * second.value):
        return (
            f"steps are too large: half of them give {second} and not {first}; lower the learning "
            "rate"
        )
    return ""


def missing_by_spring(chains: Chains, stiffer: Chains) -> float:
    """What the spring that holds chains has taken from the coefficient, by chains of the same noise
    in twice the spring.

    A direction of curvature h has ½(1 − p) of its ½, p = γT/(h + γT), and at 2γ it loses a further
    Δ = ½p(1 − p)/(1 + p). So of bowls of one curvature λ̂Δ/(λ̂ − 2Δ) = ½p of each direction is
    missing, and of others at least that, for it is convex in Δ/λ̂. A lower bound: in flat
    directions the spring has all of the energy, Δ = 0, and nothing is missing, but so it is in
    those of h ≪ γT, which miss ½. Infinite from Δ = ½λ̂ on, where λ̂ is as 1/γ.
    """
    found = chains.coefficient().value
    change = over_chains(chains.excess - stiffer.excess).value
    if found is None or change is None or not 2 * abs(change) < found:
        return inf
    return found * abs(change) / (found - 2 * abs(change))


def _is_off(number: Measured, expected: float, tolerance: float) -> bool:
    assert number.value is not None and number.stderr is not None
    apart = abs(number.value - expected)
    return not apart <= max(tolerance, SIGMAS * number.stderr)


def over_chains(records: np.ndarray) -> Measured:
    """The mean over chains of the means of their records [R, P], its error from chains alone."""
    means = records.mean(0)
    found = Measured.mean(means)
    count = len(means)
    spread = float(means.std())
    return found._replace(stderr=small_sample_correction(count) * spread / sqrt(count))


def run_chains(
    landscape: Landscape,
    theta: Tensor,
    langevin: Langevin,
    spring: float,
    chains: int,
    burn_in: int,
    blocks: int,
) -> Chains:
    """Chains from θ [n] on, held by a spring to it: `langevin.length` after `burn_in` others, in so
    many blocks."""
    start = theta.expand(chains, -1).clone()
    coupling = Spring(theta, spring)
    temperature = langevin.temperature
    with torch.no_grad():
        lowest = landscape.losses(theta[None])[0].double()
    spacing = max(1, (langevin.length - burn_in) // blocks)
    excess = torch.zeros(blocks, chains, dtype=torch.float64)
    virial = torch.zeros_like(excess)
    before = langevin.begin(start)
    cloud = before.cloud
    for state in langevin.run(landscape, start, 0, coupling):
        block, within = divmod(state.step - 1 - burn_in, spacing)
        if 0 <= block < blocks:
            assert state.losses is not None
            excess[block] += (state.losses.double() - lowest).cpu()
            virial[block] += _virial(state, cloud, coupling).cpu()
        if within == 0:
            stop_if_asked()
        cloud = state.cloud.clone()
    sums = spacing * temperature
    return Chains((excess / sums).numpy(), (virial / (sums * theta.numel())).numpy())


def _virial(state: SGDState, cloud: Tensor, spring: Spring) -> Tensor:
    """(θ − θ*)·∇V [P] where a step began, `cloud` [P, n]."""
    assert state.losses is not None and state.gradients is not None
    force = spring.force(cloud, state.losses, state.gradients)
    products = (cloud - spring.anchor).double() * force.double()
    return products.sum(1)
