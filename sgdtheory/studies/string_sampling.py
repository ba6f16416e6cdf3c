"""Minima are joined by nearly straight lines at high loss, and by longer and longer paths as the
loss falls.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.trained import untrained
from sgdtheory.paths.string_sampling import String, StringSampling
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of
from sgdtheory.rng import key, stream
from sgdtheory.roles.facts import constant_loss_of
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, known, means_of
from sgdtheory.statistics.trends import above
from sgdtheory.studies.study import (
    Case,
    Study,
    Subject,
    Tables,
    Verdict,
    all_hold,
    mean_estimate,
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
    that falls with L₀. Nothing is refuted by thresholds that are not high at first (at least the
    loss of the best constant prediction), or not low at last (trained, by the test of `train`).

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
        for name, landscape in self.landscapes.items():
            refuse_batch(landscape, self.sampling.sgd.batch_size)
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
        cases = []
        for name in self.landscapes:
            entries = {"landscapes": name, "thresholds": name}
            for pair in range(self.pairs[name]):
                settings = {"landscape": name, "pair": pair}
                cases.append(Case(f"{name}-{pair}", settings, entries))
        return cases

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        name = case.settings["landscape"]
        pair = case.settings["pair"]
        levels = self.thresholds[name]
        ends = self._start(name, pair)
        rows = []
        paths = {}
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
        return cloud.to(dtype_of(self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        strings = tables["strings"]
        means = []
        for name in self.landscapes:
            means += [mean_row(strings, name, threshold) for threshold in self.thresholds[name]]
        levels = {name: self.thresholds[name] for name in self.landscapes}
        untested = {name: self._untested(name) for name in levels}
        claims = claims_of(strings, levels, self.pairs, untested)
        return Verdict(claims, {"lengths": means, "strings": strings}, PLOTS)

    def _untested(self, name: str) -> str:
        """Why the thresholds of a landscape refute nothing; empty where they may."""
        landscape, levels = self.landscapes[name], self.thresholds[name]
        if why := untrained(landscape, levels[-1]):
            return f"the last of thresholds.{name} is not low: {why}; give lower ones"
        constant = constant_loss_of(landscape)
        if constant is None or levels[0] >= constant:
            return ""
        return (
            f"the first of thresholds.{name}, {levels[0]:g}, is not high: the best constant "
            f"prediction has {constant:.3g}; give higher ones"
        )

    def estimate(self, unit: Unit) -> Estimate:
        """As two descents of all the steps that a bead may take, about the cost of one pair's
        strings; averaged over landscapes, whose costs differ widely.
        """
        stages = []
        for name, landscape in self.landscapes.items():
            start = self._start(name, 0)
            sgd = self.sampling.sgd.resolve_learning_rate(landscape, start, 0)
            stages.append(estimate_stage(landscape, sgd, start))
        return mean_estimate(stages)


def string_row(threshold: float, string: String) -> Row:
    """One row for a string; where it was not found, no length, and why."""
    row: Row = {"threshold": threshold}
    if string.why:
        row |= {"length_ratio": None, "length_ratio_why": string.why, "beads": None}
    else:
        row |= {"length_ratio": string.length_ratio, "beads": string.beads}
    row["highest_loss"] = string.highest
    row["gradients"] = string.gradients
    row["evaluations"] = string.evaluations
    return row


def mean_row(strings: Rows, name: str, threshold: float) -> Row:
    """One row for a landscape and threshold: means over the pairs whose string was found, with
    their standard errors.
    """
    rows = [row for row in strings if (row["landscape"], row["threshold"]) == (name, threshold)]
    found = known(rows, "length_ratio")
    facts = {"landscape": name, "threshold": threshold, "found": len(found), "pairs": len(rows)}
    return row_of(facts, **means_of(found, "length_ratio", "beads"))


def claims_of(
    strings: Rows,
    thresholds: dict[str, list[float]],
    pairs: dict[str, int],
    untested: Mapping[str, str],
) -> list[Claim]:
    """That all strings are straight at first and get longer, then the same of each landscape;
    `untested`: why the thresholds of some refute nothing."""
    claims = []
    for name, levels in thresholds.items():
        rows = [row for row in strings if row["landscape"] == name]
        by_level = grouped(rows, "threshold")
        ratios = [column_of(by_level.get(level, []), "length_ratio") for level in levels]
        claim = _claim(name, ratios, levels, pairs[name])
        doubt = untested.get(name, "") if claim.holds is False else ""
        claims.append(claim.left_open(doubt) if doubt else claim)
    holds = all_hold(claims)
    least = min((claim.measured for claim in claims), key=_value)
    lengths = "; ".join(f"{claim.name} {claim.measured}" for claim in claims)
    not_all = "not all " if holds is False else ""
    are = "may be" if holds is None else "are"
    told = (
        f"strings {are} {not_all}straight at high loss, longer at low; length ratio there {lengths}"
    )
    open_ones = [claim.measured.why for claim in claims if claim.holds is None]
    if holds is None:
        least = least._replace(why=open_ones[0])
    return [
        Claim("length_ratio", told, least, "1 at the highest threshold, rising as it falls", holds),
        *claims,
    ]


def _value(length: Measured) -> float:
    if length.value is None:
        return float("-inf")
    return length.value


def _claim(
    name: str,
    ratios: list[list[float]],
    levels: list[float],
    pairs: int,
) -> Claim:
    """The claim of one landscape from the length ratios of its pairs, one row for each
    threshold."""
    if any(len(row) < pairs or None in row for row in ratios):
        unknown = Measured.nothing("some strings were not found; see the table")
        words = f"{name}: not all strings were found"
        expected = "a string at every threshold"
        return Claim(name, words, unknown, expected, None)
    first = Measured.mean(ratios[0])
    last = Measured.mean(ratios[-1])
    words = f"{name}: length ratio {first} at L₀ = {levels[0]:g}"
    if len(levels) > 1:
        words += f", {last} at {levels[-1]:g}"
    holds, why = _judged(ratios, name)
    return Claim(name, words, last._replace(why=why), "1, then rising", holds)


def _judged(ratios: list[list[float]], name: str) -> tuple[bool | None, str]:
    """Whether pairs, one row for each threshold, are straight at the first and get longer, and why
    that cannot be said: by Student's bounds of the means over pairs, and of differences pair by
    pair. What is still straight at the last, for sure, is not longer unless that is seen."""
    pairs = len(ratios[0])
    if pairs < 2:
        return None, f"one pair has no error: raise pairs.{name}"
    bent = above(of_few(Measured.mean(ratios[0]), pairs), STRAIGHT)
    if bent:
        return False, ""
    if len(ratios) < 2:
        return None, f"one threshold has none to be compared with: give thresholds.{name} more"
    falls = [above(_longer(lower, higher), 0.0) for higher, lower in pairwise(ratios)]
    longer = above(_longer(ratios[0], ratios[-1]), 0.0)
    still_straight = above(of_few(Measured.mean(ratios[-1]), pairs), STRAIGHT) is False
    if True in falls or longer is False or (longer is None and still_straight):
        return False, ""
    if bent is None or longer is None:
        what = "straight at first" if bent is None else "longer at last"
        return None, f"{pairs} pairs do not tell whether they are {what}: raise pairs.{name}"
    return True, ""


def _longer(first: list[float], second: list[float]) -> Measured:
    """How much longer the same pairs' strings are at the second of two thresholds."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    return of_few(Measured.mean(differences), len(differences))


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
