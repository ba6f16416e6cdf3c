"""How often AutoNEB joins two minima, as it is done here and as it is often written."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.paths.verdict import does_not_count
from sgdtheory.rng import key
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.reliabilities.claims import OTHER, OURS, claims_of, plot_of, summaries
from sgdtheory.studies.reliabilities.ways import Way
from sgdtheory.studies.shared.minima_in_pairs import MinimaInPairs
from sgdtheory.studies.study import Case, Tables, Verdict, rows_of_units


@dataclass(frozen=True, kw_only=True)
class AutoNEBReliability(MinimaInPairs):
    """AutoNEB joins pairs of minima reliably where batch-norm statistics are a point's own, and not
    where they are taken along the path (Draxler et al. 2018; 2505.02604).

    Claim: of pairs of independent minima AutoNEB joins nearly all by paths of no barrier. It was
    called unreliable (2505.02604), of searches in evaluation mode whose statistics are interpolated
    between the ends: what these find as low is higher once statistics are recomputed. Refuted by
    pairs that are not joined, half of them or more by the exact interval, or by paths of the other
    practice that are no higher where there is batch norm.

    `pairs` of minima of each of `networks`, the names of some `recipes`, every minimum from a
    random point of its own and none selected. Those of the networks that are `compared` are joined
    in all `ways`, others in those whose name begins with autoneb or evaluated. A pair is joined
    where the highest of all training losses on the path, statistics recomputed, is above the higher
    end by at most two standard errors or .005 of the straight line's barrier. `seen`: the barrier
    in the eyes of the search. Times are a processor's, measuring included: those of a clock where
    it has nothing else to do.
    """

    on = "reliability"
    axes = ("networks", "pairs", "compared")

    ways: dict[str, Way]
    compared: list[str]

    def __post_init__(self) -> None:
        for asked, names in (("networks", self.networks), ("compared", self.compared)):
            for name in names:
                if name not in self.recipes:
                    known = ", ".join(self.recipes)
                    raise UserError(f"{asked}: there is no recipe {name!r}; there are {known}")
                recipe, of_sgd = self.recipes[name], f"recipes.{name}.sgd.batch_size"
                refuse_batch(recipe.landscape, recipe.sgd.batch_size, of_sgd)

    def cases(self) -> list[Case]:
        cases = []
        for name, pair in self.every_pair():
            for way in self._ways_of(name):
                settings = {"network": name, "pair": pair, "way": way}
                title = f"{name}-{pair}-{way}"
                cases.append(Case(title, settings, {"recipes": name, "ways": way}))
        return cases

    def _ways_of(self, network: str) -> list[str]:
        if network in self.compared:
            return list(self.ways)
        return [way for way in self.ways if way.startswith((OURS, OTHER))]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        (found,) = folder.needed()
        name = case.settings["network"]
        network = self.recipes[name].landscape
        ends = found.clouds()["minima"].to(device_of(network))
        way = self.ways[case.settings["way"]]
        seed = key(self.seed_of(name, case.settings["pair"]), case.settings["way"])
        joined = way.join(network, ends, seed, folder)
        (of_pair,) = (found.result or {})["tables"]["minima"]
        straight = of_pair["straight"]
        facts: Row = {
            "gradients": joined.gradients,
            "length_ratio": joined.length_ratio,
            "seen": joined.seen,
            "joined": _is_joined(joined.barrier, straight),
            "seen_joined": _is_joined(Measured(joined.seen), straight),
        }
        return {"joined": [row_of(facts, barrier=joined.barrier)]}, {}

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
        against = {"against": self._against(summary), "against_pairs": self._against(rows)}
        shown = {"ways": summary, "pairs": rows, "minima": tables["minima"], **against}
        return Verdict(claims_of(rows, summary), shown, [plot_of(self.compared)])

    def _against(self, rows: Rows) -> Rows:
        """The rows of networks that are compared, of all ways but the other practice: those of the
        picture."""
        own = [row for row in rows if row["network"] in self.compared]
        return [row for row in own if not row["way"].startswith(OTHER)]

    def estimate(self, unit: Unit) -> Estimate:
        case = self.case_of(unit)
        name = case.settings["network"]
        network = self.recipes[name].landscape
        start = self._start(name, 0)
        seconds = self.ways[case.settings["way"]].seconds(network, start)
        return Estimate(seconds, 1e9, 1e6)


def _is_joined(barrier: Measured, straight: float) -> bool:
    """Whether a way has a barrier, and one that does not count."""
    return barrier.value is not None and does_not_count(barrier, straight)
