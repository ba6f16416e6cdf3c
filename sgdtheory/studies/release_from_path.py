"""SGD that is released on a path leaves it for flatter regions, and does not reach the ends in the
time given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose
from typing import Annotated

from annotated_types import Ge, Gt, Lt, MinLen
from torch import Tensor

from sgdtheory.annotations import PositiveFloat, PositiveInt
from sgdtheory.errors import UserError
from sgdtheory.fokker_planck.law import noise_temperature
from sgdtheory.optim.batches import refuse_augmented
from sgdtheory.optim.cost import estimate_stage
from sgdtheory.optim.schedule import Constant
from sgdtheory.optim.sgd import SGD
from sgdtheory.optim.training_loop import run_stage
from sgdtheory.paths.frame import Frame
from sgdtheory.paths.profile import train_losses
from sgdtheory.protocol import Cloud
from sgdtheory.rng import key
from sgdtheory.runs.interrupt import stop_if_asked
from sgdtheory.runs.unit import Estimate, Unit, UnitFolder
from sgdtheory.statistics.rows import Rows
from sgdtheory.statistics.tables import column_of, grouped
from sgdtheory.studies.releases.claims import claims_of, curvature_rows, mean_drifts, mean_rests
from sgdtheory.studies.releases.plots import PLOTS
from sgdtheory.studies.shared.equal_loss import Quench
from sgdtheory.studies.shared.found_paths import FoundPaths
from sgdtheory.studies.study import Case, Tables, Verdict, without_verdict


@dataclass(frozen=True)
class ReleaseFromPath(FoundPaths):
    """SGD set free on a path finds flatter ground than gradient descent at equal loss (entropic
    confinement, 2512.06297).

    SGD at temperature η/2b and gradient descent from the same points of a found path (2512.06297).

    Claim: noise drives SGD to where curvature is lower, so back from the middle of a path towards
    its ends. Refuted by a cloud whose Tr H, at rest and at equal loss, is not below gradient
    descent's, or by one that drifts no further towards the ends than gradient descent does: that
    drift is subtracted. Nothing is said of paths that are not low, of ends that are not trained, or
    of clouds that still fall: their |∇L| is more than 1.5 times gradient descent's.

    `at`: arc positions; `time` ηt, in whole steps between measurements at `looks` moments, so that
    what is run, and told, may be a little off; `replicas` for each point and batch size."""

    on = "release"
    keys = ("at", "batch_size", "learning_rate", "time", "looks", "replicas", "quench")

    at: Annotated[tuple[Annotated[float, Gt(0), Lt(1)], ...], MinLen(1)] = (2 / 7, 5 / 7)
    batch_size: Annotated[tuple[PositiveInt, ...], MinLen(1)] = (16, 4)
    learning_rate: PositiveFloat = 0.1
    time: PositiveFloat = 100.0
    looks: PositiveInt = 5
    replicas: Annotated[int, Ge(2)] = 64
    quench: Quench = field(default_factory=Quench)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_augmented(self.landscape)
        if not self._steps:
            raise UserError(
                f"time={self.time:g} looks={self.looks}: no step of learning_rate="
                f"{self.learning_rate:g} fits between two looks; use "
                f"time={self.learning_rate * self.looks:g} or more, or fewer looks"
            )

    def measure(self, case: Case, folder: UnitFolder) -> tuple[Tables, Mapping[str, Tensor]]:
        path = self.path_of(folder)
        frame = Frame.of(path, self.at)
        descents = self._released(folder, frame, None, 0)  # [A, 1, n] at each look
        drifts: Rows = []
        last: list[Cloud] = []
        for k, size in enumerate(self.batch_size):
            clouds = self._released(folder, frame, size, k + 1)  # [A, R, n] at each look
            last.append(clouds[-1])
            for j, cloud in enumerate(clouds):
                facts = {"batch_size": size, "time": self.time_of(j + 1)}
                for a, s in enumerate(self.at):
                    drifts.append({"at": s, **facts, **frame.drift(cloud, descents[j], a)})
        found = self.quench.rests(
            self.landscape,
            last,
            descents[-1][:, 0],
            key(self.seed_of(case), "quench"),
            lambda done: stop_if_asked(),
        )
        rests: Rows = []
        for size, at_rest in zip(self.batch_size, found, strict=True):
            temperature = noise_temperature(self.learning_rate, size)
            for s, row in zip(self.at, at_rest, strict=True):
                rests.append({"at": s, "batch_size": size, "temperature": temperature, **row})
        losses = train_losses(self.landscape, path[[0, -1]]).tolist()
        ends = [{"end": end, "data_loss": loss} for end, loss in enumerate(losses)]
        return {"drifts": drifts, "rests": rests, "ends": ends}, {}

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
        return SGD(self._steps, size, self.learning_rate, Constant())

    @property
    def _steps(self) -> int:
        """Between two looks; `time` is met to half a step for each."""
        return round(self.time / self.learning_rate / self.looks)

    def time_of(self, looks: int) -> float:
        """ηt after so many looks: what was run, where that is not `time`'s part exactly."""
        run = self._steps * self.learning_rate * looks
        asked = self.time * looks / self.looks
        return asked if isclose(run, asked) else run

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
        ends = {
            pair: column_of(rows, "data_loss")
            for pair, rows in grouped(tables["ends"], "pair").items()
        }
        claims = without_verdict(claims_of(rests, drifts), self.doubts(tables["paths"], ends))
        return Verdict(claims, shown, PLOTS)

    def estimate(self, unit: Unit) -> Estimate:
        """A release costs three times its largest cloud (measured)."""
        count = len(self.at) * self.replicas
        cloud = self._start(0)[:1].expand(count, -1).clone()
        seconds, memory, disk = estimate_stage(
            self.landscape, self._sgd(max(self.batch_size)), cloud
        )
        return Estimate(3 * self.looks * seconds, memory, disk)
