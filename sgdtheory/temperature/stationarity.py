"""Whether a cloud is stationary, so that its temperature may be read off."""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from sgdtheory.temperature.estimators.fluctuation_dissipation import FluctuationDissipation
from sgdtheory.temperature.trajectory import Array, Trajectory

TOLERANCE = 0.05  # of the fluctuation–dissipation ratio
SIGMAS = 3.0


class Verdict(NamedTuple):
    """Where the stationary part of a trajectory begins."""

    first: int | None  # index of its first record; None where there is none
    why: str = ""


@dataclass(frozen=True)
class Stationarity:
    """In two successive windows of records |R − 1| < max(.05, 3 standard errors), and |z| < 3
    between their mean losses.

    Everything from the first such pair on is sampled. Split-R̂ is no substitute: replicas share the
    transient, and it was 1.04 in the midst of one. Under epoch reshuffling R is not one by design,
    so the windows alone decide.
    """

    window: int

    def __call__(self, trajectory: Trajectory) -> Verdict:
        replicas, trajectory = trajectory.replicas, trajectory.finite()
        lost = replicas - trajectory.replicas
        if trajectory.replicas < 2:
            return Verdict(None, f"{lost} of {replicas} replicas are not finite")
        windows = [
            trajectory.part(i, i + self.window)
            for i in range(0, len(trajectory.steps) - self.window + 1, self.window)
        ]
        why = "fewer than two windows were recorded"
        before = self._out_of_balance(windows[0]) if windows else ""
        for i in range(len(windows) - 1):
            after = self._out_of_balance(windows[i + 1])
            why = before or after or _drift(windows[i].losses, windows[i + 1].losses)
            if not why:
                return Verdict(i * self.window)
            before = after
        return Verdict(None, f"not stationary: {why}")

    def _out_of_balance(self, trajectory: Trajectory) -> str:
        if trajectory.sampling == "epoch":
            return ""
        ratio = FluctuationDissipation()(None, trajectory)["fluctuation_dissipation"]
        if ratio.value is None or ratio.stderr is None:
            return f"no fluctuation–dissipation ratio ({ratio.why})"
        if abs(ratio.value - 1) < max(TOLERANCE, SIGMAS * ratio.stderr):
            return ""
        return f"fluctuation–dissipation ratio {ratio.value:.2f} ± {ratio.stderr:.2f}"


def _drift(before: Array, after: Array) -> str:
    """Why the mean losses [S, P] of two windows differ by more than chance; replicas are
    independent."""
    change = after.mean(0) - before.mean(0)  # [P]
    error = change.std(ddof=1) / sqrt(len(change))
    z = change.mean() / error if error > 0 else (0.0 if change.mean() == 0 else np.inf)
    if abs(z) < SIGMAS:
        return ""
    return f"the loss is still {'rising' if z > 0 else 'falling'} (z = {abs(z):.1f})"
