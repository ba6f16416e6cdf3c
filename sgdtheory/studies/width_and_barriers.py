"""Wider networks have lower barriers between their minima."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from sgdtheory.annotations import NonNegativeInt, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import Cloud, Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.power_law import Point, fit_power_law
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped
from sgdtheory.statistics.trends import SIGMAS, higher, ratio
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, mean_estimate, start_of

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
    network: Callable[..., NetworkLandscape]
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
        start = self._start(landscape, seed)
        cloud = run_stage(
            folder,
            "train",
            self.sgd,
            landscape,
            start,
            seed,
            fraction=(0.0, 0.4),
        )
        losses = train_losses(landscape, cloud).nan_to_num(torch.inf)
        order = losses.argsort()[: self.kept]
        best = cloud[order]
        rows = []
        count = self.kept if self.kept > 2 else 1  # two minima make no ring
        for k in range(count):
            done = 0.4 + 0.6 * k / count
            folder.tell(done, f"path {k + 1} of {count}")
            stop_if_asked()
            pair = [k, (k + 1) % self.kept]
            row = self._join(landscape, best[pair], key(seed, "path", k))
            rows.append({"pair": pair, **row})
        shape = {
            "parameters": landscape.dim,
            "lowest": float(losses[order[0]]),
            "highest_kept": float(losses[order[-1]]),
        }
        return {"paths": rows, "shapes": [shape]}, {"minima": best}

    def _layers(self, case: Case) -> list[int]:
        return next(hidden for hidden in self.hidden if name_of(hidden) == case.settings["hidden"])

    def _join(self, landscape: NetworkLandscape, ends: Cloud, seed: int) -> Row:
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

    def _landscape(self, hidden: list[int]) -> NetworkLandscape:
        return self.network(model=partial(self.model, hidden=tuple(hidden)))

    def _start(self, landscape: NetworkLandscape, seed: int) -> Cloud:
        return start_of(landscape, self.trained, stream(seed, "init"), self.dtype)

    def judge(self, tables: Tables) -> Verdict:
        rows = grouped(tables["shapes"], "hidden")
        paths = grouped(tables["paths"], "hidden")
        shapes = []
        for hidden in self.hidden:
            name = name_of(hidden)
            for row in rows.get(name, []):
                shapes.append(shape_row(hidden, row, paths.get(name, [])))
        return Verdict(claims_of(shapes), {"shapes": shapes, "paths": tables["paths"]}, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """As the training of the minima, and about three times as long for the paths (measured); a
        mean over shapes.
        """
        stages = []
        for hidden in self.hidden:
            landscape = self._landscape(hidden)
            stages.append(estimate_stage(landscape, self.sgd, self._start(landscape, 0)))
        mean = mean_estimate(stages)
        return mean._replace(seconds=4 * mean.seconds)


def name_of(hidden: list[int]) -> str:
    """16-16"""
    return "-".join(map(str, hidden))


def shape_row(hidden: list[int], shape: Row, paths: Rows) -> Row:
    """One row for a shape: means over its paths with their standard errors, each path counted as
    independent.
    """
    excess = Measured.mean([row["excess"]["value"] for row in paths], "nats")
    straight = Measured.mean(column_of(paths, "straight"), "nats")
    ratios = Measured.mean(column_of(paths, "length_ratio"))
    facts = {**shape, "width": max(hidden), "depth": len(hidden)}
    return row_of(facts, excess=excess, straight=straight, length_ratio=ratios)


def by_width(shapes: Rows) -> Rows:
    """The shapes with one hidden layer, the narrowest first."""
    return sorted((row for row in shapes if row["depth"] == 1), key=lambda row: row["width"])


def by_depth(shapes: Rows) -> Rows:
    """The shapes of that one width which has the most depths, the shallowest first; none where no
    width has two.
    """
    most = max(grouped(shapes, "width").values(), key=len, default=[])
    if len(most) > 1:
        return sorted(most, key=lambda row: row["depth"])
    return []


def claims_of(shapes: Rows) -> list[Claim]:
    """Excess and straight lines fall with width; and the effect of depth."""
    wide = by_width(shapes)
    if len(wide) < 2:
        unknown = Measured.nothing("one shape with one hidden layer cannot be compared")
        return [Claim("excess", "nothing is said of width", unknown, f"> {FACTOR:g}", None)]
    first = wide[0]
    last = wide[-1]
    between = f"from width {first['width']} to {last['width']}"
    highest = Measured.read(first, "excess")
    lowest = Measured.read(last, "excess")
    fall = ratio(highest, lowest, f"no excess at width {last['width']}")
    holds = first["excess"] > FACTOR * max(last["excess"], 0.0)
    barriers = _told(wide, "excess")
    words = f"the barrier on the path {_falls(holds)} {between}: {barriers} nats"
    expected = f"more than {FACTOR:g} times as high at the narrowest"
    claims = [Claim("excess", words, fall, expected, holds), _lines(wide, between)]
    deep = by_depth(shapes)
    return [*claims, _depth_claim(deep)] if deep else claims


def _lines(wide: Rows, between: str) -> Claim:
    """The power of the width that the straight line's barrier goes as, all widths together."""
    points = []
    for row in wide:
        points.append(Point(row["width"], row["straight"], row.get("straight_stderr") or 0.0))
    fit = fit_power_law(points)
    slope = Measured.nothing("a power law needs three widths")
    falls = None
    if not isinstance(fit, str):
        slope = Measured(fit.slope, fit.slope_stderr)
        falls = fit.slope + SIGMAS * fit.slope_stderr < 0
    how = "is" if falls is None else _falls(falls)
    words = f"the straight line's barrier {how} {between}: {_told(wide, 'straight')} nats"
    return Claim("straight", words, slope, "a negative power of the width", falls)


def _depth_claim(deep: Rows) -> Claim:
    """Straight lines rise with depth while the paths stay flat in comparison; those of CNNs even
    fall, says the paper.
    """
    first = deep[0]
    last = deep[-1]
    straight = [Measured.read(row, "straight") for row in deep]
    shares = []
    for row, line in zip(deep, straight, strict=True):
        excess = Measured.read(row, "excess")
        shares.append(ratio(excess, line, "the straight line has no barrier"))
    words = (
        f"width {first['width']}, {first['depth']} to {last['depth']} hidden layers: the straight "
        f"line's barrier is {_told(deep, 'straight')} nats, the path's {_told(deep, 'excess')}"
    )
    flat = all(share.value is not None and share.value <= FLAT for share in shares)
    rising = higher(straight[-1], straight[0])
    expected = (
        f"the straight line's rising, the path's at most {100 * FLAT:g} % of it at every depth"
    )
    holds = None if rising is None else rising and flat
    return Claim("depth", words, shares[-1], expected, holds)


def _told(rows: Rows, name: str) -> str:
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
            "excess": "barrier on AutoNEB's path / nats",
            "straight": "barrier on the straight line / nats",
            "depth": "hidden layers:",
        },
    ),
]
