"""Where the documentation says what a run shows: the one place that knows its sections and its
address."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import NamedTuple

# headings of docs/theory.md by command, or study
SECTIONS = {
    "train": "Minima are joined by paths of almost constant low loss",
    "connect": "Minima are joined by paths of almost constant low loss",
    "autoneb_reliability": "AutoNEB is reliable where statistics are the network's own",
    "sweep-temperature": "SGD has a temperature, and it is η/2b",
    "instability": "From early in training on, copies end in one valley",
    "width_and_barriers": "Wider networks have lower barriers",
    "string_sampling": "Strings between networks grow as the threshold falls",
    "epoch_noise": "Epochs are colder than independent batches",
    "adam_temperature": "Adam has a temperature of its own",
    "free_energy": "A free energy falls while SGD relaxes",
    "current": "The steady state has currents",
    "potential": "SGD descends a potential of its own",
    "collapse": "The temperature collapses where every example can be met",
    "escape": "Escape takes the time that theory says",
    "small_batch_flat_minima": "Small batches end in flatter minima",
    "flatness_against_temperature": "Flatness follows the temperature",
    "one_point_convexity": "The gradient points at the final point",
    "smoothing": "SGD descends a smoothed loss",
    "saddles": "Saddles abound, and their index rises with the loss",
    "compensation": "The myriad other parameters make up for a change of one",
    "noise_along_path": "The noise grows in the middle of a path",
    "release_from_path": "Noise set free on a path slides to flatter ground",
    "edge_of_stability": "Descent lives at the edge of stability",
    "learning_coefficient": "A singular minimum has a learning coefficient",
}
PAGE = "theory.html"


class Section(NamedTuple):
    """A part of the documentation; no address where the package states none."""

    title: str
    address: str | None


def section_of(name: str) -> Section | None:
    """What is to be read of a command, or of a study by its name."""
    title = SECTIONS.get(name)
    if title is None:
        return None
    address = site()
    return Section(title, None if address is None else f"{address}/{PAGE}#{anchor(title)}")


def anchor(title: str) -> str:
    """What a heading is linked by.

    SGD has a temperature, and it is η/2b: sgd-has-a-temperature-and-it-is-η2b
    """
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def site() -> str | None:
    """The address of the documentation that pyproject.toml states; None without one."""
    try:
        stated = metadata("sgdtheory").get_all("Project-URL") or []
    except PackageNotFoundError:  # a checkout that was never installed
        return None
    named = [entry.partition(", ") for entry in stated]
    found = [address for name, _, address in named if name.lower() == "documentation"]
    return found[0].rstrip("/") if found else None
