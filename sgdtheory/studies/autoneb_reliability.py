"""How often AutoNEB joins two minima, as it is done here and as it is often written."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.paths.profile import profile
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line
from sgdtheory.paths.verdict import does_not_count
from sgdtheory.protocol import Cloud, Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row
from sgdtheory.studies.reliabilities.claims import OTHER, OURS, claims_of, plot_of, summaries
from sgdtheory.studies.reliabilities.ways import DENSE, Way
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, rows_of_units, start_of


@dataclass(frozen=True)
class Trained:
    """A network, and how its minima are found."""

    landscape: NetworkLandscape
    sgd: SGD


@dataclass(frozen=True)
class AutoNEBReliability(Study):
    """AutoNEB joins every pair of minima that is trained; where it is said not to, batch-norm
    statistics are taken along the path (Draxler et al. 2018; 2505.02604).

    Claim: of pairs of independent minima AutoNEB joins nearly all by paths of no barrier; maxima of
    .5 to 1.5 nats that were reported of it (2505.02604) are those of networks whose batch-norm
    statistics were interpolated between the ends. Refuted by pairs that are not joined, half of
    them or more by the exact interval, or by paths of the other practice that are no higher where
    there is batch norm.

    `pairs` of minima of each of `networks`, the names of some `recipes`, every minimum from a
    random point of its own and none selected. Those of the networks that are `compared` are joined
    in all `ways`, others in those whose name begins with autoneb or evaluated. A pair is joined
    where the highest of all training losses on the path, statistics recomputed, is above the higher
    end by at most two standard errors or .005 of the straight line's barrier. `seen`: the barrier
    in the eyes of the search. Times are a processor's, measuring included: those of a clock where
    it has nothing else to do.
    """

    axes = ("networks", "pairs", "compared")

    recipes: dict[str, Trained]
    ways: dict[str, Way]
    networks: Annotated[list[str], MinLen(1)]
    compared: list[str]
    pairs: PositiveInt = 6
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for asked, names in (("networks", self.networks), ("compared", self.compared)):
            for name in names:
                if name not in self.recipes:
                    known = ", ".join(self.recipes)
                    raise UserError(f"{asked}: there is no recipe {name!r}; there are {known}")

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.networks))

    def cases(self) -> list[Case]:
        cases = []
        for name, pair in self._pairs():
            for way in self._ways_of(name):
                settings = {"network": name, "pair": pair, "way": way}
                title = f"{name}-{pair}-{way}"
                cases.append(Case(title, settings, {"recipes": name, "ways": way}))
        return cases

    def _ways_of(self, network: str) -> list[str]:
        if network in self.compared:
            return list(self.ways)
        return [way for way in self.ways if way.startswith((OURS, OTHER))]

    def _pairs(self) -> list[tuple[str, int]]:
        return [(name, pair) for name in self.networks for pair in range(self.pairs)]

    def units(self, run: Run) -> list[Unit]:
        """Two minima for each pair, and each way between two that are found."""
        minima = {}
        for name, pair in self._pairs():
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
        seed = self._seed(name, pair)
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

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        (found,) = folder.needed()
        name = case.settings["network"]
        network = self.recipes[name].landscape
        ends = found.clouds()["minima"].to(device_of(network))
        way = self.ways[case.settings["way"]]
        seed = key(self._seed(name, case.settings["pair"]), case.settings["way"])
        joined = way.join(network, ends, seed, folder)
        (of_pair,) = (found.result or {})["tables"]["minima"]
        facts: Row = {
            "gradients": joined.gradients,
            "length_ratio": joined.length_ratio,
            "seen": joined.seen,
            "joined": _is_joined(joined.barrier, of_pair["straight"]),
            "seen_joined": _is_joined(Measured(joined.seen), of_pair["straight"]),
        }
        return {"joined": [row_of(facts, barrier=joined.barrier)]}, {}

    def _seed(self, name: str, pair: int) -> int:
        return key(self.seed, "reliability", name, pair)

    def _start(self, name: str, seed: int) -> Cloud:
        source = stream(seed, "init")
        return start_of(self.recipes[name].landscape, 2, source, self.dtype)

    def collect(self, run: Run) -> Tables:
        """The rows of all finished units, with the seconds that their processor took."""
        tables: dict[str, list[Row]] = {"minima": [], "joined": []}
        for unit in self.units(run):
            seconds = run.folder(unit).status.get("cpu_seconds")
            for name, rows in rows_of_units(run, [unit]).items():
                tables[name] += [{**row, "cpu_seconds": seconds} for row in rows]
        return tables

    def judge(self, tables: Tables) -> Verdict:
        """Of the pairs whose ends are trained."""
        minima = {(row["network"], row["pair"]): row for row in tables["minima"]}
        rows = []
        for row in tables["joined"]:
            ends = minima[row["network"], row["pair"]]
            if not ends["untrained"]:
                rows.append({**row, "batch_norm": ends["batch_norm"]})
        summary = summaries(rows)
        shown = {"ways": summary, "pairs": rows, "minima": tables["minima"]}
        return Verdict(claims_of(rows, summary), shown, [plot_of(self.networks)])

    def estimate(self, unit: Unit) -> Estimate:
        case = self.case_of(unit)
        name = case.settings["network"]
        network = self.recipes[name].landscape
        start = self._start(name, 0)
        seconds = self.ways[case.settings["way"]].seconds(network, start)
        return Estimate(seconds, 1e9, 1e6)

    def _training(self, name: str) -> Estimate:
        recipe = self.recipes[name]
        start = self._start(name, 0)
        sgd = recipe.sgd.resolve_learning_rate(recipe.landscape, start, 0)
        return estimate_stage(recipe.landscape, sgd, start)


def _is_joined(barrier: Measured, straight: float) -> bool:
    """Whether a way has a barrier, and one that does not count."""
    return barrier.value is not None and does_not_count(barrier, straight)
