"""The local learning coefficient: how singular a minimum is, from Langevin chains round it."""

from dataclasses import dataclass, replace
from math import hypot, log, sqrt
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import BelowOne, NonNegative, NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.chains import (
    Chains,
    doubt_of_step,
    missing_by_spring,
    over_chains,
    run_chains,
)
from sgdtheory.errors import UserError
from sgdtheory.geometry.critical_points import ROUNDED
from sgdtheory.geometry.hessian import DIAGONALISED, hessian
from sgdtheory.optim.langevin import Langevin
from sgdtheory.optim.schedule import Constant
from sgdtheory.products import top_curvature
from sgdtheory.protocol import Cloud, Landscape, length_of, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import count_of
from sgdtheory.roles.facts import title_of
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short

SUNK = 0.05  # of the coefficient: what lower ground beside the point may make of it; ours
SPRUNG = 1.0  # of the coefficient: what the spring may have taken where a number is given; ours
FEWEST = 3  # n, as ln n/n falls from there on
STABLE = 0.3  # ηh_max of a measured learning rate; the limit is 2, and walls grow steeper; ours


class Sampled(NamedTuple):
    """Chains at one point, others of half the step and of the same noise in twice the spring, the
    temperature 1/nβ and the learning rate."""

    chains: Chains
    halved: Chains
    stiffer: Chains | None  # None where there is no spring
    temperature: float
    resolution: float  # γT, the spring's curvature
    learning_rate: float
    gradient_norm: float  # |∇L| of the point
    drop: float  # |∇L|²/2h over the temperature, h the largest curvature: lower ground, at least


