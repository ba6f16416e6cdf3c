"""What studies of paths begin with: pairs of minima, each pair joined by AutoNEB, found once
whichever study asks.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.landscape import Cloud, Landscape
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import train_losses
from sgdtheory.paths.search import Progress
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles import device_of, states_minima
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.studies.study import Case, Study

# keys that the identity of a path consists of
OF_A_PATH = ("landscape", "sgd", "autoneb", "trained", "dtype", "seed")


@dataclass(frozen=True)
class FoundPaths(Study):
    """`pairs` paths, a unit each, that depend on nothing but how they are found: studies share them
    under one `run.root`.

    Of each pair's own `trained` minima the two lowest are joined: SGD ends now and then in a poor
    one, and a path to it measures that end. A formula's stated minima are joined as they are, and
    its paths differ by the chance of the search alone.
    """

    on: ClassVar[str]  # what is measured on a path: begins the names of its units
    keys: ClassVar[tuple[str, ...]] = ()  # keys of the configuration that it depends on besides

    landscape: Landscape
    sgd: SGD
    autoneb: AutoNEB
    pairs: PositiveInt = 4
    trained: Annotated[int, Ge(2)] = 4
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def cases(self) -> list[Case]:
        return [Case(f"{self.on}-{pair}", {"pair": pair}) for pair in range(self.pairs)]

    def units(self, run: Run) -> list[Unit]:
        """A unit a path, and one of the study's own for each path that is found."""
        shared = {name: run.science[name] for name in OF_A_PATH}
        own = {name: run.science[name] for name in self.keys}
        paths, studied = [], []
        for case in self.cases():
            pair, settings = case.settings["pair"], dict(case.settings)
            path = Unit(f"path-{pair}", {"path": {**shared, "pair": pair}, "case": settings})
            paths.append(path)
            if run.result(path) is not None:
                studied.append(Unit(case.name, {**path.science, self.on: own}))
        return [*paths, *studied]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if self.on in unit.science:
            super().do(unit, folder)
        else:
            self.find(self.case_of(unit), folder)

    def find(self, case: Case, folder: UnitFolder) -> None:
        """Do the unit of a path."""
        seed = self.seed_of(case)
        cloud = self._ends(folder, seed)
        autoneb = self.autoneb.adapted_to(self.landscape)
        found = autoneb.find(self.landscape, cloud, seed, folder, Progress(0.5, 1.0))
        ratio = found.path.length_ratio
        row = {"excess": found.barrier, "straight": found.straight, "length_ratio": ratio}
        folder.finish({"tables": {"paths": [row]}}, {"path": found.path.pivots})

    def _ends(self, folder: UnitFolder, seed: int) -> Cloud:
        if states_minima(self.landscape):
            ends: Cloud = self.landscape.minima()[:2].to(getattr(torch, self.dtype))
            return ends
        cloud, _ = run_measured(
            folder, "train", self.sgd, self.landscape, self._start(seed), seed, (0.0, 0.5)
        )
        losses = train_losses(self.landscape, cloud).nan_to_num(torch.inf)
        return cloud[losses.argsort()[:2].to(cloud.device)]

    def path_of(self, folder: UnitFolder) -> Tensor:
        """The pivots [P, n] that the unit in this folder looks at: those of a finished unit beside
        it.
        """
        unit = Unit("path", {name: folder.unit.science[name] for name in ("path", "case")})
        path: Tensor = UnitFolder(folder.path.parent / unit.hash, unit).clouds()["path"]
        return path.to(device_of(self.landscape))

    def seed_of(self, case: Case) -> int:
        return key(self.seed, "path", case.settings["pair"])

    def _start(self, seed: int) -> Cloud:
        cloud: Cloud = self.landscape.init(self.trained, stream(seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def estimate_path(self) -> Estimate:
        """The training of the minima, and half as long again for the path (measured)."""
        seconds, memory, disk = estimate_stage(
            self.landscape,
            self.sgd.resolve_learning_rate(self.landscape, self._start(0), 0),
            self._start(0),
        )
        return Estimate(1.5 * seconds, memory, disk)
