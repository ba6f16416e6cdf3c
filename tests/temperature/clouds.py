"""Clouds at stationarity for the tests of estimators: landscapes whose temperature is known, each
sampled once."""

from dataclasses import dataclass
from functools import cache
from math import sqrt
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from sgdtheory.data.digits import digits
from sgdtheory.landscapes.linear_regression import LinearRegression
from sgdtheory.landscapes.quadratic import Quadratic
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.runs.unit import Unit, UnitFolder
from sgdtheory.temperature.measured_minimum import reference_minimum_at
from sgdtheory.temperature.measurement import measure_trajectory
from sgdtheory.temperature.reference_minimum import ReferenceMinimum
from sgdtheory.temperature.schedule import MeasurementSchedule
from sgdtheory.temperature.trajectory import Trajectory

BATCH = 4


@dataclass(frozen=True)
class Loud(Quadratic):
    """A quadratic whose mini-batches have twice the noise that it states."""

    def sample(self, points: int, size: int, stream: Generator) -> Tensor:
        return sqrt(2) * super().sample(points, size, stream)


class Setting(NamedTuple):
    """A landscape by name, and how SGD runs on it."""

    name: str
    learning_rate: float
    momentum: float
    sampling: str = "iid"
    batch_size: int = BATCH

    @property
    def law(self) -> float:
        return self.learning_rate / (2 * self.batch_size * (1 - self.momentum))


@cache
def landscape_of(name: str) -> Any:
    return {
        "commuting": lambda: Quadratic((1.0, 0.37, 0.1), noise=0.7),
        "non_commuting": lambda: Quadratic((1.0, 0.37, 0.1), noise_anisotropy=30.0),
        "rotated": lambda: Quadratic(
            (1.0, 0.37, 0.1), noise_anisotropy=30.0, ambient=8, stiffness=0.5
        ),
        "loud": lambda: Loud((1.0, 0.37, 0.1)),
        "linear_regression": lambda: LinearRegression(digits()),
    }[name]()


@cache
def ground_of(name: str) -> ReferenceMinimum:
    landscape = landscape_of(name)
    return reference_minimum_at(landscape, landscape.minima()[0], 0, BATCH)


@cache
def cloud_of(setting: Setting, replicas: int = 128, records: int = 24) -> Trajectory:
    """Burnt in until all but .3 % of the noise is warm, then records that hardly remember one
    another."""
    landscape, ground = landscape_of(setting.name), ground_of(setting.name)
    scale = (1 - setting.momentum) / setting.learning_rate
    burn_in = int(ground.relaxation(0.003) * scale + 8 / (1 - setting.momentum))
    every = int(ground.relaxation(0.3) * scale + 3 / (1 - setting.momentum))
    folder = UnitFolder(Path(mkdtemp()), Unit("cloud", {}))
    sgd = SGD(
        1,
        setting.batch_size,
        setting.learning_rate,
        Constant(),
        setting.momentum,
        sampling=setting.sampling,
    )  # type: ignore[arg-type]
    schedule = MeasurementSchedule(burn_in, every, records, 1)
    return measure_trajectory(
        folder, landscape, ground, sgd, schedule, replicas, 1, torch.float64, lambda _: True
    )


GRID = [
    Setting(name, rate, momentum)
    for name in ("commuting", "non_commuting", "rotated")
    for rate, momentum in ((0.1, 0.0), (1.0, 0.0), (0.1, 0.9), (1.0, 0.9))
]
GRID += [Setting("linear_regression", 0.06, 0.0), Setting("linear_regression", 0.012, 0.9)]
GRID += [Setting("linear_regression", 0.14, 0.0, "without_replacement", 200)]
