"""Currents of SGD's steady state: its density cannot show them, the stochastic area can."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.area import area_rate, largest_plane, swept
from sgdtheory.fokker_planck.density import Array, Binned, shares
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.rotation import Turning
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD, UNCOUPLED, SGDState
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles import StatesArea, device_of, has_isotropic_noise, states_area
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, Row, Rows, in_full, row_of
from sgdtheory.statistics.trends import sigmas
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, all_hold

MOMENTS = 20  # at which the density is looked at
STILL = 4.0  # standard errors that an area may be from zero where there is no current
DENSITY = 0.004  # nats that a finite learning rate may put between the density and e^{−L/D}


@dataclass(frozen=True)
class Stirred:
    """What is stirred and how: `coupling` at each of `strengths`; without one, the noise's own
    current at strength 1.

    `replicas` points take `burn` steps and are then watched to the end of `sgd.steps`; without a
    coupling they start in the steady state's second moments exactly, and the plane is that in which
    theory's area is largest. `bins` > 0: the density on bins × bins squares of [−reach, reach]² is
    compared with e^{−L/D}.
    """

    landscape: Landscape
    sgd: SGD
    coupling: Turning | None
    strengths: Annotated[list[float], MinLen(1)]
    replicas: Annotated[int, Ge(2)]
    burn: NonNegativeInt
    bins: NonNegativeInt
    reach: PositiveFloat
    within: PositiveFloat  # of theory, relative, that the claim asks for
    clear: (
        PositiveFloat  # standard errors from zero that the claim asks for where there is a current
    )

    def __post_init__(self) -> None:
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto" or self.sgd.momentum:
            raise UserError(
                "sgd: a current needs a learning_rate and a batch_size as numbers, and momentum=0"
            )
        if self.burn >= self.sgd.steps:
            raise UserError(
                f"burn={self.burn} leaves nothing of the {self.sgd.steps} steps; make it smaller"
            )
        if self.coupling is None:
            _ = self._stated

    @property
    def _stated(self) -> StatesArea:
        """The landscape as one whose own current is known."""
        if not states_area(self.landscape):
            raise UserError(
                "coupling: null needs a landscape that states its stationary_area; use "
                "linear_regression or quadratic"
            )
        return self.landscape

    def watch(self, folder: UnitFolder, strength: float, seed: int, dtype: torch.dtype) -> Row:
        """One row: the area's rate, theory's, z; and the distance of the density from e^{−L/D}."""
        turning = None if self.coupling is None else self.coupling.with_strength(strength)
        start, plane, origin = self._start(seed, dtype)
        every = max(1, (self.sgd.steps - self.burn) // MOMENTS)
        seen = {"areas": torch.zeros(self.replicas, dtype=torch.float64, device=start.device)}
        seen["counts"] = torch.zeros(MOMENTS, self.bins**2, dtype=torch.float64)
        rate, _ = self._rate_and_size

        def look(state: SGDState, seen: Seen) -> None:
            if state.step > self.burn:
                seen["areas"] += swept(state, rate, plane, origin)
                moment, over = divmod(state.step - self.burn, every)
                if self.bins and not over and moment <= MOMENTS:
                    seen["counts"][moment - 1] = self._histogram(state.cloud)

        coupling = UNCOUPLED if turning is None else turning
        _, seen = watch(folder, self.sgd, self.landscape, start, seed, seen, look, coupling)
        time = (self.sgd.steps - self.burn) * time_step(self.sgd)
        facts = {"strength": strength, "area_exact": self._expected(turning, plane), "time": time}
        facts["lost"] = int((~torch.isfinite(seen["areas"])).sum())
        return row_of(
            facts, area=area_rate(seen["areas"], time), divergence=self._divergence(seen["counts"])
        )

    def _start(self, seed: int, dtype: torch.dtype) -> tuple[Cloud, Tensor, Tensor]:
        """Points [P, n], the plane [2, n] and the origin [n]."""
        if self.coupling is not None:
            start = self.landscape.init(self.replicas, stream(seed, "init")).to(dtype)
            plane = torch.eye(2, self.landscape.dim, dtype=dtype, device=start.device)
            return start, plane, torch.zeros_like(start[0])
        landscape, (rate, batch_size) = self._stated, self._rate_and_size
        origin = landscape.minima()[0]
        sizes, basis = torch.linalg.eigh(landscape.stationary_covariance(rate, batch_size, 0.0))
        root = basis * sizes.clamp_min(0).sqrt()  # a pixel that is always black has no noise
        draws = torch.randn(
            self.replicas, landscape.dim, generator=stream(seed, "init"), dtype=torch.float64
        )
        start = (origin + draws.to(root.device) @ root.T).to(dtype)
        return start, largest_plane(self._areas()).to(start), origin.to(start)

    def _areas(self) -> Tensor:
        return self._stated.stationary_area(*self._rate_and_size)

    @property
    def _rate_and_size(self) -> tuple[float, int]:
        assert not isinstance(self.sgd.learning_rate, str) and self.sgd.batch_size is not None
        return self.sgd.learning_rate, self.sgd.batch_size

    def _expected(self, turning: Turning | None, plane: Tensor) -> float:
        if turning is not None:
            return turning.area_rate(self.landscape, temperature(self.sgd))
        u, v = plane.double()
        return float(u @ self._areas() @ v) / time_step(self.sgd)

    def _histogram(self, cloud: Cloud) -> Tensor:
        """Counts [bins²]; what is outside counts as at the edge."""
        at = (
            ((cloud[:, :2].double() + self.reach) * (self.bins / (2 * self.reach)))
            .nan_to_num(0)
            .long()
            .clamp(0, self.bins - 1)
        )
        return (
            torch.bincount(at[:, 0] * self.bins + at[:, 1], minlength=self.bins**2).double().cpu()
        )

    def _divergence(self, counts: Tensor) -> Measured:
        """Mean over the moments; their spread is the error, as of MOMENTS independent looks."""
        if not self.bins:
            return Measured.nothing("its density is not looked at")
        landscape = self.landscape
        assert has_isotropic_noise(landscape)

        def energy(points: Array) -> Array:
            heights: Array = (
                landscape.losses(torch.from_numpy(points).to(device_of(landscape))).cpu().numpy()
            )
            return heights

        expected = shares(energy, temperature(self.sgd) * landscape.noise, self.reach, self.bins)
        divergences = [Binned(row.numpy(), expected).divergence.value for row in counts]
        return Measured.mean([x for x in divergences if x is not None], "nats")


@dataclass(frozen=True)
class Current(Study):
    """SGD's steady state has currents, which its density cannot show (Chaudhari & Soatto 2018).

    Rate of the stochastic area ⟨θ_iΔθ_j − θ_jΔθ_i⟩ of clouds at rest, against what theory says of
    each.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Section 4 and example 19): SGD's steady state breaks
    detailed balance; points circle although the density stands still. Refuted by an area that is
    not theory's where a force turns the cloud, or where noise and curvature do not commute; the
    control is that without either it is zero.

    `systems`: by name, what is stirred and how.
    """

    systems: dict[str, Stirred]
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.systems))

    def cases(self) -> list[Case]:
        return [
            Case(
                f"{name}-{in_full(strength)}",
                {"system": name, "strength": strength},
                {"systems": name},
            )
            for name, system in self.systems.items()
            for strength in system.strengths
        ]

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Neither the other strengths nor what the claims ask for is part of it."""
        name, strength = case.settings["system"], case.settings["strength"]
        judged = ("within", "clear")
        system = {
            key: value for key, value in science["systems"][name].items() if key not in judged
        }
        shared = super().depends_on(science, case)
        return shared | {"systems": {name: system | {"strengths": [strength]}}}

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name, strength = case.settings["system"], case.settings["strength"]
        seed = key(self.seed, "current", name, strength)
        row = self.systems[name].watch(folder, strength, seed, getattr(torch, self.dtype))
        return {"clouds": [row]}, {}

    def judge(self, tables: Tables) -> Verdict:
        rows = tables["clouds"]
        shown: dict[str, Rows] = {"stirred": [], "unstirred": []}
        for row in rows:
            stirred = self.systems[row["system"]].coupling is not None
            shown["stirred" if stirred else "unstirred"].append(row)
        return Verdict(claims_of(rows, self.systems), shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        system = self.systems[self.case_of(unit).settings["system"]]
        start = system.landscape.init(system.replicas, torch.Generator()).to(
            getattr(torch, self.dtype)
        )
        return estimate_stage(system.landscape, system.sgd, start)


def claims_of(rows: Rows, systems: Mapping[str, Stirred]) -> list[Claim]:
    """All systems together, then each: its currents, its control, its density."""
    claims = []
    for name, system in systems.items():
        own = [row for row in rows if row["system"] == name]
        claims += [
            *_current(name, [row for row in own if row["area_exact"]], system),
            *_still(name, [row for row in own if not row["area_exact"]]),
            *_density(name, [row for row in own if row["divergence"] is not None]),
        ]
    holds = all_hold(claims)
    clear = [abs(sigmas(Measured.read(row, "area"))) for row in rows if row["area_exact"]]
    words = (
        f"steady clouds circle: {len(clear)} stochastic areas as theory says, and none without a "
        "cause"
    )
    told = words if holds else "the stochastic areas are not all as theory says"
    clearest = Measured.nothing("no current")
    if clear:
        clearest = Measured(min(clear), 1.0, "standard errors from zero, at least")
    return [Claim("current", told, clearest, "every one as below", holds), *claims]


def _current(name: str, rows: Rows, system: Stirred) -> list[Claim]:
    """The worst of a system's currents against theory's, and the least clear."""
    if not rows:
        return []
    worst = max(rows, key=lambda row: abs(row["area"] / row["area_exact"] - 1))
    least = min(rows, key=lambda row: abs(sigmas(Measured.read(row, "area"))))
    ratio = Measured(
        worst["area"] / worst["area_exact"], worst["area_stderr"] / abs(worst["area_exact"])
    )
    z = abs(sigmas(Measured.read(least, "area")))
    words = (
        f"{name}: the area grows at {ratio} of theory's rate, at worst, and is {z:.0f} standard "
        "errors or more from 0"
    )
    expected = f"1 within {system.within:g}, more than {system.clear:g} standard errors from 0"
    assert ratio.value is not None
    holds = abs(ratio.value - 1) < system.within and z > system.clear
    return [Claim(name, words, ratio, expected, holds)]


def _still(name: str, rows: Rows) -> list[Claim]:
    """The control."""
    if not rows:
        return []
    z = max((sigmas(Measured.read(row, "area")) for row in rows), key=abs)
    words = f"{name}: with nothing to turn it the area is {abs(z):.1f} standard errors from 0"
    return [Claim(f"{name}_still", words, Measured(z, 1.0), f"less than {STILL:g}", abs(z) < STILL)]


def _density(name: str, rows: Rows) -> list[Claim]:
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["divergence"])
    distance = Measured.read(worst, "divergence")._replace(unit="nats")
    words = (
        f"{name}: the density is within {distance} of e^(−Φ/T) at every strength of {len(rows)}: "
        "it does not see the current"
    )
    expected, holds = f"below {DENSITY:g} nats", worst["divergence"] < DENSITY
    return [Claim(f"{name}_density", words, distance, expected, holds)]


PLOTS = [
    Plot(
        "currents",
        "The area grows as theory says",
        "Rate of the stochastic area of clouds at rest against the strength of the force that "
        "turns them, marks with one standard error over replicas. The lines: w⟨r²⟩ for the ring, "
        "2πλ/Z for the two wells. Their densities are the same at every strength.",
        "stirred",
        "strength",
        ("area", "divergence"),
        by="system",
        theory=("area_exact", None),
        labels={
            "strength": "strength of the rotation",
            "area": "area rate",
            "divergence": "KL of density to e^(−Φ/T), nats",
        },
    ),
]
