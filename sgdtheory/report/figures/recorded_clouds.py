"""The clouds of a sweep, as they were recorded cell by cell."""

from typing import NamedTuple

import numpy as np

from sgdtheory.report.figures.figure import RunData
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row

FLAT = 1e-9  # ηh up to which a direction never warms
Array = np.ndarray


class Cloud(NamedTuple):
    """A cell of a sweep and what was recorded of its cloud."""

    cell: Row
    trajectory: dict[str, Array]


class Clouds(NamedTuple):
    """The harmonic cells of the smallest learning rate, which resolves the warming best; then all
    harmonic ones."""

    slow: list[Cloud]
    all: list[Cloud]
    curvatures: Array  # h_i [k]
    noise: Array  # C_ii at θ* [k]
    kept: Array  # the directions that have curvature and noise

    @classmethod
    def of(cls, run: RunData) -> "Clouds | None":
        minimum = run.tensors("ground.safetensors")
        clouds = _recorded(run)
        if not minimum or not clouds:
            return None
        h = minimum["curvatures"]
        noise = minimum["noise_diagonal"]
        rates = [rate_of(cloud.cell) for cloud in clouds]
        slowest = min(rates)
        is_curved = slowest * h > FLAT
        is_stirred = noise > 1e-6 * noise.max()
        kept = np.flatnonzero(is_curved & is_stirred)
        slow = [cloud for cloud, rate in zip(clouds, rates, strict=True) if rate == slowest]
        return cls(slow, clouds, h, noise, kept)


def _recorded(run: RunData) -> list[Cloud]:
    """The harmonic cells whose warming was recorded."""
    clouds = []
    for cell in run.results.get("cells", []):
        if not _is_harmonic(cell):
            continue
        trajectory = run.tensors(_file(cell))
        if _is_resolved(trajectory):
            clouds.append(Cloud(cell, trajectory))
    return clouds


def rate_of(cell: Row) -> float:
    """η of the SGD whose cloud this is; Adam's in the coordinates of its noise."""
    return float(cell.get("equivalent_rate") or cell["learning_rate"])


def _is_harmonic(cell: Row) -> bool:
    if cell.get("minimum") or "quench_time" in cell:
        return False
    return bool(cell["harmonic"])


def _is_resolved(trajectory: dict[str, Array]) -> bool:
    return bool(trajectory) and trajectory["early_steps"].size > 2


def _file(cell: Row) -> str:
    rate = in_full(cell["learning_rate"])
    return f"trajectories/{rate}-{cell['batch_size']}.safetensors"
