"""When a cloud is measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EARLY = 24  # measurements while the cloud spreads, evenly spaced in the logarithm of the step
# windows until a cell is precise enough: two on a network at 2 %, eight where a few directions hold
# all the noise
LIKELY = 4
MOST = 64  # windows of records that are held; an even number


@dataclass(frozen=True)
class MeasurementSchedule:
    """After `burn_in` steps a record every `thinning` steps, in windows of `window` records, for at
    most `windows` of them.

    No more than MOST windows are held: when they are full every other record is dropped, and from
    then on records are twice as far apart.
    """

    burn_in: int
    thinning: int
    window: int
    windows: int

    @property
    def steps(self) -> int:
        return self.burn_in + self.thinning * self.window * self.windows

    def done(self, step: int) -> float:
        """The share of the work that is done, for progress bars: most cells are precise enough
        after LIKELY windows."""
        likely = self.burn_in + self.thinning * self.window * min(LIKELY, self.windows)
        if step <= 0.75 * likely:
            return step / likely
        return min(step / likely, 1 - 0.2 * likely / (step + likely * 0.25))

    def early(self) -> set[int]:
        """The steps at which the spreading cloud is measured."""
        return {int(step) for step in np.geomspace(1, max(2, self.burn_in), EARLY).round()}

    def is_full(self, recorded: Sequence[int]) -> bool:
        """Whether no other record fits in after those of the steps `recorded`."""
        return len(recorded) == MOST * self.window

    def measures_at(self, step: int, recorded: Sequence[int]) -> bool:
        """Whether there is a record after `step`; the first that is held comes one spacing after
        `burn_in`."""
        spacing = recorded[0] - self.burn_in if recorded else self.thinning
        if self.is_full(recorded):
            spacing *= 2
        return step > self.burn_in and (step - self.burn_in) % spacing == 0
