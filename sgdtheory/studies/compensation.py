"""When one parameter is pushed, the others make up for it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import RunError, UserError
from sgdtheory.geometry.hessian import SOLVED, hessian
from sgdtheory.landscapes.derived.clamped import push, second_order
from sgdtheory.optim.batches import refuse_augmented
from sgdtheory.optim.descent import lbfgs
from sgdtheory.protocol import Landscape, value_and_grad
from sgdtheory.rng import key, stream
from sgdtheory.roles.facts import weight_decay_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, row_of
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, means_of
from sgdtheory.statistics.trends import mean_above, quotient_of_sums
from sgdtheory.studies.compensations.plots import plots
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, subject_of

STATIONARY = 1e-6  # |∇L| of a minimum
MADE_UP, PRICE, TOO_FEW, SECOND_ORDER = 0.97, 2.0, 10.0, 0.2  # the bars: see `claims_of`


@dataclass(frozen=True)
class Compensation(Study):
    """When one parameter is pushed the myriad others make up for it, if they are many (Draxler et
    al. 2018).

    The fraction of the loss's rise that the other parameters make up for when one is pushed by δ
    and held.

    Claim (Draxler et al. 2018, 1803.00885, 5: "the myriad other parameters can make up for the
    change"): minima are joined by flat paths because no single parameter matters. Refuted by a wide
    network whose other parameters make up less than 97 % of the data loss's rise or leave more than
    twice the price ½λδ² of the pushed parameter itself, or by a narrow one, two hidden units, that
    does it as well. To second order 1/(H_ii (H⁻¹)_ii) of the rise is left, which is checked at the
    smallest of the `deltas`; the rest is claimed at the largest.

    The minimum is one of L-BFGS from random weights; `pushed` parameters are drawn from all that
    the data loss knows, the same for every δ, the sign of δ with them. In float64 throughout: what
    is left is a difference of 1e-6 of the loss. Requires λ > 0, which makes the minimum isolated.
    """

    axes = ("deltas",)

    landscapes: dict[str, Landscape]
    deltas: Annotated[tuple[PositiveFloat, ...], MinLen(1)]
    pushed: Annotated[int, Ge(2)] = 16
    search_steps: PositiveInt = 3000
    steps: PositiveInt = 300
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if len(self.landscapes) != 2:
            raise UserError(
                f"landscapes: name two networks, the wide one first, not {len(self.landscapes)}"
            )
        for name, landscape in self.landscapes.items():
            refuse_augmented(landscape)
            if not weight_decay_of(landscape) > 0:
                raise UserError(
                    f"landscapes.{name}: without weight decay no minimum is one point; use "
                    "weight_decay=0.001"
                )
            if landscape.dim > SOLVED:
                raise UserError(
                    f"landscapes.{name}: {landscape.dim:,} parameters are more than the {SOLVED:,} "
                    "whose Hessian fits"
                )

    @property
    def landscape(self) -> Subject:
        return subject_of(self.landscapes)

    def cases(self) -> list[Case]:
        cases = []
        for name, delta in product(self.landscapes, self.deltas):
            settings = {"network": name, "delta": delta}
            cases.append(Case(f"{name}-delta-{in_full(delta)}", settings, {"landscapes": name}))
        return cases

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name, delta = case.settings["network"], case.settings["delta"]
        landscape = self.landscapes[name]

        def tell(done: float, activity: str) -> None:
            folder.tell(done, activity)
            stop_if_asked()

        theta = self._minimum(landscape, name, tell)
        tell(0.25, "the whole Hessian")
        curvature = hessian(landscape, theta)
        indices, signs = self._chosen(landscape, name, curvature)
        theory, pushes = second_order(curvature, indices), []
        series = f"{name}, δ = {in_full(delta)}"
        for k, index in enumerate(indices):
            pushed = k / len(indices)
            tell(0.3 + 0.7 * pushed, f"parameter {k + 1} of {len(indices)}")
            row = push(landscape, theta, index, signs[k] * delta, self.steps)
            row = described(row, weight_decay_of(landscape))
            pushes.append({**row, "series": series, "theory": theory[k]})
        return {"pushes": pushes}, {"minima": theta[None]}

    def _minimum(
        self, landscape: Landscape, name: str, tell: Callable[[float, str], None]
    ) -> Tensor:
        """θ* [n]; RunError where L-BFGS does not reach it."""

        def progress(done: float) -> None:
            tell(0.25 * done, "the minimum")

        start = landscape.init(1, stream(self.seed, "init", name)).double()
        theta = lbfgs(landscape, start, self.search_steps, progress)[0]
        norm = float(value_and_grad(landscape, theta[None])[1].norm())
        if not norm <= STATIONARY:
            raise RunError(
                f"L-BFGS stopped at |∇L| = {norm:.1e}, which is no minimum; raise search_steps "
                f"({self.search_steps})"
            )
        return theta

    def _chosen(
        self, landscape: Landscape, name: str, curvature: Tensor
    ) -> tuple[list[int], list[int]]:
        """Which parameters are pushed, and to which side, given H [n, n]: only those that the data
        loss depends on, no weight of an empty pixel."""
        source = stream(self.seed, "pushed", name)
        known = (curvature.diagonal() - weight_decay_of(landscape)).abs() > 1e-12
        order = torch.randperm(landscape.dim, generator=source).tolist()
        indices = [i for i in order if known[i]][: self.pushed]
        signs = 2 * torch.randint(0, 2, (len(indices),), generator=source) - 1
        return indices, signs.tolist()

    def judge(self, tables: Tables) -> Verdict:
        deltas, names, pushes = list(self.deltas), list(self.landscapes), tables["pushes"]
        means = [_mean(pushes, name, delta) for name, delta in product(names, deltas)]
        claims = claims_of(pushes, deltas, names)
        return Verdict(claims, {"means": means, "pushes": pushes}, plots())

    def estimate(self, unit: Unit) -> Estimate:
        """Products with the Hessian and the gradients of all L-BFGS iterations, each as long as one
        gradient that is timed."""
        landscape = self.landscapes[self.case_of(unit).settings["network"]]
        point = landscape.init(1, stream(self.seed, key(0, "estimate"))).double()
        clock = time.perf_counter()
        value_and_grad(landscape, point)
        seconds = time.perf_counter() - clock
        gradients = self.search_steps + self.pushed * (self.steps + 300) + 2 * landscape.dim
        memory = 8.0 * 3 * landscape.dim**2 + 5e8
        disk = 16.0 * landscape.dim + 65536
        return Estimate(seconds * gradients, memory, disk)


def described(row: Row, weight_decay: float) -> Row:
    """A push with the share of the data loss's rise that is made up, and the rest in units of
    ½λδ²."""
    return {
        **row,
        "made_up": 1 - row["data_left"] / row["data_rise"],
        "left_over_price": row["left"] / (0.5 * weight_decay * row["delta"] ** 2),
        "share_left": row["left"] / row["rise"],
    }


def made_up(rows: Rows) -> Measured:
    """1 − Σ data_left / Σ data_rise over parameters, with its error over them: a quotient of means.

    A single quotient may be anything, for a push along −θ_i lowers the weight decay and may raise
    the data loss by nothing."""
    if not rows:
        return Measured.nothing("no parameter was pushed")
    rise, left = column_of(rows, "data_rise"), column_of(rows, "data_left")
    if not np.sum(rise) > 0:
        return Measured.nothing("the data loss did not rise")
    share = quotient_of_sums(left, rise)
    assert share.value is not None
    return Measured(1 - share.value, share.stderr)


def _of(rows: Rows, name: str, delta: float) -> Rows:
    return [row for row in rows if (row["network"], abs(row["delta"])) == (name, delta)]


def _mean(rows: Rows, name: str, delta: float) -> Row:
    pushes = _of(rows, name, delta)
    highest = max(column_of(pushes, "left_over_price"), default=None)
    facts = {"network": name, "delta": delta, "pushes": len(pushes), "highest": highest}
    means = means_of(pushes, "left_over_price", "rise", "left")
    return row_of(facts, made_up=made_up(pushes), **means)


def claims_of(rows: Rows, deltas: list[float], names: list[str]) -> list[Claim]:
    """The wide network at the largest push, the narrow one there, and both at the smallest."""
    (wide, narrow), small, large = names, min(deltas), max(deltas)
    of_wide = _of(rows, wide, large)
    of_narrow = _of(rows, narrow, large)
    smallest = [row for row in rows if abs(row["delta"]) == small]
    return [
        _made_up(of_wide, wide, large),
        _price(of_wide, wide),
        _too_few(of_narrow, narrow),
        _theory(smallest, small),
    ]


def _made_up(far: Rows, wide: str, delta: float) -> Claim:
    share = made_up(far)
    percent = share
    if share.value is not None:
        stderr = None if share.stderr is None else 100 * share.stderr
        percent = Measured(100 * share.value, stderr, "%")
    least = "–" if not far else f"{min(column_of(far, 'made_up')):.3f}"
    told = (
        f"{wide}: of the data loss's rise when one parameter is pushed by {delta:g}, the others "
        f"make up {percent} (the least of {len(far)} parameters: {least})"
    )
    return _above("made_up", told, share, MADE_UP, f"≥ {MADE_UP:g}", len(far))


def _above(
    name: str, told: str, number: Measured, bar: float, expected: str, samples: int
) -> Claim:
    """That a number of so many pushed parameters is above a bar, where its error lets that be
    said."""
    holds, number = mean_above(number, bar, "raise pushed", samples=samples)
    return Claim(name, told, number, expected, holds)


def _price(far: Rows, wide: str) -> Claim:
    price = Measured.mean(column_of(far, "left_over_price"))
    told = f"{wide}: what is left is {price} times the price ½λδ² of the pushed parameter"
    holds = None if not far else max(column_of(far, "left_over_price")) <= PRICE
    return Claim("price", told, price, f"≤ {PRICE:g} at every one", holds)


def _too_few(rows: Rows, narrow: str) -> Claim:
    dear = Measured.mean(column_of(rows, "left_over_price"))
    share = _percent(made_up(rows))
    told = (
        f"{narrow}: few others leave {dear} times the price and make up {share} of the data "
        "loss's rise"
    )
    expected = f"> {TOO_FEW:g}, by two standard errors"
    return _above("too_few", told, dear, TOO_FEW, expected, len(rows))


def _theory(near: Rows, delta: float) -> Claim:
    worst = max((abs(row["share_left"] / row["theory"] - 1) for row in near), default=None)
    off = Measured.nothing("no parameter was pushed") if worst is None else Measured(worst)
    told = (
        f"at δ = {delta:g} what is left is 1/(H_ii (H⁻¹)_ii) of the rise, to within {_percent(off)}"
    )
    expected = f"within {SECOND_ORDER:.0%} for every parameter of both networks"
    holds = None if worst is None else worst <= SECOND_ORDER
    return Claim("second_order", told, off, expected, holds)


def _percent(share: Measured) -> str:
    return "–" if share.value is None else f"{share.value:.1%}"
