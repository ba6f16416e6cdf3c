"""Adam's cloud has a temperature η/2√b in coordinates of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.geometry.hessian import hessian
from sgdtheory.landscapes.derived.rescaled import Rescaled
from sgdtheory.optim.adam import Adam
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.pipelines.sweep_temperature import SweepTemperature
from sgdtheory.protocol import Landscape, dtype_of
from sgdtheory.rng import key
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.adam_temperatures.claims import PLOTS, RULES, claims_of
from sgdtheory.studies.study import Case, Study, Tables, Verdict, rows_of_units
from sgdtheory.temperature.cell import Cell, SecondMoment
from sgdtheory.temperature.cell_row import describe_cell
from sgdtheory.temperature.estimators.excess_loss import ExcessLoss
from sgdtheory.temperature.reference_minimum import ReferenceMinimum


@dataclass(frozen=True)
class AdamTemperature(Study):
    """Adam has a temperature too, η/2√b: where SGD's falls with the batch size, Adam's falls with
    its root (Malladi et al. 2022).

    The cloud of Adam against the law of SGD in the coordinates φ = √σ·θ, in which the two are one
    where noise dominates.

    Claim (2205.10287; the law by freezing ŝ is the project's own): on a quadratic hᵢΣᵢᵢ =
    ησᵢ/(2√b) along every axis, σᵢ the noise of one sample's gradient, so that no one temperature
    serves all of θ; of a network 2⟨L − L*⟩/Σσᵢ has slope one in log(η/√b) and exponent −1/2 in b;
    and a batch κ times as large has the same cloud at √κ times the rate and 1 − β → κ(1 − β).
    Refuted by an axis of the quadratic that is off by 3 standard errors, a slope or an exponent
    off by .05, or a rule that is off by more than 5 %; by SGD's law if it holds as well.

    `bowl`: a quadratic ½Σkᵢyᵢ² whose sample gradients have noise 1, seen in x = y/σ, σ of
    `deviations`: there hᵢ = kᵢσᵢ². `replicas` take `steps` of Adam on it, at `learning_rate` and
    `batch_size`. The sweep is that of `sgdtheory sweep-temperature sgd=adam`; the rule is tried
    from its smallest rate and batch size.
    """

    sweep: SweepTemperature
    bowl: Landscape
    deviations: tuple[PositiveFloat, ...] = (2.0, 1.0, 0.5, 1.0)
    learning_rate: PositiveFloat = 2e-3
    batch_size: PositiveInt = 4
    replicas: PositiveInt = 4096
    steps: PositiveInt = 4000
    factor: PositiveInt = 4
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.sweep.second_moment is None or self.sweep.sweep.learning_rate == "auto":
            raise UserError("sweep: sgd must be Adam, and sweep.learning_rate a list of numbers")
        if self.bowl.dim != len(self.deviations):
            raise UserError(f"deviations: as many as the bowl has axes, {self.bowl.dim}")

    @property
    def landscape(self) -> Landscape:
        return self.sweep.landscape

    def cases(self) -> list[Case]:
        cases = [Case("bowl", {"rule": "bowl"})]
        for k, rule in enumerate(RULES):
            cases.append(Case(f"rule-{k}", {"rule": rule}))
        return cases

    def units(self, run: Run) -> list[Unit]:
        bowl, *rules = super().units(run)
        minimum, *cells = self.sweep.units(self._sweep_run(run))
        if not cells:
            return [bowl, minimum]
        # a rule's cell costs what one of the sweep does
        after = [replace(unit, needs=(minimum,), cost=cells[0].cost) for unit in rules]
        return [bowl, minimum, *cells, *after]

    def _sweep_run(self, run: Run) -> Run:
        """The sweep's own view of the run: its units are those of the command."""
        return replace(run, science=run.science["sweep"])

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        if case.name == "bowl":
            return {"axes": self._axes(folder)}, {}
        return {"rules": [self._rule(case.settings["rule"], folder)]}, {}

    def _axes(self, folder: UnitFolder) -> Rows:
        """hᵢΣᵢᵢ of each axis, over Adam's law and over SGD's."""
        sigma = torch.tensor(self.deviations, dtype=torch.float64)
        landscape = Rescaled(self.bowl, 1 / sigma)
        h = hessian(landscape, torch.zeros_like(sigma)).diagonal()
        start = torch.zeros(self.replicas, len(h))
        seed = key(self.seed, "bowl")
        cloud = run_stage(folder, "bowl", self._adam, landscape, start, seed)
        squares = cloud.double().square()
        of_adam = self.learning_rate * sigma / (2 * sqrt(self.batch_size))
        of_sgd = self.learning_rate * sigma.square() / (2 * self.batch_size)
        rows = []
        for i in range(len(h)):
            heat = Measured.mean(h[i] * squares[:, i])
            facts = {"curvature": float(h[i]), "deviation": float(sigma[i])}
            ratio = heat.in_units_of(float(of_adam[i]))
            over_sgd = heat.in_units_of(float(of_sgd[i]))
            rows.append(row_of(facts, ratio=ratio, of_sgd=over_sgd))
        return rows

    @property
    def _adam(self) -> Adam:
        return Adam(self.steps, self.batch_size, self.learning_rate, Constant(), 0.9)

    def _rule(self, rule: str, folder: UnitFolder) -> Row:
        """T of one cell, whose batch is `factor` times as large by a rule."""
        (minimum,) = folder.needed()
        ground = ReferenceMinimum.kept_in(minimum.clouds())
        cell = self._cell(rule)
        seed = key(self.seed, "rule", *cell.settings.values())
        landscape = ground.coordinates(self.landscape)
        trajectory = cell.measure(folder, landscape, ground, seed, dtype_of(self.sweep.dtype))
        estimators = {"excess_loss": ExcessLoss()}
        row = describe_cell(cell, landscape, ground, trajectory, estimators)
        temperature = Measured.from_json(row["temperature"]["excess_loss"])
        facts = {"learning_rate": cell.learning_rate, "batch_size": cell.batch_size}
        return row_of(facts, temperature=temperature)

    def _cell(self, rule: str) -> Cell:
        """The sweep's smallest rate and batch, or that batch `factor` times as large by a rule."""
        sweep = self.sweep
        moment = sweep.second_moment
        rates = sweep.sweep.learning_rate
        assert moment is not None and not isinstance(rates, str)
        rate = min(rates)
        usual = sweep.cell(rate, min(sweep.sweep.batch_size))
        if rule == RULES[0]:
            return usual
        size = self.factor * usual.batch_size
        if rule == "linear":
            return replace(usual, batch_size=size, learning_rate=self.factor * rate)
        momentum = 1 - self.factor * (1 - usual.momentum)
        beta2 = 1 - self.factor * (1 - moment.beta2)
        return replace(
            usual,
            batch_size=size,
            learning_rate=sqrt(self.factor) * rate,
            momentum=max(0.0, momentum),
            second_moment=SecondMoment(beta2, moment.epsilon),
        )

    def collect(self, run: Run) -> Tables:
        tables = {"axes": [], "rules": [], **rows_of_units(run, super().units(run))}
        cells = self.sweep.finish(self._sweep_run(run)).tables.get("cells", [])
        return {**tables, "cells": [_cell_row(cell) for cell in cells], "measured": list(cells)}

    def judge(self, tables: Tables) -> Verdict:
        claims = claims_of(tables["axes"], tables["measured"], tables["rules"])
        published = {name: rows for name, rows in tables.items() if name != "measured"}
        return Verdict(claims, published, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        start = torch.zeros(self.replicas, self.bowl.dim)
        return estimate_stage(self.bowl, self._adam, start)


def _cell_row(cell: Row) -> Row:
    temperature = Measured.from_json(cell["temperature"]["excess_loss"])
    facts = {
        "learning_rate": cell["learning_rate"],
        "batch_size": cell["batch_size"],
        "predicted": cell["predicted"],
    }
    ratio = temperature.in_units_of(cell["predicted"])
    return row_of(facts, temperature=temperature, ratio=ratio)
