"""Copies of a network with different noise, spawned while it trains."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.studies.shared.parts import InParts


@dataclass(frozen=True)
class Instability(InParts):
    """From early in training on, copies with different noise end in one valley (Frankle et al.
    2020).

    Barrier of the straight line between two copies at the end of training, against the step at
    which they were spawned.

    Claim (1912.05671): a network is unstable to the noise of SGD at first, and stable from a step
    on that is a small share of training: the straight line between its copies has no barrier.
    Refuted by a barrier of copies at the first step that is not ten times that of those at the
    last. A barrier needs a loss that is not convex: on a quadratic L(middle) − mean = −⅛ΔᵀHΔ < 0,
    −¼Tr(HΣ) on average; refuted there by 3 standard errors.

    A copy is trained with the schedule, the velocity and the mini-batches of its network until it
    is spawned. Every step has networks of its own.
    """

    on: ClassVar[str] = "instability"
    as_said: ClassVar[str] = (
        "early in training the noise of SGD decides where it ends; copies that are spawned later "
        "are joined by straight lines, and on a quadratic all are"
    )
    spoken_of: ClassVar[tuple[str, ...]] = ("bowl", "mlp")
