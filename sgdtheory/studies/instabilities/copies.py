"""Copies of a network, and the barrier of the straight line between them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt
from sgdtheory.errors import UserError
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.spawned import refuse_unspawned, spawned, start_in_pairs
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.alignment import align
from sgdtheory.paths.baselines import symmetry_of
from sgdtheory.paths.profile import Profile, profile
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream
from sgdtheory.roles.examples import NetworkLandscape, is_network
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped
from sgdtheory.studies.instabilities.claims import PLOTS, claims_of
from sgdtheory.studies.shared.parts import Found, Seen, Settings

COLUMNS = ("barrier", "aligned", "error", "distance", "train_error")


@dataclass(frozen=True)
class Copies:
    """`pairs` of copies of a network spawned at each step of `spawn`, from as many random points,
    trained to the end of `sgd`.

    `barrier`: max over `dense` points of the straight line of the training loss over the chord
    between the ends, without L2; `aligned`: the same after the second's hidden units were
    renumbered; `error`: the rise of the test error over the mean of the ends, which Frankle et al.
    call instability; `distance`: |Δ| over |θ|.
    """

    landscape: NetworkLandscape
    sgd: SGD
    spawn: Annotated[list[NonNegativeInt], MinLen(2)]
    pairs: Annotated[int, Ge(2)] = 8
    dense: Annotated[int, Ge(3)] = 11

    def __post_init__(self) -> None:
        refuse_unspawned(self.sgd, self.spawn)
        if not is_network(self.landscape):
            raise UserError("landscape: copies are of a network; use landscape=network")
        refuse_batch(self.landscape, self.sgd.batch_size)
        if self.sgd.sampling != "iid" and self.sgd.batch_size == self.landscape.count:
            raise UserError(
                f"sgd.batch_size={self.sgd.batch_size} is all examples, and with sgd.sampling="
                f"{self.sgd.sampling} no noise parts copies; lower it"
            )

    def settings(self) -> list[Settings]:
        return [{"spawn": step} for step in self.spawn]

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        landscape = self.landscape
        sgd = spawned(self.sgd, settings["spawn"])
        start = self._start(stream(seed, "init"), dtype)
        cloud = run_stage(folder, "copies", sgd, landscape, start, seed, fraction=(0.0, 0.8))
        symmetry = symmetry_of(landscape)
        rows = []
        pairs = cloud.unflatten(0, (-1, 2))
        for r, ends in enumerate(pairs):
            stop_if_asked()
            done = 0.8 + 0.2 * r / self.pairs
            folder.tell(done, f"line {r + 1} of {self.pairs}")
            first, second = ends.cpu()
            moved = align(symmetry, second, first, stream(seed, "align", r))
            aligned = torch.stack([first, moved]).to(ends)
            row = self._line(ends, aligned)
            rows.append({"pair": r, **row})
        return {"copies": rows}, {"cloud": cloud}

    def _line(self, ends: Cloud, aligned: Cloud) -> Row:
        """What is measured of one pair [2, n]."""
        along = self._along(ends)
        after = self._along(aligned)
        barrier = along.barrier_above_line()
        left = after.barrier_above_line()
        first, second = ends
        distance = (first - second).norm() / first.norm()
        return {
            "barrier": barrier.value,
            "aligned": left.value,
            "error": _rise(along.test_errors),
            "distance": float(distance),
            "train_error": _at_the_ends(along.train_errors),
        }

    def _along(self, ends: Cloud) -> Profile:
        t = evenly_spaced(self.dense, ends.device)
        return profile(self.landscape, points_on_line(ends, t), t)

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        sgd = spawned(self.sgd, settings["spawn"])
        start = self._start(torch.Generator(), dtype)
        return estimate_stage(self.landscape, sgd, start)

    def _start(self, source: torch.Generator, dtype: torch.dtype) -> Cloud:
        points = self.landscape.init(self.pairs, source)
        return start_in_pairs(points).to(dtype)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        """Means over pairs, with their standard errors."""
        rows = []
        for step, pairs in sorted(grouped(tables["copies"], "spawn").items()):
            means = {column: Measured.mean(column_of(pairs, column)) for column in COLUMNS}
            facts = {"system": name, "spawn": step, "share": step / self.sgd.length}
            rows.append(row_of(facts, **means))
        shown = {"spawned": rows, "copies": tables["copies"]}
        return Found(claims_of(name, rows, self.pairs), shown, PLOTS)


def _rise(errors: Tensor | None) -> float | None:
    """The highest mean of a table [T, N] over that of its ends; None where there are no errors."""
    ends = _at_the_ends(errors)
    if errors is None or ends is None:
        return None
    return float(errors.mean(1).max()) - ends


def _at_the_ends(errors: Tensor | None) -> float | None:
    """The mean of a table [T, N] at its first and last point; None where it is no number."""
    if errors is None:
        return None
    means = errors.mean(1)
    both = float(means[[0, -1]].mean())
    return both if isfinite(both) else None
