"""Where AutoNEB stands between two cycles."""

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor

from sgdtheory.protocol import TensorsByName
from sgdtheory.runs.folder import Json
from sgdtheory.runs.tensors import State


class AutoNEBState(NamedTuple):
    """Where a search for a path stands between two cycles: enough to go on from, exactly."""

    attempt: int  # which attempt is under way, or comes next
    cycle: int  # its cycles that are done
    path: Tensor  # [P, n], of the last cycle
    values: Tensor  # dense values along it, at `subdivide(path, sub_points + 1)`
    end_values: Tensor  # [2]
    straight: float  # barrier of the straight line over the higher end
    line: Tensor  # dense values along it, which every attempt begins with
    # [P, n], the lowest path of the attempts that are over; the straight line before that
    best: Tensor
    best_values: Tensor  # dense values along that
    best_barrier: float
    best_stderr: float  # of that, over examples
    best_multiple: float  # of the learning rate, at the end of its attempt
    learning_rate: float  # what multiples are of; measured once
    multiple: float  # of the next cycle
    undone: int  # cycles of this attempt that were done again
    too_high: float  # the lowest multiple at which a cycle rose from the straight line; inf: none
    gradients: int  # spent so far, one a pivot and step
    evaluations: int  # points evaluated so far
    over: bool = False
    lowered: bool = False  # whether `multiple` was lowered after a rise, and is not a planned one

    def tensors(self) -> TensorsByName:
        """Copies of its tensors, `path` [P, n] and the others: `path` and `best` may be one tensor,
        and safetensors stores none twice."""
        return {name: x.clone() for name, x in self._asdict().items() if isinstance(x, Tensor)}

    def facts(self) -> Json:
        return {name: x for name, x in self._asdict().items() if not isinstance(x, Tensor)}

    @classmethod
    def read(cls, kept: State | None, device: torch.device) -> "AutoNEBState | None":
        """The state as a unit has kept it, `path` [P, n] and the others; JSON has null where a
        number is infinite."""
        if kept is None:
            return None
        tensors, facts = kept
        fields: Json = {name: x.to(device) for name, x in tensors.items()}
        for name in facts.keys() & set(cls._fields):
            value = facts[name]
            fields[name] = inf if value is None else value
        return cls(**fields)
