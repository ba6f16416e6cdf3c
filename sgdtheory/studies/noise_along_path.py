"""Between two minima the noise of SGD and the curvature rise, although the path between them stays
low.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from sgdtheory.annotations import PositiveInt
from sgdtheory.geometry.traces import hessian_trace, noise_trace
from sgdtheory.optim.batches import refuse_augmented
from sgdtheory.paths.polyline import points_at
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import value_and_grad
from sgdtheory.rng import stream
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Row, Rows
from sgdtheory.statistics.tables import column_of, grouped, known, mean_of_known
from sgdtheory.statistics.trends import above, every, mean_above, ratio
from sgdtheory.studies.shared.found_paths import FoundPaths
from sgdtheory.studies.study import Case, Tables, Verdict, without_verdict

RISE = 1.3  # of Tr C, on every pair (the project's table)
PAIRS = 3  # that it must be seen on
MORE = "raise pairs"
MIDDLE = (1 / 3, 2 / 3)  # arc positions


@dataclass(frozen=True)
class NoiseAlongPath(FoundPaths):
    """Noise and curvature of SGD rise along a path of low loss between two minima (entropic
    confinement, 2512.06297).

    Claim: curvature rises along a path of low loss that AutoNEB finds, and the noise of SGD with
    it, so that noise drives SGD back to the ends. Refuted by a Tr C that is no higher in the middle
    third of paths than 1.3 times that at their ends, or by one that rises no more than the square
    of the data loss does: a gradient vanishes with its example's loss, which explains a part of any
    rise. Nothing is said where a path is not low, by the test of `connect`, or an end not trained.

    With strong weight decay there is little to see: what a path must not lose in ½λ|θ|² it cannot
    gain in flat ends.

    `points` stand evenly along each path. C is that of one sample's gradient (`size`: of SGD's
    batches, for batch norm alone).
    """

    on = "noise"
    keys = ("points", "size")

    points: Annotated[int, Ge(5)] = 9
    size: PositiveInt = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_augmented(self.landscape)

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        t = torch.linspace(0, 1, self.points, dtype=torch.float64)
        rows = []
        for k, theta in enumerate(points_at(self.path_of(folder), t)):
            folder.tell(k / self.points, f"point {k + 1} of {self.points}")
            stop_if_asked()
            source = stream(self.seed_of(case), "noise", k)
            rows.append({"t": float(t[k]), **self._row(theta, source)})
        return {"points": rows}, {}

    def _row(self, theta: Tensor, source: torch.Generator) -> Row:
        """One row for a point θ [n]."""
        objective, gradient = value_and_grad(self.landscape, theta[None])
        loss = train_losses(self.landscape, theta[None])
        facts = {
            "data_loss": float(loss[0]),
            "objective": float(objective[0]),
            "gradient_norm": float(gradient[0].norm()),
        }
        noise = noise_trace(self.landscape, theta, self.size, source)
        trace = hessian_trace(self.landscape, theta, source)
        return row_of(facts, noise_trace=noise, trace=trace)

    def judge(self, tables: Tables) -> Verdict:
        """From the pairs whose path is found and measured."""
        points = grouped(tables["points"], "pair")
        shown = []
        measured = [path for path in tables["paths"] if path["pair"] in points]
        pairs = [pair_row(path, points[path["pair"]]) for path in measured]
        for row in tables["points"]:
            columns = dict(row)
            shown.append({"path": f"path {columns.pop('pair')}", **columns})
        claims = claims_of(pairs, self.pairs)
        ends = {
            pair: (rows[0]["data_loss"], rows[-1]["data_loss"]) for pair, rows in points.items()
        }
        claims = without_verdict(claims, self.doubts(measured, ends))
        return Verdict(claims, {"pairs": pairs, "points": shown}, plots())

    def estimate(self, unit: Unit) -> Estimate:
        """A point costs a quarter of a second on digits (measured): some 160 Hessian-vector
        products.
        """
        return Estimate(0.25 * self.points, 1e9, 1e5)


def pair_row(facts: Row, points: Rows) -> Row:
    """One row for a path: for each column the mean over its middle third over the mean of its
    ends."""
    middle = [row for row in points if MIDDLE[0] <= row["t"] <= MIDDLE[1]]
    ends = [points[0], points[-1]]
    columns = {
        "noise": "noise_trace",
        "curvature": "trace",
        "loss": "data_loss",
        "objective": "objective",
    }
    ratios = {}
    for name, x in columns.items():
        raised = mean_of_known(middle, x)
        below = mean_of_known(ends, x)
        ratios[f"{name}_ratio"] = ratio(raised, below, f"no {x} at the ends")
    loss = ratios["loss_ratio"]
    squared = loss
    if loss.value is not None:
        squared = Measured(loss.value**2, 2 * loss.value * (loss.stderr or 0.0))
    ratios["beyond_loss_ratio"] = ratio(ratios["noise_ratio"], squared, "no data loss")
    return row_of(facts, **ratios)


def claims_of(pairs: Rows, asked: int) -> list[Claim]:
    """Tr C rises in the middle, and Tr H; the data loss, and how much of the noise it does not
    explain.
    """
    if not pairs:
        why = "no path was found"
        return [Claim("noise", why, Measured.nothing(why), f"> {RISE:g}", None)]
    noise, curvature, loss, beyond = (
        _mean_ratio(pairs, name) for name in ("noise", "curvature", "loss", "beyond_loss")
    )
    risen = [above(Measured.read(row, "noise_ratio"), RISE) for row in pairs]
    told = (
        f"Tr C is {noise} times as high in the middle third of a path as at its ends (above "
        f"{RISE:g} on {risen.count(True)} of {asked}"
    )
    told += f" pairs), the data loss {loss} times"
    expected = f"> {RISE:g} on each of {PAIRS} pairs or more, and more than the loss's square"
    others = _with_noise(pairs, noise, curvature, loss, beyond)
    holds = every([*risen, others[-1].holds])
    if len(pairs) < PAIRS:
        holds = None
        why = f"it must be seen on {PAIRS} paths, {len(pairs)} found: {MORE}"
        noise = noise._replace(why=noise.why or why)
    elif holds is None:
        why = others[-1].measured.why if None not in risen else ""
        why = why or f"on a path Tr C may rise by {RISE:g} or not, within two standard errors"
        noise = noise._replace(why=noise.why or why)
    return [Claim("noise", told, noise, expected, holds), *others]


def _with_noise(
    pairs: Rows,
    noise: Measured,
    curvature: Measured,
    loss: Measured,
    beyond: Measured,
) -> list[Claim]:
    """The rise of the curvature and of the data loss, and that of the noise beyond the loss's; the
    last decides the headline too."""
    bent = f"Tr H is {curvature} times as high there"
    flat = f"the path is not exactly flat: its data loss is {loss} times as high in the middle"
    rest = (
        "Tr C over the square of the data loss, as which it would go were every example's loss to "
        f"rise alike, is {beyond} times as high in the middle"
    )
    more = "above 1: the rise is not the loss's alone"
    bends, curvature = mean_above(curvature, 1.0, MORE, samples=len(pairs))
    exceeds, beyond = mean_above(beyond, 1.0, MORE, samples=len(pairs))
    both = known(known(pairs, "noise_ratio"), "loss_ratio")
    apart = Measured.mean([row["noise_ratio"] - row["loss_ratio"] for row in both])
    rises_less, apart = mean_above(apart, 0.0, MORE, samples=len(both))
    loss = loss._replace(why=loss.why or apart.why)
    return [
        Claim("curvature", bent, curvature, "above 1", bends),
        Claim("loss", flat, loss, "rises less than Tr C", rises_less),
        Claim("beyond_loss", rest, beyond, more, exceeds),
    ]


def _mean_ratio(pairs: Rows, name: str) -> Measured:
    column = f"{name}_ratio"
    return Measured.mean(column_of(known(pairs, column), column))


def plots() -> list[Plot]:
    labels = {
        "t": "arc position on the path",
        "noise_trace": "Tr C",
        "trace": "Tr H",
        "data_loss": "training loss (nats)",
        "objective": "objective, with L2",
    }
    caption = (
        "Noise of one sample's gradient, trace of the Hessian, mean training loss without L2 and "
        "the objective with it, along paths by AutoNEB between minima; minima stand at 0 and 1. "
        "Bars: one standard error of the trace's estimate; Tr C and losses are exact sums over "
        "the training examples. Noise and curvature rise by more than the loss. The path is not "
        "exactly flat, though, and both vanish with the loss, so the pictures do not show what a "
        "flat path would do."
    )
    title = "Between two minima noise and curvature rise more than the loss"
    return [
        Plot(
            "along_paths",
            title,
            caption,
            "points",
            "t",
            tuple(list(labels)[1:]),
            by="path",
            labels=labels,
        )
    ]
