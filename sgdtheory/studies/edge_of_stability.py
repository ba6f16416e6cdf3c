"""Descent at the edge of stability, of every optimiser at its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.theory import refuse_schedule
from sgdtheory.protocol import Cloud, Dtype, Landscape
from sgdtheory.rng import key, stream
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, known
from sgdtheory.studies.shared.edges import Descent, threshold_row, watched
from sgdtheory.studies.shared.hovering import claims_of
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, start_of, subject_of

THRESHOLDS = "thresholds"  # the case that runs no descent


@dataclass(frozen=True)
class EdgeOfStability(Study):
    """Descent sharpens until its steps are barely stable and stays there, each optimiser at an edge
    of its own, SGD by the curvature of its batches (Cohen et al. 2021; Andreyev & Beneventano
    2024).

    The largest curvature along descents at a constant learning rate, in units of the edge.

    Claim: full-batch descent on a squared loss hovers at 2/η, heavy ball at 2(1+μ)/η (2103.00065),
    Adam's preconditioned curvature at (2+2β₁)/((1−β₁)η) (2207.14484), SAM at its lower edge
    (2309.12488); SGD keeps the curvature of mini-batches along their own gradients at 2/η, and the
    largest eigenvalue below, the lower the smaller b (2412.20553). Refuted by a mean over the last
    half of the looks that is more than 10 % from the edge, of Adam and SAM 15 %, of a descent that
    has once come as near; or by an eigenvalue that does not fall with b. Batches are judged where
    that is below the edge by 10 %.

    On a `parabola` each edge is a threshold, which is found by running the optimiser. Control: a
    `below` descent, on cross entropy, does not reach its edge. `descents`: by name, each on one of
    `landscapes`; the curvatures are measured at `looks` steps, those of batches with `draws`
    batches each.
    """

    axes = ("descents", "landscapes")

    landscapes: Annotated[dict[str, Landscape], MinLen(1)]
    descents: Annotated[dict[str, Descent], MinLen(1)]
    parabola: Callable[..., Landscape]
    looks: Annotated[int, Ge(4)] = 40
    draws: Annotated[int, Ge(2)] = 200
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for name, descent in self.descents.items():
            key_of = f"descents.{name}"
            if descent.landscape not in self.landscapes:
                names = ", ".join(self.landscapes)
                raise UserError(
                    f"{key_of}.landscape={descent.landscape}: is none of landscapes; take {names}"
                )
            landscape, batch_size = self.landscapes[descent.landscape], descent.sgd.batch_size
            refuse_augmented(landscape)
            refuse_batch(landscape, batch_size, f"{key_of}.sgd.batch_size")
            refuse_schedule(descent.sgd, f"{key_of}.sgd")
            if descent.sgd.learning_rate == "auto":
                raise UserError(f"{key_of}.sgd.learning_rate: give a number: it sets the edge")
            if (descent.expects == "batches") != (descent.sgd.batch_size is not None):
                raise UserError(
                    f"{key_of}.expects={descent.expects}: batches need sgd.batch_size, "
                    f"and all else needs null"
                )
            if descent.sgd.length < self.looks:
                raise UserError(
                    f"{key_of}.sgd.steps={descent.sgd.length}: are fewer than looks={self.looks}; "
                    "take more steps, or fewer looks"
                )

    @property
    def landscape(self) -> Subject:
        return subject_of(self.landscapes)

    def cases(self) -> list[Case]:
        cases = [Case(THRESHOLDS, {"descent": THRESHOLDS})]
        for name, descent in self.descents.items():
            settings = {"descent": name, "kind": descent.kind}
            cases.append(Case(name, settings, {"descents": name, "landscapes": descent.landscape}))
        return cases

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Thresholds are those of all descents."""
        found = super().depends_on(science, case)
        if case.name == THRESHOLDS:
            return found | {"descents": science["descents"]}
        return found

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        if case.name == THRESHOLDS:
            return {"thresholds": self._thresholds()}, {}
        descent = self.descents[case.name]
        landscape = self.landscapes[descent.landscape]
        seed = key(self.seed, "edge", case.name)
        start = self._start(descent)
        looks = watched(folder, descent, landscape, start, self.looks, self.draws, seed)
        facts = {"batch_size": descent.sgd.batch_size, "learning_rate": descent.sgd.rate}
        return {"looks": [{**facts, **look} for look in looks]}, {}

    def _thresholds(self) -> Rows:
        """One row for each optimiser with an edge of its own."""
        rows = []
        for descent in self.descents.values():
            if descent.expects == "curvature":
                rows.append(threshold_row(descent.sgd, self.parabola))
        return rows

    def _start(self, descent: Descent) -> Cloud:
        landscape = self.landscapes[descent.landscape]
        return start_of(landscape, 1, stream(self.seed, "init", descent.landscape), self.dtype)

    def judge(self, tables: Tables) -> Verdict:
        looks = tables["looks"]
        runs = [run_row(rows) for rows in grouped(looks, "descent").values()]
        sizes = [run for run in runs if run["batch_size"] is not None]
        sizes.sort(key=lambda run: run["batch_size"])
        shown = {
            "runs": runs,
            "sizes": size_rows(sizes),
            "thresholds": tables["thresholds"],
            "full_batch": [look for look in looks if look["batch_size"] is None],
            "mini_batches": [look for look in looks if look["batch_size"] is not None],
        }
        return Verdict(claims_of(runs, sizes, tables["thresholds"]), shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """As the descent, and half of it again for the looks (measured)."""
        name = self.case_of(unit).name
        if name == THRESHOLDS:
            return Estimate(10.0, 0.0, 65536.0)  # measured
        descent = self.descents[name]
        landscape = self.landscapes[descent.landscape]
        cost = estimate_stage(landscape, descent.sgd, self._start(descent))
        return cost._replace(seconds=1.5 * cost.seconds)


def run_row(looks: Rows) -> Row:
    """One descent: means over the last half of its looks, in units of the edge, and the highest
    curvature of all."""
    last = looks[len(looks) // 2 :]
    names = ("descent", "kind", "batch_size", "learning_rate")
    facts = {name: looks[0][name] for name in names}
    facts["objective"] = last[-1]["objective"]
    facts["highest"] = _highest(looks, "curvature")
    facts["highest_batches"] = _highest(looks, "batches")
    means = {}
    for name in ("curvature", "batches", "critical"):
        numbers = column_of(known(last, name), name)
        means[name] = Measured.mean(numbers)
        if not numbers:
            means[name] = Measured.nothing(last[-1].get(f"{name}_why") or "not finite")
    return row_of(facts, **means)


def _highest(looks: Rows, name: str) -> float | None:
    """The highest number of a column; None where there is none."""
    return max(column_of(known(looks, name), name), default=None)


def size_rows(sizes: Rows) -> Rows:
    """Two rows for each batch size: the curvature of batches, and the largest of the Hessian."""
    rows = []
    for run in sizes:
        for name, of in (("batches", "batches"), ("curvature", "whole objective")):
            number = Measured.read(run, name)
            rows.append(row_of({"batch_size": run["batch_size"], "of": of}, ratio=number))
    return rows


PLOTS = [
    Plot(
        "descents",
        "Descents come to their edge, and stay",
        "The largest curvature along each full-batch descent, Adam's preconditioned, in units of "
        "the edge of stability of its optimiser at that step, the line. Descents on a squared loss "
        "hover at their edge; cross entropy comes down again as it is fitted.",
        "full_batch",
        "step",
        ("curvature",),
        by="descent",
        level=1.0,
        log="x",
        labels={"step": "step", "curvature": "largest curvature / edge"},
    ),
    Plot(
        "sharpening",
        "SGD sharpens until its batches are at the edge",
        "Along SGD of four batch sizes, in units of 2/η, the line: the curvature of mini-batches "
        "along their own gradients, with standard errors over batches, and the largest eigenvalue "
        "of the whole objective. Where batches are at the edge the eigenvalue stops rising. Single "
        "marks far above are bursts, from which SGD comes back.",
        "mini_batches",
        "step",
        ("batches", "curvature"),
        by="batch_size",
        level=1.0,
        log="x",
        labels={
            "step": "step",
            "batches": "batch sharpness / (2/η)",
            "curvature": "largest eigenvalue / (2/η)",
            "batch_size": "b =",
        },
    ),
    Plot(
        "batches",
        "SGD is at the edge by the curvature of its batches",
        "Means over the last half of each descent with standard errors over its looks, in units of "
        "2/η: the curvature of mini-batches along their own gradients, and the largest eigenvalue "
        "of the whole objective. The one is at 1 for every batch size, the other is lower the "
        "smaller the batch.",
        "sizes",
        "batch_size",
        ("ratio",),
        by="of",
        level=1.0,
        log="x",
        labels={"batch_size": "batch size", "ratio": "curvature / (2/η)", "of": "curvature of"},
    ),
]
