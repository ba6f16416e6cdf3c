"""Copies on a quadratic: halfway between them is below their mean, by a known amount."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.spawned import Spawned, refuse_unspawned, spawned, start_in_pairs
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.protocol import Cloud, value_and_grad, values
from sgdtheory.rng import stream
from sgdtheory.roles.closed_forms import StatesNoise
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tolerance import doubt
from sgdtheory.studies.shared.bowls import bowl_of
from sgdtheory.studies.shared.parts import Found, Seen, Settings

SIGMAS = 3.0  # standard errors within which the mean over pairs is the exact one
KNOWN = 0.05  # of the exact one, that the mean over pairs must be known to
ROUNDING = 1e-9  # relative, in float64: how far a pair may be from −⅛ΔᵀHΔ
ROUNDINGS = 64  # of the losses that a pair is made of, in a precision of which that is more


@dataclass(frozen=True)
class Bowl:
    """`pairs` of copies on a quadratic with stated noise, spawned at each step of `spawn`.

    With Δ what lies between two copies, L(middle) − mean of the two is −⅛ΔᵀHΔ for each pair, and
    −¼Tr(HΣ) on average, Σ the covariance that the noise makes from the spawning to the end: no
    barrier, whenever they are spawned.
    """

    landscape: StatesNoise
    sgd: SGD
    spawn: Annotated[list[NonNegativeInt], MinLen(1)]
    pairs: Annotated[int, Ge(2)]

    def __post_init__(self) -> None:
        refuse_unspawned(self.sgd, self.spawn)
        if type(self.sgd) is not SGD:
            raise UserError(
                f"sgd: how far the noise of {type(self.sgd).__name__} spreads is not known; use sgd"
            )
        if self.sgd.sampling != "iid":
            raise UserError(
                f"sgd.sampling={self.sgd.sampling}: how far noise spreads is known of iid; use iid"
            )
        hessian, noise = bowl_of(self.landscape)
        if not float((hessian * noise).sum()) > 0:
            raise UserError(
                "landscape: without noise or curvature copies in it do not part; use "
                "landscape.noise and curvatures above 0"
            )

    def settings(self) -> list[Settings]:
        return [{"spawn": step} for step in self.spawn]

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        landscape = self.landscape
        start = self._start(stream(seed, "init"), dtype)
        resolved = self.sgd.resolve_learning_rate(landscape, start, seed)
        sgd = spawned(resolved, settings["spawn"])
        cloud = run_stage(folder, "copies", sgd, landscape, start, seed)
        losses, gradients = value_and_grad(landscape, cloud)
        ends = cloud.unflatten(0, (-1, 2))
        middle = values(landscape, ends.mean(1))
        dip = middle - losses.view(-1, 2).mean(1)
        delta = ends[:, 1] - ends[:, 0]
        slopes = gradients.unflatten(0, (-1, 2))
        turned = slopes[:, 1] - slopes[:, 0]  # HΔ
        second_order = -(delta * turned).sum(1) / 8
        exact = -spread_energy(landscape, sgd) / 4
        off = (dip - second_order).abs().max()
        largest = losses.abs().max()
        bar = max(ROUNDING, ROUNDINGS * torch.finfo(dtype).eps)
        facts = {"exact": exact, "off": float(off / largest), "bar": bar}
        mean = Measured.mean(dip.cpu())
        row = row_of(facts, dip=mean, ratio=mean.in_units_of(exact))
        return {"bowl": [row]}, {"cloud": cloud}

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        start = self._start(torch.Generator(), dtype)
        return estimate_stage(self.landscape, spawned(self.sgd, settings["spawn"]), start)

    def _start(self, source: torch.Generator, dtype: torch.dtype) -> Cloud:
        points = self.landscape.init(self.pairs, source)
        return start_in_pairs(points).to(dtype)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        rows = tables["bowl"]
        if not rows:
            return Found([], {"bowl": rows}, PLOTS)
        claims = [_mean_claim(name, rows), _pair_claim(name, rows)]
        return Found(claims, {"bowl": rows}, PLOTS)


def spread_energy(landscape: StatesNoise, sgd: Spawned) -> float:
    """Tr(HΣ), Σ the covariance [n, n] of a copy about the other's mean at the end: that of (θ, v)
    is 0 at the spawning, and a step makes AΣAᵀ + B(C/b)Bᵀ of it, A = [[1 − ηH, −ημ], [H, μ]],
    B = [−η; 1], of Nesterov's A = [[1 − η(1+μ)H, −ημ²], [H, μ]], B = [−η(1+μ); 1]."""
    count = landscape.dim
    eye = torch.eye(count, dtype=torch.float64)
    hessian, one = bowl_of(landscape)
    noise = one / sgd.size
    mu = sgd.momentum
    # θ ← θ − η(g + μv′), v′ = μv + g, is a step of both
    of_gradient, of_memory = (1 + mu, mu * mu) if sgd.nesterov else (1.0, mu)
    of_velocity = torch.cat([hessian, mu * eye], 1)
    spread = torch.zeros(2 * count, 2 * count, dtype=torch.float64)
    for step in range(sgd.spawn, sgd.length):
        rate = sgd.rate * sgd.schedule(step, sgd.length)
        pull = rate * of_gradient
        of_point = torch.cat([eye - pull * hessian, -rate * of_memory * eye], 1)
        a = torch.cat([of_point, of_velocity])
        b = torch.cat([-pull * eye, eye])
        fresh = b @ noise @ b.T
        spread = a @ spread @ a.T + fresh
    covariance: Tensor = spread[:count, :count]
    energies = hessian * covariance
    return float(energies.sum())


def _mean_claim(name: str, rows: Rows) -> Claim:
    """The step whose mean over pairs is farthest from the exact one, in standard errors."""

    def distance(row: Row) -> float:
        return float(abs(row["ratio"] - 1) / row["ratio_stderr"])

    worst = max(rows, key=distance)
    ratio = Measured.read(worst, "ratio")
    words = (
        f"{name}: halfway between two copies the loss is below their mean, {ratio} times as far as "
        f"−¼Tr(HΣ) says, where it is farthest from that"
    )
    holds: bool | None = distance(worst) <= SIGMAS
    least_known = max(row["ratio_stderr"] for row in rows)
    if least_known > KNOWN:
        holds = None
        ratio = ratio._replace(
            why=doubt(Measured(1.0, least_known), KNOWN, f"raise systems.{name}.pairs")
        )
    expected = f"1 within {SIGMAS:g} standard errors at every step"
    return Claim(f"{name}_mean", words, ratio, expected, holds)


def _pair_claim(name: str, rows: Rows) -> Claim:
    """Each pair by itself."""
    off = max(row["off"] for row in rows)
    bar = max(row.get("bar", ROUNDING) for row in rows)
    words = f"{name}: that is −⅛ΔᵀHΔ for each pair, to {in_short(off, 2)} of the loss"
    return Claim(f"{name}_pairs", words, Measured(off), f"≤ {bar:.2g}", off <= bar)


PLOTS = [
    Plot(
        "copies_in_a_bowl",
        "On a quadratic no copy is unstable",
        "Loss halfway between two copies less their mean, against the step at which they were "
        "spawned; means with one standard error over pairs. Line: −¼Tr(HΣ), Σ the covariance that "
        "the noise makes from there to the end, exact. A barrier would be above 0: it takes a "
        "landscape that is not convex.",
        "bowl",
        "spawn",
        ("dip",),
        theory=("exact",),
        labels={"spawn": "step at which the copies are spawned", "dip": "L(middle) − mean L"},
    ),
]
