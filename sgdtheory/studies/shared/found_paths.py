"""Pairs of minima, each joined by AutoNEB: found once and shared by all studies of paths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import train_losses
from sgdtheory.paths.search import Progress
from sgdtheory.paths.verdict import CONNECTED, does_not_count
from sgdtheory.protocol import Cloud, Dtype, Landscape, dtype_of
from sgdtheory.rng import key, stream
from sgdtheory.roles.closed_forms import states_minima
from sgdtheory.roles.facts import device_of
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, row_of
from sgdtheory.statistics.rows import Rows
from sgdtheory.studies.study import Case, Study, start_of

# keys that the identity of a path consists of
OF_A_PATH = ("landscape", "sgd", "autoneb", "trained", "dtype", "seed")


@dataclass(frozen=True)
class FoundPaths(Study):
    """`pairs` paths, one unit for each, which depend only on how they are found: studies share them
    under one `run.root`.

    Of each pair's own `trained` minima the two lowest are joined: SGD ends now and then in a poor
    one, and a path to it measures that end. A formula's stated minima are joined as they are, and
    its paths differ by the chance of the search alone.
    """

    on: ClassVar[str]  # the measurement on a path, with which the names of its units begin
    keys: ClassVar[tuple[str, ...]] = ()  # of the configuration, on which it depends besides

    landscape: Landscape
    sgd: SGD
    autoneb: AutoNEB
    pairs: PositiveInt = 4
    trained: Annotated[int, Ge(2)] = 4
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        refuse_batch(self.landscape, self.sgd.batch_size)

    def cases(self) -> list[Case]:
        cases = []
        for pair in range(self.pairs):
            cases.append(Case(f"{self.on}-{pair}", {"pair": pair}))
        return cases

    def units(self, run: Run) -> list[Unit]:
        """One unit for each path, and one of the study's own for each path that is found."""
        shared = {name: run.science[name] for name in OF_A_PATH}
        settings_on_path = {name: run.science[name] for name in self.keys}
        paths, studied = [], []
        for case in self.cases():
            pair = case.settings["pair"]
            settings = dict(case.settings)
            config = {"path": {**shared, "pair": pair}, "case": settings}
            path = Unit(f"path-{pair}", config, partial(self.find, case), cost=self.estimate_path)
            paths.append(path)
            if run.result(path) is not None:
                what = {**config, self.on: settings_on_path}
                work = partial(self.do, case)
                studied.append(self.unit(case.name, what, work, (path,)))
        return [*paths, *studied]

    def find(self, case: Case, folder: UnitFolder) -> None:
        """Do the unit of a path."""
        seed = self.seed_of(case)
        cloud = self._ends(folder, seed)
        autoneb = self.autoneb.adapted_to(self.landscape)
        found = autoneb.find(self.landscape, cloud, seed, folder, Progress(0.5, 1.0))
        ratio = found.path.length_ratio
        excess = Measured(found.barrier, found.along.barrier().stderr)
        row = row_of({"straight": found.straight, "length_ratio": ratio}, excess=excess)
        folder.finish({"tables": {"paths": [row]}}, {"path": found.path.pivots})

    def _ends(self, folder: UnitFolder, seed: int) -> Cloud:
        """The two minima [2, n] that are joined."""
        if states_minima(self.landscape):
            ends: Cloud = self.landscape.minima()[:2].to(dtype_of(self.dtype))
            return ends
        cloud, _ = run_measured(
            folder, "train", self.sgd, self.landscape, self._start(seed), seed, (0.0, 0.5)
        )
        losses = train_losses(self.landscape, cloud).nan_to_num(torch.inf)
        return cloud[losses.argsort()[:2].to(cloud.device)]

    def path_of(self, folder: UnitFolder) -> Tensor:
        """The pivots [P, n] of the path that the unit in this folder measures, from the finished
        unit of that path.
        """
        (found,) = folder.needed()
        path: Tensor = found.clouds()["path"]
        return path.to(device_of(self.landscape))

    def seed_of(self, case: Case) -> int:
        return key(self.seed, "path", case.settings["pair"])

    def doubts(self, paths: Rows, ends: Mapping[int, Sequence[float | None]]) -> str:
        """Why nothing can be said of paths of low loss between minima, by the tests of `train` and
        `connect`: some path has an end that is not trained, or a barrier that counts; empty where
        none has. `ends`: the training losses of the two ends of each pair's path."""
        reasons: dict[int, str] = {}
        for pair, losses in ends.items():
            for loss in losses:
                if why := untrained(self.landscape, loss):
                    told = f"an end of path {pair} is no minimum, it is not trained: {why}"
                    reasons.setdefault(pair, told)
        for row in paths:
            barrier, straight = Measured.read(row, "excess"), row["straight"]
            if row["pair"] in ends and not _is_low(barrier, straight):
                told = (
                    f"path {row['pair']} is not low: its barrier {barrier} is more than "
                    f"{100 * CONNECTED:g} % of the straight line's, {straight:.2g}; raise "
                    f"autoneb.steps and autoneb.last_steps"
                )
                reasons.setdefault(row["pair"], told)
        if not reasons:
            return ""
        others = len(reasons) - 1
        more = f", and so of {others} more path{'s' * (others > 1)}" if others else ""
        return f"{next(iter(reasons.values()))}{more}"

    def _start(self, seed: int) -> Cloud:
        return start_of(self.landscape, self.trained, stream(seed, "init"), self.dtype)

    def estimate_path(self) -> Estimate:
        """The training of the minima, and half as long again for the path (measured)."""
        start = self._start(0)
        sgd = self.sgd.resolve_learning_rate(self.landscape, start, 0)
        seconds, memory, disk = estimate_stage(self.landscape, sgd, start)
        return Estimate(1.5 * seconds, memory, disk)


def _is_low(barrier: Measured, straight: float) -> bool:
    """Whether a path is one of low loss beside the straight line; one whose barrier is not finite
    is not."""
    if barrier.value is None or not isfinite(barrier.value):
        return False
    return does_not_count(barrier, straight)
