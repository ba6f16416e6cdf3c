"""Learning coefficients by Langevin chains where they are known, and of a network by its width."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import MinLen
from torch import Tensor

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.llc import LearningCoefficient, columns_of
from sgdtheory.errors import UserError
from sgdtheory.geometry.gradient_noise import per_sample_noise
from sgdtheory.optim.cost import estimate_descent
from sgdtheory.optim.descent import lbfgs
from sgdtheory.protocol import Cloud, Landscape
from sgdtheory.rng import key, stream
from sgdtheory.roles.closed_forms import states_learning_coefficient
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.roles.facts import title_of
from sgdtheory.runs.folder import Json
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Plot, row_of
from sgdtheory.statistics.numbers import in_full
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.studies.shared.coefficients import claims_of
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, start_of


@dataclass(frozen=True)
class Singular:
    """A landscape whose learning coefficient is known, and the chains that are to find it."""

    landscape: Landscape
    chains: LearningCoefficient


@dataclass(frozen=True)
class LearningCoefficients(Study):
    """Langevin chains find the learning coefficient of singular minima, and see where they cannot
    (Watanabe 2009; Lau et al. 2023).

    λ̂ = nβ(⟨L⟩ − L*) of minima whose λ is known, and of a network's against its width.

    Claim (2308.12108): the mean loss of chains at T = 1/nβ is λT above the minimum, λ half the
    number of parameters where it is regular, 1/2k of a power, Aoyagi's number of a deep linear net.
    Refuted by a λ̂ further from λ than 5 % and three standard errors, or by a number of that kind
    that is given where steps are too large.

    `systems`: by name, what is known, at n with the corrections of a finite n that it has.
    `learning_rates`: of the chains of the system `stepped`, up to where they must be refused.
    `network` at each of `widths`, L-BFGS to the bottom first: λ̂ in the spring, the heat capacity
    d⟨L⟩/dT of Langevin noise to which curvatures below γT hardly add, beside ½Tr C, that of SGD's
    at T = η/2b.
    """

    axes = ("systems", "learning_rates", "widths")

    systems: Annotated[dict[str, Singular], MinLen(1)]
    stepped: str
    learning_rates: Annotated[tuple[PositiveFloat, ...], MinLen(1)]
    network: Callable[..., NetworkLandscape]
    model: Callable[..., torch.nn.Module]
    widths: Annotated[tuple[PositiveInt, ...], MinLen(2)]
    chains: LearningCoefficient
    polish_steps: PositiveInt = 2000
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        for name, system in self.systems.items():
            if not states_learning_coefficient(system.landscape):
                title = title_of(system.landscape)
                raise UserError(f"systems.{name}.landscape: {title} states no learning coefficient")
            system.chains.refuse(system.landscape, f"systems.{name}.chains")
        if self.stepped not in self.systems:
            raise UserError(f"stepped={self.stepped}: is none of systems; take one of them")

    @property
    def landscape(self) -> Subject:
        return Subject(f"{', '.join(self.systems)}, and a network of {len(self.widths)} widths")

    def cases(self) -> list[Case]:
        cases = [
            Case(f"known-{name}", {"system": name}, {"systems": name}) for name in self.systems
        ]
        for rate in self.learning_rates:
            settings = {"system": self.stepped, "learning_rate": rate}
            entries = {"systems": self.stepped}
            cases.append(Case(f"steps-{in_full(rate)}", settings, entries))
        cases += [Case(f"width-{width}", {"width": width}) for width in self.widths]
        return cases

    def depends_on(self, science: Mapping[str, Any], case: Case) -> Json:
        """Systems know nothing of the network."""
        found = super().depends_on(science, case)
        if "system" in case.settings:
            for key_of_network in ("network", "model", "chains", "polish_steps"):
                found.pop(key_of_network, None)
        return found

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        if "width" in case.settings:
            return self._at_width(case.settings["width"], folder)
        system = self.systems[case.settings["system"]]
        chains = replace(system.chains, seed=key(self.seed, case.name))
        landscape = system.landscape
        assert states_learning_coefficient(landscape)
        known = landscape.learning_coefficient()
        if "learning_rate" not in case.settings:
            row = known_row(landscape, landscape.minima()[0], chains, known)
            return {"known": [row]}, {}
        chains = replace(chains, learning_rate=case.settings["learning_rate"])
        row = known_row(landscape, landscape.minima()[0], chains, known)
        return {"steps": [row]}, {}

    def _at_width(self, width: int, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        landscape = self._network(width)
        found = lbfgs(
            landscape,
            self._start(width),
            self.polish_steps,
            lambda done: folder.tell(0.2 * done, "descent"),
        )
        folder.tell(0.2, "chains")
        chains = replace(self.chains, seed=key(self.seed, "width", width))
        theta = found[0]
        row = network_row(landscape, theta.float(), chains)
        trace, _ = per_sample_noise(landscape, theta, theta.new_zeros(0, landscape.dim))
        facts = {"parameters": landscape.dim, "noise": float(trace) / 2}
        return {"widths": [{**facts, **row}]}, {"minima": found}

    def _network(self, width: int) -> NetworkLandscape:
        return self.network(model=lambda **given: self.model(hidden=(width,), **given))

    def _start(self, width: int) -> Cloud:
        source = stream(self.seed, "init", width)
        return start_of(self._network(width), 1, source, "float64")

    def judge(self, tables: Tables) -> Verdict:
        known = tables["known"]
        steps = tables["steps"]
        widths = tables["widths"]
        shown = {
            "known": known,
            "steps": steps,
            "widths": widths,
            "capacities": capacity_rows(widths),
        }
        return Verdict(claims_of(known, steps, widths), shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """As so many gradients, and of a network those of the descent."""
        case = self.case_of(unit)
        if "width" in case.settings:
            landscape: Landscape = self._network(case.settings["width"])
            chains = self.chains
            start = self._start(case.settings["width"]).float()
            more = self.polish_steps
        else:
            system = self.systems[case.settings["system"]]
            landscape = system.landscape
            chains = system.chains
            more = 0
            assert states_learning_coefficient(landscape)
            start = landscape.minima()[:1]
        runs = 3 if chains.localisation else 2  # twice the spring, and half the step
        cloud = start.expand(chains.chains, -1).clone()
        steps = runs * (chains.burn_in + chains.steps)  # the noise costs as much again
        return estimate_descent(landscape, cloud, steps + more)


def known_row(
    landscape: Landscape, theta: Tensor, chains: LearningCoefficient, known: float
) -> Row:
    """λ̂ at θ [n] of a landscape of which it is known what is flat, or why there is none, beside
    what is known."""
    return _row(columns_of(chains.sample(landscape, theta), None), known)


def network_row(landscape: Landscape, theta: Tensor, chains: LearningCoefficient) -> Row:
    """λ̂ at θ [n], with what may be missing, beside d/2, and that in the spring."""
    columns = columns_of(chains.sample(landscape, theta), chains.most(landscape, theta))
    localised = columns["llc_localised"]
    resolution = columns["llc_resolution"]
    row = _row(columns, landscape.dim / 2)
    return row_of(row, localised=localised, resolution=resolution)


def _row(columns: Mapping[str, Measured], known: float) -> Row:
    named = {
        "coefficient": columns["local_learning_coefficient"],
        "r_hat": columns["llc_r_hat"],
        "virial": columns["llc_virial"],
    }
    ratio = named["coefficient"].in_units_of(known)
    facts = {"theory": known, "rate": columns["llc_learning_rate"].value}
    return row_of(facts, **named, ratio=ratio)


def capacity_rows(widths: Rows) -> Rows:
    """Three rows for each width: Langevin's heat capacity, SGD's, and that of a regular minimum."""
    rows = []
    for row in widths:
        kinds = {
            "Langevin, in the spring": Measured.read(row, "localised"),
            "SGD: ½Tr C": Measured(row["noise"]),
            "regular: d/2": Measured(row["theory"]),
        }
        for of, number in kinds.items():
            rows.append(row_of({"width": row["width"], "of": of}, capacity=number))
    return rows


PLOTS = [
    Plot(
        "known",
        "Chains find what is known",
        "λ of Langevin chains over the closed form, with one standard error over chains: half the "
        "number of parameters of a bowl, 1/2k of powers, "
        "Aoyagi's of deep linear nets. The limit of large n is approached from below.",
        "known",
        "theory",
        ("ratio",),
        by="system",
        log="x",
        level=1.0,
        labels={"theory": "λ, closed form", "ratio": "λ of the chains / closed form"},
        joined=False,
    ),
    Plot(
        "steps",
        "Steps that are too large are refused",
        "λ over the closed form, and the virial of what is descended, which is 1 whatever the "
        "landscape, against the learning rate of the chains. Left, only rates at which a number "
        "is given.",
        "steps",
        "rate",
        ("ratio", "virial"),
        log="x",
        level=1.0,
        labels={"rate": "learning rate of the chains", "ratio": "λ / closed form"},
    ),
    Plot(
        "widths",
        "Most directions of a wide network are flatter than the spring, and SGD's noise heats it "
        "otherwise",
        "Heat capacities dE[L]/dT of minima of a network with one hidden layer, by its width: of "
        "Langevin noise in the spring, λ at the resolution γT; of SGD's at T = η/2b, ½Tr C; and "
        "d/2, which λ is at a regular minimum, however small its curvatures.",
        "capacities",
        "width",
        ("capacity",),
        by="of",
        log="xy",
        labels={"width": "hidden units", "capacity": "heat capacity dE[L]/dT"},
    ),
]
