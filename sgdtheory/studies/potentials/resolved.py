"""SGD's potential on real data, in the steepest directions of a minimum, and the free energies of a
cloud that starts in e^{−L/T}."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Annotated, NamedTuple

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.fokker_planck.gaussian import cosine, free_energy, lyapunov, potential_of
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.geometry.gradient_noise import SAMPLES, example_gradients
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import WithExamples, examples_of
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.bootstrap import resampled_rows
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.potentials.bowl import resampled_covariances
from sgdtheory.studies.potentials.resolved_claims import PLOTS, POTENTIALS, UNLIKE, claims_of
from sgdtheory.studies.shared.bowls import still_missing
from sgdtheory.studies.shared.parts import Found, Seen, Settings
from sgdtheory.studies.study import left_open
from sgdtheory.temperature.minimisation import find_minimum


class Ground(NamedTuple):
    """A minimum θ* [n], its steepest directions U [k, n], float64, and H and C [k, k] in them."""

    theta: Tensor
    directions: Tensor
    hessian: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Resolved:
    """A cloud of `replicas` points of SGD near a minimum, in its `directions` steepest directions.

    It starts as e^{−L/T} there, D/h_i in each, D = T·Tr C/k, with nothing in the other directions;
    `moments` looks, evenly spaced in the logarithm of the step, follow it for `burn_in` relaxation
    times 1/(ηh) of the flattest of them, and `looks` more, half such a time apart, make Σ.
    """

    landscape: Landscape
    learning_rate: PositiveFloat
    batch_size: PositiveInt
    directions: Annotated[int, Ge(2)]
    replicas: Annotated[int, Ge(50)]
    burn_in: PositiveFloat
    looks: Annotated[int, Ge(2)]
    moments: Annotated[int, Ge(3)]

    def __post_init__(self) -> None:
        refuse_augmented(self.landscape)
        refuse_batch(self.landscape, self.batch_size, "batch_size")

    @property
    def temperature(self) -> float:
        return noise_temperature(self.learning_rate, self.batch_size)

    @property
    def unrest(self) -> str:
        """Why the cloud, which begins as e^{−L/T}, is not taken for one at rest: as much of the way
        from there is left as cosines are told apart by; empty where it is not."""
        missing = still_missing(self.burn_in, self.looks, 0.5)
        if missing <= 1 - UNLIKE:
            return ""
        return f"not at rest: {100 * missing:.2g} % of the way is left: raise burn_in"

    def settings(self) -> list[Settings]:
        return [{}]

    def ground(self, seed: int) -> Ground:
        landscape = examples_of(self.landscape)
        theta = find_minimum(self.landscape, None, seed)
        curvatures, directions = top_eigenpairs(self.landscape, theta, self.directions)
        directions = directions.to(theta)
        noise = noise_along(landscape, theta, directions)
        return Ground(theta, directions, torch.diag(curvatures).to(noise), noise)

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        ground = self.ground(seed)
        spacing = self._spacing(ground, 0.5)
        first = self._spacing(ground, self.burn_in)
        last = first + self.looks * spacing
        sgd = SGD(last, self.batch_size, self.learning_rate, Constant())
        spaced = np.geomspace(1, first, self.moments).round()
        distinct = map(int, np.unique(spaced))
        at = {step: k for k, step in enumerate(distinct, 1)}
        size = (self.replicas, self.directions)
        looked = len(at) + 1
        zeros = {
            "moments": torch.zeros(looked, *size, dtype=torch.float64),
            "squares": torch.zeros(*size, self.directions, dtype=torch.float64),
            "shift": torch.zeros(self.directions, dtype=torch.float64),
        }
        away = self._gibbs(ground, seed)
        zeros["moments"][0] = away
        moved = away.to(ground.theta) @ ground.directions
        start = (ground.theta + moved).to(dtype)

        def observe(state: SGDState, seen: Observed) -> None:
            if state.step in at:
                moment = at[state.step]
                seen["moments"][moment] = self._along(state.cloud, ground)
            rested = state.step - first
            looks, over = divmod(rested, spacing)
            if looks > 0 and not over:
                y = self._along(state.cloud, ground)
                outer = y[:, :, None] * y[:, None, :]
                seen["squares"] += outer / self.looks
                seen["shift"] += y.mean(0) / self.looks

        seed_of_cloud = key(seed, "cloud")
        _, seen = watch(folder, sgd, self.landscape, start, seed_of_cloud, zeros, observe)
        steps = [0, *at]
        return self._tables(seen, ground, steps), seen

    def _spacing(self, ground: Ground, times: float) -> int:
        """Steps of so many relaxation times of the flattest direction."""
        flattest = float(ground.hessian.diagonal().min())
        return ceil(times / (self.learning_rate * flattest))

    def _gibbs(self, ground: Ground, seed: int) -> Tensor:
        """Points of e^{−L/D} in the directions, [P, k]."""
        diffusion = self.temperature * ground.noise.diagonal().mean()
        sizes = (diffusion / ground.hessian.diagonal()).sqrt().cpu()
        source = stream(seed, "init")
        draws = torch.randn(self.replicas, self.directions, generator=source, dtype=torch.float64)
        return draws * sizes

    def _along(self, cloud: Tensor, ground: Ground) -> Tensor:
        """Where a cloud [P, n] is in the directions, [P, k]."""
        away = cloud.double() - ground.theta
        return (away @ ground.directions.T).cpu()

    def _tables(self, seen: Observed, ground: Ground, steps: list[int]) -> dict[str, Rows]:
        temperature = self.temperature
        shift = seen["shift"]
        hessian = ground.hessian.cpu()
        squares = resampled_covariances(seen["squares"])
        about = squares - shift[:, None] * shift
        potentials = potential_of(about, temperature)  # [1 + R, k, k]
        exact = lyapunov(hessian, ground.noise.cpu(), self.learning_rate, self.batch_size)
        theory = potential_of(exact, temperature)
        facts: Row = {
            "directions": self.directions,
            "temperature": temperature,
            "theory_to_hessian": float(cosine(theory, hessian)),
        }
        to_hessian = _with_error(cosine(potentials, hessian))
        to_theory = _with_error(cosine(potentials, theory))
        return {
            "cosines": [row_of(facts, to_hessian=to_hessian, to_theory=to_theory)],
            "diagonals": self._diagonals(potentials, theory, ground),
            "energies": self._energies(seen["moments"], potentials[0], shift, ground, steps),
        }

    def _diagonals(self, potentials: Tensor, theory: Tensor, ground: Ground) -> Rows:
        """The curvature of Φ along each direction beside the theory's and the loss's, each over
        their mean."""
        curvatures = ground.hessian.diagonal().cpu()
        along = potentials.diagonal(dim1=1, dim2=2)
        along = along / along.mean(1, keepdim=True)
        exact = theory.diagonal() / theory.diagonal().mean()
        loss = curvatures / curvatures.mean()
        rows = []
        for k in range(self.directions):
            place: Row = {"direction": k + 1, "curvature": float(curvatures[k])}
            of_potential = {**place, "of": "Φ", "exact": float(exact[k])}
            measured = _with_error(along[:, k])
            known = float(loss[k])
            of_loss = {**place, "of": "L", "exact": known}
            rows.append(row_of(of_potential, along=measured))
            rows.append(row_of(of_loss, along=Measured(known)))
        return rows

    def _energies(
        self,
        moments: Tensor,
        potential: Tensor,
        shift: Tensor,
        ground: Ground,
        steps: list[int],
    ) -> Rows:
        """F/T in nats at each look, also less that at the start and at the last look: with the true
        Φ, and with L in its place."""
        noise = float(ground.noise.diagonal().mean())
        of_loss = ground.hessian.cpu() / noise
        used = {"Φ": (potential, shift), "L": (of_loss, 0 * shift)}
        rows = []
        for name in POTENTIALS:
            matrix, centre = used[name]
            frees = self._frees(moments - centre, matrix)  # [K, 1 + R]
            for k, step in enumerate(steps):
                time = step * self.learning_rate
                facts: Row = {"potential": name, "step": step, "time": time}
                before = frees[max(0, k - 1)]
                level = _with_error(frees[k])
                rise = _with_error(frees[k] - frees[0])
                since = _with_error(frees[k] - before)
                rows.append(row_of(facts, free_energy=level, since_start=rise, since_last=since))
        return rows

    def _frees(self, moments: Tensor, potential: Tensor) -> Tensor:
        """F/T of clouds [K, P, k] in a potential [k, k], of all points and of points drawn again,
        [K, 1 + R]."""
        points = moments.shape[1]
        drawn = torch.from_numpy(resampled_rows(points))
        every = torch.cat([torch.arange(points)[None], drawn])
        columns = []
        for cloud in moments:
            samples = cloud[every]  # [1 + R, P, k]
            means = samples.mean(1)
            away = samples - means[:, None]
            covariances = away.mT @ away / (points - 1)
            found = free_energy(potential, covariances, means, self.temperature, points)
            columns.append(found.free / self.temperature)
        return torch.stack(columns)

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        start = self.landscape.init(self.replicas, torch.Generator()).to(dtype)
        times = self.burn_in + self.looks / 2
        steps = ceil(times / (self.learning_rate * 0.05))
        sgd = SGD(steps, self.batch_size, self.learning_rate, Constant())
        return estimate_stage(self.landscape, sgd, start)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        if not tables["cosines"]:
            return Found([], {})
        (row,) = tables["cosines"]
        claims = left_open(claims_of(name, row, tables["energies"]), self.unrest)
        shown = {}
        for table in ("cosines", "diagonals", "energies"):
            shown[table] = [{"system": name, **each} for each in tables[table]]
        return Found(claims, shown, PLOTS)


def noise_along(landscape: WithExamples, theta: Tensor, directions: Tensor) -> Tensor:
    """C [k, k] of one sample at θ [n] in `directions` [k, n], from the gradient of every example:
    exact."""
    projected = []
    for indices in torch.arange(landscape.count, device=theta.device).split(SAMPLES):
        gradients = example_gradients(landscape, theta, indices)
        projected.append(gradients @ directions.T)
    rows = torch.cat(projected)
    away = rows - rows.mean(0)
    covariance: Tensor = away.T @ away / len(rows)
    return covariance


def _with_error(draws: Tensor) -> Measured:
    """The first of [1 + R] numbers, its error the spread of the others."""
    return Measured(float(draws[0]), float(draws[1:].std()))
