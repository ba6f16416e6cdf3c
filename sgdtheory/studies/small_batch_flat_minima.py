"""Small batches end in flatter minima than large ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from sgdtheory.curvature import top_modes
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.estimate import estimate_stage
from sgdtheory.faults import Mistake
from sgdtheory.kinds import Count, Positive, Whole
from sgdtheory.landscape import Cloud, values
from sgdtheory.measured import Measured, Results
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.pipelines.train import Dtype
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_stage
from sgdtheory.streams import key, stream
from sgdtheory.studies.parts.recipe import Recipe, rescaled
from sgdtheory.studies.study import Subject, row_of
from sgdtheory.studies.verdicts import batches


@dataclass(frozen=True)
class SmallBatchFlatMinima:
    """Sharpness and largest curvature where SGD ends with small and with large batches, at equal loss.

    Claim (Keskar et al. 2017, 1609.04836): large batches end in sharp minima, small ones in flat ones that generalise better.
    Refuted by a ratio of sharpness (metric 2.1), large over small, that is not above 1.5 for every seed, or below 2 in the
    geometric mean over them. From the same random points both batch sizes run for as many steps, then `descent` takes both
    down the whole loss to `target`, for what is not equally far down is not equally flat either. The first of the `recipes`
    is the headline; the others are the evidence against reading too much into it, such as the very same functions in other
    coordinates (Dinh et al. 2017, 1703.04933). All seeds of one batch size are one cloud. Losses are without L2.
    """

    model: Callable[..., nn.Module]
    network: Callable[..., Any]
    recipes: Annotated[dict[str, Recipe], MinLen(1)]
    descent: SGD
    sharpness: Sharpness
    also: dict[str, Sharpness]
    batch_sizes: tuple[Count, Count] = (4, 144)
    seeds: Annotated[int, Ge(2)] = 5
    target: Positive = 0.02
    every: Count = 2
    dtype: Dtype = "float64"
    seed: Whole = 0

    def __post_init__(self) -> None:
        if self.batch_sizes[0] >= self.batch_sizes[1]:
            raise Mistake(f"batch_sizes={list(self.batch_sizes)}: the small one first, such as [4,144]")
        for name, recipe in self.recipes.items():
            if recipe.rescale is not None and recipe.activation != "relu":
                raise Mistake(f"recipes.{name}.rescale: only a ReLU does not notice; use activation=relu")

    @property
    def landscape(self) -> Subject:
        return Subject(f"networks trained in {len(self.recipes)} ways")

    def units(self, run: Run) -> list[Unit]:
        return [Unit(name, self._science(run, name)) for name in self.recipes]

    def _science(self, run: Run, name: str) -> dict[str, Any]:
        shared = {what: value for what, value in run.science.items() if what != "recipes"}
        return {**shared, "of": name, "recipe": run.science["recipes"][name]}

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        recipe = self.recipes[unit.science["of"]]
        landscape = recipe.landscape(self.network, self.model, 0.0)
        rows, clouds = [], {}
        for k, (batch_size, which) in enumerate(zip(self.batch_sizes, ("small", "large"), strict=True)):
            cloud = self._trained(recipe, landscape, batch_size, folder, 0.5 * k)
            if recipe.rescale is not None and which == "small":
                cloud = rescaled(landscape, cloud, recipe.rescale)
            folder.tell(0.5 * k + 0.4, f"batch size {batch_size}: curvature")
            stop_if_asked()
            rows += [{"batch_size": batch_size, "point": p, **self._row(landscape, x)} for p, x in enumerate(cloud)]
            clouds[which] = cloud
        along = batches.line(landscape, clouds["small"], clouds["large"])
        folder.finish({"rows": rows, "line": along, "parameters": landscape.dim}, clouds)

    def _trained(self, recipe: Recipe, landscape: Any, batch_size: int, folder: UnitFolder, done: float) -> Cloud:
        decayed = recipe.landscape(self.network, self.model, recipe.weight_decay)
        sgd, seed = recipe.optimiser(batch_size, landscape.count), key(self.seed, "train", batch_size)
        share = (done, done + 0.2)
        cloud = run_stage(folder, f"batch-{batch_size}", sgd, decayed, self._start(landscape), seed, share=share)
        if recipe.epochs is not None:
            return cloud
        folder.tell(done + 0.2, f"batch size {batch_size}: down to equal loss")
        return descend_to(landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked).cloud

    def _row(self, landscape: Any, theta: Tensor) -> dict[str, Any]:
        measured = {name: one(landscape, theta[None])[0]["sharpness"] for name, one in self.also.items()}
        measured["sharpness"] = self.sharpness(landscape, theta[None])[0]["sharpness"]
        measured["top_eigenvalue"] = Measured(float(top_modes(landscape, theta, 1)[0][0]))
        measured["test_error"] = Measured.mean(landscape.score(theta[None], "test").errors[0].cpu())
        return row_of({"loss": float(values(landscape, theta[None])[0]), "norm": float(theta.norm())}, **measured)

    def _start(self, landscape: Any) -> Cloud:
        cloud: Cloud = landscape.init(self.seeds, stream(self.seed, "init"))
        return cloud.to(getattr(torch, self.dtype))

    def finish(self, run: Run) -> Results:
        found = {name: run.result(Unit("", self._science(run, name))) for name in self.recipes}
        columns = ("sharpness", "top_eigenvalue", "test_error", *self.also)
        return batches.results({name: x for name, x in found.items() if x}, list(self.recipes), columns, self.target)

    def estimate(self, unit: Unit) -> Estimate:
        """As both trainings, and as long again for the descents and what is measured."""
        recipe = self.recipes[unit.science["of"]]
        landscape = recipe.landscape(self.network, self.model, 0.0)
        sgds = [recipe.optimiser(size, landscape.count) for size in self.batch_sizes]
        small, large = (estimate_stage(landscape, sgd, self._start(landscape)) for sgd in sgds)
        return Estimate(2 * (small.seconds + large.seconds), large.memory, small.disk + large.disk)
