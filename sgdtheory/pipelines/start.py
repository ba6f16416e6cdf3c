"""One point that training begins at: a snapshot of a run, as it is named on the command line."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.errors import UserError
from sgdtheory.pipelines.checkpoints.reading import opened
from sgdtheory.pipelines.minima_file import STARTS
from sgdtheory.protocol import Landscape
from sgdtheory.roles.facts import device_of

LAST = "last"


class Snapshot(NamedTuple):
    """FILE@STEP: one of the points that a trajectory's file holds, by its step."""

    file: Path
    step: str

    @classmethod
    def named(cls, word: str) -> "Snapshot":
        file, at, step = word.rpartition("@")
        if not (at and file and (step in (LAST, STARTS) or step.isdecimal())):
            raise UserError(f"start={word}: say RUN@STEP or RUN@last, a run and one of its steps")
        return cls(Path(file).expanduser(), step)

    def point(self, landscape: Landscape) -> Tensor:
        """The point [n]; UserError where the file holds none of this landscape at that step."""
        content = opened(self.file)
        tensors = {}
        if isinstance(content, dict):
            tensors = {name: x for name, x in content.items() if isinstance(x, Tensor)}
        theta = self._kept(tensors)
        if theta.shape != (landscape.dim,):
            raise UserError(
                f"start={self.file}: its points are {list(theta.shape)}, this landscape has "
                f"{landscape.dim:,} parameters"
            )
        if not torch.isfinite(theta).all():
            raise UserError(
                f"start={self.file}@{self.step}: it holds numbers that are not finite; take an "
                f"earlier step"
            )
        return theta.to(device_of(landscape))

    def _kept(self, tensors: dict[str, Tensor]) -> Tensor:
        """The point that is meant among the tensors of the file."""
        if self.step == STARTS and STARTS in tensors:
            return tensors[STARTS][0]
        if not {"snapshots", "steps"} <= tensors.keys():
            raise UserError(f"start={self.file}: it holds no snapshots of a train run")
        steps = tensors["steps"].tolist()
        step = steps[-1] if self.step == LAST else int(self.step)
        if step not in steps:
            kept = ", ".join(map(str, steps))
            raise UserError(f"start={self.file}@{self.step}: kept are the steps {kept}")
        theta: Tensor = tensors["snapshots"][steps.index(step)]
        return theta
