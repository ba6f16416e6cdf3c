"""The pictures of a report: which ones a command has. One file a kind of picture, a function of a run's files."""

from collections.abc import Callable

from sgdtheory.figures.distances import distances
from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.losses import losses
from sgdtheory.figures.minima import minima

FIGURES: dict[str, list[Callable[[RunData], Figure | None]]] = {
    "train": [losses, minima, distances],
}
