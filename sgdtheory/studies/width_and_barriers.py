"""Wider networks have lower barriers between their minima."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import nn

from sgdtheory.cloud import length, points_at, straight_length
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Whole
from sgdtheory.landscape import Cloud
from sgdtheory.measured import Results
from sgdtheory.paths.autoneb import AutoNEB
from sgdtheory.paths.profile import profile, train_losses
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_stage
from sgdtheory.streams import key, stream
from sgdtheory.studies.study import Subject
from sgdtheory.studies.verdicts.shapes import claims, name_of, shape_row


@dataclass(frozen=True)
class WidthAndBarriers:
    """Excess of AutoNEB's paths and barrier of the straight line, against width and depth (Draxler et al. 2018, 4.2).

    Claim (1803.00885): the barrier falls with width, and more with depth (shown there for CNNs). Refuted by an excess at
    the narrowest network that is not five times that at the widest, or by straight lines that do not fall with width.

    `trained` minima of each shape are one cloud, and the `kept` lowest are joined in a ring, each with the next in order of
    loss: with minima as they come the excess rises with width, an artefact, for a narrow network's path between a good and
    a poor one has its highest point at the poor end. `hidden`: units of the layers; those of one
    layer are compared by width, those of one width by depth. Losses are mean training losses without L2.
    """

    model: Callable[..., nn.Module]
    network: Callable[..., Any]
    sgd: SGD
    autoneb: AutoNEB
    hidden: Annotated[list[list[Count]], MinLen(1)]
    trained: Count = 24
    kept: Annotated[int, Ge(2)] = 6
    dtype: Dtype = "float32"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if "hidden" not in inspect.signature(self.model).parameters:
            raise Mistake("model: a study of widths needs one whose `hidden` gives the units of its layers; use model=mlp")
        if self.kept > self.trained:
            raise Mistake(f"kept={self.kept} is more than the {self.trained} that are trained; make it smaller")

    @property
    def landscape(self) -> Subject:
        return Subject(f"networks of {len(self.hidden)} shapes")

    def units(self, run: Run) -> list[Unit]:
        return [Unit(f"hidden-{name_of(hidden)}", self._science(run, hidden)) for hidden in self.hidden]

    def _science(self, run: Run, hidden: list[int]) -> dict[str, Any]:
        return {name: value for name, value in run.science.items() if name != "hidden"} | {"of": list(hidden)}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        landscape = self._landscape(unit.science["of"])
        seed = key(self.seed, "width", *unit.science["of"])
        cloud = run_stage(folder, "train", self.sgd, landscape, self._start(landscape, seed), seed, share=(0.0, 0.4))
        losses = train_losses(landscape, cloud).nan_to_num(torch.inf)
        order = losses.argsort()[: self.kept]
        best, rows = cloud[order], []
        pairs = [(i, (i + 1) % self.kept) for i in range(self.kept if self.kept > 2 else 1)]
        for k, pair in enumerate(pairs):
            folder.tell(0.4 + 0.6 * k / len(pairs), f"path {k + 1} of {len(pairs)}")
            stop_if_asked()
            rows.append({"pair": list(pair), **self._join(landscape, best[list(pair)], key(seed, "path", k))})
        minima = {"lowest": float(losses[order[0]]), "highest_kept": float(losses[order[-1]]), "median": float(losses.median())}
        folder.finish({"parameters": landscape.dim, "minima": minima, "rows": rows}, {"minima": best})

    def _join(self, landscape: Any, ends: Cloud, seed: int) -> dict[str, Any]:
        """One path: its excess over the higher end with its error over examples, and the straight line's barrier."""
        path = self.autoneb.find(landscape, ends, seed, lambda points: train_losses(landscape, points))
        excess = profile(landscape, points_at(path.pivots, path.t), path.t).barrier()
        ratio = length(path.pivots) / straight_length(path.pivots)
        return {"excess": {"value": excess.value, "stderr": excess.stderr}, "straight": path.straight, "length_ratio": ratio}

    def _landscape(self, hidden: list[int]) -> Any:
        return self.network(model=partial(self.model, hidden=tuple(hidden)))

    def _start(self, landscape: Any, seed: int) -> Cloud:
        cloud: Cloud = landscape.init(self.trained, stream(seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def finish(self, run: Run) -> Results:
        found = [(hidden, run.result(Unit("", self._science(run, hidden)))) for hidden in self.hidden]
        results = [(hidden, result) for hidden, result in found if result is not None]
        shapes = [shape_row(hidden, result) for hidden, result in results]
        paths = [{"hidden": name_of(hidden), **row} for hidden, result in results for row in result["rows"]]
        return Results(claims(shapes), {}, {"tables": {"shapes": shapes, "paths": paths}})

    def estimate(self, unit: Unit) -> Estimate:
        """As the training of the minima, and about three times as long for the paths (measured); a mean over shapes."""
        landscapes = [self._landscape(hidden) for hidden in self.hidden]
        found = [estimate_stage(landscape, self.sgd, self._start(landscape, 0)) for landscape in landscapes]
        seconds, memory, disk = (sum(numbers) / len(found) for numbers in zip(*found, strict=True))
        return Estimate(4 * seconds, memory, disk)
