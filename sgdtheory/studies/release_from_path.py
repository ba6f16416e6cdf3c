"""SGD that is released on a path leaves it for flatter regions, and does not reach the ends in the
time given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.frame import Frame
from sgdtheory.protocol import Cloud
from sgdtheory.rng import key
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.measured import Claim, Measured, Plot, row_of
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import grouped, mean_over
from sgdtheory.statistics.trends import higher, sigmas
from sgdtheory.studies.shared.equal_loss import Quench
from sgdtheory.studies.shared.found_paths import FoundPaths
from sgdtheory.studies.study import Case, Tables, Verdict

CERTAIN = 5.0  # standard errors that Tr H must be lower by (the project's table)
CLEAR = 3.0  # beyond which a drift counts as one


@dataclass(frozen=True)
class ReleaseFromPath(FoundPaths):
    """SGD set free on a path finds flatter ground than gradient descent at equal loss (entropic
    confinement, 2512.06297).

    SGD at temperature η/2b and gradient descent from the same points of a found path (2512.06297).

    Claim: noise drives SGD to where curvature is lower, so back from the middle of a path towards
    its ends. Refuted by a cloud whose Tr H, at rest and at equal loss, is not below gradient
    descent's, or by one that drifts no further towards the ends than gradient descent does: that
    drift is subtracted.

    `at`: arc positions; `time` ηt, with measurements at `looks` moments; `replicas` for each point
    and batch size."""

    on = "release"
    keys = ("at", "batch_size", "learning_rate", "time", "looks", "replicas", "quench")

    at: Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], MinLen(1)] = (2 / 7, 5 / 7)
    batch_size: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (16, 4)
    learning_rate: PositiveFloat = 0.1
    time: PositiveFloat = 100.0
    looks: PositiveInt = 5
    replicas: Annotated[int, Ge(2)] = 64
    quench: Quench = field(default_factory=Quench)

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        frame = Frame.of(self.path_of(folder), self.at)
        descents = self._released(folder, frame, None, 0)  # [A, 1, n] at each look
        seed = self.seed_of(case)
        floor = self.quench.floor(self.landscape, descents[-1][:, 0], key(seed, "floor"))
        drifts: Rows = []
        rests: Rows = []
        for k, size in enumerate(self.batch_size):
            clouds = self._released(folder, frame, size, k + 1)  # [A, R, n] at each look
            for j, cloud in enumerate(clouds):
                facts = {"batch_size": size, "time": self.time * (j + 1) / self.looks}
                for a, s in enumerate(self.at):
                    drifts.append({"at": s, **facts, **frame.drift(cloud, descents[j], a)})
            temperature = noise_temperature(self.learning_rate, size)
            at_rest = self.quench.rests(
                self.landscape, clouds[-1], floor, key(seed, size), lambda done: stop_if_asked()
            )
            for s, row in zip(self.at, at_rest, strict=True):
                rests.append({"at": s, "batch_size": size, "temperature": temperature, **row})
        return {"drifts": drifts, "rests": rests}, {}

    def _released(
        self,
        folder: UnitFolder,
        frame: Frame,
        size: int | None,
        part: int,
    ) -> list[Cloud]:
        """The cloud [A, R, n] at each look. A stage for each, which changes nothing: SGD without
        momentum has no velocity to lose."""
        replicas, parts = 1 if size is None else self.replicas, 1 + len(self.batch_size)
        noise = "descent" if size is None else f"batch-{size}"
        cloud, clouds = frame.start.repeat_interleave(replicas, 0), []
        for k in range(self.looks):
            name = f"{noise}-{k}"
            low = part + 0.5 * k / self.looks
            high = low + 0.5 / self.looks
            share = (low / parts, high / parts)
            seed = key(self.seed_of(self.case_of(folder.unit)), name)
            sgd = self._sgd(size)
            cloud = run_stage(
                folder,
                name,
                sgd,
                self.landscape,
                cloud,
                seed,
                fraction=share,
            )
            clouds.append(cloud.view(len(self.at), replicas, -1))
        return clouds

    def _sgd(self, size: int | None) -> SGD:
        """The descent between two looks."""
        steps = round(self.time / self.learning_rate / self.looks)
        return SGD(steps, size, self.learning_rate, Constant())

    def judge(self, tables: Tables) -> Verdict:
        rests = tables["rests"]
        drifts = tables["drifts"]
        shown = {
            "means": mean_rests(rests),
            "drift": mean_drifts(drifts),
            "curvature": curvature_rows(rests),
            "rests": rests,
            "drifts": drifts,
        }
        return Verdict(claims_of(rests, drifts), shown, plots())

    def estimate(self, unit: Unit) -> Estimate:
        """A release costs three times its largest cloud (measured)."""
        cloud = self._start(0)[:1].expand(len(self.at) * self.replicas, -1).clone()
        seconds, memory, disk = estimate_stage(
            self.landscape, self._sgd(max(self.batch_size)), cloud
        )
        return Estimate(3 * self.looks * seconds, memory, disk)


def over_paths(rows: Rows, names: Sequence[str]) -> dict[str, Measured]:
    """Means over paths of the means over a path's points, for each of these columns."""
    unknown = "nothing was released"
    return {name: mean_over(rows, name, "pair", unknown) for name in names}


