"""A narrow and a wide network: noise that stays, and noise that goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated

import torch
from annotated_types import Ge, MinLen

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.fokker_planck.watch import Seen as Observed
from sgdtheory.fokker_planck.watch import watch
from sgdtheory.geometry.gradient_noise import whole_pass
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD, SGDState
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.statistics.trends import above, ascend, difference, every
from sgdtheory.studies.shared.parts import Found, Seen, Settings

LOOKS = 10  # at the noise, evenly spaced, of which the first and the second half are compared
COLLAPSED = 0.1  # of the mean over the first half: what collapses is below it in the second
STEADY = 0.5  # of the mean over the first half: what stays is above it in the second
FAR = 100.0  # times as warm as the wide network the narrow one is at the end
EXPECTED = f"below a threshold {COLLAPSED:g} of itself, less than 1/{FAR:g} of the narrow one's"
LARGEST = 1e6  # of a loss: beyond, training has diverged


@dataclass(frozen=True)
class Widths:
    """`replicas` of each of `landscapes` trained by SGD without weight decay at `learning_rates`.

    ½T·Tr C, T = η/2b, is the loss that the noise holds up; Tr C is that of all examples at each
    of ten looks.
    """

    landscapes: dict[str, Landscape]
    learning_rates: Annotated[list[PositiveFloat], MinLen(2)]
    batch_size: PositiveInt
    replicas: Annotated[int, Ge(2)]
    steps: Annotated[int, Ge(LOOKS)]

    def __post_init__(self) -> None:
        for landscape in self.landscapes.values():
            refuse_augmented(landscape)
            refuse_batch(landscape, self.batch_size, "batch_size")

    def settings(self) -> list[Settings]:
        cells = product(self.landscapes, self.learning_rates)
        return [{"network": name, "learning_rate": rate} for name, rate in cells]

    def _sgd(self, settings: Settings) -> SGD:
        return SGD(self.steps, self.batch_size, settings["learning_rate"], Constant())

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        landscape = self.landscapes[settings["network"]]
        sgd = self._sgd(settings)
        start = landscape.init(self.replicas, stream(seed, "init")).to(dtype)
        none = torch.zeros(0, landscape.dim, dtype=dtype, device=start.device)
        spacing = self.steps // LOOKS
        zeros = {
            "energies": torch.zeros(LOOKS, self.replicas, dtype=torch.float64),
            "losses": torch.zeros(LOOKS, self.replicas, dtype=torch.float64),
        }
        half = noise_temperature(sgd.rate, sgd.size) / 2

        def observe(state: SGDState, seen: Observed) -> None:
            look, over = divmod(state.step, spacing)
            if not over and look <= LOOKS:
                source = stream(seed, "pass", state.step)
                here = whole_pass(landscape, state.cloud, sgd.size, source, none)
                seen["energies"][look - 1] = half * here.noise_trace.cpu()
                seen["losses"][look - 1] = here.losses.cpu()

        _, seen = watch(folder, sgd, landscape, start, seed, zeros, observe)
        first, second = seen["energies"].chunk(2)
        later = second.mean(0)
        ratios = later / first.mean(0)
        last_energies = seen["energies"][-1]
        last_losses = seen["losses"][-1]
        row = row_of(
            {"temperature": 2 * half, "parameters": landscape.dim},
            energy=Measured.mean(later.numpy()),
            last=Measured.mean(last_energies.numpy()),
            loss=Measured.mean(last_losses.numpy()),
            ratio=Measured.mean(ratios.numpy()),
        )
        return {"widths": [row]}, seen

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        landscape = self.landscapes[settings["network"]]
        start = landscape.init(self.replicas, torch.Generator()).to(dtype)
        return estimate_stage(landscape, self._sgd(settings), start)

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        rows = tables["widths"]
        by_network = grouped(rows, "network")
        lost = [row["learning_rate"] for row in rows if _is_lost(row)]
        if len(by_network) < 2 or lost:
            why = f"training diverges at η = {lost}" if lost else "there is one network alone"
            nothing = Measured.nothing(f"{why}: change systems.{name}")
            unknown = Claim(f"{name}_wide", f"{name}: {why}", nothing, EXPECTED, None)
            return Found([unknown], {"widths": rows}, PLOTS)
        narrow, wide = (by_network[network] for network in self.landscapes)
        claims = [_stays(name, narrow), _goes(name, narrow, wide)]
        return Found(claims, {"widths": rows}, PLOTS)


def _stays(name: str, rows: Rows) -> Claim:
    """The narrow network's noise stays, and the loss that it holds up rises with η."""
    ordered = sorted(rows, key=lambda row: float(row["learning_rate"]))
    first = Measured.read(ordered[0], "energy")
    last = Measured.read(ordered[-1], "energy")
    ratios = [Measured.read(row, "ratio") for row in ordered]
    least = min(row["ratio"] for row in ordered)
    assert first.value is not None and last.value is not None
    times = last.in_units_of(first.value)
    words = (
        f"{name}: in the narrow network the loss that noise holds up stays ({least:.2f} times "
        f"itself from one half of training to the other, at least) and rises {times} times with η"
    )
    asked = [above(ratio, STEADY) for ratio in ratios]
    holds = every([*asked, ascend([first, last])])
    if holds is None:
        why = f"within two errors it may go, or not rise: raise systems.{name}.replicas"
        times = times._replace(why=why)
    return Claim(f"{name}_narrow", words, times, f"above 1, and at least {STEADY:g}", holds)


