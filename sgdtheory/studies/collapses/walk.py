"""Stochastic collapse in one dimension: noise that vanishes at 0 holds points at a maximum."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose, sqrt
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.second_moments import collapse_of, lyapunov_exponent
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.roles.closed_forms import states_noise
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import known
from sgdtheory.statistics.tolerance import all_near
from sgdtheory.statistics.trends import above, every
from sgdtheory.studies.shared.parts import Found, Seen, Settings

CLOSE = 0.02  # of the exponent, relative


@dataclass(frozen=True)
class Walk:
    """x ← x(1 + ημ − √η·ζξ): SGD on −½μx² with noise ζ²x² in a step, b over b of `batch_sizes`.

    `replicas` points start at 1 and take `steps`; log|x|/steps is the Lyapunov exponent, exactly on
    average.
    """

    landscape: Landscape
    learning_rate: PositiveFloat
    batch_sizes: Annotated[list[PositiveInt], MinLen(1)]
    replicas: Annotated[int, Ge(2)]
    steps: PositiveInt

    def __post_init__(self) -> None:
        slope, noise = self._known(1.0)
        far_slope, far_noise = self._known(3.0)
        straight = isclose(far_slope, 3 * slope) and isclose(far_noise, 9 * noise)
        if not straight or noise == 0:
            raise UserError(
                "landscape: a walk needs a force ∝ x and noise ∝ x; use landscape=uneven with "
                "level=0, growth=1, quartic=0"
            )
        if slope >= 0:
            raise UserError(
                "landscape: noise holds points at a maximum, and this one has a minimum at 0; give "
                "curvatures one that is below 0"
            )

    def _known(self, x: float) -> tuple[float, float]:
        """L′ and C of one sample at x."""
        if not states_noise(self.landscape) or self.landscape.dim != 1:
            raise UserError("landscape: a walk is on a line; use landscape=uneven")
        where = device_of(self.landscape)
        point = torch.full((1, 1), x, dtype=torch.float64, device=where)
        _, gradient = value_and_grad(self.landscape, point)
        noise = self.landscape.noise_covariance(point)
        return float(gradient), float(noise)

    @property
    def drift(self) -> float:
        """ημ."""
        slope, _ = self._known(1.0)
        return -self.learning_rate * slope

    def spread(self, size: int) -> float:
        """√η·ζ at a batch size."""
        _, noise = self._known(1.0)
        return self.learning_rate * sqrt(noise / size)

    def settings(self) -> list[Settings]:
        return [{"batch_size": size} for size in self.batch_sizes]

    def _start(self, dtype: torch.dtype) -> Tensor:
        where = device_of(self.landscape)
        return torch.ones(self.replicas, 1, dtype=dtype, device=where)

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        size = settings["batch_size"]
        sgd = SGD(self.steps, size, self.learning_rate, Constant())
        nothing: Observed = {}

        def observe(state: SGDState, seen: Observed) -> None:
            """Only the end is looked at."""

        cloud, _ = watch(folder, sgd, self.landscape, self._start(dtype), seed, nothing, observe)
        away = cloud[:, 0].abs()
        logs = away.double().log().cpu()
        spread = self.spread(size)
        facts = {
            "noise": spread**2 / (2 * self.drift),
            "exact": lyapunov_exponent(self.drift, spread),
            "ito": self.drift - spread**2 / 2,
            "stratonovich": self.drift,
            "threshold": collapse_of(self.drift) ** 2 / (2 * self.drift),
        }
        exponent = Measured.mean((logs / self.steps).numpy())
        numbers = torch.finfo(dtype)
        if not bool(((away >= numbers.tiny) & (away <= numbers.max)).all()):
            told = str(dtype).removeprefix("torch.")
            exponent = Measured.nothing(
                f"points are at distances from 0 that {told} has no numbers for: take fewer steps, "
                "or dtype=float64"
            )
        return {"walks": [row_of(facts, exponent=exponent)]}, {"logs": logs}

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        sgd = SGD(self.steps, settings["batch_size"], self.learning_rate, Constant())
        return estimate_stage(self.landscape, sgd, self._start(dtype))

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        rows = sorted(tables["walks"], key=lambda row: float(row["noise"]))
        if not rows:
            return Found([], {})
        return Found([_exponents(name, rows), _sides(name, rows)], {"walks": rows}, PLOTS)


def _exponents(name: str, rows: Rows) -> Claim:
    ratios = [Measured.read(row, "exponent").in_units_of(row["exact"]) for row in rows]
    at, holds, why = all_near(ratios, 1, CLOSE, f"raise systems.{name}.replicas")
    ratio = ratios[at]
    far = max(abs(row["ito"] / row["exact"] - 1) for row in rows)
    words = (
        f"{name}: the Lyapunov exponent is {ratio} times E log|1 + ημ − √η·ζξ| at worst, over "
        f"{len(rows)} strengths of noise; in continuous time, η(μ − ζ²/2), it would be up to "
        f"{100 * far:.0f} % off"
    )
    ratio = ratio._replace(why=why)
    return Claim(f"{name}_exponent", words, ratio, f"1 within {CLOSE:g}", holds)


def _sides(name: str, rows: Rows) -> Claim:
    """Points collapse exactly where the noise is above its threshold."""
    expected = "0 on the wrong side"
    measured = known(rows, "exponent")
    if len(measured) < len(rows):
        unknown = Measured.read(next(row for row in rows if row not in measured), "exponent")
        return Claim(f"{name}_sides", f"{name}: {unknown.why}", unknown, expected, None)
    sides = [_is_on_its_side(row) for row in rows]
    collapsed = sum(row["exponent"] < 0 for row in rows)
    words = (
        f"{name}: points collapse onto the maximum at {collapsed} of {len(rows)} strengths, all "
        f"with ζ² above {rows[0]['threshold']:.3f} × 2μ"
    )
    count = Measured(float(sides.count(False)))
    holds = every(sides)
    are_above = {row["noise"] > row["threshold"] for row in rows}
    if holds and len(are_above) < 2:
        holds = None
        why = f"every strength is on one side of its threshold: raise systems.{name}.batch_sizes"
        count = count._replace(why=why)
    elif holds is None:
        size = rows[sides.index(None)]["batch_size"]
        why = f"at b = {size} the exponent is within two errors of 0: raise systems.{name}.replicas"
        count = count._replace(why=why)
    return Claim(f"{name}_sides", words, count, expected, holds)


def _is_on_its_side(row: Row) -> bool | None:
    """Whether points collapse where they should and not where they should not; None where the
    errors do not tell whether they do."""
    grows = above(Measured.read(row, "exponent"), 0.0)
    return None if grows is None else grows != (row["noise"] > row["threshold"])


PLOTS = [
    Plot(
        "walks",
        "Noise that vanishes at a maximum holds points there",
        "Growth of log|x| a step of x ← x(1 + ημ − √η·ζξ) against the noise ζ²/2μ (marks, one "
        "standard error; the line is exact). Below 0 points collapse onto x = 0, a maximum of the "
        "loss: in continuous time where ζ² > 2μ, at this η a little earlier.",
        "walks",
        "noise",
        ("exponent",),
        log="x",
        theory=("exact",),
        level=0.0,
        labels={"noise": "ζ²/2μ", "exponent": "growth of log|x| a step"},
    ),
]
