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
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import Cloud, Dtype
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped
from sgdtheory.studies.barriers.claims import claims_of
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, mean_estimate, start_of


@dataclass(frozen=True)
class WidthAndBarriers(Study):
    """The barriers between minima fall as networks get wider (Draxler et al. 2018).

    Excess of AutoNEB's paths and barrier of the straight line, against width and depth (Draxler et
    al. 2018, 4.2).

    Claim (1803.00885): the barrier falls with width, and more with depth (shown there for CNNs).
    Refuted by an excess at the narrowest network that is not five times that at the widest (by the
    ranks of their paths), or by straight lines that do not fall with width.

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
        refuse_batch(self._landscape(self.hidden[0]), self.sgd.batch_size)

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
            "untrained": untrained(landscape, float(losses[order[-1]])),
        }
        return {"paths": rows, "shapes": [shape]}, {"minima": best}

    def _layers(self, case: Case) -> list[int]:
        return next(hidden for hidden in self.hidden if name_of(hidden) == case.settings["hidden"])

    def _join(self, landscape: NetworkLandscape, ends: Cloud, seed: int) -> Row:
        """One path: its excess over the higher end with its error over examples, and the straight
        line's barrier.
        """
        found = self.autoneb.adapted_to(landscape).find(landscape, ends, seed)
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
        return Verdict(
            claims_of(shapes, tables["paths"]), {"shapes": shapes, "paths": tables["paths"]}, PLOTS
        )

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
    facts = {**shape, "width": max(hidden), "depth": len(hidden), "joined": len(paths)}
    return row_of(facts, excess=excess, straight=straight, length_ratio=ratios)


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