def _goes(name: str, narrow: Rows, wide: Rows) -> Claim:
    """The wide network's noise goes, up to a learning rate."""
    warm = {row["learning_rate"]: Measured.read(row, "last") for row in narrow}
    rates: dict[bool | None, list[float]] = {True: [], False: [], None: []}
    for row in sorted(wide, key=lambda each: float(each["learning_rate"])):
        rate = row["learning_rate"]
        rates[_is_gone(row, warm[rate])].append(rate)
    gone, stays, open_ = rates[True], rates[False], rates[None]
    words = f"{name}: the wide network's noise is gone at η = {gone}, and is not at {stays}"
    highest = Measured.nothing("at no η")
    if gone:
        highest = Measured(max(gone))
    holds: bool | None = bool(gone) and (not stays or max(gone) < min(stays))
    why = ""
    if open_ and (holds or not gone):
        why = f"at η = {open_} it may still go: raise systems.{name}.steps, or .replicas"
    elif holds and not stays:
        why = f"it goes at every η, so no threshold is seen: raise systems.{name}.learning_rates"
    if why:
        holds, highest = None, highest._replace(why=why)
    return Claim(f"{name}_wide", words, highest, EXPECTED, holds)


def _is_lost(row: Row) -> bool:
    """Whether numbers have left the range in which they mean anything: a trace below 0 is what is
    left of two that overflow."""
    energy, loss = row["last"], row["loss"]
    return energy is None or loss is None or not (energy >= 0 and loss < LARGEST)  # nor NaN


def _is_gone(wide: Row, narrow: Measured) -> bool | None:
    """Whether the wide network's noise collapses, and is far below the narrow one's in the end;
    None where the errors do not let it be said, or it is on its way."""
    last = Measured.read(wide, "last")
    ratio = Measured.read(wide, "ratio")
    times = last.in_units_of(1 / FAR)
    is_left = above(ratio, COLLAPSED)
    far = above(difference(narrow, times), 0.0)
    if is_left is False and far:
        return True
    return False if (is_left or far is False) and above(ratio, STEADY) else None


PLOTS = [
    Plot(
        "widths",
        "A network that can meet every example goes cold, up to a learning rate",
        "½T·Tr C, T = η/2b, the loss that the noise of mini-batches holds up (left), and the loss "
        "(right), at the end of training without weight decay, against the learning rate; means "
        "with one standard error over replicas. The narrow network cannot meet every example and "
        "keeps its noise; the wide one can, and loses it, unless η is so large that its units "
        "die.",
        "widths",
        "learning_rate",
        ("last", "loss"),
        by="network",
        log="xy",
        labels={"learning_rate": "η", "last": "½T·Tr C", "loss": "training loss"},
    ),
]
