"""What the units of a sweep are going to cost, from short measurements."""

from dataclasses import dataclass, replace

import torch

from sgdtheory.optim.cost import estimate_descent
from sgdtheory.pipelines.sweep_sites import Grounds, Site
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.examples import count_of
from sgdtheory.runs.unit import Estimate, Unit
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.cost import estimate_cell
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

GUESS = 3000  # steps of a cell before its minimum is known
# of records that a cell takes until it is precise enough: two on a network at 2 %, eight on a few
# directions
WINDOWS = 4
# full-batch gradients that a minimum, and a quench, cost
DESCENT = 1500
QUENCHING = 200


@dataclass(frozen=True, eq=False)
class SweepCosts:
    """Costs of cells of `replicas` points and at most `steps` steps."""

    landscape: Landscape
    dtype: torch.dtype
    replicas: int
    steps: int
    seed: int

    def of_minimum(self) -> Estimate:
        return estimate_descent(self.landscape, self._start.double(), DESCENT)

    def of_quench(self) -> Estimate:
        return estimate_descent(self.landscape, self._start.to(self.dtype), QUENCHING)

    def of_cell(self, cell: Cell, ground: ReferenceMinimum | None) -> Estimate:
        """One step more and one look more are measured; how many there will be the ground says,
        else a guess."""
        steps = GUESS
        looks = GUESS // 128
        if ground is not None:
            schedule = cell.schedule(ground, count_of(self.landscape))
            looks = schedule.window * min(WINDOWS, schedule.windows)
            steps = schedule.burn_in + schedule.thinning * looks
        sgd = replace(cell.sgd, learning_rate=1e-6, steps=min(steps, self.steps))
        start = self._start.to(self.dtype)
        cloud = start.expand(self.replicas, -1).clone()
        return estimate_cell(self.landscape, sgd, cloud, looks)

    def of_known(
        self, pending: list[Unit], cells: list[tuple[Unit, Cell, Site]], grounds: Grounds
    ) -> list[tuple[str, Estimate]]:
        """Units to come by name, cells of minima that are known after all others."""
        recorded = {unit.hash for unit, _, _ in cells}
        costs = []
        for unit in pending:
            if unit.hash not in recorded:
                cost = unit.cost or self.of_minimum
                costs.append((unit.name, cost()))
        asked = {unit.hash for unit in pending}
        for unit, cell, site in cells:
            if unit.hash in asked:
                of_cell = self.of_cell(cell, grounds[site.number_and_size])
                costs.append((unit.name, of_cell))
        return costs

    @property
    def _start(self) -> Cloud:
        """A random point [1, n]."""
        return self.landscape.init(1, stream(self.seed, "init", 0))
