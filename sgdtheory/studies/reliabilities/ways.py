"""Ways to join two minima, each to be tried on many pairs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.errors import RunError
from sgdtheory.landscapes.derived.kept_statistics import KeptStatistics
from sgdtheory.landscapes.derived.scored_once import scored_once
from sgdtheory.optim.cost import seconds_of_step
from sgdtheory.paths.alignment import align
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.baselines import bend_sgd, symmetry_of, trained_bends
from sgdtheory.paths.curves import bezier_of, chain, curve_points
from sgdtheory.paths.path import FoundPath, Path, barrier_of
from sgdtheory.paths.profile import profile
from sgdtheory.paths.straight_line import evenly_spaced, points_on_line
from sgdtheory.paths.strings import Strings
from sgdtheory.protocol import Cloud
from sgdtheory.rng import stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.unit import UnitFolder
from sgdtheory.statistics.measured import Measured
from sgdtheory.studies.shared.minima_in_pairs import DENSE

WHOLE = (0.0, 1.0)  # of a unit's progress


class Joined(NamedTuple):
    """A way from one minimum to the other: its barrier over the higher end on all training
    examples, statistics recomputed, or why there is none; `seen`: what the way itself takes for its
    barrier."""

    barrier: Measured
    gradients: int | None = None
    length_ratio: float | None = None
    seen: float | None = None


class Way(Protocol):
    """One way to join two minima."""

    def join(self, network: NetworkLandscape, ends: Cloud, seed: int, folder: UnitFolder) -> Joined:
        """Between ends [2, n], with checkpoints in the folder."""
        ...

    def seconds(self, network: NetworkLandscape, ends: Cloud) -> float:
        """About what that takes between ends [2, n]."""
        ...


@dataclass(frozen=True)
class Line:
    """The straight line; `aligned`: after the second network's units were renumbered."""

    aligned: bool = False

    def join(self, network: NetworkLandscape, ends: Cloud, seed: int, folder: UnitFolder) -> Joined:
        """Scored at equal distances between ends [2, n]."""
        if self.aligned:
            first, second = ends.cpu()
            source = stream(seed, "align")
            moved = align(symmetry_of(network), second, first, source)
            ends = torch.stack([first, moved]).to(ends)
        t = evenly_spaced(DENSE, ends.device)
        return _judged(network, points_on_line(ends, t), t, 0, 1.0)

    def seconds(self, network: NetworkLandscape, ends: Cloud) -> float:
        """Next to nothing between ends [2, n]."""
        return 1.0


@dataclass(frozen=True)
class Bent:
    """A curve whose bends are trained with so many gradients (Garipov et al. 2018, 1802.10026)."""

    gradients: PositiveInt
    bends: PositiveInt = 1
    curve: Literal["bezier", "chain"] = "bezier"

    def join(self, network: NetworkLandscape, ends: Cloud, seed: int, folder: UnitFolder) -> Joined:
        """A curve between ends [2, n]; resumes from the folder."""
        curve = chain if self.curve == "chain" else bezier_of(self.bends)
        sgd = bend_sgd(network, ends, curve, self.gradients, seed)
        bends, _ = trained_bends(folder, self.curve, network, ends, curve, sgd, seed, WHOLE)
        t = evenly_spaced(DENSE, ends.device)
        points = curve_points(curve, ends, bends, t)
        ratio = Path(points, t).length_ratio
        return _judged(network, points, t, self.gradients, ratio)

    def seconds(self, network: NetworkLandscape, ends: Cloud) -> float:
        """Of its gradients, from a step at ends [2, n]."""
        return self.gradients * seconds_of_step(network, 128, ends[:1])


@dataclass(frozen=True)
class Searched:
    """A search for a path by the landscape as it is: statistics recomputed, every point judged on
    all training examples."""

    method: AutoNEB | Strings

    def join(self, network: NetworkLandscape, ends: Cloud, seed: int, folder: UnitFolder) -> Joined:
        """A path between ends [2, n]; resumes from the folder."""
        method = self.method.adapted_to(network)
        found = method.find(network, ends, seed, folder)
        return _of_path(found, found.along.barrier(), found.barrier)

    def seconds(self, network: NetworkLandscape, ends: Cloud) -> float:
        """Of the usual gradients and half as many again, from a step at ends [2, n]."""
        gradients, _, _ = self.method.cost()
        return 1.5 * gradients * seconds_of_step(network, self.method.batch_size, ends[:1])


@dataclass(frozen=True)
class Evaluated:
    """AutoNEB as it is often written: gradients of the module in evaluation mode, batch-norm
    statistics interpolated between those of the ends and never estimated again, pivots inserted
    where one mini-batch asks for them (Draxler et al. 2018's code; so 2505.02604).

    The schedule is `autoneb`'s; an "auto" rate is measured in evaluation mode too. The barrier of
    its path is measured as that of any other; `seen`: in evaluation mode with the interpolated
    statistics, on all training examples. A search that diverges has no path.
    """

    autoneb: AutoNEB

    def join(self, network: NetworkLandscape, ends: Cloud, seed: int, folder: UnitFolder) -> Joined:
        """A path between ends [2, n]; resumes from the folder."""
        autoneb = self.autoneb.adapted_to(network)
        assert autoneb.batch_size is not None, "of examples"
        whole = KeptStatistics(network)
        sample = KeptStatistics(network.scored_on(autoneb.batch_size))
        try:
            found = autoneb.find(sample, whole.with_own(ends), seed, folder)
        except RunError as fault:
            return Joined(Measured.nothing(str(fault)))
        points = found.path.points
        seen = profile(whole, points, found.path.t)
        along = profile(network, whole.weights_of(points), found.path.t)
        return _of_path(found, along.barrier(), barrier_of(seen.train_means))

    def seconds(self, network: NetworkLandscape, ends: Cloud) -> float:
        """As a search by the landscape between ends [2, n]."""
        return Searched(self.autoneb).seconds(network, ends)


def _of_path(found: FoundPath, barrier: Measured, seen: float) -> Joined:
    return Joined(barrier, found.gradients, found.path.length_ratio, seen)


def _judged(
    network: NetworkLandscape, points: Cloud, t: Tensor, gradients: int, ratio: float
) -> Joined:
    """A way of points [T, n] at t [T] that was not judged yet."""
    along = profile(scored_once(network), points, t)
    barrier = along.barrier()
    assert barrier.value is not None
    return Joined(barrier, gradients, ratio, barrier.value)
