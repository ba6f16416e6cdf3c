"""What one part of the study of SGD's potential has to do."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sgdtheory.runs.unit import Estimate, UnitFolder
from sgdtheory.statistics.measured import Claim, Plot
from sgdtheory.statistics.rows import Rows

Settings = Mapping[str, Any]  # that set a case apart
Seen = tuple[dict[str, Rows], dict[str, Tensor]]  # rows by table, clouds by name


class Part(NamedTuple):
    """What a part contributes to the verdict."""

    claims: list[Claim]
    tables: dict[str, Rows]
    plots: Sequence[Plot] = ()


class Probe(Protocol):
    """Clouds of one landscape, watched, and judged against their theory."""

    def settings(self) -> list[Settings]:
        """Of each case."""
        ...

    def watch(
        self, folder: UnitFolder, settings: Settings, seed: int, dtype: torch.dtype
    ) -> Seen: ...

    def judge(self, name: str, tables: Mapping[str, Rows]) -> Part:
        """The verdict on the rows of all finished cases of the part of this name."""
        ...

    def estimate(self, settings: Settings, dtype: torch.dtype) -> Estimate:
        """The cost of a case."""
        ...
