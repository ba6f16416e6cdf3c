"""Wider networks have lower barriers between their minima."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.landscape import Cloud
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import train_losses
from sgdtheory.pipelines.train import Dtype
from sgdtheory.rng import key, stream
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.power_law import Point, fit_power_law
from sgdtheory.statistics.trends import SIGMAS, higher, ratio
from sgdtheory.studies.study import Case, Rows, Study, Subject, Tables, Verdict, column_of

FACTOR = (
    5.0  # by which the excess of the narrowest is above that of the widest (the project's table)
)
FLAT = 0.005  # of the straight line's barrier: a path below this is flat (the project's interface)


@dataclass(frozen=True)
class WidthAndBarriers(Study):
    """The barriers between minima fall as networks get wider (Draxler et al. 2018).

    Excess of AutoNEB's paths and barrier of the straight line, against width and depth (Draxler et
    al. 2018, 4.2).

    Claim (1803.00885): the barrier falls with width, and more with depth (shown there for CNNs).
    Refuted by an excess at the narrowest network that is not five times that at the widest, or by
    straight lines that do not fall with width.

    `trained` minima of each shape are one cloud, and the `kept` lowest are joined in a ring, each
    with the next in order of loss: with minima as they come the excess rises with width, an
    artefact, for a narrow network's path between a good and a poor one has its highest point at the
    poor end. `hidden`: units of the layers; those of one layer are compared by width, those of one
    width by depth. Losses are mean training losses without L2.
    """

    axes = ("hidden",)

    model: Callable[..., nn.Module]
    network: Callable[..., Any]
    sgd: SGD
    autoneb: AutoNEB
    hidden: Annotated[list[list[PositiveInt]], MinLen(1)]
    trained: PositiveInt = 24
    kept: Annotated[int, Ge(2)] = 6
    dtype: Dtype = "float32"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if "hidden" not in inspect.signature(self.model).parameters:
            raise UserError(
                "model: a study of widths needs one whose `hidden` gives the units of its layers; "
                "use model=mlp"
            )
        if self.kept > self.trained:
            raise UserError(
                f"kept={self.kept} is more than the {self.trained} that are trained; make it "
                "smaller"
            )

    @property
    def landscape(self) -> Subject:
        return Subject(f"networks of {len(self.hidden)} shapes")

    def cases(self) -> list[Case]:
        return [
            Case(f"hidden-{name_of(hidden)}", {"hidden": name_of(hidden)}) for hidden in self.hidden
        ]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        hidden = self._layers(case)
        landscape = self._landscape(hidden)
        seed = key(self.seed, "width", *hidden)
        cloud = run_stage(
            folder,
            "train",
            self.sgd,
            landscape,
            self._start(landscape, seed),
            seed,
            fraction=(0.0, 0.4),
        )
        losses = train_losses(landscape, cloud).nan_to_num(torch.inf)
        order = losses.argsort()[: self.kept]
        best, rows = cloud[order], []
        pairs = [(i, (i + 1) % self.kept) for i in range(self.kept if self.kept > 2 else 1)]
        for k, pair in enumerate(pairs):
            folder.tell(0.4 + 0.6 * k / len(pairs), f"path {k + 1} of {len(pairs)}")
            stop_if_asked()
            rows.append(
                {
                    "pair": list(pair),
                    **self._join(landscape, best[list(pair)], key(seed, "path", k)),
                }
            )
        shape = {
            "parameters": landscape.dim,
            "lowest": float(losses[order[0]]),
            "highest_kept": float(losses[order[-1]]),
        }
        return {"paths": rows, "shapes": [shape]}, {"minima": best}

    def _layers(self, case: Case) -> list[int]:
        return next(hidden for hidden in self.hidden if name_of(hidden) == case.settings["hidden"])

    def _join(self, landscape: Any, ends: Cloud, seed: int) -> dict[str, Any]:
        """One path: its excess over the higher end with its error over examples, and the straight
        line's barrier.
        """
        found = self.autoneb.find(landscape, ends, seed)
        excess = found.along.barrier()
        return {
            "excess": {"value": excess.value, "stderr": excess.stderr},
            "straight": found.straight,
            "length_ratio": found.path.length_ratio,
        }

    def _landscape(self, hidden: list[int]) -> Any:
        return self.network(model=partial(self.model, hidden=tuple(hidden)))

    def _start(self, landscape: Any, seed: int) -> Cloud:
        cloud: Cloud = landscape.init(self.trained, stream(seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def judge(self, tables: Tables) -> Verdict:
        shapes = []
        for hidden, shape in ((hidden, row) for hidden in self.hidden for row in tables["shapes"]):
            if shape["hidden"] == name_of(hidden):
                paths = [row for row in tables["paths"] if row["hidden"] == shape["hidden"]]
                shapes.append(shape_row(hidden, shape, paths))
        return Verdict(claims_of(shapes), {"shapes": shapes, "paths": tables["paths"]}, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """As the training of the minima, and about three times as long for the paths (measured); a
        mean over shapes.
        """
        landscapes = [self._landscape(hidden) for hidden in self.hidden]
        stages = [
            estimate_stage(landscape, self.sgd, self._start(landscape, 0))
            for landscape in landscapes
        ]
        seconds, memory, disk = (
            sum(numbers) / len(stages) for numbers in zip(*stages, strict=True)
        )
        return Estimate(4 * seconds, memory, disk)


def name_of(hidden: list[int]) -> str:
    """16-16"""
    return "-".join(map(str, hidden))


def shape_row(hidden: list[int], shape: dict[str, Any], paths: Rows) -> dict[str, Any]:
    """One row a shape: means over its paths with their standard errors, each path counted as
    independent.
    """
    excess = Measured.mean([row["excess"]["value"] for row in paths], "nats")
    straight = Measured.mean(column_of(paths, "straight"), "nats")
    ratios = Measured.mean(column_of(paths, "length_ratio"))
    facts = {**shape, "width": max(hidden), "depth": len(hidden)}
    return row_of(facts, excess=excess, straight=straight, length_ratio=ratios)


def by_width(shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shapes with one hidden layer, the narrowest first."""
    return sorted((row for row in shapes if row["depth"] == 1), key=lambda row: row["width"])


