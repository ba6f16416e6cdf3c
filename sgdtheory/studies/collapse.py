"""The collapse of SGD's temperature, of its points onto a maximum, and of hidden units."""

from dataclasses import dataclass
from typing import ClassVar

from sgdtheory.studies.shared.parts import InParts


@dataclass(frozen=True)
class Collapse(InParts):
    """SGD's temperature collapses where every example can be met, below a learning rate that is
    known (2505.23489; Chen et al. 2023).

    T of linear regression with and without label noise against the exact map of second moments, the
    exponent of a walk with multiplicative noise, noise of a narrow and a wide network, dead units.

    Claim (2505.23489, 2511.07308: T rises with η in under-parametrised networks and is 0 below a
    threshold in over-parametrised ones; 2306.04251: noise attracts to points where it vanishes):
    second moments collapse exactly where the radius of their map Σ ← E[(1 − ηH_B)Σ(1 − ηH_B)] is
    below 1, and x ← x(1 + ημ − √η·ζξ) where E log|1 + ημ − √η·ζξ| < 0. Refuted by a threshold that
    is more than 2 % from that η, by a T with label noise that is not the exact fixed point's, by an
    exponent that is more than 2 % off, by a wide network that stays warm or a narrow one that does
    not, or by hidden units that do not die of noise.

    A typical point collapses beyond that η too: the radius is the second moment's, which few
    points carry.
    """

    on: ClassVar[str] = "collapse"
    as_said: ClassVar[str] = (
        "SGD's temperature collapses where every example can be met and η is below a threshold "
        "that is known, and not with noise that stays"
    )
    spoken_of: ClassVar[tuple[str, ...]] = ("regression", "walk", "widths", "units")
