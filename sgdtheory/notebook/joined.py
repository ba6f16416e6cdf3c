"""Two points of a landscape joined, from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.notebook.numbers import Numbers, numbers_of
from sgdtheory.notebook.points import Point, point_of
from sgdtheory.notebook.running import done
from sgdtheory.notebook.surroundings import left_alone
from sgdtheory.notebook.words import words_of
from sgdtheory.paths.polyline import points_at
from sgdtheory.protocol import Landscape
from sgdtheory.report.figures.edges import WAYS
from sgdtheory.roles.facts import unit_of_loss
from sgdtheory.statistics.measured import Measured
from sgdtheory.statistics.numbers import in_short

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ROUNDING = 1e-6  # of a fraction in float32, as torch.linspace makes them


@dataclass(frozen=True, eq=False)
class Joined:
    """The path between two points, and the other ways between them measured alike."""

    pivots: Tensor  # [P, n]
    row: Mapping[str, Any]  # as in results.json
    claim: str  # in words
    unit: str

    @property
    def barrier(self) -> Measured:
        """max_t L(t) − max(L(0), L(1)) of the training loss along the path, with its error."""
        found = self.row["barrier"]
        return Measured(found["value"], found["stderr"], self.unit)

    @property
    def lowest_way(self) -> Mapping[str, Any]:
        """The way of all whose barrier is lowest: its name and barrier."""
        found: Mapping[str, Any] = self.row["lowest_way"]
        return found

    @property
    def profile(self) -> Mapping[str, Sequence[float]]:
        """Along the path: t, train_loss, test_loss, test_error."""
        found: Mapping[str, Sequence[float]] = self.row["curves"]["path"]
        return found

    def points(self, t: Numbers) -> Tensor:
        """Points [T, n] of the path at fractions t [T] of its length, 0 ≤ t ≤ 1; a number is a
        list of one. Raises UserError for others."""
        at = torch.tensor(numbers_of(t, "t"), dtype=torch.float64)
        if bool(((at < -ROUNDING) | (at > 1 + ROUNDING)).any()):
            outside = in_short(float(at[(at - 0.5).abs().argmax()]), 3)
            raise UserError(
                f"t={outside}: the path is from t=0 to t=1; give fractions of its length"
            )
        return points_at(self.pivots, at.clamp(0, 1))

    def plot(self) -> "Figure":
        """The training loss along each way, as a matplotlib figure."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        for name, words in WAYS.items():
            curve = self.row["curves"].get(name)
            if curve is not None:
                axes.plot(curve["t"], curve["train_loss"], label=words)
        axes.set_xlabel("t, fraction of the way")
        axes.set_ylabel(f"training loss, {self.unit}" if self.unit else "training loss")
        axes.set_yscale("log")
        axes.legend()
        return figure

    def __repr__(self) -> str:
        return f"Joined({self.claim})"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(self.claim)}</p>"


@left_alone()
def joined(
    landscape: Landscape,
    a: Point,
    b: Point,
    words: str | Sequence[str] = (),
    run: str | Path | None = None,
    quiet: bool | None = None,
) -> Joined:
    """Join two points of a landscape, each a vector [n], a module or its state dict; see
    `sgdtheory.connect`."""
    said = words_of(words, {})
    ends = torch.stack([point_of(landscape, point) for point in (a, b)])
    with done("connect", landscape, ends, ["plane=0", *said], run, quiet) as (kept, results):
        (edge,) = results["edges"]
        pivots = kept.read_tensors("paths/0-1.safetensors")["path"]
        statement = results["claims"][0]["statement"]
    return Joined(pivots, edge, statement, unit_of_loss(landscape))
