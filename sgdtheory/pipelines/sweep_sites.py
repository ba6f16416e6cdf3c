"""Where the clouds of a sweep are let go, and what its units have kept there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sgdtheory.errors import UserError
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.sampling import Sampling
from sgdtheory.pipelines.starting_points import Given
from sgdtheory.protocol import Landscape
from sgdtheory.roles.examples import count_of
from sgdtheory.runs.folder import Json
from sgdtheory.runs.run import Run
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.temperature.cell import Cell
from sgdtheory.temperature.distinct_minima import same_as
from sgdtheory.temperature.grid import Grid
from sgdtheory.temperature.quench import QuenchResult
from sgdtheory.temperature.reference_minimum import ReferenceMinimum

Grounds = dict[tuple[int, int], ReferenceMinimum]  # by number and b of their sites
Draws = tuple[object, ...]  # what the draws of clouds are known by besides their cells
Config = Mapping[str, Any]
Work = Callable[[UnitFolder], None]
Cost = Callable[[], Estimate]


# what columns begin with that are measured in the coordinates in which Adam is SGD: there Tr C is
# Σσ_i, and h that of S⁻¹HS⁻¹
OF_ADAM = "adam_"


class Site(NamedTuple):
    """Where clouds are let go, and what was measured there: the unit that does so, its number, and
    the b it is for (0: all)."""

    unit: Unit
    number: int
    batch_size: int

    @property
    def number_and_size(self) -> tuple[int, int]:
        return self.number, self.batch_size

    @property
    def draws(self) -> Draws:
        """The first minimum's are what a single one has; others', that may be the same point, have
        their number."""
        return ("minimum", self.number) if self.number else ()

    def sizes(self, asked: Sequence[int]) -> list[int]:
        """The batch sizes of the cells here."""
        if self.batch_size:
            return [self.batch_size]
        return list(asked)

    def unit_of(self, cell: Cell, config: Config, work: Work, cost: Cost) -> Unit:
        """The unit that records a cell whose cloud is let go here."""
        name = f"cell-{cell.name}"
        if self.number:
            name = f"cell-{self.number}-{cell.name}"
            config = {**config, "draws": "of the minimum"}  # those of other units are the first's
        config = {"minimum": self.unit.config, **config}
        return Unit(name, config, work, (self.unit,), cost)

    def quench_of(self, recorded: Unit, work: Work, cost: Cost) -> Unit:
        """The unit that quenches points of a cell that was recorded here."""
        name = recorded.name.replace("cell", "quench", 1)
        config = {"quench": True, "of": recorded.config}
        return Unit(name, config, work, (recorded, self.unit), cost)


@dataclass(frozen=True, eq=False)
class SiteUnits:
    """The units that find minima and measure there."""

    config: Config  # what all of them have
    measure: Callable[[int, int, UnitFolder], None]  # of the point's number and b
    cost: Cost
    smallest: int  # b of the noise at a minimum that serves all batch sizes

    def below(self, points: Sequence[str | None], sizes: Sequence[int]) -> list[Site]:
        """A site for each point (its digest; None: the command finds its own) and each b of
        `sizes`, 0 for one that serves all."""
        sites = []
        for index, point in enumerate(points):
            number = ""
            if len(points) > 1:
                number = f"-{index}"
            for size in sizes:
                batch_size = size or self.smallest
                own = {"minimum": point, "index": index, "batch_size": batch_size}
                name = f"minimum{number}"
                if size:
                    name = f"{name}-b{size}"
                work = partial(self.measure, index, batch_size)
                unit = Unit(name, {**self.config, **own}, work, cost=self.cost)
                sites.append(Site(unit, index, size))
        return sites


def minimum_row(site: Site, ground: ReferenceMinimum) -> Row:
    """A row about the bottom of the sweep."""
    row: Row = {"name": str(site.number)}
    if site.batch_size:
        row["batch_size"] = site.batch_size
    row["objective"] = ground.loss
    measured: Row = {
        "gradient_norm": ground.gradient_norm,
        "top_curvature": ground.top_curvature,
        "noise_trace": ground.noise_trace,
        **ground.micro_batch_trace.columns("noise_trace_micro_batch"),
    }
    if ground.has_minimum:
        measured["relaxation"] = ground.relaxation(0.01)
    prefix = "" if ground.scale is None else OF_ADAM
    row |= {f"{prefix}{name}": value for name, value in measured.items()}
    return row


def minima_rows(
    sites: Sequence[Site], grounds: Grounds, measured: Rows, files: Given | None
) -> Rows:
    """A row about each bottom, with the columns of diagnostics and the file that it is from."""
    again = same_as(grounds)
    rows = []
    for site, columns in zip(sites, measured, strict=True):
        row = minimum_row(site, grounds[site.number_and_size]) | columns
        row |= _first_of(site, again)
        if files is not None:
            row["source"] = files.sources[site.number]
        rows.append(row)
    return rows


def cell_rows(rows: Sequence[tuple[Site, Row]], grounds: Grounds) -> Rows:
    """Rows of cells with the number of their minimum, and of the first that is the same."""
    again = same_as(grounds)
    numbered = []
    for site, row in rows:
        numbers = {"minimum": site.number} | _first_of(site, again)
        numbered.append({**numbers, **row})
    return numbered


def _first_of(site: Site, again: Mapping[int, int]) -> Row:
    return {"same_as": again[site.number]} if site.number in again else {}


def reference_minima(run: Run, sites: Sequence[Site]) -> Grounds:
    """The minima that finished units have measured."""
    found: Grounds = {}
    for site in sites:
        folder = run.folder(site.unit)
        if folder.result is not None:
            found[site.number_and_size] = ReferenceMinimum.kept_in(folder.clouds())
    return found


def bottom_of(result: Json | None) -> QuenchResult | None:
    """What a finished unit of quenching has found."""
    if result is None:
        return None
    return QuenchResult(**result["bottom"])


def refuse_batches(landscape: Landscape, sampling: Sampling, largest: int) -> None:
    """Raise UserError where the landscape cannot give mini-batches like these."""
    count = count_of(landscape)
    if count is None and sampling != "iid":
        raise UserError(f"sampling={sampling} needs examples, and this landscape has none; use iid")
    refuse_batch(landscape, largest, "sweep.batch_size")
    if count is not None and largest == count and sampling != "iid":
        raise UserError(
            f"sweep.batch_size={largest} is all training examples, and sgd.sampling={sampling} "
            f"makes no noise of them; take smaller batches"
        )


def refuse_points(
    landscape: Landscape, at: tuple[float, ...] | None, minima: tuple[Path, ...] | None
) -> None:
    """Raise UserError where no minimum can be known, or no point of a path is named."""
    refuse_augmented(landscape)
    if at is not None and minima is None:
        raise UserError(
            "at: says where on a path, and there is none; give minima=RUN, a connect run"
        )
    if at == ():
        raise UserError("at=[] names no point of a path: give at least one fraction of its length")


def cells_to_come(sites: Sequence[Site], grounds: Grounds, grid: Grid) -> Iterator[tuple[str, int]]:
    """The names and batch sizes of the cells that are asked for when their minimum is known."""
    for site in sites:
        if site.number_and_size in grounds:
            continue
        for size in site.sizes(grid.batch_size):
            for rate in grid.rates_in_words:
                yield f"cell-{rate}-{size}", size
