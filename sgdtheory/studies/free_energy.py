"""A free energy falls while SGD's cloud relaxes, as fast as the Fokker–Planck equation says."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.density import log_density
from sgdtheory.fokker_planck.generator import FokkerPlanck
from sgdtheory.fokker_planck.law import temperature, time_step
from sgdtheory.fokker_planck.overdamped import too_large
from sgdtheory.fokker_planck.relaxation import Course, Relaxation
from sgdtheory.fokker_planck.watch import Seen, watch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.optim.theory import refuse_others
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of
from sgdtheory.rng import key, stream
from sgdtheory.roles.closed_forms import StatesRelaxation, states_relaxation
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.numbers import in_short
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tolerance import all_near, doubt
from sgdtheory.statistics.trends import difference, sigmas
from sgdtheory.studies.shared.curvatures import stiffest
from sgdtheory.studies.study import Case, Study, Tables, Verdict, left_open

FAR = 0.02  # nats; below it a cloud of 10⁵ points says KL to a few per cent only
CLOSE = 0.05  # of KL to the equation's
DROP = 0.02  # of F to the equation's, in units of its whole drop
MORE = "raise replicas or clouds"
SIGMAS = 3.0  # by which F may rise from one look to the next
AT_REST = 1e-3  # nats that a finite learning rate may leave: (ηh)²/16 of a harmonic well, 1e-4 here


@dataclass(frozen=True)
class FreeEnergy(Study):
    """A free energy falls while SGD's cloud relaxes, as the Fokker–Planck equation says (Chaudhari
    & Soatto 2018).

    KL(ρ‖ρ_ss) and F = E[Φ] − T·S of a cloud that starts in one well, against the Fokker–Planck
    equation.

    Claim (Chaudhari & Soatto 2018, 1710.11029, Theorem 5): F = T·KL(ρ‖ρ_ss) + const falls until ρ =
    ρ_ss ∝ e^{−Φ/T}. Refuted by a rise of F beyond its error, or by a KL(t) that is not within 5 %
    of the equation's while above .02, by two standard errors or more, of steps that are small.

    The landscape has one parameter and states `fokker_planck(temperature)`; its noise is c·1, and
    what is called T above is D = c·η/2b(1−μ). `clouds` of `replicas` points each start evenly
    spread over `start`, and are pooled. KL is that of a histogram of `bins`, its bias subtracted,
    and compared with the equation's on the same bins; S is Vasicek's, which knows nothing of ρ_ss.
    """

    axes = ("clouds",)

    landscape: Landscape
    sgd: SGD
    start: tuple[float, float] = (-1.5, -0.5)
    clouds: PositiveInt = 4
    replicas: Annotated[int, Ge(1000)] = 100_000
    bins: Annotated[int, Ge(2)] = 100
    moments: Annotated[int, Ge(2)] = 48
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        self._stated()
        refuse_others(self.sgd)
        if self.sgd.batch_size is None or self.sgd.learning_rate == "auto":
            what = "they say what the temperature is"
            raise UserError(f"sgd: give a batch_size and a learning_rate as numbers, for {what}")
        if self.reference.cells % self.bins:
            raise UserError(
                f"bins={self.bins}: must divide the {self.reference.cells} cells of the reference; "
                "use 100"
            )
        self.reference.uniform(*self.start)

    def _stated(self) -> StatesRelaxation:
        """The landscape as one whose Fokker–Planck equation is known."""
        if self.landscape.dim != 1 or not states_relaxation(self.landscape):
            raise UserError(
                "landscape: a density is compared on a line; use landscape=double_well with "
                "directions=1, ambient=null"
            )
        return self.landscape

    @property
    def reference(self) -> FokkerPlanck:
        reference: FokkerPlanck = self._stated().fokker_planck(temperature(self.sgd))
        return reference

    @property
    def steps(self) -> list[int]:
        """The looks at the cloud, evenly spaced in the logarithm of the step."""
        steps = np.geomspace(1, self.sgd.length, self.moments).round()
        return [int(step) for step in np.unique(steps)]

    def cases(self) -> list[Case]:
        return [Case(f"cloud-{k}", {"cloud": k}) for k in range(self.clouds)]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        seed = key(self.seed, "cloud", case.settings["cloud"])
        low = self.reference.low
        high = self.reference.high
        look = {step: k for k, step in enumerate(self.steps)}
        sizes = {"counts": (len(look), self.bins), "free_energy": (len(look), 2), "lost": (1,)}
        zeros = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}

        def observe(state: SGDState, seen: Seen) -> None:
            if (k := look.get(state.step)) is not None:
                x = state.cloud[:, 0].double().cpu()
                x = x[torch.isfinite(x)]
                seen["counts"][k] = torch.histc(x.clamp(low, high), self.bins, low, high)
                seen["free_energy"][k] = self._free_energy(x)
                seen["lost"][0] = self.replicas - len(x)

        start = self._start(seed)
        _, seen = watch(
            folder,
            self.sgd,
            self.landscape,
            start,
            seed,
            zeros,
            observe,
        )
        counts = seen["counts"].tolist()
        energies = seen["free_energy"].tolist()
        rows = []
        for step, k in look.items():
            rows.append({"step": step, "counts": counts[k], "free_energy": energies[k]})
        return {"moments": rows}, seen

    def _start(self, seed: int) -> Cloud:
        low, high = self.start
        share = torch.rand(self.replicas, 1, generator=stream(seed, "init"), dtype=torch.float64)
        like = self.landscape.init(1, stream(seed, "device"))
        return (low + (high - low) * share).to(like.device, dtype_of(self.dtype))

    def _free_energy(self, x: Tensor) -> Tensor:
        """F = ⟨Φ + D·log ρ⟩ of points [P] and its standard error, [2]."""
        ordered, logs = log_density(x.numpy())
        energies = self.reference.energy(ordered) + self.reference.diffusion * logs
        return torch.tensor([energies.mean(), energies.std(ddof=1) / len(energies) ** 0.5])

    def judge(self, tables: Tables) -> Verdict:
        cloud = Relaxation.of(tables["moments"])
        course = Course(self.reference, self.start, self.steps, time_step(self.sgd))
        relaxation = cloud.against(course)
        shown = {"relaxation": relaxation, "densities": cloud.densities(course)}
        large = too_large(self.sgd, stiffest(self.landscape), CLOSE)
        return Verdict(claims_of(relaxation, large), shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        return estimate_stage(self.landscape, self.sgd, self._start(0))


def claims_of(rows: Rows, large: str = "") -> list[Claim]:
    """KL follows the equation; F does, and falls; and where both end. All open, for this reason,
    where steps are too large for the equation."""
    for row in rows:
        if row["divergence"] is None:
            unknown = Measured.read(row, "divergence")
            claim = Claim("divergence", "nothing is said of the density", unknown, "a number", None)
            return left_open([claim, _free_energy(rows)], large)
    claims = [_divergence(rows), _falling(rows), _free_energy(rows), _at_rest(rows)]
    return left_open(claims, large)


def _divergence(rows: Rows) -> Claim:
    expected = (
        f"within {100 * CLOSE:g} % of Fokker–Planck's at every moment at which that is above "
        f"{FAR:g}"
    )
    far = [row for row in rows if row["divergence_exact"] > FAR]
    if not far:
        unknown = Measured.nothing(f"KL is never above {FAR:g}")
        return Claim("divergence", "the cloud starts at rest", unknown, expected, None)
    ratios = [Measured.read(row, "divergence").in_units_of(row["divergence_exact"]) for row in far]
    judged = all_near(ratios, 1, CLOSE, MORE)
    value, error, *_ = ratios[judged.at]
    assert value is not None
    apart = abs(value - 1)
    distance = Measured(apart, error, why=judged.why)
    words = (
        f"KL to the steady state falls from {rows[0]['divergence']:.2f} to "
        f"{far[-1]['divergence']:.3f} within {100 * apart:.1f} % of the Fokker–Planck equation's "
        f"at {len(far)} moments, {rows[0]['points']:,} points"
    )
    return Claim("divergence", words, distance, expected, judged.holds)


def _falling(rows: Rows) -> Claim:
    """The highest rise of F, by S and by KL alike, in units of 3 standard errors."""
    rises = []
    for name in ("free_energy", "divergence"):
        for before, after in pairwise(rows):
            error = max(before[f"{name}_stderr"], after[f"{name}_stderr"])
            rises.append((after[name] - before[name]) / (SIGMAS * error))
    highest = max(rises, default=0.0)
    does = "rises in between"
    if highest <= 0:
        does = "falls from every moment to the next"
    elif highest < 1:
        does = "falls, or rises by less than its error,"
    words = f"the free energy {does}, {len(rows)} moments"
    expected = f"no rise above {SIGMAS:g}·√(2KL/P + bins/2P²), here in that unit"
    claim = Claim("monotone", words, Measured(highest), expected, highest < 1)
    first, last = (Measured.read(row, "divergence") for row in (rows[0], rows[-1]))
    is_seen = sigmas(difference(first, last)) > SIGMAS or not claim.holds
    return claim if is_seen else claim.left_open(f"KL does not fall by its errors: {MORE}")


def _free_energy(rows: Rows) -> Claim:
    differences = []
    for row in rows:
        apart = row["free_energy"] - row["free_energy_exact"]
        error = row["free_energy_stderr"]
        differences.append(Measured(apart, error).in_units_of(row["drop"]))
    judged = all_near(differences, 0, DROP, MORE)
    value, error, *_ = differences[judged.at]
    assert value is not None
    distance = Measured(abs(value), error, why=judged.why)
    words = (
        f"F = E[Φ] − T·S, S from the spacing of the points, is within {100 * abs(value):.1f} % of "
        "its drop of the equation's"
    )
    expected = f"at most {DROP:g}, in units of the drop of F"
    return Claim("free_energy", words, distance, expected, judged.holds)


def _at_rest(rows: Rows) -> Claim:
    last = rows[-1]
    distance = Measured(
        last["divergence"] - last["divergence_exact"], last["divergence_stderr"], "nats"
    )
    cloud = last["divergence"]
    equation = last["divergence_exact"]
    words = (
        f"at the last moment the cloud is {in_short(cloud, 2)} nats from e^(−Φ/T), the equation "
        f"{in_short(equation, 2)}"
    )
    assert distance.value is not None and distance.stderr is not None
    holds: bool | None = abs(distance.value) < AT_REST + SIGMAS * distance.stderr
    if holds and distance.stderr > AT_REST:
        holds, distance = None, distance._replace(why=doubt(distance, AT_REST, MORE))
    expected = f"the same to {AT_REST:g} nats and three standard errors"
    return Claim("steady_state", words, distance, expected, holds)


PLOTS = [
    Plot(
        "divergence",
        "The cloud comes to rest as the Fokker–Planck equation says",
        "Distance KL(ρ‖ρ_ss) of SGD's cloud from the steady state against the time η·step: marks "
        "with one standard error, the histogram's bias subtracted; the line is the equation, "
        "solved to rounding, on the same bins. First the cloud fills the well it starts in, then "
        "it slowly crosses the barrier. Below about bins/P what is left is noise.",
        "relaxation",
        "time",
        ("divergence",),
        log="xy",
        theory=("divergence_exact",),
        labels={"time": "time", "divergence": "KL to the steady state, nats"},
    ),
    Plot(
        "free_energy",
        "The free energy falls",
        "F = E[Φ] − T·S of the cloud against time; S is Vasicek's estimate from the spacing of "
        "the points and knows nothing of the steady state. The line is F of the Fokker–Planck "
        "equation. Neither term falls by itself.",
        "relaxation",
        "time",
        ("free_energy",),
        log="x",
        theory=("free_energy_exact",),
        labels={"time": "time", "free_energy": "F = E[Φ] − T·S"},
    ),
    Plot(
        "densities",
        "The cloud at a few moments",
        "Density of the points (marks) and of the Fokker–Planck equation (lines), from just after "
        "the start, in one well, to the steady state e^(−Φ/T)/Z, in both.",
        "densities",
        "x",
        ("density",),
        by="moment",
        theory=("density_exact",),
        labels={"x": "θ", "density": "density"},
    ),
]
