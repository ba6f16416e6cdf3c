"""What a search for a path is given: where its states are kept, and its part of the progress."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self, TypeAlias

from sgdtheory.optim.sgd import SGD, Coupling
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.path import FoundPath
from sgdtheory.protocol import Cloud, Landscape, TensorsByName
from sgdtheory.runs.folder import Json
from sgdtheory.runs.tensors import State
from sgdtheory.runs.unit import UnitFolder

SEARCH = "search"  # the name of a search's state among those of its unit
StepCost: TypeAlias = Callable[[int], float]  # pivots → what a step of them all costs


class Progress(NamedTuple):
    """The part of a unit's progress that is a search's, as fractions of the whole unit."""

    begin: float = 0.0
    end: float = 1.0
    step: StepCost = float

    def at(self, fraction: float) -> float:
        """The unit's progress where so much of the search is done."""
        return self.begin + (self.end - self.begin) * fraction


class PathMethod(Protocol):
    """A way to find a low path between two points."""

    @property
    def batch_size(self) -> int | None: ...

    @property
    def points_together(self) -> int:
        """How many points a step moves at the end of a search."""
        ...

    @property
    def points_measured(self) -> int:
        """At about how many points of its path losses are measured."""
        ...

    def cost(self) -> tuple[int, int, int]:
        """Gradients, evaluated points and kept points of a search of the usual length."""
        ...

    def search_cost(self, step: StepCost, look: float) -> float:
        """What a search of the usual length costs where a step of k pivots costs step(k), and an
        evaluated point `look`."""
        ...

    def adapted_to(self, landscape: Landscape) -> Self:
        """The method with the settings that it needs on this landscape."""
        ...

    def find(
        self,
        landscape: Landscape,
        ends: Cloud,
        seed: int,
        folder: UnitFolder | None = None,
        progress: Progress = Progress(),  # noqa: B008  (immutable)
    ) -> FoundPath:
        """The path between ends [2, n] with its scores, from the newest state in the folder;
        without a folder nothing is kept."""
        ...


class SearchState(Protocol):
    """Where a search stands: tensors, and facts that are plain data."""

    def tensors(self) -> TensorsByName:
        """What the search needs to go on: `path` [P, n], and others of its own."""
        ...

    def facts(self) -> Json: ...


def keep_state(folder: UnitFolder | None, state: SearchState) -> None:
    """Keep where a search stands."""
    if folder is not None:
        folder.save_checkpoint(SEARCH, state.tensors(), state.facts())


def kept_state(folder: UnitFolder | None) -> State | None:
    """The tensors (`path` [P, n] and others) and facts of the newest state of a search; None at
    its beginning."""
    if folder is None:
        return None
    return folder.load_checkpoint(SEARCH)


def report_progress(folder: UnitFolder | None, done: float, words: str) -> None:
    if folder is not None:
        folder.tell(done, words)


def run_stage_in(
    folder: UnitFolder | None,
    name: str,
    sgd: SGD,
    landscape: Landscape,
    cloud: Cloud,
    seed: int,
    coupling: Coupling,
    fraction: tuple[float, float],
) -> Cloud:
    """The last cloud [P, n] of a stage that begins at a cloud [P, n]; with checkpoints where there
    is a folder."""
    if folder is not None:
        return run_stage(folder, name, sgd, landscape, cloud, seed, coupling, fraction)
    for state in sgd.run(landscape, cloud, seed, coupling):
        cloud = state.cloud
    return cloud
