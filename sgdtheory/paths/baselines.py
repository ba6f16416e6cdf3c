"""The other ways to join two minima: the straight line, the same after alignment, and curves with
bends."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.optim.adam import AdamSettings
from sgdtheory.optim.learning_rate import is_measured
from sgdtheory.optim.schedule import Cosine
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_lowering
from sgdtheory.paths.alignment import align
from sgdtheory.paths.curves import Curve, CurveLandscape, bezier_of, chain, curve_points
from sgdtheory.paths.logit_gap import logit_gap
from sgdtheory.paths.path import Path
from sgdtheory.paths.profile import HALVINGS, Profile, profile_to_the_top
from sgdtheory.paths.renumbering import renumbering_between
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line, rate_along
from sgdtheory.paths.symmetry import Symmetry
from sgdtheory.paths.symmetry_search import find_symmetry
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape, has_examples, is_network, network_of
from sgdtheory.runs.extra import FAULTS, extra, nothing, reason
from sgdtheory.runs.folder import CorruptFile
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.rows import Row

BEND_BATCH = 128  # of Bézier curves and chains
BENT = ("bezier", "chain")  # the names of the curves that are trained
CORNERS = 65  # points of a curve whose polyline has the curve's length
# of the rate that is measured: the curvature changes with t from step to step. Mean and highest
# barrier of 15 pairs of MLPs, one bend: .040 and .45 at the whole of it, .008 and .018 at this
OF_BENDS = 0.7
# of its length: an end that is no further from the other, once aligned, is that end but for
# rounding
SAME = 1e-6
WATCHED = 4  # examples on which a network's symmetry is found


@dataclass(frozen=True)
class Baselines:
    """The other ways to join two minima, with their budgets: `gradients` of a curve, `dense` evenly
    spaced points that are scored, and six about the highest of them. `bends` of the Bézier curve; a
    chain has one. Where no way joins two trained networks that curve may have `longer` times as
    many gradients.
    """

    gradients: PositiveInt = 800
    dense: Annotated[int, Ge(2)] = 15  # both ends
    bends: PositiveInt = 2
    longer: PositiveInt = 4

    @property
    def scored(self) -> int:
        """How many points of a way are scored, at most."""
        return self.dense + 2 * HALVINGS

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves that are trained, by name."""
        bezier = bezier_of(self.bends)
        return dict(zip(BENT, (bezier, chain), strict=True))

    @property
    def lengthened(self) -> Iterator["Baselines"]:
        """Those with twice the gradients and one bend more, again and again, up to `longer` times
        as many."""
        gradients, bends = 2 * self.gradients, self.bends + 1
        while gradients <= self.longer * self.gradients:
            yield replace(self, gradients=gradients, bends=bends)
            gradients, bends = 2 * gradients, bends + 1


@dataclass(frozen=True, eq=False)
class Ways:
    """What the other ways between `ends` [2, n] are measured with."""

    landscape: Landscape
    baselines: Baselines
    ends: Cloud
    seed: int
    folder: UnitFolder
    adam: AdamSettings | None = None  # what bends descend by; None: SGD

    def straight(self) -> Row:
        """The straight line."""
        line = self._along_line(self.ends)
        row = line.row(gradients=0, evaluations=len(line.t), length_ratio=1.0)
        return {
            "linear": {**row, **self._logits(self.ends, line)},
            "straight_barrier": row["barrier"],
            "curves": {"linear": line.curves()},
        }

    def aligned(self) -> Row:
        """The straight line after the second network's hidden units were renumbered to be close to
        the first's."""
        if not is_network(self.landscape):
            return {"aligned": None, "aligned_why": "only networks have hidden units to renumber"}
        first, second = self.ends
        _, renumbered = self._alignment
        ends = torch.stack([first, renumbered])
        line = self._along_line(ends)
        distance = float((renumbered - first).norm())
        row = line.row(
            gradients=0,
            evaluations=len(line.t),
            length_ratio=distance / float((second - first).norm()),
        )
        is_same = distance <= SAME * float(first.norm())
        return {
            "aligned": {**row, **self._logits(ends, line), "same_function": is_same},
            "aligned_barrier": row["barrier"],
            "curves": {"aligned": line.curves()},
        }

    @cached_property
    def _alignment(self) -> tuple[Symmetry, Tensor]:
        """The network's symmetry, and the second end [n] with its units renumbered."""
        first, second = self.ends
        symmetry = symmetry_of(network_of(self.landscape))
        renumbered = align(symmetry, second.cpu(), first.cpu(), stream(self.seed, "align"))
        return symmetry, renumbered.to(first)

    def renumbering(self) -> TensorsByName:
        """How the second network's units were renumbered: the permutations of all groups, one after
        the other, int64 [units]; none where they were turned."""
        if not is_network(self.landscape):
            return {}
        try:
            symmetry, renumbered = self._alignment
            permutations = renumbering_between(symmetry, self.ends[1], renumbered)
        except CorruptFile:
            raise
        except FAULTS:  # what cannot be aligned has told why in its row
            return {}
        if not permutations:  # no hidden units
            return {}
        return {"renumbering": torch.cat(permutations)}

    def _logits(self, ends: Cloud, line: Profile) -> Row:
        """What makes the barrier of the straight line between ends [2, n]; empty on a formula."""
        landscape = self.landscape
        if not is_network(landscape) or len(line.t) < 3:
            return {}
        gap = extra(["logit_gap"], lambda: {"logit_gap": logit_gap(landscape, ends, line)})
        return dict(gap)

    def _along_line(self, ends: Cloud) -> Profile:
        """Scores of the straight line between ends [2, n]."""
        t = evenly_spaced(self.baselines.dense, ends.device)
        return profile_to_the_top(self.landscape, partial(points_on_line, ends), t)

    def longer_bezier(self, row: Row, fraction: tuple[float, float]) -> Row:
        """The columns of a Bézier curve with these gradients and bends, where it is lower than that
        of an edge's `row`; else its gradients alone are added."""
        before = row["bezier"]
        found = self.bent("bezier", fraction, f"bezier-{self.baselines.gradients}")
        spent = before["gradients"] + self.baselines.gradients
        if found["bezier"] is None or not _is_lower(found["bezier"], before):
            return {"bezier": {**before, "gradients": spent}}
        found["bezier"]["gradients"] = spent
        found["curves"] = {**row["curves"], **found["curves"]}
        return found

    def bent(self, name: str, fraction: tuple[float, float], stage: str = "") -> Row:
        """A curve with bends; one that could not be trained is null, and after an interruption
        it is not tried again. `fraction`: where in the unit's progress it begins and ends; `stage`:
        of another name than the curve's."""
        stage = stage or name
        failed = self.folder.load_checkpoint(f"{stage}-failed")
        if failed is not None:
            return nothing([name], failed[1]["why"])
        try:
            return self._bent(name, fraction, stage)
        except CorruptFile:
            raise
        except FAULTS as fault:
            # with what it has logged, so that the log is one
            why = reason(fault)
            self.folder.save_checkpoint(f"{stage}-failed", {}, {"why": why})
            return nothing([name], why)

    def _bent(self, name: str, fraction: tuple[float, float], stage: str) -> Row:
        """A curve, its bends trained on its mean loss by the one loop."""
        curve = self.baselines.curves[name]
        ends = self.ends
        baselines = self.baselines
        seed = self.seed
        sgd = bend_sgd(self.landscape, ends, curve, baselines.gradients, seed, self.adam)
        bends, sgd = trained_bends(
            self.folder, stage, self.landscape, ends, curve, sgd, seed, fraction
        )
        t = evenly_spaced(baselines.dense, ends.device)
        along = profile_to_the_top(self.landscape, partial(curve_points, curve, ends, bends), t)
        row = along.row(
            gradients=baselines.gradients,
            evaluations=len(along.t),
            learning_rate=sgd.learning_rate,
            bends=bends.numel() // ends.shape[1],
            length_ratio=length_ratio(curve, ends, bends),
        )
        return {name: row, "curves": {name: along.curves()}}


