"""Minima are joined by nearly straight lines at high loss, and by ever longer ways as the loss
falls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.paths.string_sampling import String, StringSampling
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.trends import rises
from sgdtheory.studies.study import (
    Case,
    Study,
    Subject,
    Tables,
    Verdict,
    all_hold,
    column_of,
    grouped,
    subject_of,
)

STRAIGHT = 1.02  # a mean normalised length below this counts as straight


@dataclass(frozen=True)
class StringStudy(Study):
    """Strings between networks are straight at high loss, and longer the lower it is (Freeman &
    Bruna 2017).

    Normalised length and beads of the strings between two points of loss ≤ L₀, against L₀ (Freeman
    & Bruna 2017).

    Claim (1611.01540, 4 and Table 1): strings are straight at high thresholds, so the landscape
    looks convex there; as L₀ falls they grow longer and need more beads, for a regression and a
    recurrent network alike. Refuted by a length ratio away from 1 at the highest threshold, or one
    that falls with L₀.

    Both ends of a pair are trained from random points down to αL₀ (Algorithm 1, lines 2 and 3), on
    along the same two descents as L₀ falls. `pairs` and `thresholds` are those of each landscape,
    the latter falling, in units of its loss.
    """

    axes = ("pairs",)

    landscapes: dict[str, Landscape]
    thresholds: dict[str, list[PositiveFloat]]
    sampling: StringSampling
    pairs: dict[str, PositiveInt]
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for name in self.landscapes:
            levels = self.thresholds.get(name, [])
            if not levels or sorted(set(levels), reverse=True) != levels:
                raise UserError(
                    f"thresholds.{name}: give at least one, falling, such as [1,0.3,0.1], not "
                    f"{levels}"
                )
            if name not in self.pairs:
                raise UserError(f"pairs.{name}: must be given: how many pairs of {name}")

    @property
    def landscape(self) -> Subject:
        return subject_of(self.landscapes)

    def cases(self) -> list[Case]:
        return [
            Case(
                f"{name}-{pair}",
                {"landscape": name, "pair": pair},
                {"landscapes": name, "thresholds": name},
            )
            for name in self.landscapes
            for pair in range(self.pairs[name])
        ]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name, pair = case.settings["landscape"], case.settings["pair"]
        levels = self.thresholds[name]
        ends, rows, paths = self._start(name, pair), [], {}
        for k, threshold in enumerate(levels):
            kept = folder.read_stamped(f"stage-threshold-{k}.safetensors")
            if kept is None:

                def watch(done: float = k / len(levels), threshold: float = threshold) -> None:
                    folder.tell(done, f"threshold {threshold:g}")
                    stop_if_asked()

                seed = key(self.seed, "string", name, pair, k)
                string = self.sampling.grow(self.landscapes[name], ends, threshold, seed, watch)
                kept = (
                    {"path": string.path},
                    {"row": string_row(threshold, string), "unit": folder.unit.hash},
                )
                folder.write_tensors(f"stage-threshold-{k}.safetensors", *kept)
            paths[f"threshold-{k}"] = kept[0]["path"]
            ends = paths[f"threshold-{k}"][[0, -1]].to(ends)
            rows.append(kept[1]["row"])
        return {"strings": rows}, paths

    def _start(self, name: str, pair: int) -> Cloud:
        cloud: Cloud = self.landscapes[name].init(2, stream(self.seed, "init", name, pair))
        return cloud.to(getattr(torch, self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        strings, means = tables["strings"], []
        for name in self.landscapes:
            means += [mean_row(strings, name, threshold) for threshold in self.thresholds[name]]
        levels = {name: self.thresholds[name] for name in self.landscapes}
        claims = claims_of(strings, levels, self.pairs)
        return Verdict(claims, {"lengths": means, "strings": strings}, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """As two descents of all the steps that a bead may take, about what the strings of one pair
        cost: a mean over landscapes, for they cost very different.
        """
        starts = [(landscape, self._start(name, 0)) for name, landscape in self.landscapes.items()]
        sgd = self.sampling.sgd
        stages = [
            estimate_stage(landscape, sgd.resolve_learning_rate(landscape, start, 0), start)
            for landscape, start in starts
        ]
        return Estimate(*(sum(numbers) / len(stages) for numbers in zip(*stages, strict=True)))


def string_row(threshold: float, string: String) -> dict[str, Any]:
    """One row a string; where it was not found, no length, and why."""
    facts = {
        "highest_loss": string.highest,
        "gradients": string.gradients,
        "evaluations": string.evaluations,
    }
    if string.why:
        return {
            "threshold": threshold,
            "length_ratio": None,
            "length_ratio_why": string.why,
            "beads": None,
            **facts,
        }
    return {
        "threshold": threshold,
        "length_ratio": string.length_ratio,
        "beads": string.beads,
        **facts,
    }


def mean_row(strings: list[dict[str, Any]], name: str, threshold: float) -> dict[str, Any]:
    """One row a landscape and threshold: means over the pairs whose string was found, with their
    standard errors.
    """
    rows = [row for row in strings if (row["landscape"], row["threshold"]) == (name, threshold)]
    known = [row for row in rows if row["length_ratio"] is not None]
    columns = {
        column: Measured.mean(column_of(known, column)) for column in ("length_ratio", "beads")
    }
    return row_of(
        {"landscape": name, "threshold": threshold, "found": len(known), "pairs": len(rows)},
        **columns,
    )


def claims_of(
    strings: list[dict[str, Any]], thresholds: dict[str, list[float]], pairs: dict[str, int]
) -> list[Claim]:
    """That all strings are straight at first and get longer, then the same of each landscape."""
    claims = []
    for name, levels in thresholds.items():
        rows = [row for row in strings if row["landscape"] == name]
        by_level = grouped(rows, "threshold")
        ratios = [column_of(by_level.get(level, []), "length_ratio") for level in levels]
        claims.append(_claim(name, ratios, levels, pairs[name]))
    holds = all_hold(claims)
    least = min(
        (claim.measured for claim in claims),
        key=lambda m: float("-inf") if m.value is None else m.value,
    )
    lengths = "; ".join(f"{claim.name} {claim.measured}" for claim in claims)
    not_all = "not all " if holds is False else ""
    told = (
        f"strings are {not_all}straight at high loss, longer at low; length ratio there {lengths}"
    )
    return [
        Claim("length_ratio", told, least, "1 at the highest threshold, rising as it falls", holds),
        *claims,
    ]


def _claim(name: str, ratios: list[list[float]], levels: list[float], pairs: int) -> Claim:
    """`ratios`: a row of pairs for each threshold."""
    if any(len(row) < pairs or None in row for row in ratios):
        nothing = Measured.nothing("some strings were not found; see the table")
        return Claim(
            name,
            f"{name}: not all strings were found",
            nothing,
            "a string at every threshold",
            None,
        )
    first, last = Measured.mean(ratios[0]), Measured.mean(ratios[-1])
    words = f"{name}: length ratio {first} at L₀ = {levels[0]:g}, {last} at {levels[-1]:g}"
    holds = rises(ratios) if sum(ratios[0]) <= STRAIGHT * pairs else False
    return Claim(name, words, last, "1, then rising", holds)


PLOTS = [
    Plot(
        "strings",
        "Ever longer ways at ever lower loss",
        "A string is a chain of straight pieces between two networks on which the loss stays "
        "below the threshold; both ends are trained just below it too. Left, its length in units "
        "of the straight line, right, the points (beads) that had to be put in between; small "
        "marks are single pairs, large ones their mean with one standard error, over those that "
        "were found within their budget. At 1 with no beads the straight line itself is low "
        "enough, as it always is on a convex landscape; how far the curves rise as the threshold "
        "falls says how curved the valleys are that the networks lie in.",
        "lengths",
        "threshold",
        ("length_ratio", "beads"),
        by="landscape",
        log="x",
        singles="strings",
        labels={
            "threshold": "threshold",
            "length_ratio": "length / straight line",
            "beads": "beads",
        },
    ),
]
