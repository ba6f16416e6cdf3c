"""AdamW: Adam whose decay is no part of the gradient."""

from dataclasses import dataclass

from sgdtheory.annotations import NonNegative
from sgdtheory.optim.adam import Adam


@dataclass(frozen=True)
class AdamW(Adam):
    """θ ← (1 − ηλ)θ, then Adam's step of the gradient alone (Loshchilov & Hutter 2019, 1711.05101,
    Algorithm 2).

    λ is `decay`. It acts on all of θ [n], biases and norms too, as torch's does, is divided by no
    √ŝ, and is no landscape's potential: what is descended is not the loss + ½λ|θ|², and where it
    comes to rest the gradient of neither vanishes. `landscape.weight_decay` is another one, in the
    loss; `landscape.decay=weights` is of that alone.
    """

    decay: NonNegative = 0.01

    @property
    def decoupled_decay(self) -> float:
        return self.decay