def _is_lower(curve: Row, other: Row) -> bool:
    value, before = curve["barrier"]["value"], other["barrier"]["value"]
    return value is not None and (before is None or value < before)


def bend_sgd(
    landscape: Landscape,
    ends: Cloud,
    curve: Curve,
    gradients: int,
    seed: int,
    adam: AdamSettings | None = None,
) -> SGD:
    """The loop that trains the bends of a curve between ends [2, n] with so many gradients;
    `adam`: not by SGD."""
    batch_size = bend_batch_size(landscape)
    sgd = SGD(gradients, batch_size, "auto", Cosine(), 0.9)
    if adam is not None:
        return adam.of(sgd, adam.learning_rate)
    if batch_size is None:
        return sgd
    rate = bend_rate(landscape, sgd, ends, curve, seed)
    return replace(sgd, learning_rate=rate)


def trained_bends(
    folder: UnitFolder,
    name: str,
    landscape: Landscape,
    ends: Cloud,
    curve: Curve,
    sgd: SGD,
    seed: int,
    fraction: tuple[float, float],
) -> tuple[Tensor, SGD]:
    """The bends [K·n] of a curve between ends [2, n] at the end of a stage of this name, and the
    SGD that got there."""
    inner = CurveLandscape(landscape, ends, curve)
    start = inner.init(1, stream(seed, name)).to(ends)
    source = key(seed, name)
    (bends,), last = run_lowering(folder, name, sgd, inner, start, source, fraction)
    return bends, last


def length_ratio(curve: Curve, ends: Cloud, bends: Tensor) -> float:
    """The length of a curve with bends [K·n] over the distance of its ends [2, n]."""
    t = torch.linspace(0, 1, CORNERS)
    corners = curve_points(curve, ends, bends, t)
    path = Path(corners, t)
    return path.length_ratio


def symmetry_of(landscape: NetworkLandscape) -> Symmetry:
    """The symmetry of a landscape's network, watched on a few of its examples."""
    data = landscape.data
    inputs = data.prepared(data.train_inputs[:WATCHED], torch.float64)
    return find_symmetry(
        landscape.module, inputs, landscape.shapes, landscape.constants, landscape.outputs_of
    )


def bend_batch_size(landscape: Landscape) -> int | None:
    """How many examples a step of a bend sees; None: the whole objective, of a formula."""
    if has_examples(landscape):
        return min(BEND_BATCH, landscape.count)
    return None


def bend_rate(landscape: Landscape, sgd: SGD, ends: Cloud, curve: Curve, seed: int) -> float:
    """A learning rate for the bends of a curve φ between ends [2, n]: `OF_BENDS` times that of the
    straight line over max_t Σ w_k(t)², as the largest curvature of L(φ(t)) in the bends is Σ w_k²
    times that of L; the landscape's own number where it has one."""
    rate = rate_along(landscape, sgd, ends, key(seed, "bend"))
    if not is_measured(landscape):
        return rate
    t = torch.linspace(0, 1, CORNERS, dtype=torch.float64)
    weights = curve(t)[:, 1:-1]
    return OF_BENDS * rate / float(weights.square().sum(1).max())
