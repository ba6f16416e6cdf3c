"""Hidden units that noise has made useless: dead ones, and ones that do what another does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, MinLen
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.optim.batches import refuse_augmented, refuse_batch
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_measured
from sgdtheory.protocol import Landscape
from sgdtheory.rng import stream
from sgdtheory.roles.examples import network_of
from sgdtheory.roles.facts import shapes_of
from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of
from sgdtheory.statistics.trends import rises
from sgdtheory.studies.shared.parts import Found, Seen, Settings

TWIN = 0.95  # cosine of incoming and of outgoing weights above which two units are one
LAYERS = ("layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias")


@dataclass(frozen=True)
class HiddenUnits:
    """`replicas` of a ReLU network with one hidden layer, trained for `steps` at one learning rate
    and each of `batch_sizes`, from the same starts.

    Dead: a unit that is active on no training example; gradients cannot bring it back. Twins: live
    units whose incoming weights, with the bias, and outgoing ones both have cosines above 0.95;
    each group counts but one.
    """

    landscape: Landscape
    learning_rate: PositiveFloat
    batch_sizes: Annotated[list[PositiveInt], MinLen(2)]
    replicas: Annotated[int, Ge(2)]
    steps: PositiveInt

    def __post_init__(self) -> None:
        if tuple(shapes_of(self.landscape)) != LAYERS:
            raise UserError(
                "landscape: units are counted in a network with one hidden layer; use model=mlp "
                "with hidden=[32]"
            )
        refuse_augmented(self.landscape)
        refuse_batch(self.landscape, max(self.batch_sizes), "batch_sizes")

    def settings(self) -> list[Settings]:
        return [{"batch_size": size} for size in self.batch_sizes]

    def _sgd(self, size: int) -> SGD:
        return SGD(self.steps, size, self.learning_rate, Constant())

    def _start(self, dtype: torch.dtype) -> Tensor:
        return self.landscape.init(self.replicas, stream(0, "units")).to(dtype)

    def watch(self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype) -> Seen:
        size = settings["batch_size"]
        sgd = self._sgd(size)
        start = self._start(dtype)
        cloud, _ = run_measured(folder, "train", sgd, self.landscape, start, seed, (0.0, 1.0))
        counted = [self._count(theta) for theta in cloud.double()]
        dead, twins = zip(*counted, strict=True)
        facts = {"temperature": noise_temperature(self.learning_rate, size)}
        row = row_of(facts, dead=Measured.mean(dead), twins=Measured.mean(twins))
        singles = []
        for replica, count in enumerate(dead):
            singles.append({**facts, "replica": replica, "dead": count, "twins": twins[replica]})
        return {"units": [row], "replicas": singles}, {"cloud": cloud}

    def _count(self, theta: Tensor) -> tuple[int, int]:
        """How many units of a network θ [n] are dead, and how many are twins of another."""
        network = network_of(self.landscape)
        shapes = network.shapes
        lengths = [shape.numel() for shape in shapes.values()]
        pieces = theta.split(lengths)
        shaped = zip(pieces, shapes.values(), strict=True)
        incoming, bias, outgoing, _ = (piece.view(shape) for piece, shape in shaped)
        inputs, _ = network.examples("train")
        before = inputs.flatten(1).to(incoming) @ incoming.T + bias
        live = (before > 0).any(0)
        whole = torch.cat([incoming, bias[:, None]], 1)
        alike = _cosines(whole[live]) > TWIN
        alike &= _cosines(outgoing.T[live]) > TWIN
        count = int(live.sum())
        if not count:
            return len(live), 0
        groups, _ = connected_components(alike.cpu().numpy())
        return len(live) - count, count - int(groups)

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        return estimate_stage(self.landscape, self._sgd(settings["batch_size"]), self._start(dtype))

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Found:
        rows = sorted(tables["units"], key=lambda row: float(row["temperature"]))
        if not rows:
            return Found([], {})
        singles = tables["replicas"]
        shown = {"units": rows, "replicas": singles}
        return Found([_lost(name, rows, singles)], shown, PLOTS)


def _cosines(vectors: Tensor) -> Tensor:
    """Of all pairs of vectors [k, n], [k, k]."""
    units = torch.nn.functional.normalize(vectors, dim=1)
    return units @ units.T


def _lost(name: str, rows: Rows, singles: Rows) -> Claim:
    """Units that are lost rise in number with T, paired by the start."""
    samples = []
    for row in rows:
        own = [each for each in singles if each["temperature"] == row["temperature"]]
        samples.append([each["dead"] + each["twins"] for each in own])
    cold = Measured.read(rows[0], "dead")
    hot = Measured.read(rows[-1], "dead")
    words = (
        f"{name}: dead units rise from {cold} at T = {rows[0]['temperature']:.2g} to {hot} at "
        f"{rows[-1]['temperature']:.2g}, twins are {max(column_of(rows, 'twins')):.2g} at most"
    )
    expected = "rising from each T to the next, or equal, paired by the start"
    holds = rises(samples)
    if holds is None:
        hot = hot._replace(why=f"within two errors it may not rise: raise systems.{name}.replicas")
    return Claim(f"{name}_lost", words, hot, expected, holds)


PLOTS = [
    Plot(
        "units",
        "The hotter, the more hidden units are dead",
        "Units of one hidden layer of ReLUs that are active on no training example at the end of "
        "training at one learning rate, against T = η/2b; small marks are replicas, the same "
        "starts at each T.",
        "units",
        "temperature",
        ("dead",),
        log="x",
        labels={"temperature": "T = η/2b", "dead": "dead units"},
        singles="replicas",
    ),
]
