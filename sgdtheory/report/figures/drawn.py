"""Which pictures a command has."""

from collections.abc import Callable

from sgdtheory.report.figures.band_plane import band_plane
from sgdtheory.report.figures.disconnectivity import disconnectivity
from sgdtheory.report.figures.distances import distances
from sgdtheory.report.figures.equilibration import equilibration
from sgdtheory.report.figures.figure import Figure, RunData
from sgdtheory.report.figures.graph import graph
from sgdtheory.report.figures.losses import losses
from sgdtheory.report.figures.minima import minima
from sgdtheory.report.figures.plane import plane
from sgdtheory.report.figures.plots import plots
from sgdtheory.report.figures.profiles import profiles
from sgdtheory.report.figures.spreading import spreading
from sgdtheory.report.figures.temperatures import temperatures

FIGURES: dict[str, list[Callable[[RunData], Figure | None]]] = {
    "train": [losses, minima, distances],
    "connect": [profiles, band_plane, plane, graph, disconnectivity, minima, distances],
    "diagnose": [minima, distances],
    "sweep-temperature": [temperatures, equilibration, spreading],
}


def drawn(run: RunData) -> list[Figure]:
    """All pictures of a run that has results: those of its command, then those that its results
    describe."""
    return [
        figure for make in FIGURES.get(run.command, []) if (figure := make(run)) is not None
    ] + plots(run)
