"""Small batches end in flatter minima than large ones."""

from collections.abc import Callable, Mapping, Sequence
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
from sgdtheory.optim.batches import refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.string_sampling import descend_to
from sgdtheory.protocol import Cloud, Dtype, Landscape, values
from sgdtheory.rng import key, stream
from sgdtheory.roles.examples import NetworkLandscape
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.few import of_few
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, means_of
from sgdtheory.statistics.trends import above, geometric_mean, mean_above
from sgdtheory.studies.shared.recipe import Recipe
from sgdtheory.studies.study import Case, Study, Subject, Tables, Verdict, start_of

# t: 0 at the small batch's minimum, 1 at the large one's
LINE = torch.linspace(-1, 2, 31, dtype=torch.float64)
BAR, EVERY = 2.0, 1.5  # for the geometric mean over seeds, and for every single seed
EQUAL = 0.02  # relative difference of losses up to which they count as equal


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
            cloud = self._trained(recipe, landscape, batch_size, folder, 0.5 * k)
            if recipe.rescale is not None and which == "small":
                cloud = rescaled(landscape, cloud, recipe.rescale)
            folder.tell(0.5 * k + 0.4, f"batch size {batch_size}: curvature")
            stop_if_asked()
            for p, theta in enumerate(cloud):
                rows.append({"batch_size": batch_size, "point": p} | self._row(landscape, theta))
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
    ) -> Cloud:
        decayed = recipe.landscape(self.network, self.model, recipe.weight_decay)
        sgd = recipe.optimiser(batch_size, landscape.count)
        seed = key(self.seed, "train", batch_size)
        start, share = self._start(landscape), (done, done + 0.2)
        cloud = run_stage(folder, f"batch-{batch_size}", sgd, decayed, start, seed, fraction=share)
        if recipe.epochs is not None:
            return cloud
        folder.tell(done + 0.2, f"batch size {batch_size}: down to equal loss")
        return descend_to(
            landscape, self.descent, cloud, self.target, self.every, seed, stop_if_asked
        ).cloud

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
            "ratios": [_ratio_row(name, rows, columns) for name, rows in by_name.items()],
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


def ratio_of(rows: Rows, column: str) -> tuple[Measured, list[float]]:
    """Large batch over small: geometric mean over points that began together, and each of them."""
    small, large = pairs(rows, column)
    return geometric_mean([b / a for a, b in zip(small, large, strict=True)], column)


def pairs(rows: Rows, column: str) -> tuple[list[float], list[float]]:
    """The column at the small and at the large batch size, point by point."""
    by_size = grouped(rows, "batch_size")
    small, large = (column_of(by_size[size], column) for size in sorted(by_size))
    return small, large


def mean_rows(points: Rows, columns: Sequence[str]) -> Rows:
    """One row for each recipe and batch size, means over seeds."""
    means = []
    for name, rows in grouped(points, "recipe").items():
        for size, same in sorted(grouped(rows, "batch_size").items()):
            facts = {"recipe": name, "batch_size": size}
            means.append(row_of(facts, **means_of(same, *columns)))
    return means


def _ratio_row(name: str, rows: Rows, columns: Sequence[str]) -> Row:
    """Ratios large over small, that of the losses with them: flatness at unequal loss compares
    nothing.
    """
    compared = [column for column in ("loss", *columns) if column != "test_error"]
    ratios = {column: ratio_of(rows, column)[0] for column in compared}
    least = min(ratio_of(rows, "sharpness")[1])
    return row_of({"recipe": name, "least_sharpness": least}, **ratios)


def claims_of(by_name: Mapping[str, Rows], recipes: list[str], target: float) -> list[Claim]:
    """The headline's claims, then every other recipe without a verdict."""
    headline = recipes[0]
    if headline not in by_name:
        unknown = Measured.nothing(f"{headline} is not finished")
        return [Claim("sharpness", f"nothing is known of {headline}", unknown, f"≥ {BAR:g}", None)]
    rows = by_name[headline]
    claims = [
        _flatter("sharpness", "sharpness (metric 2.1)", rows, target),
        _flatter("top_eigenvalue", "h_max", rows, target),
        _generalises(rows),
    ]
    others = [name for name in recipes[1:] if name in by_name]
    return claims + [_shown(name, by_name[name], target) for name in others]


def _flatter(column: str, words: str, rows: Rows, target: float) -> Claim:
    ratio, ratios = ratio_of(rows, column)
    expected = f"geometric mean ≥ {BAR:g}, every seed > {EVERY:g}, at equal loss"
    if ratio.value is None or not _equal(rows, target):
        why = ratio.why or "the losses are not equal; see the table"
        told = f"{words}: nothing can be said, {why}"
        return Claim(column, told, Measured.nothing(why), expected, None)
    holds = False if min(ratios) <= EVERY else above(of_few(ratio, len(ratios)), BAR)
    small, large = sorted(grouped(rows, "batch_size"))
    told = f"at equal loss {target:g} {words} of b = {large} is {ratio} times that of b = {small}, "
    told += f"at the least {min(ratios):.2f} times ({len(ratios)} seeds)"
    why = f"within two errors it may be {BAR:g}: raise seeds" if holds is None else ""
    return Claim(column, told, ratio._replace(why=why), expected, holds)


def _equal(rows: Rows, target: float) -> bool:
    """Whether all have come down to the target and none went far below it."""
    return all((1 - EQUAL) * target <= row["loss"] <= target for row in rows)


def _generalises(rows: Rows) -> Claim:
    small, large = pairs(rows, "test_error")
    differences = [b - a for a, b in zip(small, large, strict=True)]
    fewer = Measured.mean(differences)
    low, high, more = (_percent(errors) for errors in (small, large, differences))
    told = f"test error {low} with small batches, {high} with large: {more} more"
    expected = "the flatter minima generalise better: above 0 by two errors"
    holds, fewer = mean_above(fewer, 0.0, "raise seeds", samples=len(differences))
    return Claim("test_error", told, fewer, expected, holds)


def _percent(errors: list[float]) -> Measured:
    return Measured.mean([100 * error for error in errors], "%")


def _shown(name: str, rows: Rows, target: float) -> Claim:
    """A recipe that is shown without a verdict."""
    ratio, _ = ratio_of(rows, "sharpness")
    low, high = (sum(losses) / len(losses) for losses in pairs(rows, "loss"))
    at = f"at unequal loss, {low:.2g} small and {high:.2g} large"
    if _equal(rows, target):
        at = f"at equal loss {target:g}"
    told = f"{name}: sharpness large over small {ratio} {at}"
    return Claim(name, told, ratio, "shown beside it, whatever it says", None)


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