def by_depth(shapes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shapes of that one width which has the most depths, the shallowest first; none where no
    width has two.
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in shapes:
        groups.setdefault(row["width"], []).append(row)
    most = max(groups.values(), key=len, default=[])
    return sorted(most, key=lambda row: row["depth"]) if len(most) > 1 else []


def claims_of(shapes: list[dict[str, Any]]) -> list[Claim]:
    """That excess and straight lines fall with width, and what depth does."""
    wide = by_width(shapes)
    if len(wide) < 2:
        nothing = Measured.nothing("one shape with one hidden layer cannot be compared")
        return [Claim("excess", "nothing is said of width", nothing, f"> {FACTOR:g}", None)]
    first, last = wide[0], wide[-1]
    between = f"from width {first['width']} to {last['width']}"
    fall = ratio(_of(first, "excess"), _of(last, "excess"), f"no excess at width {last['width']}")
    holds = first["excess"] > FACTOR * max(last["excess"], 0.0)
    words = f"the barrier on the path {_falls(holds)} {between}: {_told(wide, 'excess')} nats"
    said = [
        Claim("excess", words, fall, f"more than {FACTOR:g} times as high at the narrowest", holds),
        _lines(wide, between),
    ]
    return [*said, _depth_claim(by_depth(shapes))] if by_depth(shapes) else said


def _lines(wide: list[dict[str, Any]], between: str) -> Claim:
    """The power of the width that the straight line's barrier goes as, all widths together."""
    fit = fit_power_law(
        [Point(row["width"], row["straight"], row.get("straight_stderr") or 0.0) for row in wide]
    )
    if isinstance(fit, str):
        slope, falls = Measured.nothing("a power law needs three widths"), None
    else:
        slope, falls = (
            Measured(fit.slope, fit.slope_stderr),
            fit.slope + SIGMAS * fit.slope_stderr < 0,
        )
    how = "is" if falls is None else _falls(falls)
    words = f"the straight line's barrier {how} {between}: {_told(wide, 'straight')} nats"
    return Claim("straight", words, slope, "a negative power of the width", falls)


def _depth_claim(deep: list[dict[str, Any]]) -> Claim:
    """That straight lines rise with depth while the paths stay flat beside them; of CNNs the paper
    says they even fall.
    """
    first, last = deep[0], deep[-1]
    shares = [
        ratio(_of(row, "excess"), _of(row, "straight"), "the straight line has no barrier")
        for row in deep
    ]
    words = (
        f"width {first['width']}, {first['depth']} to {last['depth']} hidden layers: the straight "
        f"line's barrier is {_told(deep, 'straight')} nats, the path's {_told(deep, 'excess')}"
    )
    flat = all(share.value is not None and share.value <= FLAT for share in shares)
    rising = higher(_of(last, "straight"), _of(first, "straight"))
    expected = (
        f"the straight line's rising, the path's at most {100 * FLAT:g} % of it at every depth"
    )
    return Claim("depth", words, shares[-1], expected, None if rising is None else rising and flat)


def _of(row: dict[str, Any], name: str) -> Measured:
    return Measured(row[name], row.get(f"{name}_stderr"))


def _told(rows: list[dict[str, Any]], name: str) -> str:
    return ", ".join(f"{row[name]:.2g}" for row in rows)


def _falls(holds: bool) -> str:
    return "falls" if holds else "does not fall"


PLOTS = [
    Plot(
        "widths",
        "Barriers against the shape of the network",
        "How far the training loss rises above the higher of two minima: on the path that AutoNEB "
        "finds, and on the straight line between them; means with one standard error over pairs "
        "of minima. Only the lowest of many minima of each network are joined, since between a "
        "good and a poor one the poor one itself is the highest point. A path far below its line: "
        "the minima lie in one valley that is not straight. Wider networks should have lower "
        "barriers of both kinds; networks of several layers stand at their width.",
        "shapes",
        "width",
        ("excess", "straight"),
        by="depth",
        log="xy",
        labels={
            "width": "units of a hidden layer",
            "excess": "barrier on AutoNEB's path",
            "straight": "barrier on the straight line",
            "depth": "hidden layers:",
        },
    ),
]
