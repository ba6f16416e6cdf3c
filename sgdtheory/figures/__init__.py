"""The pictures of a report: which ones a command has. One file a kind of picture, a function of a run's files."""

from collections.abc import Callable

from sgdtheory.figures.band_plane import band_plane
from sgdtheory.figures.disconnectivity import disconnectivity
from sgdtheory.figures.distances import distances
from sgdtheory.figures.equilibration import equilibration, spreading
from sgdtheory.figures.figure import Figure, RunData
from sgdtheory.figures.graph import graph
from sgdtheory.figures.losses import losses
from sgdtheory.figures.minima import minima
from sgdtheory.figures.plane import plane
from sgdtheory.figures.plots import plots
from sgdtheory.figures.profiles import profiles
from sgdtheory.figures.temperatures import temperatures

FIGURES: dict[str, list[Callable[[RunData], Figure | None]]] = {
    "train": [losses, minima, distances],
    "connect": [profiles, band_plane, plane, graph, disconnectivity, minima, distances],
    "diagnose": [minima, distances],
    "sweep-temperature": [temperatures, equilibration, spreading],
}


def drawn(run: RunData) -> list[Figure]:
    """All pictures of a run that has results: those of its command, then those that its results describe."""
    return [figure for make in FIGURES.get(run.command, []) if (figure := make(run)) is not None] + plots(run)