def mean_rests(rests: Rows) -> Rows:
    """One row for each batch size."""
    names = ["lower", "lower_at_data_loss", "trace", "objective", "data_loss", "norm"]
    names += [f"descent_{name}" for name in ("trace", "objective", "data_loss", "norm")]
    means = []
    for size, rows in grouped(rests, "batch_size").items():
        facts = {"batch_size": size, "temperature": rows[0]["temperature"]}
        means.append(row_of(facts, **over_paths(rows, names)))
    return means


def mean_drifts(drifts: Rows) -> Rows:
    """One row for each batch size and look."""
    names = ["chord", "tangent", "growth", "way", "distance", "norm"]
    names += [f"{name}_descent" for name in ("chord", "tangent", "distance")]
    means = []
    for size, clouds in grouped(drifts, "batch_size").items():
        for time, rows in grouped(clouds, "time").items():
            facts = {"batch_size": size, "time": time}
            means.append(row_of(facts, **over_paths(rows, names)))
    return means


def curvature_rows(rests: Rows) -> Rows:
    """Tr H of gradient descent and of each batch size's cloud at rest, at each point of a path."""
    placed = [{**row, "place": f"path {row['pair'] + 1}, {row['at']:.2f}"} for row in rests]
    curvatures = []
    for place, rows in grouped(placed, "place").items():
        descent = {"place": place, "noise": "gradient descent", "trace": rows[0]["descent_trace"]}
        curvatures.append({**descent, "trace_stderr": rows[0]["descent_trace_stderr"]})
        for row in rows:
            trace = {"trace": row["trace"], "trace_stderr": row.get("trace_stderr")}
            curvatures.append({"place": place, "noise": f"b = {row['batch_size']}", **trace})
    return curvatures


def claims_of(rests: Rows, drifts: Rows) -> list[Claim]:
    """Tr H is lower at equal loss; then how far the cloud moves along the chord and the path."""
    if not rests:
        unknown = Measured.nothing("no path was found")
        return [Claim("curvature", "nothing was released", unknown, "Tr H is lower", None)]
    means = mean_rests(rests)
    moved = mean_drifts(drifts)
    last = [rows[-1] for rows in grouped(moved, "batch_size").values()]
    return [
        _lower(means, "curvature", "lower", "objective"),
        _lower(means, "at_equal_data_loss", "lower_at_data_loss", "data loss"),
        _drift(last, "chord", "along the chord, in units of it"),
        _drift(last, "tangent", "along the path's tangent, in units of its length"),
        _growth(last),
        _ends(last),
    ]


def _by_size(rows: Rows, column: str) -> dict[int, Measured]:
    return {row["batch_size"]: Measured.read(row, column) for row in rows}