@dataclass(frozen=True)
class LearningCoefficient:
    """`local_learning_coefficient` λ̂ = nβ(⟨L⟩ − L(θ*)), β = 1/ln n, ⟨⟩ over e^{−nβL − ½γ|θ − θ*|²}
    (Lau et al. 2023, 2308.12108).

    L is the objective with L2, n the number of training examples, or `examples` of a formula. At a
    regular minimum λ is half the number of parameters, at a singular one less; it is a heat
    capacity, d⟨L⟩/dT at T = 1/nβ. `chains` Langevin chains in the full gradient begin at θ*; the
    error is that of their means, ± 1.96 of it a 95 % interval. `localisation` γ: a direction of
    curvature h has h/(h + γT) of its ½, so chains cannot tell one far below γT from a flat one,
    which has none. λ is at most ½ for each direction with curvature and ¼ for each without; how far
    that is above λ̂ is in the error too (of more than 2,000 parameters, whose Hessian is not
    written down, d/2).

    No number, and the reason, where more may be missing than is found, where θ* is no minimum,
    chains diverge, do not agree (R̂), or drift,
    or where the virial ⟨(θ−θ*)·∇V⟩/nT is above 1 or half as many chains of half the step give
    another number: steps were too large; below 1 chains may spread still, and with an error above
    0.1 it says nothing: steps or chains were too few. Beside it `llc_localised`, λ̂ in the spring
    as others publish it at their γ, with the error of the chains alone, and its `llc_resolution`
    γT, the curvature of which half counts; `llc_r_hat`, `llc_virial`, `llc_learning_rate`.
    `learning_rate` auto: 0.3 over the largest curvature.
    """

    chains: Annotated[int, Ge(2)] = 8
    burn_in: NonNegativeInt = 500
    steps: PositiveInt = 1000
    blocks: Annotated[int, Ge(4)] = 20
    localisation: NonNegative = 10.0
    learning_rate: PositiveFloat | Literal["auto"] = "auto"
    momentum: BelowOne = 0.0
    examples: Annotated[int, Ge(FEWEST)] | None = None
    seed: NonNegativeInt = 0

    def __call__(self, landscape: Landscape, cloud: Cloud) -> list[dict[str, Measured]]:
        """One row of columns for each point of a cloud [P, n]."""
        rows = []
        for theta in cloud:
            sampled = self.sample(landscape, theta)
            rows.append(columns_of(sampled, self.most(landscape, theta)))
        return rows

    def most(self, landscape: Landscape, theta: Tensor) -> float:
        """What λ is at most at a minimum θ [n] of a smooth loss; without a spring, which takes
        nothing, d/2."""
        if self.localisation and theta.numel() <= DIAGONALISED:
            return most_of(landscape, theta)
        return theta.numel() / 2

    def refuse(self, landscape: Landscape, key: str) -> None:
        """UserError where n is not known, or blocks would be empty."""
        count = self._count(landscape)
        if count is None:
            raise UserError(
                f"{key}.examples: {title_of(landscape)} has no examples to count; give n as a "
                f"number"
            )
        if count < FEWEST:
            raise UserError(
                f"{key}.examples: {title_of(landscape)} has {count} training examples, and "
                f"T = ln n/n needs {FEWEST}; give n as a number"
            )
        if self.blocks > self.steps:
            raise UserError(f"{key}.blocks={self.blocks} is more than steps={self.steps}; lower it")

    def _count(self, landscape: Landscape) -> int | None:
        return self.examples or count_of(landscape)

    def sample(self, landscape: Landscape, theta: Tensor) -> Sampled:
        """Chains round one point θ [n]."""
        count = self._count(landscape)
        assert count is not None, "refused before"
        temperature = log(count) / count
        spring = self.localisation * temperature
        top = max(top_curvature(landscape, theta, stream(self.seed, "curvature")) + spring, 1e-12)
        rate = self.learning_rate
        if rate == "auto":
            rate = STABLE / top
        _, gradients = value_and_grad(landscape, theta[None])
        norm = length_of(gradients[0])
        langevin = Langevin(
            self.burn_in + self.steps,
            None,
            rate,
            Constant(),
            self.momentum,
            temperature=temperature,
            noise_seed=key(self.seed, "chains"),
        )
        chains = run_chains(
            landscape, theta, langevin, spring, self.chains, self.burn_in, self.blocks
        )
        # for the same time, and half as many
        # of the same friction: with inertia half of η is 1/√2 of the time of a step
        kept = self.momentum ** (1 / sqrt(2))
        slow = replace(langevin, steps=2 * langevin.length, learning_rate=rate / 2, momentum=kept)
        count = max(2, self.chains // 2)
        halved = run_chains(landscape, theta, slow, spring, count, 2 * self.burn_in, self.blocks)
        stiffer = None
        if spring:
            stiffer = run_chains(
                landscape, theta, langevin, 2 * spring, self.chains, self.burn_in, self.blocks
            )
        drop = norm**2 / (2 * top * temperature)
        return Sampled(chains, halved, stiffer, temperature, spring, rate, norm, drop)


def most_of(landscape: Landscape, theta: Tensor) -> float:
    """½ for each direction of θ [n] with curvature, ¼ for each without: along these the loss rises
    as the fourth power or more slowly, and the volume below ε is at least that of both, ε^(r/2)
    and ε^((d − r)/4)."""
    curvatures = torch.linalg.eigvalsh(hessian(landscape, theta.double())).abs()
    level = int((curvatures <= ROUNDED * curvatures.max()).sum())
    return (len(curvatures) - level) / 2 + level / 4


def columns_of(sampled: Sampled, most: float | None) -> dict[str, Measured]:
    """λ̂ or why there is none, and what that is judged by; `most` is what λ is at most, None where
    what is flat is known and only what chains at 2γ show is missing."""
    chains = sampled.chains
    localised = chains.coefficient()
    why = chains.doubt() or doubt_of_step(chains, sampled.halved)
    if not why and sampled.drop > SUNK * (localised.value or 0.0):
        why = (
            f"the point is no minimum: |∇L| = {sampled.gradient_norm:.2g}, and lower ground is near"
        )
    coefficient = localised
    if not why and sampled.stiffer is not None:
        coefficient = _with_spring(localised, sampled, sampled.stiffer, most)
    elif not why and most is not None:
        coefficient = _with_spread(localised, chains, most)
    r_hat = Measured(chains.r_hat())
    virial = over_chains(chains.virial)
    if why:
        coefficient = localised = Measured.nothing(why)
    if coefficient.value is None and virial.value is None:
        r_hat = Measured.nothing(why)
    return {
        "local_learning_coefficient": coefficient,
        "llc_localised": localised,
        "llc_resolution": Measured(sampled.resolution),
        "llc_r_hat": r_hat,
        "llc_virial": virial,
        "llc_learning_rate": Measured(sampled.learning_rate),
    }


def _with_spring(
    localised: Measured, sampled: Sampled, stiffer: Chains, most: float | None
) -> Measured:
    """λ̂ with what the spring may have taken in its error, or why there is none."""
    if lost := stiffer.lost():
        return Measured.nothing(f"with twice the localisation {lost}")
    value, stderr = localised.value, localised.stderr
    assert value is not None and stderr is not None
    missing = missing_by_spring(sampled.chains, stiffer)
    if not missing < SPRUNG * value:
        twice = stiffer.coefficient()
        return Measured.nothing(
            f"the spring makes the number, {localised}: twice the localisation gives {twice}; "
            f"lower localisation"
        )
    if most is not None:
        missing = max(missing, most - value)
    if not missing < SPRUNG * value:
        resolution = in_short(sampled.resolution, 2)
        return Measured.nothing(
            f"λ may be anything from {localised} to {most:g}: chains do not tell flat directions "
            f"from curvatures below γT = {resolution}; see llc_localised, or lower localisation"
        )
    return localised._replace(stderr=hypot(stderr, missing))


def _with_spread(localised: Measured, chains: Chains, most: float) -> Measured:
    """λ̂ without a spring, with what directions along which chains spread still may have: each has
    so much less of its share in the virial, and of its ½."""
    virial = over_chains(chains.virial).value
    assert virial is not None and localised.stderr is not None
    missing = most * max(0.0, 1 - virial)
    return localised._replace(stderr=hypot(localised.stderr, missing))
