"""The base of all studies: cases that are measured separately, and one verdict on all of their
rows."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import cleandoc
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of
from sgdtheory.roles.facts import title_of
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, Results
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.trends import every

Tables = Mapping[str, Rows]  # by name


class Subject(NamedTuple):
    """The title of a study of several landscapes, where other pipelines have one landscape."""

    title: str
    dim: int | None = None


class Case(NamedTuple):
    """One unit of a study's work.

    `settings` set it apart from the other cases: they join its identity and each of its rows.
    `entries`: of a key whose value is a mapping, the one entry that this case depends on.
    """

    name: str
    settings: Mapping[str, Any]
    entries: Mapping[str, str] = {}


class Verdict(NamedTuple):
    """The outcome of all rows: claims, the headline first, the tables to publish, and pictures of
    them.
    """

    claims: list[Claim]
    tables: Tables
    plots: Sequence[Plot] = ()


class Study(ABC):
    """A claim put to the test. A study states its cases, measures each, and judges the rows of all.

    The first paragraph of a study's docstring is its claim and whose it is, in one sentence: the
    list of studies, its yaml and docs/theory.md have it from there. What would refute it follows.
    """

    axes: ClassVar[tuple[str, ...]] = ()  # keys that only say which cases there are

    @abstractmethod
    def cases(self) -> list[Case]:
        """Everything that is measured, case by case."""

    @abstractmethod
    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        """The rows of one case by table, as plain numbers, and the tensors worth keeping by name:
        mostly clouds [P, n]."""

    @abstractmethod
    def judge(self, tables: Tables) -> Verdict:
        """The verdict on the rows of all finished cases; a table without rows is empty."""

    @abstractmethod
    def estimate(self, unit: Unit) -> Estimate:
        """The predicted cost of a unit, whose case `case_of` finds."""

    @classmethod
    def claim(cls) -> str:
        """The claim and whose it is, as the docstring has it, without its full stop."""
        first, *_ = cleandoc(cls.__doc__ or "").split("\n\n")
        return " ".join(first.split()).removesuffix(".")

    @classmethod
    def about(cls) -> Json:
        """What its report says of a study: its name, the claim, what would refute it (from
        "Refuted by" to the end of a paragraph of the docstring), and the rest."""
        _, *others = cleandoc(cls.__doc__ or "").split("\n\n")
        background, refutation = [], []
        for paragraph in others:
            before, refuted, how = " ".join(paragraph.split()).partition("Refuted by")
            if before:
                background.append(before.strip())
            if refuted:
                refutation.append(f"Refuted by{how}")
        name = cls.__module__.rpartition(".")[2]
        return {
            "name": name,
            "claim": cls.claim(),
            "refutation": refutation,
            "background": background,
        }

    def units(self, run: Run) -> list[Unit]:
        return [
            self.unit(case.name, self.depends_on(run.science, case), partial(self.do, case))
            for case in self.cases()
        ]

    def unit(
        self,
        name: str,
        config: Mapping[str, Any],
        work: Callable[[UnitFolder], None],
        needs: tuple[Unit, ...] = (),
    ) -> Unit:
        """A unit of this study, which `estimate` says the cost of."""
        unit = Unit(name, config, work, needs)
        return replace(unit, cost=partial(self.estimate, unit))

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """The part of the configuration that the rows of a case depend on."""
        kept = {key: value for key, value in science.items() if key not in self.axes}
        picked = {key: {entry: science[key][entry]} for key, entry in case.entries.items()}
        return {**kept, **picked, "case": dict(case.settings)}

    def case_of(self, unit: Unit) -> Case:
        """The case that a unit measures."""
        settings = unit.config["case"]
        return next(case for case in self.cases() if dict(case.settings) == settings)

    def do(self, case: Case, folder: UnitFolder) -> None:
        """The work of a case's unit."""
        tables, tensors = self.measure(case, folder)
        folder.finish({"tables": tables}, tensors)

    def collect(self, run: Run) -> Tables:
        """The rows of all finished units, each with the settings of its case."""
        return rows_of_units(run, self.units(run))

    def finish(self, run: Run) -> Results:
        tables = self.collect(run)
        if not any(tables.values()):
            why = "nothing is finished"
            return Results([Claim("finished", why, Measured.nothing(why), "", None)], {})
        verdict = self.judge(tables)
        plots = [plot.as_dict() for plot in verdict.plots]
        told = {"study": self.about(), "tables": dict(verdict.tables), "plots": plots}
        return Results(verdict.claims, {}, told)


def rows_of_units(run: Run, units: Sequence[Unit]) -> Tables:
    """The rows of finished units of a study by table, each with the settings of its case; a table
    without rows is empty."""
    tables: dict[str, Rows] = defaultdict(list)
    for unit in units:
        result = run.result(unit) or {"tables": {}}
        for name, rows in result["tables"].items():
            tables[name] += [{**unit.config["case"], **row} for row in rows]
    return tables


def all_hold(claims: Sequence[Claim]) -> bool | None:
    """Whether every claim holds; None where none fails and one cannot be said, or of no claim."""
    return every([claim.holds for claim in claims])


def left_open(claims: Sequence[Claim], why: str) -> list[Claim]:
    """The same claims without a verdict, for this reason; as they are where there is none."""
    if not why:
        return list(claims)
    return [claim.left_open(why) for claim in claims]


def without_verdict(claims: Sequence[Claim], doubts: str) -> list[Claim]:
    """The same numbers, of which nothing can be said for this reason; as they are where there is
    none. The headline says so first."""
    if not doubts:
        return list(claims)
    headline, *others = [
        claim.left_open(
            doubts if claim.measured.value is not None else claim.measured.why or doubts
        )
        for claim in claims
    ]
    words = f"cannot be said: {doubts}; {headline.statement}"
    return [headline._replace(statement=words), *others]


def subject_of(landscapes: Mapping[str, Landscape]) -> Subject:
    """The titles of several landscapes, their names where they have none."""
    titles = [title_of(landscape, name) for name, landscape in landscapes.items()]
    return Subject(", ".join(titles))


def start_of(
    landscape: Landscape,
    points: int,
    source: torch.Generator,
    dtype: Dtype,
) -> Cloud:
    """Fresh random points [points, n] in the dtype of a study."""
    return landscape.init(points, source).to(dtype_of(dtype))


def mean_estimate(stages: Sequence[Estimate]) -> Estimate:
    """The mean cost of several stages."""
    count = len(stages)
    return Estimate(
        seconds=sum(stage.seconds for stage in stages) / count,
        memory=sum(stage.memory for stage in stages) / count,
        disk=sum(stage.disk for stage in stages) / count,
    )