def _listed(by_size: dict[int, Measured]) -> str:
    return "; ".join(f"b = {size}: {number}" for size, number in by_size.items())


def _lower(
    means: Rows,
    name: str,
    column: str,
    loss: str,
) -> Claim:
    """The number is that of the least certain batch size."""
    gains = _by_size(means, column)
    known_gains = [gain for gain in gains.values() if gain.value is not None]
    told = (
        f"at rest and at equal {loss}, Tr H of SGD's cloud is lower than gradient descent's by "
        f"{_listed(gains)}"
    )
    expected = f"above 0 by {CERTAIN:g} standard errors"
    if not known_gains:
        unknown = Measured.nothing("; ".join(gain.why for gain in gains.values()))
        return Claim(name, told, unknown, expected, None)
    least = min(known_gains, key=sigmas)
    return Claim(name, told, least, expected, sigmas(least) > CERTAIN)


def _drift(last: Rows, name: str, along: str) -> Claim:
    """The number is that of the least certain batch size."""
    drifts = _by_size(last, name)
    descent = f"gradient descent's own, {Measured.read(last[0], f'{name}_descent')}, subtracted"
    told = f"drift towards the nearer end {along}, {descent}: {_listed(drifts)}"
    least = min(drifts.values(), key=sigmas)
    expected = f"above 0 by {CLEAR:g} standard errors"
    return Claim(name, told, least, expected, sigmas(least) > CLEAR)


def _growth(last: Rows) -> Claim:
    """The part of the drift along the chord that is the growth of |θ|."""
    hottest = min(last, key=lambda row: row["batch_size"])
    part = Measured.read(hottest, "growth")
    chord = Measured.read(hottest, "chord")
    told = (
        f"b = {hottest['batch_size']}: of the drift along the chord, {chord}, weights that grow "
        f"longer make {part}; the cloud is {hottest['distance']:.3g} away from where it began, "
        f"with |θ| = {hottest['norm']:.3g}"
    )
    return Claim("growth", told, part, "less than the drift", higher(chord, part))


def _ends(last: Rows) -> Claim:
    """The fraction of the way to the nearer end that the cloud has moved."""
    ways = _by_size(last, "way")
    parts = [f"b = {size}: {100 * (way.value or 0.0):.1f} %" for size, way in ways.items()]
    farthest = max(ways.values(), key=lambda way: way.value or 0.0)
    arrives = None if farthest.value is None else farthest.value >= 1
    verb = "reaches" if arrives else "does not reach"
    told = (
        f"in ηt = {last[0]['time']:g} it {verb} the ends: of the way along the chord it makes "
        f"{'; '.join(parts)}"
    )
    return Claim("ends", told, farthest, "1: at an end", arrives)


def plots() -> list[Plot]:
    return [
        Plot(
            "released",
            "At rest the ground that noise has found is flatter",
            "Tr H of points released on paths, after gradient descent and after SGD of two batch "
            "sizes, let down by full-batch descent until the objective is that of gradient "
            "descent. Bars: one standard error over replicas. A cloud of small batches is at rest "
            "with longer weights; part of what it gains is that.",
            "curvature",
            "noise",
            ("trace",),
            by="place",
            labels={"noise": "released to", "trace": "Tr H"},
        ),
        Plot(
            "drift",
            "Noise drives a cloud outwards along the chord, hardly along the path",
            "Mean displacement towards the nearer end, gradient descent's subtracted, against "
            "time; means over paths with their standard errors. Left along the straight line "
            "between the ends, right along the path's tangent at the point of release. The cloud "
            "leaves the path more than it slides along it, and does not reach the ends in this "
            "time.",
            "drift",
            "time",
            ("chord", "tangent"),
            by="batch_size",
            level=0.0,
            labels={
                "time": "ηt",
                "chord": "along the chord",
                "tangent": "along the tangent",
                "batch_size": "b =",
            },
        ),
    ]
