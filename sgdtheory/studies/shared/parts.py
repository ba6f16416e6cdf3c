"""Studies that are made of parts, each with clouds and claims of its own."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.protocol import Dtype, dtype_of
from sgdtheory.rng import key
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, all_hold

Settings = Mapping[str, Any]  # that set a case apart
Seen = tuple[dict[str, Rows], dict[str, Tensor]]  # rows by table, clouds by name
AXES = ("learning_rates", "batch_sizes")  # of a part, that only say which cases there are


class Found(NamedTuple):
    """What a part contributes to the verdict."""

    claims: list[Claim]
    tables: dict[str, Rows]
    plots: Sequence[Plot] = ()


class Part(Protocol):
    """Clouds that are watched, and judged against their theory."""

    def settings(self) -> list[Settings]:
        """Of each case."""
        ...

    def watch(
        self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype
    ) -> Seen: ...

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        """The verdict on the rows of all finished cases of the part of this name."""
        ...

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        """The cost of a case."""
        ...


@dataclass(frozen=True)
class InParts(Study):
    """`systems` are the parts by name; a part's units depend on it alone."""

    on: ClassVar[str]  # the study, with which its seeds begin
    as_said: ClassVar[str]  # the headline where all of its claims hold
    spoken_of: ClassVar[tuple[str, ...]]  # the parts that it is about

    systems: dict[str, Part]
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    @property
    def landscape(self) -> Subject:
        return Subject(", ".join(self.systems))

    def cases(self) -> list[Case]:
        cases = []
        for name, system in self.systems.items():
            for settings in system.settings():
                words = [name, *map(_word, settings.values())]
                title = "-".join(words)
                cases.append(Case(title, {"system": name, **settings}, {"systems": name}))
        return cases

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Not on the other cells of its grid."""
        name = case.settings["system"]
        system = dict(science["systems"][name])
        for axis in AXES:
            system.pop(axis, None)
        return super().depends_on(science, case) | {"systems": {name: system}}

    def plan(self, run: Run, pending: list[Unit]) -> list[tuple[str, Estimate]]:
        """Each with its own cost: parts and their cells differ."""
        return [(unit.name, self.estimate(unit)) for unit in pending]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        settings = dict(case.settings)
        name = settings.pop("system")
        seed = key(self.seed, self.on, name, *settings.values())
        return self.systems[name].watch(folder, settings, seed, dtype_of(self.dtype))

    def estimate(self, unit: Unit) -> Estimate:
        settings = dict(self.case_of(unit).settings)
        system = self.systems[settings.pop("system")]
        return system.estimate(settings, dtype_of(self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        """A headline, then the claims of all parts."""
        claims, shown, plots = self.found(tables)
        words = self.as_said
        if not set(self.spoken_of).issubset(self.systems):
            words = f"{', '.join(self.systems)}, without the rest, as theory says"
        return Verdict([headline(self.on, claims, words), *claims], shown, plots)

    def found(self, tables: Tables) -> Found:
        """The verdicts of all parts together; one that claims nothing leaves the whole open."""
        claims: list[Claim] = []
        shown: dict[str, Rows] = defaultdict(list)
        plots: dict[str, Plot] = {}
        for name, system in self.systems.items():
            own: dict[str, Rows] = defaultdict(list)
            for table, rows in tables.items():
                own[table] += grouped(rows, "system").get(name, [])
            part = system.judge(name, own)
            claims += part.claims or [_nothing_of(name)]
            for table, rows in part.tables.items():
                shown[table] += rows
            plots |= {plot.name: plot for plot in part.plots}
        return Found(claims, dict(shown), list(plots.values()))


def _nothing_of(name: str) -> Claim:
    """What is claimed of a part whose cases say nothing: too few, or none that stayed finite."""
    words = f"{name} says nothing"
    nothing = Measured.nothing(f"{name}: nothing that was run can be judged")
    return Claim(name, words, nothing, "", None)


def headline(name: str, claims: list[Claim], words: str) -> Claim:
    """All parts together: `words` where every claim holds, and how many do."""
    holds = all_hold(claims)
    kept = sum(claim.holds is True for claim in claims)
    if holds is False:
        failed = ", ".join(claim.name for claim in claims if claim.holds is False)
        words = f"not as theory says: {failed}"
    if holds is None:
        words = "not everything that is claimed can be said"
    words = f"{words}: {kept} of {len(claims)} checks hold"
    share = Measured.nothing("nothing is claimed")
    if claims:
        reasons = [claim.measured.why for claim in claims if claim.holds is None]
        share = Measured(kept / len(claims), why=next(iter(reasons), "") if holds is None else "")
    return Claim(name, words, share, "all of them", holds)


def _word(value: str | float) -> str:
    return value if isinstance(value, str) else in_full(value)
