"""Pairs of independent minima of several networks, on which a study measures its cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Annotated, Any, ClassVar

from annotated_types import MinLen

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.paths.profile import profile
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line
from sgdtheory.protocol import Cloud, Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.studies.study import Study, Subject, start_of

DENSE = 61  # points of a line or curve that are scored


@dataclass(frozen=True)
class Trained:
    """A network, and how its minima are found."""

    landscape: NetworkLandscape
    sgd: SGD


@dataclass(frozen=True)
class MinimaInPairs(Study):
    """`pairs` of minima of each of `networks`, the names of some `recipes`: a unit a pair, and one
    for each case on a pair that is found. The settings of a case name its `network` and `pair`."""

    on: ClassVar[str]  # the study, with which its seeds begin

    recipes: dict[str, Trained]
    networks: Annotated[list[str], MinLen(1)]
    pairs: PositiveInt = 6
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.networks))

    def every_pair(self) -> list[tuple[str, int]]:
        """The networks' names, each with the numbers of its pairs."""
        return list(product(self.networks, range(self.pairs)))

    def units(self, run: Run) -> list[Unit]:
        """Two minima for each pair, and each case on two that are found."""
        minima = {}
        for name, pair in self.every_pair():
            minima[name, pair] = self._minima_unit(run.science, name, pair)
        units = list(minima.values())
        for case in self.cases():
            ends = minima[case.settings["network"], case.settings["pair"]]
            if run.result(ends) is not None:
                config = self.depends_on(run.science, case)
                units.append(self.unit(case.name, config, partial(self.do, case), (ends,)))
        return units

    def _minima_unit(self, science: Mapping[str, Any], name: str, pair: int) -> Unit:
        case = {"network": name, "pair": pair}
        config = {
            "minima": science["recipes"][name],
            "dtype": self.dtype,
            "seed": self.seed,
            "case": case,
        }
        work = partial(self.train, name, pair)
        return Unit(f"{name}-{pair}", config, work, cost=partial(self._training, name))

    def train(self, name: str, pair: int, folder: UnitFolder) -> None:
        """Do the unit of a pair: two minima [2, n], and the straight line between them."""
        recipe = self.recipes[name]
        seed = self.seed_of(name, pair)
        start = self._start(name, seed)
        ends, _ = run_measured(folder, "train", recipe.sgd, recipe.landscape, start, seed)
        t = evenly_spaced(DENSE, ends.device)
        line = profile(recipe.landscape, points_on_line(ends, t), t)
        losses = line.train_means[[0, -1]]
        doubts = [untrained(recipe.landscape, float(loss)) for loss in losses]
        row = {
            "straight": line.barrier().value,
            "lower": float(losses.min()),
            "higher": float(losses.max()),
            "untrained": "; ".join(filter(None, doubts)),
            "batch_norm": bool(recipe.landscape.statistics(ends[0])),
            "parameters": recipe.landscape.dim,
        }
        folder.finish({"tables": {"minima": [row]}}, {"minima": ends})

    def seed_of(self, name: str, pair: int) -> int:
        return key(self.seed, self.on, name, pair)

    def _start(self, name: str, seed: int) -> Cloud:
        source = stream(seed, "init")
        return start_of(self.recipes[name].landscape, 2, source, self.dtype)

    def _training(self, name: str) -> Estimate:
        recipe = self.recipes[name]
        start = self._start(name, 0)
        sgd = recipe.sgd.resolve_learning_rate(recipe.landscape, start, 0)
        return estimate_stage(recipe.landscape, sgd, start)
