"""Clouds on a quadratic at several η and b: one potential, which is not the loss."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import ceil
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.gaussian import lyapunov, potential_of, without_steps
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.bootstrap import resample_counts
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped_by
from sgdtheory.statistics.trends import weighted_mean
from sgdtheory.studies.potentials.bowl_claims import PLOTS, claims_of
from sgdtheory.studies.shared.bowls import BowlMatrices, bowl_of, middle_of, still_missing
from sgdtheory.studies.shared.parts import Found, Seen, Settings
from sgdtheory.studies.study import left_open

FEWEST = 4  # replicas a direction: some resample of fewer has a matrix without an inverse
ROUNDING = 1e-12  # of the largest eigenvalue: a direction of less is flat


@dataclass(frozen=True)
class Bowl:
    """Clouds on a quadratic at each pair of `learning_rates` and `batch_sizes`.

    `replicas` points start at the minimum, burn in for `burn_in` relaxation times 1/(ηh) of the
    flattest direction, and are then looked at once in such a time, `looks` times.
    """

    landscape: Landscape
    learning_rates: Annotated[list[PositiveFloat], MinLen(1)]
    batch_sizes: Annotated[list[PositiveInt], MinLen(1)]
    replicas: Annotated[int, Ge(2)]
    burn_in: PositiveFloat
    looks: PositiveInt

    def __post_init__(self) -> None:
        if not states_minima(self.landscape):
            raise UserError("landscape: Φ needs a known quadratic; use landscape=quadratic")
        fewest = FEWEST * self.landscape.dim
        if self.replicas < fewest:
            raise UserError(
                f"replicas={self.replicas}: so few say nothing of a matrix of "
                f"{self.landscape.dim} directions; use {fewest} or more"
            )
        self._refuse_what_does_not_rest()

    def _refuse_what_does_not_rest(self) -> None:
        """Raise UserError where a cloud has no law of its own."""
        hessian, noise = self.known
        flattest = _least(hessian)
        if flattest <= 0:
            raise UserError(
                f"landscape: a curvature is {flattest:.2g}, and there no cloud comes to rest; "
                "use curvatures above 0"
            )
        if _least(noise) <= 0:
            raise UserError(
                "landscape: a direction is without noise, and no cloud spreads there; "
                "use landscape.noise above 0"
            )
        limit = 2 / float(torch.linalg.eigvalsh(hessian)[-1])
        fastest = max(self.learning_rates)
        if fastest >= limit:
            raise UserError(
                f"learning_rates={fastest:g}: the steepest direction diverges at {limit:.4g}; "
                "use lower ones"
            )

    @cached_property
    def known(self) -> BowlMatrices:
        """H and C at the minimum."""
        return bowl_of(self.landscape)

    def settings(self) -> list[Settings]:
        cells = product(self.learning_rates, self.batch_sizes)
        return [{"learning_rate": rate, "batch_size": size} for rate, size in cells]

    def _spacing(self, rate: float) -> int:
        """Steps of a relaxation time."""
        hessian, _ = self.known
        flattest = float(torch.linalg.eigvalsh(hessian)[0])
        return ceil(1 / (rate * flattest))

    def _sgd(self, settings: Settings) -> SGD:
        rate = settings["learning_rate"]
        steps = ceil((self.burn_in + self.looks) * self._spacing(rate))
        return SGD(steps, settings["batch_size"], rate, Constant())

    def _start(self, dtype: torch.dtype) -> Tensor:
        return middle_of(self.landscape).to(dtype).repeat(self.replicas, 1)

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        sgd = self._sgd(settings)
        spacing = self._spacing(sgd.rate)
        first = sgd.length - self.looks * spacing
        start = self._start(dtype)
        n = start.shape[1]
        minimum = start[0].double()
        zeros = {"squares": torch.zeros(self.replicas, n, n, dtype=torch.float64)}

        def observe(state: SGDState, seen: Observed) -> None:
            looks, over = divmod(state.step - first, spacing)
            if looks > 0 and not over:
                away = (state.cloud.double() - minimum).cpu()
                seen["squares"] += away[:, :, None] * away[:, None, :] / self.looks

        _, seen = watch(folder, sgd, self.landscape, start, seed, zeros, observe)
        return self._rows(seen["squares"], sgd), seen

    def _rows(self, squares: Tensor, sgd: SGD) -> dict[str, Rows]:
        """The elements of T·Σ⁻¹ of second moments [P, n, n] beside Lyapunov's and H's, and the
        matrix with the finite η taken out."""
        hessian, noise = self.known
        temperature = noise_temperature(sgd.rate, sgd.size)
        resting = lyapunov(hessian, noise, sgd.rate, sgd.size)
        exact = potential_of(resting, temperature)
        drawn = resampled_covariances(squares)  # [1 + R, n, n]
        potentials = potential_of(drawn, temperature)
        without_rate = without_steps(hessian, drawn, sgd.rate)
        continuous = potential_of(without_rate, temperature)
        errors = potentials[1:].std(0)
        of_continuous = continuous[1:].std(0)
        n = len(hessian)
        elements = []
        for i in range(n):
            for j in range(i, n):
                found = Measured(float(potentials[0, i, j]), float(errors[i, j]))
                corrected = Measured(float(continuous[0, i, j]), float(of_continuous[i, j]))
                facts: Row = {
                    "i": i,
                    "j": j,
                    "exact": float(exact[i, j]),
                    "hessian": float(hessian[i, j]),
                    "temperature": temperature,
                }
                elements.append(row_of(facts, element=found, continuous=corrected))
        return {"elements": elements}

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        return estimate_stage(self.landscape, self._sgd(settings), self._start(dtype))

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        rows = [{"system": name, **row} for row in tables["elements"]]
        if not rows:
            return Found([], {})
        pooled = self._pooled(name, rows)
        claims = claims_of(name, rows, pooled, self._isotropic())
        claims = left_open(claims, self._unrest(name, rows))
        return Found(claims, {"elements": rows, "pooled": pooled}, PLOTS)

    def _unrest(self, name: str, rows: Rows) -> str:
        """Why the clouds, which begin in one point, are not taken for ones at rest: of their
        variance more is missing, in the mean over looks, than an error; empty where it is not."""
        missing = still_missing(self.burn_in, self.looks, 1.0)
        if not any(missing * abs(row["exact"]) > row["element_stderr"] for row in rows):
            return ""
        return (
            f"not at rest: {100 * missing:.2g} % of the variance is missing, more than the errors: "
            f"raise systems.{name}.burn_in"
        )

    def _isotropic(self) -> bool:
        """Whether C ∝ 1."""
        _, noise = self.known
        level = noise.diagonal().mean() * torch.eye(len(noise), dtype=noise.dtype)
        return bool(torch.allclose(noise, level))

    def _pooled(self, name: str, rows: Rows) -> Rows:
        """Each element without its finite η, the mean over cells, beside the exact one of
        continuous time and that of H over the mean noise."""
        hessian, noise = self.known
        rate = min(self.learning_rates)
        resting = lyapunov(hessian, noise, rate, 1)
        covariance = without_steps(hessian, resting, rate)
        exact = potential_of(covariance, noise_temperature(rate, 1))
        gibbs = hessian / noise.diagonal().mean()
        pooled = []
        for (i, j), own in grouped_by(rows, "i", "j").items():
            values = column_of(own, "continuous")
            errors = column_of(own, "continuous_stderr")
            mean = weighted_mean(values, errors)
            facts = {
                "system": name,
                "place": f"{i + 1}{j + 1}",
                "exact": float(exact[i, j]),
                "loss": float(gibbs[i, j]),
            }
            pooled.append(row_of(facts, element=mean))
        return pooled


def _least(matrix: Tensor) -> float:
    """The smallest eigenvalue of a symmetric matrix [n, n]; 0 where it is rounding."""
    values = torch.linalg.eigvalsh(matrix)
    smallest = float(values[0])
    largest = float(values.abs().max())
    return smallest if abs(smallest) > ROUNDING * largest else 0.0


def resampled_covariances(squares: Tensor) -> Tensor:
    """The mean of second moments [P, n, n], then that of replicas drawn again, [1 + R, n, n]."""
    points = len(squares)
    counts = torch.from_numpy(resample_counts(points)).double() / points
    flat = squares.flatten(1)
    means = torch.cat([flat.mean(0, keepdim=True), counts @ flat])
    matrices: Tensor = means.unflatten(1, squares.shape[1:])
    return matrices
