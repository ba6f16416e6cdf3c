"""Small batches end in flatter minima than large ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from torch import Tensor, nn

from sgdtheory.annotations import NonNegativeInt, PositiveFloat, PositiveInt
from sgdtheory.diagnostics.sharpness import Sharpness
from sgdtheory.errors import UserError
from sgdtheory.geometry.hessian import top_eigenpairs
from sgdtheory.geometry.rescaling import rescaled
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.trained import untrained
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.protocol import Cloud, Dtype, Landscape, values
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import grouped
from sgdtheory.studies.shared.recipe import Recipe
from sgdtheory.studies.small_batches.claims import claims_of, mean_rows, ratio_row
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, start_of

# t: 0 at the small batch's minimum, 1 at the large one's
LINE = torch.linspace(-1, 2, 31, dtype=torch.float64)


@dataclass(frozen=True)
class SmallBatchFlatMinima(Study):
    """Small batches end in flatter minima than large ones, at equal loss (Keskar et al. 2017).

    Claim (Keskar et al. 2017, 1609.04836): large batches end in sharp minima, small ones in flat
    ones that generalise better. Refuted by a ratio of sharpness (metric 2.1), large over small,
    that is not above 1.5 for every seed, or below 2 in the geometric mean over them. From the same
    random points both batch sizes run for as many steps, then `descent` takes both down the whole
    loss to `target`, because flatness can only be compared at equal loss. The first of the
    `recipes` is the headline; the others are evidence against reading too much into it, such as the
    same functions in other coordinates (Dinh et al. 2017, 1703.04933). Losses are without L2.
    """

    model: Callable[..., nn.Module]
    network: Callable[..., NetworkLandscape]
    recipes: Annotated[dict[str, Recipe], MinLen(1)]
    descent: SGD
    sharpness: Sharpness
    also: dict[str, Sharpness]
    batch_sizes: tuple[PositiveInt, PositiveInt] = (4, 144)
    seeds: Annotated[int, Ge(2)] = 5  # those of one batch size are one cloud
    target: PositiveFloat = 0.02
    every: PositiveInt = 2
    dtype: Dtype = "float64"
    seed: NonNegativeInt = 0

    def __post_init__(self) -> None:
        if self.batch_sizes[0] >= self.batch_sizes[1]:
            raise UserError(
                f"batch_sizes={[*self.batch_sizes]}: the small one first, such as [4,144]"
            )
        for name, recipe in self.recipes.items():
            landscape = recipe.landscape(self.network, self.model, 0.0)
            refuse_augmented(landscape)
            refuse_batch(landscape, self.batch_sizes[1], "batch_sizes")
            if recipe.rescale is not None and recipe.activation != "relu":
                told = "only a ReLU does not notice; use activation=relu"
                raise UserError(f"recipes.{name}.rescale: {told}")

    @property
    def landscape(self) -> Subject:
        return Subject(f"networks trained in {len(self.recipes)} ways")

    def cases(self) -> list[Case]:
        return [Case(name, {"recipe": name}, {"recipes": name}) for name in self.recipes]

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        recipe = self.recipes[case.settings["recipe"]]
        landscape = recipe.landscape(self.network, self.model, 0.0)
        rows, clouds = [], {}
        sizes = zip(("small", "large"), self.batch_sizes, strict=True)
        for k, (which, batch_size) in enumerate(sizes):
            cloud, doubts = self._trained(recipe, landscape, batch_size, folder, 0.5 * k)
            if recipe.rescale is not None and which == "small":
                cloud = rescaled(landscape, cloud, recipe.rescale)
            folder.tell(0.5 * k + 0.4, f"batch size {batch_size}: curvature")
            stop_if_asked()
            for p, theta in enumerate(cloud):
                facts = {"batch_size": batch_size, "point": p, "untrained": doubts[p]}
                rows.append(facts | self._row(landscape, theta))
            clouds[which] = cloud
        line = loss_on_lines(landscape, clouds["small"], clouds["large"])
        return {"points": rows, "line": line}, clouds

    def _trained(
        self,
        recipe: Recipe,
        landscape: NetworkLandscape,
        batch_size: int,
        folder: UnitFolder,
        done: float,
    ) -> tuple[Cloud, list[str]]:
        """The minima [P, n], and why what SGD itself came to is not trained, of each."""
        decayed = recipe.landscape(self.network, self.model, recipe.weight_decay)
        sgd = recipe.optimiser(batch_size, landscape.count)
        seed = key(self.seed, "train", batch_size)
        start, share = self._start(landscape), (done, done + 0.2)
        cloud = run_stage(folder, f"batch-{batch_size}", sgd, decayed, start, seed, fraction=share)
        doubts = [untrained(landscape, loss) for loss in values(landscape, cloud).tolist()]
        if recipe.epochs is not None:
            return cloud, doubts
        folder.tell(done + 0.2, f"batch size {batch_size}: down to equal loss")
        found = descend_to(
            landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked
        )
        return found.cloud, doubts

    def _row(self, landscape: NetworkLandscape, theta: Tensor) -> Row:
        point = theta[None]
        measured = {}
        for name, box in {**self.also, "sharpness": self.sharpness}.items():
            measured[name] = box(landscape, point)[0]["sharpness"]
        eigenvalues, _ = top_eigenpairs(landscape, theta, 1)
        measured["top_eigenvalue"] = Measured(float(eigenvalues[0]))
        measured["test_error"] = Measured.mean(landscape.score(point, "test").errors[0].cpu())
        facts = {"loss": float(values(landscape, point)[0]), "norm": float(theta.norm())}
        return row_of(facts, **measured)

    def _start(self, landscape: NetworkLandscape) -> Cloud:
        return start_of(landscape, self.seeds, stream(self.seed, "init"), self.dtype)

    def judge(self, tables: Tables) -> Verdict:
        points = tables["points"]
        columns = ("sharpness", "top_eigenvalue", "test_error", *self.also)
        by_name = grouped(points, "recipe")
        shown = {
            "ratios": [ratio_row(name, rows, columns) for name, rows in by_name.items()],
            "means": mean_rows(points, ("loss", "norm", *columns)),
            **tables,
        }
        claims = claims_of(by_name, list(self.recipes), self.target)
        return Verdict(claims, shown, _plots(self.target))

    def estimate(self, unit: Unit) -> Estimate:
        """As both trainings, and as long again for the descents and the measurements."""
        recipe = self.recipes[self.case_of(unit).settings["recipe"]]
        landscape = recipe.landscape(self.network, self.model, 0.0)
        sgds = [recipe.optimiser(size, landscape.count) for size in self.batch_sizes]
        small, large = (estimate_stage(landscape, sgd, self._start(landscape)) for sgd in sgds)
        return Estimate(2 * (small.seconds + large.seconds), large.memory, small.disk + large.disk)


def loss_on_lines(landscape: Landscape, small: Cloud, large: Cloud) -> Rows:
    """The loss on the straight line through each pair of minima, rows of two clouds [P, n], mean
    over pairs: Keskar's picture (1609.04836, figure 3).
    """
    rows = []
    for t in LINE.tolist():
        losses = values(landscape, torch.lerp(small, large, t))
        rows.append(row_of({"t": t}, loss=Measured.mean(losses.cpu())))
    return rows


def _plots(target: float) -> list[Plot]:
    names = {"batch_size": "batch size b", "sharpness": "sharpness (%)"}
    names |= {"top_eigenvalue": "h_max / nats", "loss": "training loss / nats"}
    flat = (
        "Sharpness (metric 2.1 of Keskar et al. 2017) and largest curvature of the minima, means "
        f"over seeds. All are at loss {target:g} but those of a fixed number of epochs, whose "
        "large batches are far from it. That Adam and tanh show less, and that the same functions "
        "in other coordinates (reparametrised) reverse the order, says how far this carries."
    )
    between = (
        "t = 0 is the small batch's minimum, t = 1 the large one's; means over seeds. A wider "
        "valley at 0 is the picture that speaks for flat minima; it depends on how long the "
        "weights are, so weight decay alone can change it (Li et al. 2018, 1712.09913), and it is "
        "one direction of thousands."
    )
    return [
        Plot(
            "flatness",
            "Small batches end in flatter minima, by SGD",
            flat,
            "means",
            "batch_size",
            ("sharpness", "top_eigenvalue"),
            "recipe",
            "xy",
            labels=names,
        ),
        Plot(
            "line",
            "The loss on the line through a small and a large batch's minimum",
            between,
            "line",
            "t",
            ("loss",),
            "recipe",
            "y",
            labels=names,
        ),
    ]
