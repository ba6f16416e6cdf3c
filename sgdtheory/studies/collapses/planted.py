"""Linear regression with and without label noise: where its cloud collapses, and its temperature
where it does not."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil, log
from typing import Annotated, Protocol

import torch
from annotated_types import Ge, MinLen
from torch import Tensor
from typing_extensions import TypeIs

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.second_moments import (
    collapse_threshold,
    resting_covariance,
    second_moment_map,
    top_mode,
)
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape, values
from sgdtheory.rng import stream
from sgdtheory.roles.asking import has
from sgdtheory.roles.closed_forms import StatesMinima, StatesNoise
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.trends import quotient_of_sums
from sgdtheory.studies.collapses.planted_claims import PLOTS, claims_of
from sgdtheory.studies.shared.parts import Found, Seen, Settings

BURN_IN = 5  # relaxation times: e⁻¹⁰ of the variance is missing
BELOW = 0.7  # of η_c
NOISELESS = 1e-20  # Tr C at the minimum, where every example is met to rounding


class Regressions(StatesMinima, StatesNoise, Protocol):
    """A linear regression, whose map of second moments its inputs say."""

    inputs: Tensor  # [N, n]


def is_regression(landscape: Landscape) -> TypeIs[Regressions]:
    return has(landscape, "inputs") and has(landscape, "noise_covariance")


@dataclass(frozen=True)
class Planted:
    """Clouds on regressions at `learning_rates` in units of η_c, where the radius of the map of
    second moments passes 1.

    Where every example is met at the minimum, `replicas` points start as Gaussians of the map's top
    mode V, so that ⟨ΔᵀVΔ⟩ grows by the radius a step: for `early` steps, short enough for rare
    points not to carry all of it, and on to `steps` for the growth of a typical point. With noise
    at the minimum they start there, burn in for five relaxation times of the flattest direction and
    are looked at once in each of `looks` more; such rates are below 0.7 η_c.
    """

    landscapes: dict[str, Landscape]
    learning_rates: Annotated[list[PositiveFloat], MinLen(2)]
    batch_size: PositiveInt
    replicas: Annotated[int, Ge(2)]
    early: PositiveInt
    steps: PositiveInt
    looks: PositiveInt

    def __post_init__(self) -> None:
        for name, landscape in self.landscapes.items():
            if not is_regression(landscape):
                raise UserError(
                    f"landscapes.{name}: its second moments are not known; use "
                    "landscape=planted_regression"
                )
        if self.early >= self.steps:
            raise UserError(f"early={self.early} must be fewer than steps={self.steps}")

    def settings(self) -> list[Settings]:
        cells = product(self.landscapes, self.learning_rates)
        every = [{"regression": name, "rate": rate} for name, rate in cells]
        return [cell for cell in every if self._is_watched(cell)]

    def _is_watched(self, settings: Settings) -> bool:
        """Whether a cloud is worth watching: near η_c one with noise has no second moment that a
        sample shows."""
        return bool(self._is_noiseless(settings["regression"]) or settings["rate"] < BELOW)

    def _regression(self, name: str) -> Regressions:
        landscape = self.landscapes[name]
        assert is_regression(landscape)
        return landscape

    def _is_noiseless(self, name: str) -> bool:
        landscape = self._regression(name)
        noise = landscape.noise_covariance(landscape.minima())[0]
        return float(noise.trace()) < NOISELESS

    def _rate(self, settings: Settings) -> float:
        inputs = self._regression(settings["regression"]).inputs.cpu()
        threshold: float = settings["rate"] * collapse_threshold(inputs, self.batch_size)
        return threshold

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        if self._is_noiseless(settings["regression"]):
            return self._collapse(folder, settings, seed, dtype)
        return self._rest(folder, settings, seed, dtype)

    def _collapse(
        self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype
    ) -> Seen:
        """Growth of the second moment and of a typical point."""
        landscape = self._regression(settings["regression"])
        rate = self._rate(settings)
        inputs = landscape.inputs.cpu()
        mapped = second_moment_map(inputs, rate, self.batch_size)
        top = top_mode(mapped)
        minimum = landscape.minima()[0]
        start = self._start(landscape, top.mode, seed, dtype)
        zeros = {
            "early": torch.zeros(self.replicas, dtype=torch.float64),
            "logs": torch.zeros(2, self.replicas, dtype=torch.float64),
        }

        def observe(state: SGDState, seen: Observed) -> None:
            if state.step == self.early:
                seen["early"][:] = _along(state.cloud - minimum, top.mode)
            if state.step in (self.early, self.steps):
                which = int(state.step == self.steps)
                lengths = (state.cloud.double() - minimum).norm(dim=1)
                seen["logs"][which] = lengths.log().cpu()

        sgd = SGD(self.steps, self.batch_size, rate, Constant())
        cloud, seen = watch(folder, sgd, landscape, start, seed, zeros, observe)
        before = _along(start - minimum, top.mode)
        first, last = seen["logs"]
        since = self.steps - self.early
        typical = 2 * (last - first) / since
        facts: Row = {"exact": log(top.radius), "learning_rate": rate}
        row = row_of(
            facts,
            growth=_log_rate(seen["early"], before, self.early),
            typical=Measured.mean(typical.numpy()),
        )
        left = self._temperature(landscape, cloud)
        temperature = row_of({"learning_rate": rate, "exact": None}, temperature=left)
        return {"growth": [row], "temperatures": [temperature]}, seen

    def _rest(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        """2⟨L − L*⟩/n of a cloud at rest beside the exact one."""
        landscape = self._regression(settings["regression"])
        rate = self._rate(settings)
        hessian = _hessian(landscape)
        spacing = _relaxation(hessian, rate)
        first = BURN_IN * spacing
        minimum = landscape.minima()
        start = minimum.to(dtype).repeat(self.replicas, 1)
        lowest = float(values(landscape, minimum)[0])
        zeros = {"excess": torch.zeros(self.replicas, dtype=torch.float64)}

        def observe(state: SGDState, seen: Observed) -> None:
            looks, over = divmod(state.step - first, spacing)
            if looks > 0 and not over:
                losses = values(landscape, state.cloud.double()).cpu()
                seen["excess"] += (losses - lowest) / self.looks

        sgd = SGD(first + self.looks * spacing, self.batch_size, rate, Constant())
        _, seen = watch(folder, sgd, landscape, start, seed, zeros, observe)
        temperatures = 2 * seen["excess"] / landscape.dim
        found = Measured.mean(temperatures.numpy())
        exact = self._exact(landscape, hessian, rate)
        row = row_of({"learning_rate": rate, "exact": exact}, temperature=found)
        return {"temperatures": [row]}, seen

    def _exact(self, landscape: Regressions, hessian: Tensor, rate: float) -> float | None:
        """2⟨L − L*⟩/n = Tr HΣ/n of the resting covariance; None where there is none."""
        noise = landscape.noise_covariance(landscape.minima())[0].cpu()
        inputs = landscape.inputs.cpu()
        covariance = resting_covariance(inputs, noise, rate, self.batch_size)
        if covariance is None:
            return None
        products = hessian * covariance
        return float(products.sum()) / landscape.dim

    def _temperature(self, landscape: Regressions, cloud: Tensor) -> Measured:
        """2⟨L − L*⟩/n of a cloud [P, n] where L* is 0."""
        losses = values(landscape, cloud.double()).cpu()
        temperatures = 2 * losses / landscape.dim
        return Measured.mean(temperatures.numpy())

    def _start(self, landscape: Regressions, mode: Tensor, seed: int, dtype: torch.dtype) -> Tensor:
        sizes, basis = torch.linalg.eigh(mode)
        root = basis * sizes.clamp_min(0).sqrt()
        shape = (self.replicas, landscape.dim)
        draws = torch.randn(shape, generator=stream(seed, "init"), dtype=torch.float64)
        minimum = landscape.minima()
        cloud: Tensor = minimum + (draws @ root.T).to(minimum)
        return cloud.to(dtype)

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        landscape = self._regression(settings["regression"])
        start = landscape.minima().to(dtype).repeat(self.replicas, 1)
        rate = self._rate(settings)
        steps = self.steps
        if not self._is_noiseless(settings["regression"]):
            steps = (BURN_IN + self.looks) * _relaxation(_hessian(landscape), rate)
        sgd = SGD(steps, self.batch_size, rate, Constant())
        return estimate_stage(landscape, sgd, start)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        growth = tables["growth"]
        temperatures = tables["temperatures"]
        claims = claims_of(growth, temperatures)
        return Found(claims, {"growth": growth, "temperatures": temperatures}, PLOTS)


def _hessian(landscape: Regressions) -> Tensor:
    """⟨x xᵀ⟩ [n, n]."""
    inputs = landscape.inputs.cpu()
    hessian: Tensor = inputs.T @ inputs / len(inputs)
    return hessian


def _relaxation(hessian: Tensor, rate: float) -> int:
    """Steps of a relaxation time 1/(ηh) of the flattest direction."""
    flattest = float(torch.linalg.eigvalsh(hessian)[0])
    return ceil(1 / (rate * flattest))


def _along(away: Tensor, mode: Tensor) -> Tensor:
    """ΔᵀVΔ [P] of Δ [P, n]."""
    away = away.double().cpu()
    products: Tensor = ((away @ mode) * away).sum(1)
    return products


def _log_rate(after: Tensor, before: Tensor, steps: int) -> Measured:
    """log(⟨after⟩/⟨before⟩) a step."""
    ratio = quotient_of_sums(after.numpy(), before.numpy())
    assert ratio.value is not None and ratio.stderr is not None
    growth = log(ratio.value) / steps
    error = ratio.stderr / ratio.value
    return Measured(growth, error / steps)
