"""Set free on a path, SGD leaves it for flatter ground, and in the time given does not come to the ends."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt, MinLen

from sgdtheory.estimate import estimate_stage
from sgdtheory.kinds import Count, Positive
from sgdtheory.landscape import Cloud
from sgdtheory.measured import Results
from sgdtheory.run import Estimate, Run, Unit, UnitFolder, stop_if_asked
from sgdtheory.schedule import Constant
from sgdtheory.sgd import SGD
from sgdtheory.stage import run_stage
from sgdtheory.streams import key
from sgdtheory.studies.parts.found_paths import FoundPaths, facts_of
from sgdtheory.studies.parts.quench import Quench
from sgdtheory.studies.parts.release import Frame, drift_row
from sgdtheory.studies.verdicts.drifts import claims, curvature_rows, mean_drifts, mean_rests, plots

OWN = ("at", "batch_size", "learning_rate", "time", "looks", "replicas", "quench")


@dataclass(frozen=True)
class ReleaseFromPath(FoundPaths):
    """SGD at temperature η/2b and gradient descent from the same points of a found path (2512.06297).

    Claim: noise drives SGD to where curvature is lower, so back from the middle of a path towards its ends. Refuted by a
    cloud whose Tr H, at rest and at equal loss, is not below gradient descent's, or by one that drifts no further towards the
    ends than gradient descent does: that drift is subtracted.

    `at`: arc positions; `time` ηt, looked at `looks` times; `replicas` a point and batch size.
    """

    at: Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], MinLen(1)] = (2 / 7, 5 / 7)
    batch_size: Annotated[tuple[Count, ...], MinLen(1)] = (16, 4)
    learning_rate: Positive = 0.1
    time: Positive = 100.0
    looks: Count = 5
    replicas: Annotated[int, Ge(2)] = 64
    quench: Quench = field(default_factory=Quench)

    def units(self, run: Run) -> list[Unit]:
        return [*self.path_units(run), *self.units_on_paths(run, "release", OWN)]

    def do(self, unit: Unit, folder: UnitFolder) -> None:
        if "release" not in unit.science:
            return self.find(folder)
        frame = Frame.of(self.path_of(folder), self.at)
        descents = self._released(folder, frame, None, 0)  # [A, 1, n] at each look
        floor = self.quench.floor(self.landscape, descents[-1][:, 0], key(self.seed_of(unit), "floor"))
        drifts: list[dict[str, Any]] = []
        rests: list[dict[str, Any]] = []
        for k, size in enumerate(self.batch_size):
            clouds = self._released(folder, frame, size, k + 1)  # [A, R, n]
            for j, (cloud, descent) in enumerate(zip(clouds, descents, strict=True)):
                facts = {"batch_size": size, "time": self.time * (j + 1) / self.looks}
                drifts += [{"at": s, **facts, **drift_row(frame, cloud, descent, a)} for a, s in enumerate(self.at)]
            facts = {"batch_size": size, "temperature": self.learning_rate / (2 * size)}
            found = self.quench.rests(
                self.landscape, clouds[-1], floor, key(self.seed_of(unit), size), lambda done: stop_if_asked()
            )
            rests += [{"at": s, **facts, **row} for s, row in zip(self.at, found, strict=True)]
        folder.finish({"drifts": drifts, "rests": rests}, {})
        return None

    def _released(self, folder: UnitFolder, frame: Frame, size: int | None, part: int) -> list[Cloud]:
        """The cloud [A, R, n] at each look; a stage each, which plain SGD does not notice: it has no velocity to lose."""
        replicas = 1 if size is None else self.replicas
        cloud, found = frame.start.repeat_interleave(replicas, 0), []
        for k in range(self.looks):
            name = f"{'descent' if size is None else f'batch-{size}'}-{k}"
            share = tuple((part + 0.5 * x / self.looks) / (1 + len(self.batch_size)) for x in (k, k + 1))
            seed = key(self.seed_of(folder.unit), name)
            cloud = run_stage(folder, name, self._sgd(size), self.landscape, cloud, seed, share=(share[0], share[1]))
            found.append(cloud.view(len(self.at), replicas, -1))
        return found

    def _sgd(self, size: int | None) -> SGD:
        """Between two looks."""
        return SGD(round(self.time / self.learning_rate / self.looks), size, self.learning_rate, Constant())

    def finish(self, run: Run) -> Results:
        found = [(facts_of(run, unit)["pair"], run.result(unit)) for unit in self.units_on_paths(run, "release", OWN)]
        rests, drifts = (
            [{"pair": pair, **row} for pair, result in found if result is not None for row in result[name]]
            for name in ("rests", "drifts")
        )
        tables = {"means": mean_rests(rests), "drift": mean_drifts(drifts), "curvature": curvature_rows(rests)}
        tables |= {"rests": rests, "drifts": drifts}
        return Results(claims(rests, drifts), {}, {"tables": tables, "plots": [plot.as_dict() for plot in plots()]})

    def estimate(self, unit: Unit) -> Estimate:
        """Of a path's release as three times what its largest cloud costs (measured)."""
        if "release" not in unit.science:
            return self.estimate_path()
        cloud = self._start(0)[:1].expand(len(self.at) * self.replicas, -1).clone()
        seconds, memory, disk = estimate_stage(self.landscape, self._sgd(max(self.batch_size)), cloud)
        return Estimate(3 * self.looks * seconds, memory, disk)
